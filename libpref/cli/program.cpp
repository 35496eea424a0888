// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include <exception>
#include <functional>
#include <istream>
#include <ostream>

#include "libpref/base/error.h"
#include "libpref/cli/commands.h"

namespace pref::cli {
namespace {

constexpr const char* kFooter = R"(
Examples:
  pref train examples/configs/dpo.yaml beta=0.05 output_dir=runs/dpo
  pref logps --model my-llama --data pairs.jsonl > logps.jsonl
  echo '{"logps/chosen": -9, "logps/rejected": -12, "ref_logps/chosen": -10, "ref_logps/rejected": -11}' \
    | pref loss --objective dpo --set beta=0.1
  echo '{"messages": [{"role": "user", "content": "Hello"}], "add_generation_prompt": true}' \
    | pref render --model my-llama
  echo '"Hello there"' | pref tokenize --model my-llama
  pref audit pairs.jsonl --model my-llama --eval held_out.jsonl --html audit.html
  pref inspect pairs.jsonl --model my-llama --row 17
  pref doctor --model my-llama
  pref doctor --device cuda

Machine-readable output goes to stdout, everything else to stderr. Exit codes: 0 done, 64 bad option, 65 bad data,
66 input missing, 70 a fault of libpref or a failed check, 73 cannot create output, 74 I/O error, 75 start me again,
76 not finite, 77 digest mismatch.)";

}  // namespace

int run_program(int argc, const char* const* argv, std::istream& in, std::ostream& out,
                std::ostream& err) {
  CLI::App app("pref: preference optimization of language models (DPO and its family)", "pref");
  app.footer(kFooter);
  app.require_subcommand(1);
  std::function<int()> chosen;

  auto* train_app = app.add_subcommand("train", "train a model folder by a YAML configuration");
  std::string config;
  std::vector<std::string> train_settings;
  train_app->add_option("config", config, "YAML file of options, see below")->required();
  train_app->add_option("settings", train_settings, "key=value, overriding the file");
  train_app->footer("\n" + train_help());
  train_app->callback([&] { chosen = [&] { return train(config, train_settings, out); }; });

  auto* logps_app = app.add_subcommand(
      "logps", "log-probs of every row of a preference file, one JSON line a row");
  LogpsArguments logps_arguments;
  logps_app->add_option("--model", logps_arguments.model, "model folder")->required();
  logps_app->add_option("--data", logps_arguments.data, "preference rows (.jsonl, .jsonl.gz)")
      ->required();
  logps_app->add_flag("--ids", logps_arguments.ids,
                      "also print prompt_ids, chosen_ids, rejected_ids");
  logps_app->add_flag("--reference-response", logps_arguments.reference_response,
                      "score the rows' third response, reference_response, as well");
  logps_app->add_option("--device", logps_arguments.device, "cpu, cuda, cuda:N or auto");
  logps_app->add_flag("--float32", logps_arguments.float32,
                      "compute in float32 on a device as well, where bfloat16 is the default");
  logps_app->add_option("--set", logps_arguments.settings,
                        "data option, key=value (max_length, chat_format, ...)");
  logps_app->callback([&] { chosen = [&] { return logps(logps_arguments, out); }; });

  auto* loss_app = app.add_subcommand(
      "loss", "what an objective does with per-sequence sums: stdin JSONL to stdout JSONL");
  std::string objective;
  std::vector<std::string> loss_settings;
  loss_app->add_option("--objective", objective, "name of the objective, e.g. dpo")->required();
  loss_app->add_option("--set", loss_settings, "option of the objective, key=value");
  loss_app->callback([&] { chosen = [&] { return loss(objective, loss_settings, in, out); }; });

  auto* tokenize_app =
      app.add_subcommand("tokenize", "texts or conversations on stdin (JSONL) to token ids");
  TokenizeArguments tokenize_arguments;
  tokenize_app->add_option("--model", tokenize_arguments.model, "folder with tokenizer files")
      ->required();
  tokenize_app->add_option("--chat-format", tokenize_arguments.chat_format,
                           "zephyr, chatml or llama-2, for conversations");
  tokenize_app->add_flag("--add-special-tokens", tokenize_arguments.add_special_tokens,
                         "plain text begins with BOS where the model has one");
  tokenize_app->callback([&] { chosen = [&] { return tokenize(tokenize_arguments, in, out); }; });

  auto* render_app =
      app.add_subcommand("render", "conversations on stdin (JSONL) to text, by a chat template");
  RenderArguments render_arguments;
  render_app->add_option("--model", render_arguments.model, "folder with a chat template");
  render_app->add_option("--template", render_arguments.chat_template, "file with a template");
  render_app->add_option("--bos-token", render_arguments.bos_token, "instead of the folder's");
  render_app->add_option("--eos-token", render_arguments.eos_token, "instead of the folder's");
  render_app->callback([&] { chosen = [&] { return render(render_arguments, in, out); }; });

  auto* audit_app =
      app.add_subcommand("audit", "what training on a data set would see, before it is trained on");
  AuditArguments audit_arguments;
  audit_app->add_option("data", audit_arguments.data, "files, folders or globs of rows")
      ->required();
  audit_app->add_option("--model", audit_arguments.model, "folder with tokenizer files")
      ->required();
  audit_app->add_option("--eval", audit_arguments.eval,
                        "evaluation rows, looked for among the training rows");
  audit_app->add_option("--template", audit_arguments.chat_template,
                        "chat format or file with a template, instead of the folder's");
  audit_app->add_option("--html", audit_arguments.html, "also write a page with plots");
  audit_app->add_flag("--json", audit_arguments.json, "one JSON object instead of text");
  audit_app->add_option("--set", audit_arguments.settings, "key=value, see below");
  audit_app->footer("\n" + audit_help());
  audit_app->callback([&] { chosen = [&] { return audit(audit_arguments, out); }; });

  auto* inspect_app = app.add_subcommand(
      "inspect", "one row as training sees it: tokens by part, mask, cuts, the seam");
  InspectArguments inspect_arguments;
  inspect_app->add_option("data", inspect_arguments.data, "files, folders or globs of rows")
      ->required();
  inspect_app->add_option("--model", inspect_arguments.model, "folder with tokenizer files")
      ->required();
  inspect_app->add_option("--row", inspect_arguments.row, "which row, from 1")->required();
  inspect_app->add_option("--template", inspect_arguments.chat_template,
                          "chat format or file with a template, instead of the folder's");
  inspect_app->add_flag("--json", inspect_arguments.json, "one JSON object instead of text");
  inspect_app->add_option("--set", inspect_arguments.settings,
                          "data option, key=value (max_length, truncation_mode, ...)");
  inspect_app->callback([&] { chosen = [&] { return inspect(inspect_arguments, out); }; });

  auto* doctor_app = app.add_subcommand(
      "doctor", "libraries in use, threads, the memory plan of a model, a check of a CUDA card");
  DoctorArguments doctor_arguments;
  doctor_app->add_option("--model", doctor_arguments.model, "model folder to plan for");
  doctor_app->add_option("--device", doctor_arguments.device,
                         "cuda or cuda:N: check every kernel there, and how fast it is");
  doctor_app->add_flag("--json", doctor_arguments.json, "results of --device as JSON lines");
  doctor_app->add_flag("--full", doctor_arguments.full, "larger cases of --device");
  doctor_app->callback([&] { chosen = [&] { return doctor(doctor_arguments, out); }; });

  auto* verify_app = app.add_subcommand("verify", "check every digest of a checkpoint folder");
  std::string checkpoint;
  verify_app->add_option("checkpoint", checkpoint, "a checkpoint-N folder")->required();
  verify_app->callback([&] { chosen = [&] { return verify(checkpoint, out); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, out, err) == 0 ? 0 : static_cast<int>(ErrorKind::option);
  }
  try {
    return chosen();
  } catch (const Error& error) {
    err << "error: " << error.what() << "\n";
    return error.exit_code();
  } catch (const std::exception& error) {
    err << "error: " << error.what()
        << "\nThis is a fault of libpref; please report it with the command that led here.\n";
    return static_cast<int>(ErrorKind::internal);
  }
}

}  // namespace pref::cli
