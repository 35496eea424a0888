// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/model_folder.h"

namespace pref {
namespace {

// cuBLAS's own memory and the kernels of a device, about; and their stacks, which the driver keeps
// for every thread that the card holds at once: 4 KiB of an objective's kernel on 132 processors of
// 2048 threads are 1.1 GB.
constexpr int64_t kLibraries = int64_t{2} << 30;

std::string gib(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

// Changes in the order in which they cost least, each beside those before it.
struct Remedy {
  std::string text;
  TrainerOptions options;
};
std::vector<Remedy> remedies(const DecoderConfig& config, const TrainerOptions& options,
                             const Placement& placement, int64_t available, bool other_reference) {
  std::vector<Remedy> out;
  TrainerOptions now = options;
  if (ops::on_device(placement.device) &&
      options.optimizer.adam_moments_dtype == MomentsType::f32) {
    now.optimizer.adam_moments_dtype = MomentsType::bf16;
    out.push_back({"adam_moments_dtype: bfloat16", now});
  }
  if (!options.gradient_checkpointing) {
    now.gradient_checkpointing = true;
    out.push_back({"gradient_checkpointing: true", now});
  }
  // The most tokens that fit, in steps of 256.
  for (int64_t tokens = options.tokens_per_microbatch / 256 * 256; tokens >= 256; tokens -= 256) {
    now.tokens_per_microbatch = tokens;
    if (plan_memory(config, now, placement, other_reference).total() > available) continue;
    if (tokens < options.tokens_per_microbatch)
      out.push_back({"tokens_per_microbatch: " + std::to_string(tokens), now});
    break;
  }
  return out;
}

}  // namespace

MemoryPlan plan_memory(const DecoderConfig& config, const TrainerOptions& given,
                       const Placement& placement, bool other_reference) {
  const TrainerOptions options = resolved(given, placement);
  const auto bytes_of = [](at::ScalarType type) {
    return static_cast<int64_t>(c10::elementSize(type));
  };
  const int64_t element = bytes_of(placement.dtype);
  const bool split = placement.dtype == at::kBFloat16;
  MemoryPlan plan;
  for (const auto& tensor : expected_tensors(config)) {
    int64_t count = 1;
    for (const int64_t n : tensor.shape) count *= n;
    plan.parameters += count;
  }
  // The head's block, whose gradient is f32.
  const int64_t head = config.vocab_size * config.hidden_size;
  plan.weights = element * plan.parameters;
  plan.remainders = split ? 2 * plan.parameters : 0;
  plan.gradients = bytes_of(placement.gradient) * (plan.parameters - head) + 4 * head;
  plan.moments =
      2 * plan.parameters * (options.optimizer.adam_moments_dtype == MomentsType::bf16 ? 2 : 4);
  if (other_reference) plan.reference = plan.weights + plan.remainders;
  const int64_t q = config.num_attention_heads * config.head_dim,
                kv = config.num_key_value_heads * config.head_dim, inner = config.intermediate_size,
                width = config.hidden_size;
  const int64_t kept = 2 * width + (config.qk_norm ? 2 : 1) * (q + 2 * kv) + q + 2 * inner;
  const int64_t tokens = options.tokens_per_microbatch, layers = config.num_hidden_layers;
  plan.activations =
      element * tokens *
      (3 * width + (options.gradient_checkpointing ? layers * width + kept : layers * kept));
  // Backward of a layer: the gradients of its parts, one recomputed input, shared keys and values.
  plan.workspace = element * tokens * (2 * width + q + 4 * kv + 4 * inner) +
                   (ops::on_device(placement.device) ? kLibraries : 0);
  const int64_t logit = options.logits_dtype == LogitsType::f32 && split ? 6 : element;
  plan.logits = std::min(options.logits_budget_mb << 20, logit * tokens * config.vocab_size) +
                element * tokens * width;
  return plan;
}

std::vector<std::pair<std::string, int64_t>> MemoryPlan::parts() const {
  std::vector<std::pair<std::string, int64_t>> out;
  for (const auto& part : std::initializer_list<std::pair<std::string, int64_t>>{
           {remainders > 0 ? "weights (bf16)" : "weights (fp32)", weights},
           {"weights' remainders", remainders},
           {"gradients", gradients},
           {"AdamW moments", moments},
           {"activations", activations},
           {"workspace", workspace},
           {"logits buffer", logits},
           {"reference model", reference}})
    if (part.second > 0) out.push_back(part);
  out.emplace_back("total", total());
  return out;
}

std::string MemoryPlan::text() const {
  std::string out;
  for (const auto& [name, bytes] : parts()) {
    char line[96];
    std::snprintf(line, sizeof line, "  %-24s %14s\n", name.c_str(), gib(bytes).c_str());
    out += line;
  }
  return out;
}

void require_fits(const MemoryPlan& plan, int64_t available, const DecoderConfig& config,
                  const TrainerOptions& options, const Placement& placement, bool other_reference) {
  if (plan.total() <= available) return;
  std::string advice, together;
  for (const Remedy& remedy :
       remedies(config, resolved(options, placement), placement, available, other_reference)) {
    together += (together.empty() ? "" : ", ") + remedy.text;
    const int64_t total = plan_memory(config, remedy.options, placement, other_reference).total();
    advice += "\n  " + together + ": " + gib(total) + (total <= available ? ", fits" : "");
    if (total <= available) break;
  }
  if (advice.empty()) advice = "\n  a smaller model or a larger device";
  fail(ErrorKind::option, "memory", placement.device.str(), " has ", gib(available),
       " free and this run needs ", gib(plan.total()), ":\n", plan.text(),
       "What would change that:", advice);
}

}  // namespace pref
