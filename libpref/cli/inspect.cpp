// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/inspect.h"

#include "libpref/cli/commands.h"
#include "libpref/cli/data_command.h"
#include "libpref/data/tokenizer_with_template.h"

namespace pref::cli {

int inspect(const InspectArguments& arguments, std::ostream& out) {
  DataOptions options;
  apply_settings(options, parse_settings(arguments.settings));
  refuse_ignored(options, "inspect");
  const auto tokenizer = load_tokenizer_for(arguments.model, arguments.chat_template, options);
  const audit::InspectedRow row =
      audit::inspect_row(arguments.data, *tokenizer, options, arguments.row);
  out << (arguments.json ? audit::inspect_json(row) + "\n"
                         : audit::inspect_text(row, has_colors(out)));
  return 0;
}

}  // namespace pref::cli
