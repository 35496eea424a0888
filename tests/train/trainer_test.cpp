// SPDX-License-Identifier: Apache-2.0
// Runs of a toy model: the identity before the first update, what stops a run, what is logged, and
// that it learns.
#include "libpref/train/trainer.h"

#include <ATen/ATen.h>

#include <set>

#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

std::set<std::string> keys_of(const nlohmann::json& line) {
  std::set<std::string> keys;
  for (const auto& [key, value] : line.items()) keys.insert(key);
  return keys;
}

TEST(Trainer, LearnsPreferences) {
  const TempFolder folder;
  Model model = toy_model();
  TrainerOptions options = toy_options(folder.file("run"));
  options.num_train_epochs = 20;
  options.eval_strategy = Interval::epoch;
  options.save_strategy = Interval::no;
  DPOTrainer trainer(model, {.beta = 0.5}, options);
  const PreferenceData train = data_of(counting_rows(12)),
                       held_out = data_of(counting_rows(12, 99));
  trainer.fit(train, {{"", held_out}});
  EXPECT_EQ(trainer.steps_done(), 60);
  const auto lines = metric_lines(folder.file("run"));
  const auto last = *std::find_if(lines.rbegin(), lines.rend(),
                                  [](const auto& l) { return l.at("kind") == "train"; });
  EXPECT_EQ(last.at("rewards/accuracies"), 1.0);
  EXPECT_LT(last.at("loss").get<double>(), 0.1);
  EXPECT_GT(last.at("rewards/margins").get<double>(), 2);
  EXPECT_EQ(lines.back().at("kind"), "eval");
  EXPECT_GE(lines.back().at("eval_rewards/accuracies").get<double>(), 0.9);
  // The folder holds the model as it was trained.
  EXPECT_EQ(load_model(folder.file("run/model"), {.with_tokenizer = false}).weights_digest(),
            model.weights_digest());
}

TEST(Trainer, LearnsBySupervision) {
  const TempFolder folder;
  Model model = toy_model();
  TrainerOptions options = toy_options(folder.file("run"));
  options.num_train_epochs = 40;
  options.learning_rate = 1e-2;
  options.save_strategy = Interval::no;
  SFTTrainer trainer(model, options);
  trainer.fit(data_of(counting_rows(12)));
  const auto lines = metric_lines(folder.file("run"));
  EXPECT_NEAR(lines.front().at("loss").get<double>(), std::log(16.0), 1.0);
  EXPECT_LT(lines.back().at("loss").get<double>(), 0.1);
  EXPECT_EQ(lines.back().at("mean_token_accuracy"), 1.0);
}

// The policy is the reference: every log-ratio is 0, and the loss is log 2.
// Another folder as reference: the same numbers as computing them with that model by hand.
// Token 5 stands in some rows' answers alone. Those rows are named, and no others; nothing was
// updated.
// A weight whose loss is finite in double and whose gradient overflows float.
TEST(Trainer, MetricNames) {
  const TempFolder folder;
  Model model = toy_model();
  TrainerOptions options = toy_options(folder.file("run"));
  options.max_steps = 2;
  options.logging_steps = 2;
  options.logging_first_step = true;
  options.eval_strategy = Interval::steps;
  options.eval_steps = 1;
  options.warmup_steps = 1;
  DPOTrainer trainer(model, {}, options);
  trainer.fit(data_of(counting_rows(8)),
              {{"", data_of(counting_rows(3))}, {"other", data_of(counting_rows(2))}});
  const auto lines = metric_lines(folder.file("run"), /*with_clock=*/true);
  ASSERT_EQ(lines.size(), 6u);
  const std::set<std::string> of_a_batch = {"rewards/chosen",
                                            "rewards/rejected",
                                            "rewards/accuracies",
                                            "rewards/margins",
                                            "logps/chosen",
                                            "logps/rejected",
                                            "logits/chosen",
                                            "logits/rejected",
                                            "preference/wins",
                                            "preference/ties",
                                            "preference/losses",
                                            "preference/length_gap",
                                            "preference/length_reward_correlation",
                                            "preference/chosen_logratio",
                                            "preference/displaced",
                                            "entropy",
                                            "mean_token_accuracy"};
  std::set<std::string> train = of_a_batch,
                        eval = {"kind", "step", "epoch", "eval_loss", "eval_runtime"},
                        other = {"kind", "step", "epoch", "eval_other_loss", "eval_other_runtime"};
  train.insert({"kind", "step", "epoch", "loss", "grad_norm", "learning_rate", "num_tokens",
                "perf/tokens_per_second"});
  for (const auto& name : of_a_batch) {
    eval.insert("eval_" + name);
    other.insert("eval_other_" + name);
  }
  for (const size_t i : {0, 3}) {
    EXPECT_EQ(keys_of(lines[i]), train);
    EXPECT_EQ(keys_of(lines[i + 1]), eval);
    EXPECT_EQ(keys_of(lines[i + 2]), other);
    EXPECT_EQ(lines[i].at("step"), i == 0 ? 1 : 2);
    EXPECT_EQ(lines[i].at("epoch"), i == 0 ? 0.5 : 1.0);
  }
  // Linear with one warm-up step of two: factors 0 and 1.
  EXPECT_EQ(lines[0].at("learning_rate"), 0.0);
  EXPECT_EQ(lines[3].at("learning_rate"), options.learning_rate);
}

TEST(Trainer, LoggedMeansCoverTheirInterval) {
  const TempFolder folder;
  const PreferenceData train = data_of(counting_rows(10));
  for (const int64_t every : {1, 4}) {
    Model model = toy_model();
    TrainerOptions options = toy_options(folder.file("every-" + std::to_string(every)));
    options.max_steps = 8;
    options.logging_steps = every;
    options.save_strategy = Interval::no;
    DPOTrainer(model, {}, options).fit(train);
  }
  const auto fine = metric_lines(folder.file("every-1")),
             coarse = metric_lines(folder.file("every-4"));
  ASSERT_EQ(fine.size(), 8u);
  ASSERT_EQ(coarse.size(), 2u);
  for (int half = 0; half < 2; ++half) {
    double loss = 0, margins = 0, pairs = 0;
    for (int i = 4 * half; i < 4 * half + 4; ++i) {
      loss += fine[i].at("loss").get<double>() / 4;
      const double rows =
          i % 3 == 2 ? 2 : 4;  // ten rows, four a batch: the third batch of an epoch has two
      margins += rows * fine[i].at("rewards/margins").get<double>();
      pairs += rows;
    }
    EXPECT_NEAR(coarse[half].at("loss").get<double>(), loss, 1e-12);
    EXPECT_NEAR(coarse[half].at("rewards/margins").get<double>(), margins / pairs, 1e-12);
    EXPECT_EQ(coarse[half].at("num_tokens"), fine[4 * half + 3].at("num_tokens"));
  }
}

TEST(Trainer, EvaluationChangesNothing) {
  const PreferenceData train = data_of(counting_rows(10)), held_out = data_of(counting_rows(7, 5));
  Model plain = toy_model(), evaluated = toy_model();
  TrainerOptions options = toy_options();
  DPOTrainer(plain, {}, options).fit(train);
  options.eval_strategy = Interval::steps;
  options.eval_steps = 1;
  DPOTrainer trainer(evaluated, {}, options);
  trainer.fit(train, {{"", held_out}});
  EXPECT_EQ(plain.weights_digest(), evaluated.weights_digest());
  const ReferenceLogps reference = trainer.reference_logps(held_out.rows);
  const double once = trainer.evaluate(held_out.rows, reference).loss;
  EXPECT_EQ(trainer.evaluate(held_out.rows, reference).loss, once);
  EXPECT_EQ(plain.weights_digest(), evaluated.weights_digest());
}

// One global batch of eight: as one accumulation step, or as two of four.
TEST(Trainer, AccumulationMultipliesTheBatch) {
  const PreferenceData train = data_of(counting_rows(24));
  const auto weights = [&](int64_t batch, int64_t accumulation) {
    Model model = toy_model();
    TrainerOptions options = toy_options();
    options.per_device_train_batch_size = batch;
    options.gradient_accumulation_steps = accumulation;
    DPOTrainer trainer(model, {}, options);
    trainer.fit(train);
    EXPECT_EQ(trainer.steps_done(), 9);
    return model.weights_digest();
  };
  EXPECT_EQ(weights(8, 1), weights(2, 4));
  EXPECT_EQ(weights(8, 1), weights(4, 2));
}

// Fifty updates under three microbatch sizes: no drift of the loss beyond rounding.
TEST(Trainer, InvariantUnderMicrobatchesOverARun) {
  const PreferenceData train = data_of(counting_rows(16));
  const auto losses = [&](int64_t tokens) {
    const TempFolder folder;
    Model model = toy_model();
    TrainerOptions options = toy_options(folder.file("run"));
    options.learning_rate = 1e-3;
    options.per_device_train_batch_size = 8;
    options.max_steps = 50;
    options.tokens_per_microbatch = tokens;
    options.save_strategy = Interval::no;
    DPOTrainer(model, {}, options).fit(train);
    std::vector<double> out;
    for (const auto& line : metric_lines(folder.file("run")))
      out.push_back(line.at("loss").get<double>());
    return out;
  };
  const auto whole = losses(100000);
  ASSERT_EQ(whole.size(), 50u);
  EXPECT_LT(whole.back(), whole.front());
  for (const int64_t tokens : {1, 35}) {
    const auto split = losses(tokens);
    double mean = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_NEAR(split[i], whole[i], 1e-4) << "update " << i + 1;
      mean += std::abs(split[i] - whole[i]) / static_cast<double>(whole.size());
    }
    EXPECT_LE(mean, 1e-5);
  }
}

TEST(Trainer, ClippingScalesTheGradient) {
  const PreferenceData train = data_of(counting_rows(4));
  Model model = toy_model();
  TrainerOptions options = toy_options();
  options.max_grad_norm = 0;
  DPOTrainer probe(model, {}, options);
  const ReferenceLogps reference = probe.reference_logps(train.rows);
  const double norm = probe.step(train.rows, reference, 0).grad_norm;
  EXPECT_GT(norm, 0);
  // With epsilon far above the gradient AdamW is linear in it: half the norm allowed, half the
  // update.
  const auto update = [&](double max_grad_norm) {
    Model fresh = toy_model();
    TrainerOptions with = options;
    with.max_grad_norm = max_grad_norm;
    with.optimizer.adam_epsilon = 1e4;
    DPOTrainer trainer(fresh, {}, with);
    const at::Tensor weight = fresh.network().lm_head().value.detach();
    const at::Tensor before = weight.clone();
    EXPECT_NEAR(trainer.step(train.rows, reference, 1e4).grad_norm, norm, 1e-6 * norm);
    return (weight - before).norm().item<double>();
  };
  EXPECT_NEAR(update(norm / 2) / update(0), 0.5, 1e-3);
  EXPECT_NEAR(update(2 * norm) / update(0), 1, 1e-6);
}

// Frozen weights stay as they are.
TEST(Trainer, FrozenParametersStay) {
  const TempFolder folder;
  toy_model().save(folder.file("start"));
  Model model = load_model(
      folder.file("start"),
      {.trainable = [](const std::string& name) { return name.find(".mlp.") != std::string::npos; },
       .with_tokenizer = false});
  const Model start = load_model(folder.file("start"), {.with_tokenizer = false});
  DPOTrainer(model, {}, toy_options()).fit(data_of(counting_rows(8)));
  EXPECT_NE(model.weights_digest(), start.weights_digest());
  for (const auto& p : model.network().parameters().parameters()) {
    Model fresh = load_model(folder.file("start"), {.with_tokenizer = false});
    for (const auto& q : fresh.network().parameters().parameters())
      if (q.parts[0].name == p.parts[0].name) {
        EXPECT_EQ(at::equal(p.value.detach(), q.value.detach()), !p.trainable) << p.parts[0].name;
      }
  }
}

// A network that is not ours: a bigram table with a bottleneck, in plain ATen.
class BigramNetwork : public Network {
 public:
  BigramNetwork() {
    RandomStream random(1, "test weights");
    for (at::Tensor* t : {&embedding_, &head_}) {
      *t = at::empty({kToyVocab, 8});
      for (int64_t i = 0; i < t->numel(); ++i)
        t->mutable_data_ptr<float>()[i] = static_cast<float>(0.3 * random.normal());
      t->requires_grad_();
    }
    store_.adopt("net", "embedding", embedding_, true);
    head_index_ = store_.adopt("net", "head", head_, true);
    store_.allocate([](const std::string&) { return true; });
  }
  at::Tensor hidden(const PackedBatch& batch) override {
    return embedding_.index_select(0, batch.tokens).tanh();
  }
  Weight lm_head() override { return store_.weight(head_index_); }
  ParameterStore& parameters() override { return store_; }

 private:
  at::Tensor embedding_, head_;
  int64_t head_index_;
  ParameterStore store_;
};

TEST(Trainer, TrainsAnotherNetwork) {
  const TempFolder folder;
  BigramNetwork network;
  TrainerOptions options = toy_options(folder.file("run"));
  options.num_train_epochs = 30;
  options.learning_rate = 2e-2;
  error_of(ErrorKind::option,
           [&] { PreferenceTrainer(network, DPO{}, options); });  // it has no folder to save
  options.save_strategy = Interval::no;
  PreferenceTrainer trainer(network, DPO{.beta = 0.5}, options);
  trainer.fit(data_of(counting_rows(12)));
  const auto lines = metric_lines(folder.file("run"));
  EXPECT_NEAR(lines.front().at("loss").get<double>(), std::log(2.0), 1e-6);
  EXPECT_LT(lines.back().at("loss").get<double>(), 0.1);
}

}  // namespace
}  // namespace pref::testing
