// SPDX-License-Identifier: Apache-2.0
// The command line called in process: what each command writes where, and the exit code of what
// goes wrong.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "libpref/cli/commands.h"
#include "libpref/train/step.h"
#include "tests/data/data_test_util.h"
#include "tests/nn/toy_model.h"

namespace pref::testing {
namespace {

using nlohmann::json;

struct Answer {
  int code;
  std::string out, err;
  std::vector<json> lines() const {
    std::vector<json> all;
    std::istringstream text(out);
    for (std::string line; std::getline(text, line);) all.push_back(json::parse(line));
    return all;
  }
};

Answer pref_command(std::vector<std::string> words, const std::string& input = "") {
  words.insert(words.begin(), "pref");
  std::vector<const char*> argv;
  for (const auto& word : words) argv.push_back(word.c_str());
  std::istringstream in(input);
  std::ostringstream out, err;
  const int code = cli::run_program(static_cast<int>(argv.size()), argv.data(), in, out, err);
  return {code, out.str(), err.str()};
}

void expect_error(const Answer& answer, ErrorKind kind, const std::string& text) {
  EXPECT_EQ(answer.code, static_cast<int>(kind)) << answer.err;
  EXPECT_NE(answer.err.find(text), std::string::npos) << answer.err;
  EXPECT_EQ(answer.out, "");
}

// A folder with a toy model, its tokenizer and rows of both kinds.
class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    Model toy(toy_config("llama", 275), nullptr);
    randomize_weights(toy.network().parameters(), 1);
    toy.save(model);
    folder.write("model/tokenizer.model", tiny_model());
    std::string text;
    for (const char* row : {R"({"prompt": "ab", "chosen": " abc", "rejected": " c"})",
                            R"({"prompt": "c", "chosen": " a", "rejected": " bb"})",
                            R"({"prompt": "b.b", "chosen": " ba", "rejected": " a.b"})"})
      text += std::string(row) + "\n";
    pairs = folder.write("pairs.jsonl", text);
  }
  // A configuration that trains two updates, plus `more`.
  std::string config(const std::string& more = "") {
    return folder.write("train.yaml", "model_name_or_path: " + model + "\ndataset_name: " + pairs +
                                          "\noutput_dir: " + path("run") +
                                          "\nmax_steps: 2\nlr_scheduler_type: constant\n" + more);
  }
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }

  TempFolder folder;
  std::string model = folder.path() + "/model", pairs;
};

TEST_F(Cli, HelpNamesEveryCommandAndOption) {
  const Answer help = pref_command({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.err, "");
  for (const char* word : {"train", "logps", "loss", "tokenize", "audit", "inspect", "doctor",
                           "verify", "75 start me again"})
    EXPECT_NE(help.out.find(word), std::string::npos) << word;
  const Answer train = pref_command({"train", "--help"});
  EXPECT_EQ(train.code, 0);
  for (const char* word : {"beta", "label_smoothing", "learning_rate", "tokens_per_microbatch",
                           "dialect", "loss_type"})
    EXPECT_NE(train.out.find(word), std::string::npos) << word;
}

TEST_F(Cli, RejectsCommandLines) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {"trian"},
                                                {"train"},
                                                {"logps", "--model", "x"},
                                                {"loss", "--objective"},
                                                {"verify", "a", "b"}})
    EXPECT_EQ(pref_command(words).code, 64);
}

TEST_F(Cli, TrainEndToEnd) {
  const Answer done = pref_command({"train", config(), "beta=0.3", "report_to=none"});
  ASSERT_EQ(done.code, 0) << done.err;
  ASSERT_EQ(done.lines().size(), 1u);
  EXPECT_EQ(done.lines()[0].at("steps"), 2);
  EXPECT_EQ(done.lines()[0].at("model"), path("run/model"));
  const json run = json::parse(std::ifstream(path("run/run.json")));
  EXPECT_EQ(run.at("options").at("dpo.beta"), "0.3");
  EXPECT_EQ(run.at("rows"), 3);
  // The model that was trained, with its tokenizer, is a folder like the first.
  EXPECT_EQ(pref_command({"logps", "--model", path("run/model"), "--data", pairs}).lines().size(),
            3u);
  const Answer verified = pref_command({"verify", path("run/checkpoint-2")});
  EXPECT_EQ(verified.code, 0);
  EXPECT_EQ(verified.lines().size(), 3u);
  // Another byte in the weights.
  std::fstream weights(path("run/checkpoint-2/model.safetensors"),
                       std::ios::in | std::ios::out | std::ios::binary);
  weights.seekp(-3, std::ios::end);
  weights.put('\x7f');
  weights.close();
  expect_error(pref_command({"verify", path("run/checkpoint-2")}), ErrorKind::digest,
               "model.safetensors");
  expect_error(pref_command({"verify", path("run/checkpoint-7")}), ErrorKind::missing_input,
               "checkpoint-7");
}

TEST_F(Cli, TrainBySupervision) {
  const Answer done = pref_command({"train", config("trainer: sft\n")});
  EXPECT_EQ(done.code, 0) << done.err;
  expect_error(pref_command({"train", config("trainer: sft\nbeta: 0.1\n")}), ErrorKind::option,
               "option \"beta\" has no effect with loss_type sft");
  expect_error(pref_command({"train", config("trainer: sft\nloss_type: sigmoid\n")}),
               ErrorKind::option, "option \"loss_type\" has no effect with trainer: sft");
}

TEST_F(Cli, TrainRejectsConfigurations) {
  expect_error(pref_command({"train", config("betta: 0.1\n")}), ErrorKind::option,
               "did you mean \"beta\"?");
  expect_error(pref_command({"train", config("beta: 0\n")}), ErrorKind::option, "train.yaml:6");
  expect_error(pref_command({"train", config(), "beta"}), ErrorKind::option, "beta");
  expect_error(pref_command({"train", config("loss_type: [sigmoid, sft]\nloss_weights: [1]\n")}),
               ErrorKind::option, "one weight per loss_type (2), got 1");
  expect_error(pref_command({"train", config("loss_type: [sigmoyd]\n")}), ErrorKind::option,
               "sigmoid");
  expect_error(pref_command({"train", config("eval_strategy: epoch\n")}), ErrorKind::option,
               "eval_dataset_name");
  expect_error(pref_command({"train", config("eval_dataset_name: " + pairs + "\n")}),
               ErrorKind::option, "eval_strategy");
  expect_error(pref_command({"train", folder.write("empty.yaml", "beta: 0.1\n")}),
               ErrorKind::option, "\"model_name_or_path\" is required");
  expect_error(pref_command({"train", path("absent.yaml")}), ErrorKind::missing_input,
               "absent.yaml");
  expect_error(pref_command({"train", config(), "dataset_name=" + path("absent.jsonl")}),
               ErrorKind::missing_input, "absent.jsonl");
  expect_error(pref_command({"train", config(),
                             "dataset_name=" + folder.write("bad.jsonl", "{\"prompt\": 1}\n")}),
               ErrorKind::data, "bad.jsonl:1");
  EXPECT_FALSE(std::filesystem::exists(path("run")))
      << "a refused configuration must write nothing";
}

TEST_F(Cli, TermsAndWeightsReachTheLoss) {
  const auto first_loss = [&](const std::string& name, const std::string& more) {
    const Answer done = pref_command({"train", config(more), "output_dir=" + path(name),
                                      "max_steps=1", "logging_steps=1", "save_strategy=no"});
    EXPECT_EQ(done.code, 0) << done.err;
    std::ifstream metrics(path(name + "/metrics.jsonl"));
    std::string line;
    std::getline(metrics, line);
    return json::parse(line).at("loss").get<double>();
  };
  const double dpo = first_loss("dpo", ""), sft = first_loss("sft", "trainer: sft\n");
  EXPECT_NEAR(dpo, std::log(2.0), 1e-6);
  EXPECT_NEAR(first_loss("both", "loss_type: [sigmoid, sft]\nloss_weights: [2, 0.25]\n"),
              2 * dpo + 0.25 * sft, 1e-5);
}

// What a trainer logs for the first batch is what `pref loss` says of the rows' sums.
TEST_F(Cli, EveryTrainerReachesItsLoss) {
  std::string rows;
  for (const char* row :
       {R"({"prompt":"ab","chosen":" c","rejected":" ba","reference_response":" ab"})",
        R"({"prompt":"c","chosen":" ab","rejected":" c","reference_response":" b"})"})
    rows += std::string(row) + "\n";
  pairs = folder.write("three.jsonl", rows);
  const auto first_line = [&](const std::string& name, const std::string& more) {
    const Answer done =
        pref_command({"train", config(more), "output_dir=" + path(name), "max_steps=1",
                      "logging_steps=1", "save_strategy=no", "per_device_train_batch_size=2"});
    EXPECT_EQ(done.code, 0) << done.err;
    std::ifstream metrics(path(name + "/metrics.jsonl"));
    std::string line;
    std::getline(metrics, line);
    return json::parse(line);
  };
  const auto logps = pref_command({"logps", "--model", model, "--data", pairs}).lines();
  const auto expected = [&](const std::string& name, std::vector<std::string> set) {
    double sum = 0;
    for (const json& sums : logps) {
      json row = sums;
      for (const char* side : {"chosen", "rejected"})
        row[std::string("ref_logps/") + side] = row.at(std::string("logps/") + side);
      std::vector<std::string> words = {"loss", "--objective", name};
      for (const auto& one : set) words.insert(words.end(), {"--set", one});
      sum += pref_command(words, row.dump() + "\n").lines().at(0).at("loss").get<double>();
    }
    return sum / 2;
  };
  EXPECT_NEAR(first_line("simpo", "trainer: simpo\ngamma_beta_ratio: 0.3\n").at("loss"),
              expected("simpo", {"gamma_beta_ratio=0.3"}), 1e-4);
  EXPECT_NEAR(first_line("hinge", "trainer: simpo\nloss_type: hinge\n").at("loss"),
              expected("simpo", {"simpo_loss=hinge"}), 1e-4);
  const json wpo = first_line("wpo", "trainer: wpo\nalignment: greedy\n");
  EXPECT_NEAR(wpo.at("loss"), expected("wpo", {"alignment=greedy"}), 1e-4);
  EXPECT_NEAR(wpo.at("preference/weight").get<double>() * std::log(2.0), wpo.at("loss"), 1e-4);
  EXPECT_NEAR(first_line("ipo", "loss_type: ipo\nbeta: 0.5\n").at("loss"), 1.0, 1e-4);
  // Policy = reference: the exploration term is 0, and the third branch is read.
  const json selm = first_line("selm", "trainer: selm\nalpha: 0.01\n");
  EXPECT_NEAR(selm.at("loss"), std::log(2.0), 1e-5);
  EXPECT_NEAR(selm.at("preference/exploration"), 0, 1e-5);
  const double sft = first_line("sft", "trainer: sft\n").at("loss");
  EXPECT_NEAR(first_line("rpo", "sft_weight: 0.5\n").at("loss"), std::log(2.0) + 0.5 * sft, 1e-4);
}

TEST_F(Cli, RefusesOptionsOfOtherObjectives) {
  expect_error(
      pref_command({"train", config("gamma_beta_ratio: 1\n")}), ErrorKind::option,
      "option \"gamma_beta_ratio\" has no effect with loss_type sigmoid; it belongs to simpo");
  expect_error(pref_command({"train", config("alignment: greedy\n")}), ErrorKind::option,
               "belongs to wpo");
  expect_error(pref_command({"train", config("trainer: simpo\ngama_beta_ratio: 1\n")}),
               ErrorKind::option, "did you mean \"gamma_beta_ratio\"?");
  expect_error(pref_command({"train", config("trainer: selm\n")}), ErrorKind::data,
               "reference_response");
  expect_error(pref_command({"train", config("trainer: simpo\nref_model_name_or_path: x\n")}),
               ErrorKind::option, "no effect with simpo");
}

TEST_F(Cli, RenderByATemplate) {
  const std::string file = folder.write(
      "chat.jinja",
      "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}{{ tools | tojson if tools else '' }}");
  const Answer answer = pref_command(
      {"render", "--template", file, "--bos-token", "[B]"},
      R"({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true})"
      "\n"
      R"({"messages": [], "tools": [{"z": 1, "a": 2}]})"
      "\n7\n");
  EXPECT_EQ(answer.code, 65);
  const auto lines = answer.lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "[B]<user>hi<assistant>");
  EXPECT_EQ(lines[1], R"([B][{"z": 1, "a": 2}])");  // members in the order they came
  EXPECT_TRUE(lines[2].contains("error"));
  expect_error(pref_command({"render"}), ErrorKind::option, "--template");
}

// Told to stop by a signal: a checkpoint, exit code 75, and a later call goes on.
TEST_F(Cli, SigtermSavesAndAsksToBeStartedAgain) {
  const std::string file = config("resume_from_checkpoint: auto\nlogging_steps: 1\n");
  std::thread killer([&] {
    while (!std::filesystem::exists(path("run/metrics.jsonl")) ||
           std::filesystem::file_size(path("run/metrics.jsonl")) == 0)
      std::this_thread::yield();
    ::kill(::getpid(), SIGTERM);  // metrics are written inside the run, whose handler is in place
  });
  const Answer stopped = pref_command({"train", file, "max_steps=1000000"});
  killer.join();
  expect_error(stopped, ErrorKind::requeue, "the checkpoint is saved");
  int64_t step = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path("run"))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("checkpoint-")) step = std::stoll(name.substr(11));
  }
  ASSERT_GT(step, 0);
  const Answer more = pref_command({"train", file, "max_steps=" + std::to_string(step + 2)});
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(more.lines().at(0).at("steps"), step + 2);
  std::ifstream metrics(path("run/metrics.jsonl"));
  int64_t expected = 0;
  for (std::string line; std::getline(metrics, line);)
    EXPECT_EQ(json::parse(line).at("step"), ++expected);
  EXPECT_EQ(expected, step + 2);
}

TEST_F(Cli, LogpsMatchTheNetwork) {
  const Answer answer = pref_command({"logps", "--model", model, "--data", pairs, "--ids"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const auto lines = answer.lines();
  ASSERT_EQ(lines.size(), 3u);
  Model loaded = load_model(model);
  const Objective objective(SFT{});
  PreferenceStep engine(loaded.network(), objective, {});
  for (const json& line : lines) {
    TokenizedRow row{.id = line.at("id"), .prompt = line.at("prompt_ids")};
    row.branches = {line.at("chosen_ids"), line.at("rejected_ids")};
    const auto logps = engine.logps(std::span(&row, 1), all_indices(1)).logp;
    EXPECT_NEAR(line.at("logps/chosen").get<double>(), logps[0], 1e-4);
    EXPECT_NEAR(line.at("logps/rejected").get<double>(), logps[1], 1e-4);
    EXPECT_EQ(line.at("num_tokens/chosen"), row.branches[0].size());
    for (const char* name : {"collision/chosen", "max_logp/rejected"})
      EXPECT_LT(line.at(name).get<double>(), 0);
    EXPECT_GT(line.at("entropy/chosen").get<double>(), 0);
  }
  const Answer cut = pref_command(
      {"logps", "--model", model, "--data", pairs, "--set", "max_completion_length=1"});
  for (const json& line : cut.lines()) EXPECT_EQ(line.at("num_tokens/chosen"), 1);
  expect_error(pref_command({"logps", "--model", path("absent"), "--data", pairs}),
               ErrorKind::missing_input, "absent");
}

// beta 0.5: u = 0.5 ((-9 + 10) - (-12 + 11)) = 1; loss log(1 + e^-1), slopes -+ 0.5 / (1 + e).
TEST_F(Cli, LossValue) {
  const std::string good =
      R"({"logps/chosen": -9, "logps/rejected": -12, "ref_logps/chosen": -10, "ref_logps/rejected": -11})";
  const Answer answer = pref_command({"loss", "--objective", "dpo", "--set", "beta=0.5"},
                                     good + "\nnot json\n{\"logps/chosen\": -9}\n" + good + "\n");
  EXPECT_EQ(answer.code, 65);
  const auto lines = answer.lines();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_NEAR(lines[0].at("loss").get<double>(), std::log1p(std::exp(-1.0)), 1e-15);
  EXPECT_NEAR(lines[0].at("grad/chosen").get<double>(), -0.5 / (1 + std::exp(1.0)), 1e-15);
  EXPECT_NEAR(lines[0].at("grad/rejected").get<double>(), 0.5 / (1 + std::exp(1.0)), 1e-15);
  EXPECT_EQ(lines[0].at("rewards/chosen"), 0.5);
  EXPECT_EQ(lines[0].at("rewards/rejected"), -0.5);
  EXPECT_NE(lines[1].at("error").get<std::string>().find("stdin:2"), std::string::npos);
  EXPECT_NE(lines[2].at("error").get<std::string>().find("\"ref_logps/chosen\" is required"),
            std::string::npos);
  EXPECT_EQ(lines[3], lines[0]);
  expect_error(pref_command({"loss", "--objective", "dpoo"}, good), ErrorKind::option, "dpo");
  expect_error(pref_command({"loss", "--objective", "dpo", "--set", "beta=-1"}, good),
               ErrorKind::option, "beta");
}

TEST_F(Cli, TokenizeMatchesTheTokenizer) {
  const auto tokenizer = load_tokenizer(model);
  const Answer answer = pref_command({"tokenize", "--model", model},
                                     "\"ab c\"\n{\"text\": \"ba\"}\n{\"messages\": []}\n7\n");
  const auto lines = answer.lines();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].get<std::vector<int32_t>>(), tokenizer->encode("ab c"));
  EXPECT_EQ(lines[1].get<std::vector<int32_t>>(), tokenizer->encode("ba"));
  EXPECT_NE(lines[2].at("error").get<std::string>().find("--chat-format"), std::string::npos);
  EXPECT_NE(lines[3].at("error").get<std::string>().find("got number"), std::string::npos);
  EXPECT_EQ(answer.code, 65);
  const Answer with_bos =
      pref_command({"tokenize", "--model", model, "--add-special-tokens"}, "\"ab\"\n");
  std::vector<int32_t> expected = tokenizer->encode("ab");
  if (tokenizer->adds_bos()) expected.insert(expected.begin(), *tokenizer->special().bos);
  EXPECT_EQ(with_bos.lines().at(0).get<std::vector<int32_t>>(), expected);
}

TEST_F(Cli, AuditReportsInThreeForms) {
  const Answer text = pref_command({"audit", pairs, "--model", model});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("3 rows read = 3 used + 0 skipped"), std::string::npos) << text.out;
  EXPECT_EQ(text.out.find('\x1b'), std::string::npos);
  const Answer done = pref_command(
      {"audit", pairs, "--model", model, "--json", "--eval", pairs, "--html", path("audit.html"),
       "--set", "per_device_train_batch_size=2", "--set", "num_train_epochs=1"});
  ASSERT_EQ(done.lines().size(), 1u);
  const json report = done.lines()[0];
  EXPECT_EQ(report.at("run").at("updates"), 2);
  EXPECT_EQ(report.at("eval").at("rows"), 3);
  EXPECT_GT(report.at("run").at("memory_bytes").at("total"), 0);
  EXPECT_TRUE(std::filesystem::exists(path("audit.html")));
  expect_error(pref_command({"audit", pairs, "--model", model, "--set", "learning_rate=1"}),
               ErrorKind::option, "learning_rate");
  expect_error(pref_command({"audit", pairs, "--model", model, "--set", "rejects_folder=x"}),
               ErrorKind::option, "rejects_folder has no meaning here");
}

TEST_F(Cli, InspectShowsARow) {
  const Answer row = pref_command({"inspect", pairs, "--model", model, "--row", "2", "--json"});
  ASSERT_EQ(row.code, 0) << row.err;
  EXPECT_EQ(row.lines()[0].at("place"), pairs + ":2");
  EXPECT_EQ(row.lines()[0].at("parts").size(), 3u);
  const Answer text = pref_command({"inspect", pairs, "--model", model, "--row", "1"});
  EXPECT_NE(text.out.find("chosen: "), std::string::npos);
  expect_error(pref_command({"inspect", pairs, "--model", model, "--row", "4"}), ErrorKind::option,
               "there are only 3 rows");
}

TEST_F(Cli, DoctorNamesLibrariesAndPlansMemory) {
  const Answer answer = pref_command({"doctor", "--model", model});
  EXPECT_EQ(answer.code, 0) << answer.err;
  for (const char* word :
       {"libpref", "torch 2.11", "libtorch_cpu", "vocabulary 275", "sentencepiece", "gradients"})
    EXPECT_NE(answer.out.find(word), std::string::npos) << word << "\n" << answer.out;
  const Answer absent = pref_command(
      {"doctor", "--model", path("absent")});  // the libraries are printed all the same
  EXPECT_EQ(absent.code, static_cast<int>(ErrorKind::missing_input));
  EXPECT_NE(absent.err.find("absent"), std::string::npos) << absent.err;
}

// With a card the checks themselves are run by tests/simt, in emulation, and by tests on a device.
TEST_F(Cli, DoctorWithoutADeviceSaysWhatToDo) {
  const Answer answer = pref_command({"doctor", "--device", "cuda"});
  if (answer.code == 0) GTEST_SKIP() << "there is a device";
  EXPECT_EQ(answer.code, static_cast<int>(ErrorKind::option));
  EXPECT_NE(answer.out.find("libraries in use"), std::string::npos) << answer.out;
  EXPECT_EQ(std::count(answer.err.begin(), answer.err.end(), '\n'), 1) << answer.err;
  EXPECT_NE(answer.err.find("[doctor] no CUDA device: "), std::string::npos) << answer.err;
  expect_error(pref_command({"doctor", "--device", "cuda", "--json"}), ErrorKind::option,
               "no CUDA device: ");
}

TEST_F(Cli, DoctorRejectsWhatHasNoMeaning) {
  for (const char* device : {"cpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1234"})
    expect_error(pref_command({"doctor", "--device", device}), ErrorKind::option,
                 "cuda or cuda:N is required");
  for (const char* flag : {"--json", "--full"})
    expect_error(pref_command({"doctor", flag}), ErrorKind::option, "Add --device cuda");
  expect_error(pref_command({"doctor", "--device", "cuda", "--json", "--model", model}),
               ErrorKind::option, "Drop --model or --json");
}

}  // namespace
}  // namespace pref::testing
