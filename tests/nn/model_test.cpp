// SPDX-License-Identifier: Apache-2.0
// Models: initial weights, digests, and what comes back from a saved folder.
#include "libpref/nn/model.h"

#include <ATen/ATen.h>

#include <cmath>

#include "tests/model_folder/model_folder_test_util.h"
#include "tests/nn/toy_model.h"
#include "tests/objectives/objective_test_util.h"

namespace pref::testing {
namespace {

Model random_model(const std::string& family, uint64_t seed) {
  Model model(toy_config(family), nullptr);
  randomize_weights(model.network().parameters(), seed);
  return model;
}

at::Tensor trained_weights(Model& model) {
  std::vector<at::Tensor> parts;
  for (const auto& p : model.network().parameters().parameters())
    parts.push_back(p.value.detach().view(-1));
  return at::cat(parts);
}

class ModelFamilies : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelFamilies, RoundTripIsBitwise) {
  const TempFolder folder;
  Model model = random_model(GetParam(), 1);
  model.save(folder.file("saved"));
  Model loaded = load_model(folder.file("saved"), {.with_tokenizer = false});
  EXPECT_TRUE(at::equal(trained_weights(model), trained_weights(loaded)));
  EXPECT_EQ(model.weights_digest(), loaded.weights_digest());
  const DecoderConfig &a = model.config(), &b = loaded.config();
  EXPECT_EQ(a.model_type, b.model_type);
  EXPECT_EQ(a.head_dim, b.head_dim);
  EXPECT_EQ(a.num_key_value_heads, b.num_key_value_heads);
  EXPECT_EQ(a.layer_window, b.layer_window);
  EXPECT_EQ(a.rope_theta, b.rope_theta);
  EXPECT_EQ(a.rms_norm_eps, b.rms_norm_eps);
  EXPECT_EQ(a.rope_scaling.kind, b.rope_scaling.kind);
  EXPECT_EQ(a.tie_word_embeddings, b.tie_word_embeddings);
  // And a second generation, from the folder's own config.json.
  loaded.save(folder.file("again"));
  EXPECT_EQ(load_model(folder.file("again"), {.with_tokenizer = false}).weights_digest(),
            model.weights_digest());
}

TEST_P(ModelFamilies, RoundTripNarrowIsTheNearestValue) {
  for (const auto& [type, torch_type] :
       {std::pair(SaveType::bf16, at::kBFloat16), std::pair(SaveType::f16, at::kHalf)}) {
    const TempFolder folder;
    Model model = random_model(GetParam(), 2);
    model.save(folder.file("saved"), type);
    Model loaded = load_model(folder.file("saved"), {.with_tokenizer = false});
    EXPECT_TRUE(
        at::equal(trained_weights(loaded), trained_weights(model).to(torch_type).to(at::kFloat)));
    EXPECT_FALSE(at::equal(trained_weights(loaded), trained_weights(model)));
  }
}

TEST_P(ModelFamilies, DigestChangesWithAnyWeight) {
  Model model = random_model(GetParam(), 3);
  const std::string before = model.weights_digest();
  for (const auto& p : model.network().parameters().parameters()) {
    for (const int64_t entry : {int64_t{0}, p.value.numel() - 1}) {
      float& value = p.value.mutable_data_ptr<float>()[entry];
      const float kept = std::exchange(value, std::nextafter(value, 100.0f));
      EXPECT_NE(model.weights_digest(), before) << p.parts[0].name;
      value = kept;
    }
  }
  EXPECT_EQ(model.weights_digest(), before);
}

INSTANTIATE_TEST_SUITE_P(All, ModelFamilies, ::testing::ValuesIn(families()),
                         [](const auto& info) { return info.param; });

TEST(Model, TrainableIsAskedByNameOfTheFolder) {
  const TempFolder folder;
  random_model("llama", 4).save(folder.file("saved"));
  Model loaded =
      load_model(folder.file("saved"),
                 {.trainable = [](const std::string& name) { return name == "lm_head.weight"; },
                  .with_tokenizer = false});
  EXPECT_EQ(loaded.network().parameters().num_trainable(), 23 * 16);
  EXPECT_TRUE(loaded.network().lm_head().value.requires_grad());
}

TEST(Model, InitialWeights) {
  Model a(toy_config("qwen2", 500), nullptr), b(toy_config("qwen2", 500), nullptr),
      c(toy_config("qwen2", 500), nullptr);
  initialize_weights(a, 1);
  initialize_weights(b, 1);
  initialize_weights(c, 2);
  EXPECT_EQ(a.weights_digest(), b.weights_digest());
  EXPECT_NE(a.weights_digest(), c.weights_digest());
  for (const auto& p : a.network().parameters().parameters()) {
    const at::Tensor w = p.value.detach();
    const std::string& name = p.parts[0].name;
    if (name.ends_with(".bias")) {
      EXPECT_EQ(w.abs().max().item<float>(), 0.0f) << name;
    } else if (name.find("norm") != std::string::npos) {
      EXPECT_TRUE(at::equal(w, at::ones_like(w))) << name;
    } else {  // normal(0, 0.02): four standard errors of mean and deviation
      const double n = static_cast<double>(w.numel());
      EXPECT_NEAR(w.mean().item<double>(), 0, 4 * 0.02 / std::sqrt(n)) << name;
      EXPECT_NEAR(w.std().item<double>(), 0.02, 4 * 0.02 / std::sqrt(2 * n)) << name;
    }
  }
}

TEST(Model, RejectsAFolderThatIsNotEmpty) {
  const TempFolder folder;
  folder.write("saved/notes.txt", "mine");
  Model model = random_model("llama", 5);
  EXPECT_NE(
      error_of(ErrorKind::cannot_create, [&] { model.save(folder.file("saved")); }).find("saved"),
      std::string::npos);
  EXPECT_EQ(read_text(folder.file("saved/notes.txt")), "mine");
}

TEST(Model, RejectsMissingTokenizer) {
  Model model = random_model("llama", 6);
  EXPECT_FALSE(model.has_tokenizer());
  EXPECT_NE(error_of(ErrorKind::option, [&] { model.tokenizer(); }).find("a tokenizer is required"),
            std::string::npos);
}

// 30 ids for an embedding of 23 rows.
struct LargerTokenizer : Tokenizer {
  std::vector<int32_t> encode(std::string_view) const override { return {}; }
  std::string decode(const std::vector<int32_t>&) const override { return ""; }
  int64_t vocab_size() const override { return 30; }
  std::string piece(int32_t) const override { return ""; }
  std::optional<int32_t> piece_id(std::string_view) const override { return std::nullopt; }
  const SpecialTokens& special() const override { return special_; }
  bool adds_bos() const override { return false; }
  std::string kind() const override { return "test"; }
  std::string digest() const override { return "test"; }
  SpecialTokens special_;
};

TEST(Model, RejectsATokenizerOfAnotherModel) {
  const std::string text = error_of(
      ErrorKind::data, [] { Model(toy_config("llama"), std::make_shared<LargerTokenizer>()); });
  EXPECT_NE(text.find("30 ids"), std::string::npos) << text;
}

}  // namespace
}  // namespace pref::testing
