// SPDX-License-Identifier: Apache-2.0
// A model folder in memory: decoder, tokenizer, and what is needed to write it back.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "libpref/base/options.h"
#include "libpref/data/model_folder/config.h"
#include "libpref/data/tokenizer.h"
#include "libpref/nn/decoder.h"

namespace pref {

enum class SaveType { f32, bf16, f16 };
constexpr std::array<EnumName<SaveType>, 3> enum_names(SaveType) {
  return {{{SaveType::f32, "float32"}, {SaveType::bf16, "bfloat16"}, {SaveType::f16, "float16"}}};
}

struct ModelOptions {
  /// Which tensors are trained, by their name in the folder; all when empty.
  std::function<bool(const std::string& name)> trainable;
  /// False: weights only, for programs that bring their own ids.
  bool with_tokenizer = true;
  std::string device = "cpu";            ///< cpu, cuda, cuda:N or auto (place())
  DType dtype = DType::automatic;        ///< of weights and activations
  bool fp32_gradients = false;           ///< gradients in f32 beside bf16 weights
  std::optional<Placement> placement{};  ///< instead of these three
};

class Model {
 public:
  /// Weights are zeros until they are loaded or initialised. `folder` is where tokenizer files are
  /// copied from on save.
  Model(DecoderConfig config, std::shared_ptr<const Tokenizer> tokenizer,
        const ModelOptions& options = {}, std::string folder = "");

  Decoder& network() { return *network_; }
  const DecoderConfig& config() const { return network_->config(); }
  const Tokenizer& tokenizer() const;  ///< throws ErrorKind::option when there is none
  bool has_tokenizer() const { return tokenizer_ != nullptr; }
  const std::string& folder() const { return folder_; }
  /// Of every weight as it stands now (name, shape, f32 bytes); costs one pass over the weights.
  std::string weights_digest() const;

  /// Writes a folder that transformers loads: weights, config, tokenizer files. Throws when
  /// `folder` exists and is not empty.
  void save(const std::string& folder, SaveType type = SaveType::f32) const;

 private:
  std::unique_ptr<Decoder> network_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string folder_;
};

/// Loads a Hugging Face folder (llama, mistral, qwen2, qwen3); bf16 and f16 weights are widened to
/// f32, which a device keeps exactly beside bf16. Throws missing_input or data, naming file, tensor
/// and what was expected.
Model load_model(const std::string& folder, const ModelOptions& options = {});

/// Overwrites the weights as transformers initialises them: normal with deviation
/// `initializer_range`, norms 1, biases 0.
void initialize_weights(Model& model, uint64_t seed, double initializer_range = 0.02);

}  // namespace pref
