// SPDX-License-Identifier: Apache-2.0
// The same model on the CPU and on a device. In test_device that is an emulated one, whose kernels
// are those of kernels/cuda run by tests/simt: this program's launchers take the place of those in
// libpref_ops. In test_gpu it is a card; without one every test is skipped.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "libpref/train/trainer.h"
#include "tests/nn/toy_model.h"
#include "tests/train/train_test_util.h"

namespace pref::testing {

/// What stands in for a card: this program's launchers, or none.
inline bool device_is_emulated() {
  return kernels::cuda::devices().count > 0 && kernels::cuda::device_facts().name == "emulated";
}
inline const char* test_device_name() { return device_is_emulated() ? "cpu" : "cuda"; }

/// While one lives, models can be made on the device.
class TestDevice {
 public:
  TestDevice() {
    if (device_is_emulated()) emulated_.emplace();
  }

 private:
  std::optional<ops::EmulatedDevice> emulated_;
};

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const kernels::cuda::Devices there = kernels::cuda::devices();
    if (there.count == 0) GTEST_SKIP() << "no device: " << there.reason;
  }
};

inline at::Tensor on_test_device(const at::Tensor& x) {
  return x.defined() ? x.to(at::Device(test_device_name())) : x;
}

/// A CPU model with every weight random.
inline std::unique_ptr<Model> cpu_model(const DecoderConfig& config, uint64_t seed) {
  auto model = std::make_unique<Model>(config, nullptr);
  randomize_weights(model->network().parameters(), seed);
  return model;
}

/// The same weights in a model of these options.
inline std::unique_ptr<Model> copy_of(const Model& of, const ModelOptions& options = {}) {
  auto& source = const_cast<Model&>(of);
  auto model = std::make_unique<Model>(of.config(), nullptr, options);
  ParameterStore& store = model->network().parameters();
  for (size_t i = 0; i < store.parameters().size(); ++i)
    store.set_values(static_cast<int64_t>(i),
                     source.network().parameters().values(static_cast<int64_t>(i)));
  return model;
}

/// The same on the device; a TestDevice must live.
inline std::unique_ptr<Model> device_model(const Model& of, ModelOptions options = {}) {
  options.device = test_device_name();
  return copy_of(of, options);
}

inline ModelOptions f32_options() { return {.dtype = DType::f32}; }

/// Every weight, f32, one after the other.
inline std::vector<float> all_values(const Model& model) {
  const ParameterStore& store = const_cast<Model&>(model).network().parameters();
  std::vector<float> out;
  for (size_t i = 0; i < store.parameters().size(); ++i) {
    const at::Tensor values = store.values(static_cast<int64_t>(i)).contiguous();
    const float* data = values.const_data_ptr<float>();
    out.insert(out.end(), data, data + values.numel());
  }
  return out;
}

/// Gradients of any element type, as f32.
inline std::vector<float> all_gradients(const Model& model) {
  std::vector<float> out;
  for (const auto& block : const_cast<Model&>(model).network().parameters().blocks()) {
    const at::Tensor gradient = block.gradient.to(at::kFloat).cpu();
    const float* data = gradient.const_data_ptr<float>();
    out.insert(out.end(), data, data + gradient.numel());
  }
  return out;
}

/// Reference log-probs that are nobody's: near what these lengths give.
inline ReferenceLogps made_up_reference(std::span<const TokenizedRow> rows, uint64_t seed,
                                        bool marks = false) {
  RandomStream random(seed, "test reference");
  std::vector<double> values, marked;
  for (const auto& row : rows)
    for (const auto& branch : row.branches) {
      values.push_back(-2.5 * static_cast<double>(branch.size()) + random.normal());
      if (marks) marked.push_back(-random.uniform());
    }
  return ReferenceLogps(rows, values, marked);
}

}  // namespace pref::testing
