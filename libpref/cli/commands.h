// SPDX-License-Identifier: Apache-2.0
// The commands of `pref`, one file each. Machine-readable output goes to stdout, everything else to
// stderr; an Error's kind is the exit code. Streams are arguments, so that tests call commands as
// programs do.
#pragma once
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace pref::cli {

/// Parses argv and runs the command. Never throws: errors are printed to `err` and become the exit
/// code.
int run_program(int argc, const char* const* argv, std::istream& in, std::ostream& out,
                std::ostream& err);

/// `pref train CONFIG.yaml [key=value ...]`; `settings` override the file.
int train(const std::string& config, const std::vector<std::string>& settings, std::ostream& out);
/// Every option of `pref train` with default, range and meaning.
std::string train_help();

struct LogpsArguments {
  std::string model, data;
  bool ids = false;
  bool reference_response = false;    ///< rows have a third response of that name
  std::string device = "cpu";         ///< as the option of `pref train`
  bool float32 = false;               ///< also on a device
  std::vector<std::string> settings;  ///< data options as key=value
};
/// One JSON line a row: sums of log-probs (nats), token counts, mean log sum p^2 and mean entropy
/// of each branch.
int logps(const LogpsArguments& arguments, std::ostream& out);

/// stdin: a JSON object of per-sequence sums a line; stdout: loss, gradients and rewards of that
/// row, in double precision.
int loss(const std::string& objective, const std::vector<std::string>& settings, std::istream& in,
         std::ostream& out);

struct TokenizeArguments {
  std::string model;
  std::optional<std::string> chat_format;
  bool add_special_tokens = false;
};
/// stdin: a string, {"text": ...} or {"messages": [...], "add_generation_prompt": bool} a line;
/// stdout: an array of ids.
int tokenize(const TokenizeArguments& arguments, std::istream& in, std::ostream& out);

struct RenderArguments {
  std::string model, chat_template;  ///< a folder or a file with the template
  std::optional<std::string> bos_token, eos_token;
};
/// stdin: {"messages": [...], "add_generation_prompt": bool, ...any variable of the template} a
/// line; stdout: the text as a JSON string.
int render(const RenderArguments& arguments, std::istream& in, std::ostream& out);

struct AuditArguments {
  std::vector<std::string> data;
  std::string model;
  std::optional<std::string> eval;           ///< files of evaluation rows
  std::optional<std::string> chat_template;  ///< a chat format's name or a file
  std::optional<std::string> html;           ///< where to write the page
  bool json = false;
  std::vector<std::string> settings;  ///< data options and sizes of the run as key=value
};
/// What training on the rows would see: findings, lengths, truncation, steps, memory; text, or one
/// JSON object. The text has colours only on a terminal.
int audit(const AuditArguments& arguments, std::ostream& out);
/// Every setting of `pref audit` with default, range and meaning.
std::string audit_help();

struct InspectArguments {
  std::vector<std::string> data;
  std::string model;
  int64_t row = 1;
  std::optional<std::string> chat_template;
  bool json = false;
  std::vector<std::string> settings;  ///< data options as key=value
};
/// One row's tokens by part, which are cut and which are trained on, and its seams.
int inspect(const InspectArguments& arguments, std::ostream& out);

struct DoctorArguments {
  std::string model;   ///< plan the memory of training it; "" = no plan
  std::string device;  ///< cuda or cuda:N: check every kernel there; "" = none
  bool json = false;   ///< with a device: its facts and results as JSON lines, nothing else
  bool full = false;   ///< with a device: larger cases
};
/// Versions and paths of every library in use, threads, and the memory a training run of a model
/// takes. With a device: every kernel against references in double, and its speed beside what the
/// card does at best; 70 where a check fails.
int doctor(const DoctorArguments& arguments, std::ostream& out);

/// Opens a checkpoint and checks every digest.
int verify(const std::string& checkpoint, std::ostream& out);

}  // namespace pref::cli
