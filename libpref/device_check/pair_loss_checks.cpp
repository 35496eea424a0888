// SPDX-License-Identifier: Apache-2.0
// Every objective of the list, sums of them and modifiers: the kernel's functor against the same on
// the host. What may differ is the device's exp and log. And what couples the rows of a batch.
#include "libpref/device_check/pair_rows.h"
#include "libpref/device_check/session.h"

namespace pref::device_check {
namespace {

void check_one(Session& session, const Objective& objective, const std::vector<Row<double>>& rows) {
  constexpr double kRelative = 1e-11, kAbsolute = 1e-12;
  const Normalizers normalizers{7, 130};
  const RowsOnDevice on_device(rows);
  const PairLosses got = losses_on_device(objective, normalizers, on_device),
                   again = losses_on_device(objective, normalizers, on_device),
                   want = losses_on_host(objective, normalizers, rows);
  Comparison comparison("pair_losses",
                        objective.name() + ", " + std::to_string(rows.size()) + " rows");
  PairLosses::each([&](const char* quantity, std::vector<double> PairLosses::*field) {
    comparison.near(quantity, got.*field, want.*field, kRelative, kAbsolute);
    comparison.same_bits("second run", got.*field, again.*field);
  });
  session.report(comparison);
}

void check_coupling(Session& session, const Objective& objective,
                    const std::vector<Row<double>>& rows) {
  const RowsOnDevice on_device(rows);
  CouplingState got_state{0.25, 3}, want_state = got_state;
  Comparison comparison("couple_rows",
                        objective.name() + ", " + std::to_string(rows.size()) + " rows");
  comparison.near("coupled", coupled_on_device(objective, on_device, got_state),
                  coupled_on_host(objective, rows, want_state), 1e-12, 1e-13);
  comparison.near("state", std::vector<double>{got_state.mean, got_state.count},
                  std::vector<double>{want_state.mean, want_state.count}, 1e-12, 1e-13);
  session.report(comparison);
}

}  // namespace

void check_pair_losses(Session& session) {
  Draws draws = session.draws("pair_losses");
  const int count = session.pick(70, 300, 3000);  // more than one block
  for_each_objective([&](const auto& term) {
    const Objective objective{Term(term)};
    const auto rows = random_rows(draws, term, count);
    check_one(session, objective, rows);
    if (objective.couples()) check_coupling(session, objective, rows);
  });
  auto rows = random_rows(draws, DPO{}, count);
  for (auto& row : rows) row.margin = 0;
  check_one(session, Objective({{SFT{}, 0.3}, {DPO{}, 1.0}, {Hinge{}, 0.5}}), rows);
  check_one(session, Objective({{DPO{}, 1.0}}, {.weighting = Weighting{}}), rows);
  check_one(session, Objective({{DPO{}, 1.0}}, {.length = LengthDesensitization{.ld_alpha = 0.4}}),
            rows);
}

}  // namespace pref::device_check
