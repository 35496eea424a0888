// SPDX-License-Identifier: Apache-2.0
// See chat.h.
#include "libpref/data/jinja/chat.h"

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/utf8.h"
#include "libpref/data/jinja/evaluator.h"
#include "libpref/data/jinja/json.h"
#include "libpref/data/jinja/parser.h"

namespace pref {

using jinja::Budget;
using jinja::Dict;
using jinja::Kind;
using jinja::Value;

struct ChatTemplate::Tree {
  jinja::Block block;
};

namespace {

constexpr std::string_view kWhere = "chat_template";

/// The reasoning of a message under both names that templates read, as transformers passes it on.
Value with_reasoning(Budget& budget, const Value& message) {
  const Value* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* found = message.dict().find(name);
    if (reasoning == nullptr && found != nullptr && !found->is(Kind::none)) reasoning = found;
  }
  if (reasoning == nullptr) return message;
  const Value kept = *reasoning;
  auto out = std::make_shared<Dict>();
  out->set(budget, Value::string("thinking"), kept);
  for (const auto& [key, value] : message.dict().items) out->set(budget, key, value);
  out->set(budget, Value::string("reasoning_content"), kept);
  return jinja::make_dict(budget, std::move(out));
}

Value read_messages(Budget& budget, std::string_view json) {
  const Value list = jinja::parse_json_value(budget, json, "messages");
  if (!list.is(Kind::sequence)) jinja::refuse("messages: a list of messages is required");
  std::vector<Value> out;
  for (const Value& message : list.sequence().items) {
    if (!message.is(Kind::dict))
      jinja::refuse("messages/", out.size(), ": a message is an object, not a ",
                    jinja::type_name(message));
    out.push_back(with_reasoning(budget, message));
  }
  return jinja::make_sequence(budget, std::move(out));
}

Value read_variables(Budget& budget, std::string_view messages, std::string_view variables) {
  auto out = std::make_shared<Dict>();
  out->set(budget, Value::string("messages"), read_messages(budget, messages));
  out->set(budget, Value::string("tools"), Value::none());
  out->set(budget, Value::string("documents"), Value::none());
  out->set(budget, Value::string("add_generation_prompt"), Value::boolean(false));
  if (!variables.empty()) {
    const Value given = jinja::parse_json_value(budget, variables, "variables");
    if (!given.is(Kind::dict)) jinja::refuse("variables: an object is required");
    for (const auto& [key, value] : given.dict().items) {
      if (key.text() == "messages") jinja::refuse("variables: messages come apart from the rest");
      out->set(budget, key, value);
    }
  }
  return jinja::make_dict(budget, std::move(out));
}

constexpr std::string_view kSyntaxRemedy =
    "Correct the template, or name a built-in one by chat_format.";
constexpr std::string_view kRenderRemedy =
    "Correct the conversation or the template, or name a built-in one by chat_format.";

[[noreturn]] void fail_in(const std::string& name, const jinja::Failure& failure,
                          std::string_view remedy) {
  const std::string line = failure.line == 0 ? "" : ":" + std::to_string(failure.line);
  const bool sentence = failure.what.ends_with('.') || failure.what.ends_with('?');
  fail(ErrorKind::data, kWhere, name, line, ": ", failure.what, sentence ? " " : ". ", remedy);
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view text, std::string name, const TemplateLimits& limits)
    : name_(std::move(name)), limits_(limits) {
  require(text.size() <= limits_.template_bytes, ErrorKind::data, kWhere, name_, ": has ",
          text.size(), " bytes; the cap is ", limits_.template_bytes,
          " (TemplateLimits::template_bytes). ", kSyntaxRemedy);
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    fail(ErrorKind::data, kWhere, name_, ": byte ", bad, " is not UTF-8. ", kSyntaxRemedy);
  try {
    auto tree = std::make_shared<Tree>();
    tree->block = jinja::Parser(jinja::tokenize(text), limits_).parse();
    tree_ = std::move(tree);
  } catch (const jinja::Failure& failure) {
    fail_in(name_, failure, kSyntaxRemedy);
  }
}

std::string ChatTemplate::render(std::string_view messages, std::string_view variables,
                                 std::optional<int64_t> now) const {
  try {
    jinja::Runtime runtime(limits_);
    runtime.now = now;
    // Reading the input is bounded by its own cap and is no work of the template.
    Budget reading(limits_);
    reading.unlimited_steps();
    const Value seen = read_variables(reading, messages, variables);
    jinja::Evaluator evaluator(runtime, seen);
    return evaluator.run(tree_->block);
  } catch (const jinja::Failure& failure) {
    fail_in(name_, failure, kRenderRemedy);
  }
}

std::string render_with_template(const ChatTemplate& chat_template,
                                 const std::vector<Message>& messages, const TemplateTokens& tokens,
                                 bool add_generation_prompt, const TemplateInputs& inputs) {
  JsonArray list;
  for (const Message& message : messages)
    list.add_raw(message.json.empty()
                     ? JsonObject().add("role", message.role).add("content", message.content).str()
                     : message.json);
  JsonObject variables;
  variables.add("bos_token", tokens.bos)
      .add("eos_token", tokens.eos)
      .add("add_generation_prompt", add_generation_prompt);
  if (!inputs.tools.empty()) variables.add_raw("tools", inputs.tools);
  std::string seen = variables.str();
  if (inputs.kwargs.size() > 2) {  // {} with members; one that stands above too is refused as twice
    seen.back() = ',';
    seen += inputs.kwargs.substr(1);
  }
  return chat_template.render(list.str(), seen);
}

std::string render_chat_template(std::string_view template_text, std::string_view messages,
                                 std::string_view variables) {
  return ChatTemplate(template_text).render(messages, variables);
}

}  // namespace pref
