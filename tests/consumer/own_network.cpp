// SPDX-License-Identifier: Apache-2.0
// DPO on a network, a data set, a loop and an optimizer that are not libpref's: a GRU language
// model of torch::nn, pairs "reversed prompt over repeated prompt", torch::optim::Adam. libpref
// gives the loss, from hidden states. Exit code 0 when the loss has fallen from log 2 to below half
// of it.
#include <libpref/pref.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/adam.h>

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

constexpr int64_t kVocab = 16, kWidth = 24, kPrompt = 4, kLength = 2 * kPrompt, kPairs = 24;

struct GruModelImpl : torch::nn::Module {
  torch::nn::Embedding embedding{kVocab, kWidth};
  torch::nn::GRU gru{torch::nn::GRUOptions(kWidth, kWidth).batch_first(true)};
  torch::nn::Linear head{torch::nn::LinearOptions(kWidth, kVocab).bias(false)};
  GruModelImpl() {
    register_module("embedding", embedding);
    register_module("gru", gru);
    register_module("head", head);
  }
  torch::Tensor forward(const torch::Tensor& tokens) {  // [S, L] to [S L, D]
    return std::get<0>(gru(embedding(tokens))).reshape({-1, kWidth});
  }
};
TORCH_MODULE(GruModel);

// Sequences 2b and 2b + 1 are the chosen and the rejected answer of pair b; the second half of each
// is scored.
struct Batch {
  torch::Tensor tokens = torch::randint(kVocab, {kPairs, 1, kLength})
                             .expand({kPairs, 2, kLength})
                             .clone();  // [B, 2, L]
  std::vector<int64_t> row, token, sequence_first_label{0}, row_first_sequence{0};

  Batch() {
    const torch::Tensor prompts = tokens.narrow(2, 0, kPrompt).select(1, 0);
    tokens.select(1, 0).narrow(1, kPrompt, kPrompt).copy_(prompts.flip(1));
    tokens.select(1, 1).narrow(1, kPrompt, kPrompt).copy_(prompts);
    const auto ids = tokens.accessor<int64_t, 3>();
    for (int64_t pair = 0; pair < kPairs; ++pair) {
      for (int64_t branch = 0; branch < 2; ++branch) {
        for (int64_t i = kPrompt; i < kLength; ++i) {
          row.push_back((2 * pair + branch) * kLength + i - 1);
          token.push_back(ids[pair][branch][i]);
        }
        sequence_first_label.push_back(static_cast<int64_t>(row.size()));
      }
      row_first_sequence.push_back(2 * (pair + 1));
    }
  }
  pref::Labels labels() const { return {row, token, sequence_first_label, row_first_sequence}; }
};

}  // namespace

int main() try {
  torch::manual_seed(1);
  const Batch batch;
  const torch::Tensor input = batch.tokens.view({2 * kPairs, kLength});
  GruModel model;
  const pref::DPO dpo{.beta = 0.5};

  std::vector<double> reference;
  {
    torch::NoGradGuard no_grad;
    const std::vector<double> none(2 * kPairs);
    reference = pref::preference_loss(model(input), model->head->weight, batch.labels(), dpo,
                                      {.ref_logp = none})
                    .statistics.logp;
  }

  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(0.01));
  double first = 0, loss = 0;
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    const auto result = pref::preference_loss(model(input), model->head->weight, batch.labels(),
                                              dpo, {.ref_logp = reference});
    result.loss.backward();
    optimizer.step();
    loss = result.loss.item<double>();
    if (step == 0) first = loss;
  }
  std::printf("loss %.6f -> %.4f\n", first, loss);
  return std::abs(first - std::log(2.0)) < 1e-6 && loss < 0.5 * std::log(2.0) ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 70;
}
