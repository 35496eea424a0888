// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/checkpoint.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <array>
#include <nlohmann/json.hpp>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/nn/store_tensors.h"

namespace pref {
namespace {

// The optimizer's moments as f32: exp_avg.<block>, exp_avg_sq.<block>, flat.
struct MomentTensors : TensorSource {
  explicit MomentTensors(const AdamW& optimizer) {
    const auto add = [&](const char* name, const std::vector<at::Tensor>& blocks) {
      for (size_t b = 0; b < blocks.size(); ++b) {
        entries.push_back(
            {.name = std::string(name) + "." + std::to_string(b), .shape = {blocks[b].numel()}});
        moments.push_back(blocks[b]);
      }
    };
    add("exp_avg", optimizer.exp_avg());
    add("exp_avg_sq", optimizer.exp_avg_sq());
  }
  std::span<const std::byte> bytes(size_t i) override {
    on_host = moments[i].to(at::kFloat).cpu();
    return std::as_bytes(
        std::span<const float>(on_host.const_data_ptr<float>(), entries[i].elements()));
  }
  std::vector<TensorEntry> entries;
  std::vector<at::Tensor> moments;
  at::Tensor on_host;  // what bytes() gave last
};

uint64_t total_bytes(const std::vector<TensorEntry>& entries) {
  uint64_t sum = 0;
  for (const auto& entry : entries) sum += static_cast<uint64_t>(entry.elements()) * sizeof(float);
  return sum;
}

std::string training_json(const TrainingState& state, int64_t optimizer_steps) {
  JsonArray interval;
  for (const auto& entry : state.interval.entries())
    interval.add_raw(JsonArray().add(entry.name).add(entry.sum).add(entry.count).str());
  JsonArray alerts;
  for (const std::string& alert : state.alerts) alerts.add(alert);
  return JsonObject()
      .add("step", state.step)
      .add("optimizer_steps", optimizer_steps)
      .add("num_tokens", state.num_tokens)
      .add("metrics_bytes", state.metrics_bytes)
      .add_raw("interval", interval.str())
      .add_raw("alerts", alerts.str())
      .add_raw("coupling", JsonArray().add(state.coupling.mean).add(state.coupling.count).str())
      .str();
}

}  // namespace

void save_training_state(FileSystem& files, const std::string& run_dir, const TrainingState& state,
                         Decoder& network, const AdamW& optimizer) {
  StoreTensors weights(network.parameters());
  MomentTensors moments(optimizer);
  CheckpointWriter writer(
      files, run_dir, state.step,
      total_bytes(weights.entries()) + total_bytes(moments.entries) + (1 << 20));
  writer.add_tensors("model.safetensors", weights.entries(), weights, {{"format", "pt"}});
  writer.add_tensors("optimizer.safetensors", moments.entries, moments);
  writer.add_file("config.json", write_decoder_config(network.config(), "float32"));
  JsonObject identity;
  for (const auto& [name, value] : state.identity) identity.add(name, value);
  writer.commit(
      {{"training", training_json(state, optimizer.steps())}, {"identity", identity.str()}});
}

TrainingState load_training_state(const Checkpoint& checkpoint,
                                  const std::map<std::string, std::string>& identity,
                                  Decoder& network, AdamW& optimizer) {
  const auto saved_identity = nlohmann::json::parse(checkpoint.state_text("identity"));
  // Both ways: what only the checkpoint names, such as a term of the loss, differs too.
  std::map<std::string, std::array<std::string, 2>> values;
  for (const auto& [name, value] : saved_identity.items())
    values[name] = {value.get<std::string>(), "nothing"};
  for (const auto& [name, value] : identity)
    values.try_emplace(name, std::array<std::string, 2>{"nothing"}).first->second[1] = value;
  std::string differs;
  for (const auto& [name, value] : values)
    if (value[0] != value[1])
      differs += "\n  " + name + ": the checkpoint has " + value[0] + ", this run " + value[1];
  require(differs.empty(), ErrorKind::option, "resume", checkpoint.folder,
          " was written by a run that differs in what a resume must keep:", differs,
          "\nRestore these values, or start a new output_dir.");

  read_store(SafetensorsFile(posix_file_system(), checkpoint.path("model.safetensors")),
             network.parameters());
  const SafetensorsFile moments_file(posix_file_system(), checkpoint.path("optimizer.safetensors"));
  MomentTensors moments(optimizer);
  for (size_t i = 0; i < moments.entries.size(); ++i) {
    const TensorEntry& wanted = moments.entries[i];
    const TensorEntry* found = moments_file.find(wanted.name);
    require(found != nullptr && found->shape == wanted.shape, ErrorKind::data, "resume",
            moments_file.path(), ": \"", wanted.name, "\" of ", wanted.elements(),
            " elements is required. Was another set of parameters trained?");
    const at::Tensor values = at::empty({found->elements()}, at::kFloat);
    convert_to_f32(found->type, moments_file.bytes(*found).data(), found->elements(),
                   values.mutable_data_ptr<float>());
    moments.moments[i].copy_(values);
  }

  const auto json = nlohmann::json::parse(checkpoint.state_text("training"));
  TrainingState state;
  state.step = json.at("step").get<int64_t>();
  optimizer.restore_steps(json.at("optimizer_steps").get<int64_t>());
  state.num_tokens = json.at("num_tokens").get<double>();
  state.metrics_bytes = json.at("metrics_bytes").get<uint64_t>();
  for (const auto& entry : json.at("interval"))
    state.interval.add(entry.at(0).get<std::string>(), entry.at(1).get<double>(),
                       entry.at(2).get<double>());
  state.coupling = {.mean = json.at("coupling").at(0).get<double>(),
                    .count = json.at("coupling").at(1).get<double>()};
  state.alerts = json.at("alerts").get<std::set<std::string>>();
  state.identity = identity;
  return state;
}

}  // namespace pref
