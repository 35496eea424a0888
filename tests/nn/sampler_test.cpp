// SPDX-License-Identifier: Apache-2.0
// Sampling: the key-value cache against running the whole sequence again, and the distribution that
// tokens come from.
#include "libpref/online/sampler.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "tests/nn/toy_model.h"
#include "tests/objectives/objective_test_util.h"

namespace pref::testing {
namespace {

const auto kAll = [](const std::string&) { return true; };
const std::vector<std::vector<int32_t>> kPrompts = {{1, 2, 3, 4, 5, 6, 7}, {9}, {4, 4, 20}};

Decoder random_decoder(const std::string& family, uint64_t seed) {
  Decoder network(toy_config(family), kAll);
  randomize_weights(network.parameters(), seed);
  return network;
}

// The most probable continuation, every token from a full pass over all before it.
std::vector<int32_t> greedy_without_cache(Decoder& network, std::vector<int32_t> sequence,
                                          int64_t count) {
  c10::NoGradGuard no_grad;
  std::vector<int32_t> reply;
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<TokenizedRow> rows = {{.prompt = sequence, .branches = {{0}}}};
    const PackedBatch batch = make_packed_batch(pack_rows(rows, all_indices(1)));
    const at::Tensor last = network.hidden(batch)[static_cast<int64_t>(sequence.size()) - 1];
    const int64_t token = at::mv(network.lm_head().value, last).argmax().item<int64_t>();
    reply.push_back(static_cast<int32_t>(token));
    sequence.push_back(static_cast<int32_t>(token));
  }
  return reply;
}

TEST(Sampler, GreedyMatchesFullPasses) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family);
    Decoder network = random_decoder(family, 1);
    const auto replies =
        sample_replies(network, kPrompts, -1, {.max_new_tokens = 12, .temperature = 0});
    ASSERT_EQ(replies.size(), kPrompts.size());
    for (size_t b = 0; b < kPrompts.size(); ++b) {
      EXPECT_EQ(replies[b].ids, greedy_without_cache(network, kPrompts[b], 12));
      EXPECT_FALSE(replies[b].ended);
    }
  }
}

TEST(Sampler, TopKOfOneIsGreedy) {
  Decoder network = random_decoder("qwen3", 2);
  const auto greedy =
      sample_replies(network, kPrompts, -1, {.max_new_tokens = 8, .temperature = 0});
  const auto drawn = sample_replies(
      network, kPrompts, -1, {.max_new_tokens = 8, .temperature = 1.5, .top_k = 1, .seed = 9});
  for (size_t b = 0; b < kPrompts.size(); ++b) EXPECT_EQ(greedy[b].ids, drawn[b].ids);
}

TEST(Sampler, InvariantUnderTheOtherPrompts) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family);
    Decoder network = random_decoder(family, 3);
    const SampleOptions options{.max_new_tokens = 10, .temperature = 1, .seed = 5};
    const auto some = sample_replies(network, kPrompts, 0, options);
    const std::vector<std::vector<int32_t>> others = {
        {8}, kPrompts[1], {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {2, 3}};
    const auto again = sample_replies(network, others, 0, options);
    EXPECT_EQ(some[1].ids, again[1].ids);
    EXPECT_EQ(some[1].ended, again[1].ended);
  }
}

TEST(Sampler, SeedDecidesReplies) {
  Decoder network = random_decoder("llama", 4);
  const auto draw = [&](int64_t seed) {
    return sample_replies(network, kPrompts, -1,
                          {.max_new_tokens = 20, .temperature = 2, .seed = seed})[0]
        .ids;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(Sampler, EosEndsAReplyAndNotTheOthers) {
  Decoder network = random_decoder("llama", 5);
  const auto free = sample_replies(network, kPrompts, -1, {.max_new_tokens = 12, .temperature = 0});
  const int32_t eos = free[0].ids[2];
  const auto ended =
      sample_replies(network, kPrompts, eos, {.max_new_tokens = 12, .temperature = 0});
  for (size_t b = 0; b < kPrompts.size(); ++b) {
    std::vector<int32_t> expected = free[b].ids;
    const auto at = std::find(expected.begin(), expected.end(), eos);
    EXPECT_EQ(ended[b].ended, at != expected.end());
    if (at != expected.end()) expected.erase(at + 1, expected.end());
    EXPECT_EQ(ended[b].ids, expected);
  }
  EXPECT_TRUE(ended[0].ended);
  EXPECT_LE(ended[0].ids.size(), 3u);
}

TEST(Sampler, LengthLimit) {
  Decoder network = random_decoder("mistral", 6);
  for (const int64_t limit : {1, 2, 33})
    for (const auto& reply : sample_replies(network, kPrompts, -1, {.max_new_tokens = limit}))
      EXPECT_EQ(static_cast<int64_t>(reply.ids.size()), limit);
  EXPECT_TRUE(sample_replies(network, {}, -1, {}).empty());
}

TEST(Sampler, LeavesNoGradients) {
  Decoder network = random_decoder("llama", 7);
  sample_replies(network, kPrompts, -1, {.max_new_tokens = 3});
  for (const float g : flat_gradient(network.parameters())) ASSERT_EQ(g, 0.0f);
}

TEST(Sampler, Rejects) {
  Decoder network = random_decoder("llama", 8);
  const std::vector<std::vector<int32_t>> with_empty = {{1}, {}};
  EXPECT_NE(error_of(ErrorKind::data, [&] { sample_replies(network, with_empty, -1, {}); })
                .find("prompt 1"),
            std::string::npos);
  error_of(ErrorKind::option, [&] { sample_replies(network, kPrompts, -1, {.temperature = -1}); });
  error_of(ErrorKind::option,
           [&] { sample_replies(network, kPrompts, -1, {.max_new_tokens = 0}); });
}

// Probabilities of `logits` under the options, from the definitions.
std::vector<double> exact_probabilities(const std::vector<float>& logits,
                                        const SampleOptions& options) {
  std::vector<double> p;
  for (const float z : logits) p.push_back(std::exp(z / options.temperature));
  const auto normalize = [&] {
    double sum = 0;
    for (const double x : p) sum += x;
    for (double& x : p) x /= sum;
  };
  const auto keep = [&](auto&& kept) {  // of the tokens by falling probability
    std::vector<size_t> order = {0, 1, 2, 3, 4, 5};
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
    double before = 0;
    for (size_t rank = 0; rank < order.size(); ++rank) {
      const double mass = p[order[rank]];
      if (!kept(rank, before)) p[order[rank]] = 0;
      before += mass;
    }
    normalize();
  };
  normalize();
  if (options.top_k > 0)
    keep([&](size_t rank, double) { return static_cast<int64_t>(rank) < options.top_k; });
  if (options.top_p < 1)
    keep([&](size_t rank, double before) { return rank == 0 || before < options.top_p; });
  return p;
}

TEST(SampleToken, MatchesExactProbabilities) {
  const std::vector<float> logits = {0.3f, 1.9f, -0.4f, 2.1f, 0.0f, -2.0f};
  const std::vector<SampleOptions> cases = {{.temperature = 1},
                                            {.temperature = 0.6},
                                            {.temperature = 2, .top_k = 3},
                                            {.temperature = 1, .top_p = 0.8},
                                            {.temperature = 1.4, .top_p = 0.7, .top_k = 4}};
  for (const SampleOptions& options : cases) {
    const uint64_t seed = 20250117;
    SCOPED_TRACE("seed " + std::to_string(seed) + ", temperature " +
                 std::to_string(options.temperature) + ", top_p " + std::to_string(options.top_p) +
                 ", top_k " + std::to_string(options.top_k));
    constexpr int kDraws = 20000;
    RandomStream random(seed, "test draws");
    std::vector<int> seen(logits.size());
    for (int i = 0; i < kDraws; ++i) ++seen[sample_token(logits, options, random.uniform())];
    const auto p = exact_probabilities(logits, options);
    double chi_square = 0;
    for (size_t v = 0; v < p.size(); ++v) {
      if (p[v] == 0) {
        EXPECT_EQ(seen[v], 0) << v;
        continue;
      }
      chi_square += (seen[v] - kDraws * p[v]) * (seen[v] - kDraws * p[v]) / (kDraws * p[v]);
    }
    EXPECT_LT(chi_square, 25.7);  // five degrees of freedom: exceeded with probability 1e-4
  }
}

// Probabilities 1/4, 1/2, 1/4: u falls into [0, 1/4), [1/4, 3/4), [3/4, 1).
TEST(SampleToken, ValueOfAUniform) {
  const std::vector<float> logits = {0.0f, std::log(2.0f), 0.0f};
  const SampleOptions options{.temperature = 1};
  EXPECT_EQ(sample_token(logits, options, 0.0), 0);
  EXPECT_EQ(sample_token(logits, options, 0.24), 0);
  EXPECT_EQ(sample_token(logits, options, 0.26), 1);
  EXPECT_EQ(sample_token(logits, options, 0.74), 1);
  EXPECT_EQ(sample_token(logits, options, 0.76), 2);
  EXPECT_EQ(sample_token(logits, options, std::nextafter(1.0, 0.0)), 2);
}

TEST(SampleToken, EdgesTakeTheMostProbable) {
  const std::vector<float> logits = {-3.0f, 80.0f, 79.0f};
  for (const double u : {0.0, 0.5, 0.999}) {
    EXPECT_EQ(sample_token(logits, {.temperature = 0}, u), 1);
    EXPECT_EQ(sample_token(logits, {.temperature = 1, .top_p = 0}, u), 1);
    EXPECT_EQ(sample_token(logits, {.temperature = 1e-3}, u), 1);
    EXPECT_EQ(sample_token(logits, {.temperature = 1e4, .top_k = 1}, u), 1);
  }
}

}  // namespace
}  // namespace pref::testing
