// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/model.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/base/progress.h"
#include "libpref/base/random.h"
#include "libpref/data/hub_cache.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/nn/store_tensors.h"

namespace pref {
namespace {

TensorType tensor_type(SaveType type) {
  switch (type) {
    case SaveType::bf16:
      return TensorType::bf16;
    case SaveType::f16:
      return TensorType::f16;
    default:
      return TensorType::f32;
  }
}

}  // namespace

Model::Model(DecoderConfig config, std::shared_ptr<const Tokenizer> tokenizer,
             const ModelOptions& options, std::string folder)
    : network_(std::make_unique<Decoder>(
          std::move(config),
          options.trainable ? options.trainable : [](const std::string&) { return true; },
          options.placement ? *options.placement
                            : place(options.device, options.dtype, options.fp32_gradients))),
      tokenizer_(std::move(tokenizer)),
      folder_(std::move(folder)) {
  if (tokenizer_)
    require(tokenizer_->vocab_size() <= network_->config().vocab_size, ErrorKind::data, "model",
            "the tokenizer has ", tokenizer_->vocab_size(), " ids and the embedding only ",
            network_->config().vocab_size, " rows. They belong to different models.");
}

const Tokenizer& Model::tokenizer() const {
  require(tokenizer_ != nullptr, ErrorKind::option, "model", "a tokenizer is required, and ",
          folder_.empty() ? std::string("this model") : folder_, " was loaded without one.");
  return *tokenizer_;
}

std::string Model::weights_digest() const {
  Sha256 digest;
  StoreTensors tensors(network_->parameters());
  for (size_t i = 0; i < tensors.entries().size(); ++i) {
    const TensorEntry& entry = tensors.entries()[i];
    digest.update(entry.name);
    digest.update(entry.shape.data(), entry.shape.size() * sizeof(int64_t));
    const auto bytes = tensors.bytes(i);
    digest.update(bytes.data(), bytes.size());
  }
  return digest.hex();
}

void Model::save(const std::string& folder, SaveType type) const {
  StoreTensors tensors(network_->parameters(), tensor_type(type));
  std::string name;
  for (const auto& candidate : enum_names(SaveType{}))
    if (candidate.value == type) name = candidate.name;
  write_model_folder(folder, config(), name, {tensors.entries(), &tensors}, folder_);
}

Model load_model(const std::string& name, const ModelOptions& options) {
  const std::string folder = resolve_model_folder(name);
  DecoderConfig config = read_decoder_config(folder);
  const WeightFiles weights(folder);
  check_weights(config, weights);  // before anything of the model's size is allocated
  Model model(std::move(config), options.with_tokenizer ? load_tokenizer(folder) : nullptr, options,
              folder);
  fill_store(model.network().parameters(),
             [&](const std::string& tensor, const std::vector<int64_t>& shape, float* values) {
               weights.read_f32(tensor, shape, values);
             });
  log_info("loaded ", folder, ": ", model.config().model_type, ", ",
           format_count(static_cast<double>(model.network().parameters().num_elements())),
           " parameters",
           model.has_tokenizer() ? ", tokenizer " + model.tokenizer().kind() : std::string());
  return model;
}

void initialize_weights(Model& model, uint64_t seed, double initializer_range) {
  ParameterStore& store = model.network().parameters();
  for (size_t index = 0; index < store.parameters().size(); ++index) {
    const Parameter& p = store.parameters()[index];
    RandomStream stream(seed, "model weights", index);
    const at::Tensor values = at::empty(p.shape, at::kFloat);
    float* data = values.mutable_data_ptr<float>();
    const bool bias = p.parts[0].name.ends_with(".bias");
    for (int64_t i = 0; i < values.numel(); ++i)
      data[i] = p.decay ? static_cast<float>(initializer_range * stream.normal())
                : bias  ? 0.0f
                        : 1.0f;
    store.set_values(static_cast<int64_t>(index), values);
  }
}

}  // namespace pref
