// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "libpref/base/progress.h"
#include "libpref/data/model_folder/model_folder.h"

namespace pref {

MemoryPlan plan_memory(const DecoderConfig& config, const TrainerOptions& options) {
  constexpr int64_t kBytes = sizeof(float);
  MemoryPlan plan;
  for (const auto& tensor : expected_tensors(config)) {
    int64_t count = 1;
    for (const int64_t n : tensor.shape) count *= n;
    plan.parameters += count;
  }
  plan.weights = plan.gradients = kBytes * plan.parameters;
  plan.moments = 2 * kBytes * plan.parameters;
  const int64_t q = config.num_attention_heads * config.head_dim,
                kv = config.num_key_value_heads * config.head_dim;
  const int64_t per_layer = 4 * config.hidden_size + (config.qk_norm ? 3 : 2) * (q + 2 * kv) + q +
                            3 * config.intermediate_size;
  const int64_t tokens = options.tokens_per_microbatch;
  plan.activations =
      kBytes * tokens * (config.num_hidden_layers * per_layer + 3 * config.hidden_size);
  plan.logits = std::min(options.logits_budget_mb << 20, kBytes * tokens * config.vocab_size);
  return plan;
}

std::vector<std::pair<std::string, int64_t>> MemoryPlan::parts() const {
  return {{"weights (fp32)", weights},       {"gradients (fp32)", gradients},
          {"AdamW moments (fp32)", moments}, {"activations", activations},
          {"logits buffer", logits},         {"total", total()}};
}

std::string MemoryPlan::text() const {
  std::string out;
  for (const auto& [name, bytes] : parts()) {
    char line[96];
    std::snprintf(line, sizeof line, "  %-24s %10.2f GiB\n", name.c_str(),
                  static_cast<double>(bytes) / (1 << 30));
    out += line;
  }
  return out;
}

}  // namespace pref
