// SPDX-License-Identifier: Apache-2.0
// See chat_template.h.
#include "libpref/data/chat_template.h"

#include "libpref/base/error.h"
#include "libpref/data/whitespace.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "chat_template";

std::string_view name_of(ChatFormat format) {
  for (const auto& entry : enum_names(ChatFormat{}))
    if (entry.value == format) return entry.name;
  return "?";
}

[[noreturn]] void refuse(ChatFormat format, size_t index, const Message& message,
                         std::string_view reason) {
  fail(ErrorKind::data, kWhere, "message ", index, " (", message.role, "): the ", name_of(format),
       " format ", reason);
}

std::string render_zephyr(const std::vector<Message>& messages, const TemplateTokens& tokens,
                          bool generation) {
  std::string out;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    // The published template drops other roles without a word.
    if (message.role != "system" && message.role != "user" && message.role != "assistant")
      refuse(ChatFormat::zephyr, i, message, "has the roles system, user and assistant only");
    out.append("<|")
        .append(message.role)
        .append("|>\n")
        .append(message.content)
        .append(tokens.eos)
        .append("\n");
  }
  return generation ? out + "<|assistant|>\n" : out;
}

std::string render_chatml(const std::vector<Message>& messages, std::string_view default_system,
                          bool generation) {
  std::string out;
  const auto turn = [&](std::string_view role, std::string_view content) {
    out.append("<|im_start|>").append(role).append("\n").append(content).append("<|im_end|>\n");
  };
  if (!default_system.empty() && (messages.empty() || messages[0].role != "system"))
    turn("system", default_system);
  for (const Message& message : messages) turn(message.role, message.content);
  return generation ? out + "<|im_start|>assistant\n" : out;
}

std::string render_llama2(const std::vector<Message>& messages, const TemplateTokens& tokens) {
  std::string out;
  const size_t first = !messages.empty() && messages[0].role == "system" ? 1 : 0;
  for (size_t i = first; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const bool user = (i - first) % 2 == 0;
    if (message.role != (user ? "user" : "assistant"))
      refuse(ChatFormat::llama2, i, message,
             "alternates user and assistant after an optional system message");
    std::string content = message.content;
    if (i == first && first == 1)
      content = "<<SYS>>\n" + messages[0].content + "\n<</SYS>>\n\n" + content;
    const std::string_view stripped = strip(content);
    if (user)
      out.append(tokens.bos).append("[INST] ").append(stripped).append(" [/INST]");
    else
      out.append(" ").append(stripped).append(" ").append(tokens.eos);
  }
  return out;
}

/// `text` without white space and with double quotes as single ones: templates are indented and
/// quoted differently.
std::string squeezed(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') out += c == '"' ? '\'' : c;
  return out;
}

bool has_all(const std::string& text, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts)
    if (text.find(squeezed(part)) == std::string::npos) return false;
  return true;
}

}  // namespace

ChatFormat parse_chat_format(std::string_view name) {
  if (name.empty()) return ChatFormat::automatic;
  std::vector<std::string> names;
  for (const auto& entry : enum_names(ChatFormat{})) {
    if (entry.name == name) return entry.value;
    names.emplace_back(entry.name);
  }
  const std::string near = nearest_name(name, names);
  fail(ErrorKind::option, kWhere, "unknown chat format \"", name, "\"",
       near.empty() ? "" : "; did you mean \"", near,
       near.empty() ? "; known: zephyr, chatml, qwen2, qwen2.5, llama-2" : "\"?");
}

std::string recognise_chat_format(std::string_view jinja) {
  std::string text = squeezed(jinja);
  // A template read from JSON has "\n" as an escape inside the jinja string or as a newline,
  // removed by squeezed().
  for (size_t at = 0; (at = text.find("\\n", at)) != std::string::npos;) text.erase(at, 2);
  if (has_all(text, {"'<|user|>'+message['content']+eos_token",
                     "'<|system|>'+message['content']+eos_token",
                     "'<|assistant|>'+message['content']+eos_token"}))
    return "zephyr";
  if (has_all(text, {"bos_token+'[INST]'+content", "<<SYS>>", "'[/INST]'", "+eos_token"}))
    return "llama-2";
  const bool parts =
      has_all(text, {"'<|im_start|>'+message['role']+''+message['content']+'<|im_end|>'"}) ||
      has_all(text, {"'<|im_start|>'+message.role+''+message.content+'<|im_end|>'"});
  if (!parts) return "";
  if (has_all(text, {"<think>"})) return "";  // reasoning templates rewrite earlier turns
  if (has_all(text, {"You are Qwen, created by Alibaba Cloud. You are a helpful assistant."}))
    return "qwen2.5";
  if (has_all(text, {"You are a helpful assistant"})) return "qwen2";
  // Some other default system message, or a rule we do not know.
  return has_all(text, {"<|im_start|>system"}) ? "" : "chatml";
}

std::string render_chat(ChatFormat format, const std::vector<Message>& messages,
                        const TemplateTokens& tokens, bool add_generation_prompt) {
  switch (format) {
    case ChatFormat::zephyr:
      return render_zephyr(messages, tokens, add_generation_prompt);
    case ChatFormat::chatml:
      return render_chatml(messages, "", add_generation_prompt);
    case ChatFormat::qwen2:
      return render_chatml(messages, "You are a helpful assistant.", add_generation_prompt);
    case ChatFormat::qwen2_5:
      return render_chatml(messages,
                           "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
                           add_generation_prompt);
    case ChatFormat::llama2:
      return render_llama2(messages, tokens);
    case ChatFormat::automatic:
      break;
  }
  fail(ErrorKind::option, kWhere,
       "a chat format is required: zephyr, chatml, qwen2, qwen2.5 or llama-2");
}

RenderedChat render_chat_pair(const ChatText& render, std::string_view name,
                              const std::vector<Message>& prompt,
                              const std::vector<Message>& completion) {
  const bool continues = !prompt.empty() && prompt.back().role == "assistant";
  std::vector<Message> whole = prompt;
  whole.insert(whole.end(), completion.begin(), completion.end());
  RenderedChat out{.prompt = render(prompt, !continues)};
  const std::string text = render(whole, false);
  if (!text.starts_with(out.prompt))
    fail(ErrorKind::data, kWhere, "the ", name,
         " format renders the prompt alone unlike the beginning of the whole conversation. Must "
         "the completion begin with an assistant message?");
  out.completion = text.substr(out.prompt.size());
  return out;
}

RenderedChat render_chat_pair(ChatFormat format, const std::vector<Message>& prompt,
                              const std::vector<Message>& completion,
                              const TemplateTokens& tokens) {
  return render_chat_pair(
      [&](const std::vector<Message>& messages, bool add_generation_prompt) {
        return render_chat(format, messages, tokens, add_generation_prompt);
      },
      name_of(format), prompt, completion);
}

}  // namespace pref
