// SPDX-License-Identifier: Apache-2.0
#include "libpref/device_check/pair_rows.h"

namespace pref::device_check {
namespace {

std::vector<double> of_sequences(const std::vector<Row<double>>& rows,
                                 double Sequence<double>::*field) {
  std::vector<double> out;
  for (const auto& row : rows)
    for (int k = 0; k < row.branches; ++k) out.push_back(row.branch[k].*field);
  return out;
}
template <class T, class F>
std::vector<T> of_rows(const std::vector<Row<double>>& rows, F Row<double>::*field) {
  std::vector<T> out;
  for (const auto& row : rows) out.push_back(row.*field);
  return out;
}

std::vector<int64_t> first_sequences(const std::vector<Row<double>>& rows) {
  std::vector<int64_t> out = {0};
  for (const auto& row : rows) out.push_back(out.back() + row.branches);
  return out;
}
std::vector<int64_t> first_labels(const std::vector<Row<double>>& rows) {
  std::vector<int64_t> out = {0};
  for (const double count : of_sequences(rows, &Sequence<double>::num_tokens))
    out.push_back(out.back() + static_cast<int64_t>(count));
  return out;
}

}  // namespace

RowsOnDevice::RowsOnDevice(const std::vector<Row<double>>& rows)
    : first_sequence_(first_sequences(rows)),
      first_label_(first_labels(rows)),
      logp_(of_sequences(rows, &Sequence<double>::logp)),
      ref_logp_(of_sequences(rows, &Sequence<double>::ref_logp)),
      collision_(of_sequences(rows, &Sequence<double>::collision)),
      max_logp_(of_sequences(rows, &Sequence<double>::max_logp)),
      win_probability_(of_sequences(rows, &Sequence<double>::win_probability)),
      score_(of_sequences(rows, &Sequence<double>::score)),
      weight_(of_rows<double>(rows, &Row<double>::weight)),
      margin_(of_rows<double>(rows, &Row<double>::margin)),
      marked_(of_sequences(rows, &Sequence<double>::marked)),
      ref_marked_(of_sequences(rows, &Sequence<double>::ref_marked)),
      unlikely_(of_sequences(rows, &Sequence<double>::unlikely)),
      coupled_(of_sequences(rows, &Sequence<double>::coupled)),
      label_(of_rows<int32_t>(rows, &Row<double>::label)) {}

DeviceRows RowsOnDevice::arrays() const {
  return {rows(),           first_sequence_.data(), first_label_.data(), logp_.data(),
          ref_logp_.data(), collision_.data(),      max_logp_.data(),    win_probability_.data(),
          score_.data(),    weight_.data(),         margin_.data(),      label_.data(),
          marked_.data(),   ref_marked_.data(),     unlikely_.data(),    coupled_.data()};
}

PairLosses losses_on_device(const Objective& objective, const Normalizers& normalizers,
                            const RowsOnDevice& rows) {
  const auto output = [](int64_t count) {
    kernels::cuda::DeviceArray<double> out(count);
    out.fill(0xff);
    return out;
  };
  const auto loss = output(rows.rows()), exploration = output(rows.rows()),
             pair_weight = output(rows.rows()), d_logp = output(rows.sequences()),
             reward = output(rows.sequences()), d_marked = output(rows.sequences()),
             d_unlikely = output(rows.sequences());
  pair_losses(objective, normalizers, rows.arrays(),
              {loss.data(), d_logp.data(), reward.data(), exploration.data(), pair_weight.data(),
               d_marked.data(), d_unlikely.data()},
              nullptr);
  return {loss.read(),   exploration.read(), pair_weight.read(), d_logp.read(),
          reward.read(), d_marked.read(),    d_unlikely.read()};
}

PairLosses losses_on_host(const Objective& objective, const Normalizers& normalizers,
                          const std::vector<Row<double>>& rows) {
  PairLosses out;
  for (const auto& row : rows) {
    const RowLoss<double> one = objective(row, normalizers);
    out.loss.push_back(one.loss);
    out.exploration.push_back(one.exploration);
    out.pair_weight.push_back(one.pair_weight);
    for (int k = 0; k < row.branches; ++k) {
      out.d_logp.push_back(one.d_logp[k]);
      out.reward.push_back(one.reward[k]);
      out.d_marked.push_back(one.d_marked[k]);
      out.d_unlikely.push_back(one.d_unlikely[k]);
    }
  }
  return out;
}

std::vector<double> coupled_on_device(const Objective& objective, const RowsOnDevice& rows,
                                      CouplingState& state, bool failed) {
  using kernels::cuda::DeviceArray;
  const DeviceArray<double> on_device(std::vector<double>{state.mean, state.count}),
      workspace(3 * rows.rows());
  DeviceArray<double> coupled(rows.sequences());
  coupled.fill(0xff);
  const DeviceArray<int32_t> failure(std::vector<int32_t>{failed});
  couple_rows(objective, rows.arrays(),
              {coupled.data(), on_device.data(), failure.data(), workspace.data()}, nullptr);
  const std::vector<double> after = on_device.read();
  state.mean = after[0];
  state.count = after[1];
  return coupled.read();
}

std::vector<double> coupled_on_host(const Objective& objective, std::vector<Row<double>> rows,
                                    CouplingState& state) {
  for (auto& row : rows)
    for (auto& branch : row.branch) branch.coupled = 0;
  objective.couple(rows, state);
  return of_sequences(rows, &Sequence<double>::coupled);
}

}  // namespace pref::device_check
