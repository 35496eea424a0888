// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <ostream>
#include <utility>

#include "libpref/base/file_system.h"
#include "libpref/base/option_help.h"
#include "libpref/cli/audit_html.h"
#include "libpref/cli/commands.h"
#include "libpref/cli/data_command.h"
#include "libpref/data/audit/audit.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/tokenizer_with_template.h"
#include "libpref/train/memory_plan.h"

namespace pref::cli {
namespace {

/// Data options and those of a run that decide its steps and memory.
struct AuditSettings {
  DataOptions data;
  TrainerOptions run;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    DataOptions::fields(self.data, visit);
    constexpr std::string_view kSizes[] = {"num_train_epochs", "per_device_train_batch_size",
                                           "gradient_accumulation_steps", "tokens_per_microbatch",
                                           "logits_budget_mb"};
    TrainerOptions::fields(self.run, [&](std::string_view name, auto& value, const Range& range,
                                         std::string_view help) {
      if (std::find(std::begin(kSizes), std::end(kSizes), name) != std::end(kSizes))
        visit(name, value, range, help);
    });
  }
};

}  // namespace

std::string audit_help() {
  return "Settings, key=value:\n" + render_option_help(describe_options(AuditSettings{}));
}

int audit(const AuditArguments& arguments, std::ostream& out) {
  AuditSettings settings;
  apply_settings(settings, parse_settings(arguments.settings));
  refuse_ignored(settings.data, "audit");
  const auto tokenizer =
      load_tokenizer_for(arguments.model, arguments.chat_template, settings.data);
  TrainerOptions& run = settings.run = resolved(settings.run, {});
  audit::AuditOptions options{
      .data = settings.data,
      .eval = arguments.eval.value_or(""),
      .rows_per_update = run.per_device_train_batch_size * run.gradient_accumulation_steps,
      .epochs = run.num_train_epochs,
      .tokens_per_microbatch = run.tokens_per_microbatch};
  // A folder with a tokenizer alone has no memory plan.
  std::optional<DecoderConfig> config;
  if (posix_file_system().info(join_path(arguments.model, "config.json")).exists) {
    config = read_decoder_config(arguments.model);
    options.max_positions = config->max_position_embeddings;
  }
  audit::AuditReport report = audit::audit_preferences(arguments.data, *tokenizer, options);
  if (config) {
    run.tokens_per_microbatch = report.run.tokens_per_microbatch;
    report.run.memory = plan_memory(*config, run).parts();
  }
  if (arguments.html) {
    std::string title;
    for (const std::string& name : arguments.data) title += (title.empty() ? "" : ", ") + name;
    write_report_html(*arguments.html, audit_page(report, title));
  }
  out << (arguments.json ? audit::audit_json(report) + "\n"
                         : audit::audit_text(report, has_colors(out)));
  return 0;
}

}  // namespace pref::cli
