// SPDX-License-Identifier: Apache-2.0
#include "libpref/cli/commands.h"
#include "libpref/cli/json_lines.h"
#include "libpref/data/chat_template.h"
#include "libpref/data/jinja/chat.h"
#include "libpref/data/tokenizer.h"

namespace pref::cli {
namespace {

std::vector<Message> messages_of(const nlohmann::json& json) {
  require(json.is_array(), ErrorKind::data, "tokenize", "\"messages\" must be an array, got ",
          json.type_name(), ".");
  std::vector<Message> messages;
  for (const auto& entry : json) {
    require(entry.is_object() && entry.contains("role") && entry["role"].is_string() &&
                entry.contains("content") && entry["content"].is_string(),
            ErrorKind::data, "tokenize", "/messages/", messages.size(),
            " must be an object with strings \"role\" and \"content\".");
    messages.push_back({entry["role"].get<std::string>(), entry["content"].get<std::string>()});
  }
  return messages;
}

}  // namespace

int tokenize(const TokenizeArguments& arguments, std::istream& in, std::ostream& out) {
  const auto tokenizer = load_tokenizer(arguments.model);
  const ChatFormat format =
      parse_chat_format(arguments.chat_format.value_or(tokenizer->chat_format()));
  const auto piece = [&](const std::optional<int32_t>& id) {
    return id ? tokenizer->piece(*id) : std::string();
  };
  const TemplateTokens tokens{piece(tokenizer->special().bos), piece(tokenizer->special().eos)};
  std::optional<ChatTemplate> folder_template;
  if (format == ChatFormat::automatic && !tokenizer->chat_template().empty())
    folder_template.emplace(tokenizer->chat_template());
  return answer_json_lines(in, out, [&](const nlohmann::json& json) {
    std::vector<int32_t> ids;
    if (json.is_object() && json.contains("messages")) {
      require(format != ChatFormat::automatic || folder_template, ErrorKind::option, "tokenize",
              "a chat format is required for conversations and ", arguments.model,
              " has no chat template. Pass --chat-format zephyr, chatml, qwen2, qwen2.5 or "
              "llama-2.");
      const bool prompt = json.value("add_generation_prompt", false);
      const auto messages = messages_of(json["messages"]);
      ids = tokenizer->encode(format == ChatFormat::automatic
                                  ? render_with_template(*folder_template, messages, tokens, prompt)
                                  : render_chat(format, messages, tokens, prompt));
    } else {
      const nlohmann::json& text = json.is_object() && json.contains("text") ? json["text"] : json;
      require(text.is_string(), ErrorKind::data, "tokenize",
              "a string, {\"text\": ...} or {\"messages\": [...]} is required, got ",
              text.type_name(), ".");
      ids = tokenizer->encode(text.get<std::string>());
      if (arguments.add_special_tokens && tokenizer->adds_bos() && tokenizer->special().bos)
        ids.insert(ids.begin(), *tokenizer->special().bos);
    }
    JsonArray array;
    for (const int32_t id : ids) array.add(id);
    return array.str();
  });
}

}  // namespace pref::cli
