// SPDX-License-Identifier: Apache-2.0
// What holds a run back: reference log-probs that are not this model's, losses and gradients that
// are not finite, wrong options. And the identity that a first update starts from.
#include <cmath>

#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

TEST(Trainer, FirstUpdateStartsAtTheReference) {
  for (const int64_t microbatch : {1, 1024}) {
    const TempFolder folder;
    Model model = toy_model(2);
    const PreferenceData train = data_of(counting_rows(6));
    TrainerOptions options = toy_options(folder.file("run"));
    options.per_device_train_batch_size = 6;
    options.tokens_per_microbatch = microbatch;
    options.max_steps = 1;
    DPOTrainer trainer(model, {.beta = 0.5}, options);
    const ReferenceLogps before = trainer.reference_logps(train.rows);
    trainer.fit(train);
    const auto line = metric_lines(folder.file("run")).at(0);
    EXPECT_NEAR(line.at("loss").get<double>(), std::log(2.0), 1e-6);
    EXPECT_NEAR(line.at("rewards/chosen").get<double>(), 0, 0.5e-4);
    EXPECT_NEAR(line.at("rewards/margins").get<double>(), 0, 0.5e-4);
    double chosen = 0;
    for (int64_t r = 0; r < 6; ++r) chosen += before.row(r)[0] / 6;
    EXPECT_NEAR(line.at("logps/chosen").get<double>(), chosen, 1e-4);
  }
}

TEST(Trainer, RejectsAReferenceThatIsNotThisModel) {
  const TempFolder folder;
  Model model = toy_model();
  const std::string before = model.weights_digest();
  const PreferenceData train = data_of(counting_rows(4));
  TrainerOptions options = toy_options();
  DPOTrainer writer(model, {}, options);
  std::vector<double> values = writer.reference_logps(train.rows).values();
  values[5] += 0.5;  // pair-2, branch 1
  write_reference_cache(folder.file("ref"),
                        {.model = before, .tokenizer = "", .rows = train.digest},
                        ReferenceLogps(train.rows, values));
  DPOTrainer trainer(model, {}, options, {.ref_logps_cache = folder.file("ref")});
  const std::string text = error_of(ErrorKind::internal, [&] { trainer.fit(train); });
  EXPECT_NE(text.find("row pair-2, branch 1"), std::string::npos) << text;
  EXPECT_EQ(trainer.steps_done(), 0);
  EXPECT_EQ(model.weights_digest(), before);
}

TEST(Trainer, RejectsAForeignReferenceCache) {
  const TempFolder folder;
  Model model = toy_model();
  DPOTrainer first(model, {}, toy_options(), {.ref_logps_cache = folder.file("ref")});
  first.fit(data_of(counting_rows(4)));
  Model again = toy_model();
  DPOTrainer other_rows(again, {}, toy_options(), {.ref_logps_cache = folder.file("ref")});
  const std::string rows =
      error_of(ErrorKind::digest, [&] { other_rows.fit(data_of(counting_rows(4, 2))); });
  EXPECT_NE(rows.find("rows: this run has"), std::string::npos) << rows;
  EXPECT_EQ(rows.find("model: "), std::string::npos) << rows;
  Model another = toy_model(9);
  DPOTrainer other_model(another, {}, toy_options(), {.ref_logps_cache = folder.file("ref")});
  const std::string text =
      error_of(ErrorKind::digest, [&] { other_model.fit(data_of(counting_rows(4))); });
  EXPECT_NE(text.find("model: this run has"), std::string::npos) << text;
}

TEST(Trainer, ReferenceModelFromAFolder) {
  const TempFolder folder;
  Model reference = toy_model(7);
  reference.save(folder.file("reference"));
  const PreferenceData train = data_of(counting_rows(4));
  DPOTrainer scorer(reference, {}, toy_options());
  const ReferenceLogps logps = scorer.reference_logps(train.rows);
  Model by_hand = toy_model(1), by_folder = toy_model(1);
  TrainerOptions options = toy_options();
  options.max_steps = 1;
  options.lr_scheduler_type = ScheduleKind::constant;
  DPOTrainer hand(by_hand, {}, options);
  hand.step(train.rows, logps, options.learning_rate);
  options.shuffle = false;
  DPOTrainer trainer(by_folder, {}, options, {.ref_model_name_or_path = folder.file("reference")});
  trainer.fit(train);
  EXPECT_EQ(by_hand.weights_digest(), by_folder.weights_digest());
}

TEST(Trainer, RejectsResponsesThatNothingLooksAt) {
  std::vector<TokenizedRow> rows = counting_rows(2);
  rows[1].branches.push_back({4, 5});
  Model model = toy_model();
  DPOTrainer dpo(model, {}, toy_options());
  const std::string text = error_of(ErrorKind::data, [&] { dpo.fit(data_of(rows)); });
  EXPECT_NE(text.find("3 responses and dpo looks at 2"), std::string::npos) << text;
  EXPECT_NE(text.find("list_pairing"), std::string::npos) << text;
  rows[0].facts.scores = {2, 1};
  rows[1].facts.scores = {3, 2, 1};
  PreferenceTrainer(model, Objective(PRO{}), toy_options()).fit(data_of(rows));
}

TEST(Trainer, StopsBeforeAnUpdateThatIsNotFinite) {
  Model model = toy_model();
  std::vector<TokenizedRow> rows = {
      {.id = "good", .prompt = {1, 2}, .branches = {{3, 4}, {1, 1}}},
      {.id = "bad", .prompt = {1, 2}, .branches = {{5, 4}, {1, 1}}},
      {.id = "fine", .prompt = {3}, .branches = {{6, 4}, {2, 1}}},
      {.id = "worse", .prompt = {5, 3}, .branches = {{6, 4}, {2, 1}}}};
  const PreferenceData train = data_of(rows);
  ASSERT_EQ(model.network().parameters().parameters()[0].parts[0].name,
            "model.embed_tokens.weight");
  model.network().parameters().weight(0).value.mutable_data_ptr<float>()[5 * 16 + 3] = NAN;
  const std::string before = model.weights_digest();
  TrainerOptions options = toy_options();
  DPOTrainer trainer(model, {}, options);
  const std::string text = error_of(ErrorKind::non_finite, [&] { trainer.fit(train); });
  for (const char* id : {"bad", "worse"}) EXPECT_NE(text.find(id), std::string::npos) << text;
  for (const char* id : {"good", "fine"}) EXPECT_EQ(text.find(id), std::string::npos) << text;
  EXPECT_NE(text.find("The weights were not updated"), std::string::npos);
  EXPECT_EQ(trainer.steps_done(), 0);
  EXPECT_EQ(model.weights_digest(), before);
  error_of(ErrorKind::non_finite,
           [&] { trainer.evaluate(train.rows, trainer.reference_logps(train.rows)); });
}

TEST(Trainer, StopsBeforeAGradientThatIsNotFinite) {
  Model model = toy_model();
  std::vector<TokenizedRow> rows = counting_rows(4);
  rows[1].facts.weight = 1e300;
  const std::string before = model.weights_digest();
  DPOTrainer trainer(model, {}, toy_options());
  const std::string text = error_of(ErrorKind::non_finite, [&] { trainer.fit(data_of(rows)); });
  EXPECT_NE(text.find("gradient of update 1"), std::string::npos) << text;
  EXPECT_NE(text.find("pair-1"), std::string::npos) << text;
  EXPECT_EQ(model.weights_digest(), before);
}

TEST(Trainer, RejectsWrongRuns) {
  Model model = toy_model();
  const PreferenceData none = data_of({}),
                       singles = data_of({{.id = "s", .prompt = {1}, .branches = {{2}}}});
  DPOTrainer trainer(model, {}, toy_options());
  EXPECT_NE(error_of(ErrorKind::data, [&] { trainer.fit(none); }).find("at least one training row"),
            std::string::npos);
  EXPECT_NE(error_of(ErrorKind::option, [&] { trainer.fit(singles); }).find("1 branches"),
            std::string::npos);
  TrainerOptions negative = toy_options();
  negative.learning_rate = -1;
  EXPECT_NE(
      error_of(ErrorKind::option, [&] { DPOTrainer(model, {}, negative); }).find("learning_rate"),
      std::string::npos);
  EXPECT_NE(error_of(ErrorKind::option, [&] { DPOTrainer(model, {.beta = 0}, toy_options()); })
                .find("beta"),
            std::string::npos);
  Model frozen(toy_config("llama"), nullptr,
               {.trainable = [](const std::string&) { return false; }});
  EXPECT_NE(error_of(ErrorKind::option, [&] { DPOTrainer(frozen, {}, toy_options()); })
                .find("every one is frozen"),
            std::string::npos);
  PreferenceTrainer sft(model, SFT{}, toy_options(), {.ref_logps_cache = "somewhere"});
  EXPECT_NE(error_of(ErrorKind::option, [&] { sft.fit(data_of(counting_rows(2))); })
                .find("no effect with sft"),
            std::string::npos);
}

}  // namespace
}  // namespace pref::testing
