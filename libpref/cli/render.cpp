// SPDX-License-Identifier: Apache-2.0
#include "libpref/base/file_system.h"
#include "libpref/cli/commands.h"
#include "libpref/cli/json_lines.h"
#include "libpref/data/jinja/chat.h"
#include "libpref/data/tokenizer.h"

namespace pref::cli {

int render(const RenderArguments& arguments, std::istream& in, std::ostream& out) {
  require(arguments.model.empty() != arguments.chat_template.empty(), ErrorKind::option, "render",
          "one of --model and --template is required.");
  std::string text, bos, eos;
  if (arguments.model.empty()) {
    constexpr uint64_t kMaxBytes = 16 << 20;
    text = posix_file_system().read(arguments.chat_template, kMaxBytes);
  } else {
    const auto tokenizer = load_tokenizer(arguments.model);
    text = tokenizer->chat_template();
    require(!text.empty(), ErrorKind::data, "render", arguments.model,
            " has no chat template. Pass --template FILE.");
    const auto piece = [&](const std::optional<int32_t>& id) {
      return id ? tokenizer->piece(*id) : std::string();
    };
    bos = piece(tokenizer->special().bos);
    eos = piece(tokenizer->special().eos);
  }
  bos = arguments.bos_token.value_or(bos);
  eos = arguments.eos_token.value_or(eos);
  const ChatTemplate chat_template(
      text, arguments.model.empty() ? arguments.chat_template : "chat_template");
  // Templates print members in the order they came.
  using Json = nlohmann::ordered_json;
  return answer_json_lines<Json>(in, out, [&](Json json) {
    require(json.is_object() && json.contains("messages"), ErrorKind::data, "render",
            "an object with \"messages\" is required.");
    const std::string messages = json["messages"].dump();
    json.erase("messages");
    Json variables = {{"bos_token", bos}, {"eos_token", eos}};
    variables.update(json);
    return json_value(chat_template.render(messages, variables.dump()));
  });
}

}  // namespace pref::cli
