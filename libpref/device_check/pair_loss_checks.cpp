// SPDX-License-Identifier: Apache-2.0
// Every objective of the list, sums of them and modifiers: the kernel's functor against the same on
// the host. What may differ is the device's exp and log.
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

}  // namespace

void check_pair_losses(Session& session) {
  Draws draws = session.draws("pair_losses");
  const int count = session.pick(70, 300, 3000);  // more than one block
  for_each_objective([&](const auto& term) {
    check_one(session, Objective(Term(term)), random_rows(draws, term, count));
  });
  auto rows = random_rows(draws, DPO{}, count);
  for (auto& row : rows) row.margin = 0;
  check_one(session, Objective({{SFT{}, 0.3}, {DPO{}, 1.0}, {Hinge{}, 0.5}}), rows);
  check_one(session, Objective({{DPO{}, 1.0}}, {.weighting = Weighting{}}), rows);
  check_one(session, Objective({{DPO{}, 1.0}}, {.length = LengthDesensitization{.ld_alpha = 0.4}}),
            rows);
}

}  // namespace pref::device_check
