// SPDX-License-Identifier: Apache-2.0
// The one parser of messages. Role and text are what most formats see; what else a message has
// (tool calls, reasoning, a name) is kept as JSON for the folder's template.
#include <algorithm>
#include <array>

#include "libpref/base/json_text.h"
#include "libpref/data/dialects/row_reader.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref::dialects {
namespace {

constexpr std::string_view kRoles[] = {"system",    "developer", "user",
                                       "assistant", "tool",      "function"};
/// ShareGPT's names of the roles.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kSpeakers = {
    {{"human", "user"},
     {"user", "user"},
     {"gpt", "assistant"},
     {"assistant", "assistant"},
     {"system", "system"},
     {"observation", "tool"},
     {"tool", "tool"},
     {"function_call", "assistant"}}};

bool empty_value(const JsonValue& value) {
  return value.is_null() || (value.is_array() && value.items.empty());
}

/// The text of [{"type": "text", "text": ...}, ...].
std::string joined_parts(const JsonValue& parts, const std::string& pointer) {
  std::string out;
  for (size_t i = 0; i < parts.items.size(); ++i) {
    const JsonValue& part = parts.items[i];
    const std::string at = pointer + "/" + std::to_string(i);
    const JsonValue* type = part.find("type");
    const JsonValue* text = part.find("text");
    if (!part.is_object() || type == nullptr || !type->is_string())
      refuse_type(at, part, "a part with a type, such as {\"type\": \"text\", \"text\": ...}");
    if (type->text != "text" || text == nullptr || !text->is_string())
      refuse("bad_type", part,
             at + " is a part of the type " + escape_text(type->text) +
                 ", which cannot be trained on; only text parts with a text can");
    out += text->text;
  }
  return out;
}

/// The tool calls that a ShareGPT function_call holds as JSON: one call or a list of them.
std::string calls_of(const JsonValue& value, const std::string& pointer) {
  JsonValue parsed;
  try {
    parsed = parse_json_row(value.text);
  } catch (const RowError& error) {
    refuse("bad_type", value,
           pointer + " of a function_call is not JSON with name and arguments: " + error.what());
  }
  if (parsed.is_object()) {
    JsonValue list;
    list.kind = JsonValue::Kind::array;
    list.items.push_back(std::move(parsed));
    parsed = std::move(list);
  }
  JsonArray calls;
  for (const JsonValue& call : parsed.items) {
    if (!call.is_object() || !has_string(call, "name") || call.find("arguments") == nullptr)
      refuse("bad_type", value, pointer + " of a function_call needs name and arguments");
    calls.add_raw(JsonObject().add("type", "function").add_raw("function", json_text(call)).str());
  }
  if (calls.empty()) refuse("bad_type", value, pointer + " of a function_call holds no call");
  return calls.str();
}

}  // namespace

Message RowReader::read_message(const JsonValue& item, const std::string& pointer) {
  if (!item.is_object()) refuse_type(pointer, item, "a message with role and content");
  const bool by_speaker = item.find("role") == nullptr && item.find("from") != nullptr;
  const char *role_key = by_speaker ? "from" : "role",
             *content_key = by_speaker ? "value" : "content";
  const JsonValue *role = item.find(role_key), *content = item.find(content_key);
  if (role == nullptr)
    refuse("bad_type", item,
           pointer + " has no " + role_key + "; each message needs role and content");
  if (!role->is_string()) refuse_type(pointer + "/" + role_key, *role, "a string");
  for (const char* key : {"images", "image", "videos", "audio"})
    if (const JsonValue* value = item.find(key); value != nullptr && !empty_value(*value))
      refuse("bad_type", *value,
             pointer + "/" + std::string(key) + " cannot be trained on; remove it");

  Message message{.role = role->text};
  JsonObject seen;
  bool more = false;
  if (by_speaker) {
    const auto speaker = std::find_if(kSpeakers.begin(), kSpeakers.end(),
                                      [&](const auto& pair) { return pair.first == role->text; });
    if (speaker == kSpeakers.end())
      refuse("bad_type", *role,
             pointer + "/from is " + escape_text(role->text) +
                 ", expected human, gpt, system, observation or function_call");
    message.role = speaker->second;
  } else if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
    refuse("bad_type", *role,
           pointer + "/role is " + escape_text(message.role) +
               ", expected system, user, assistant or tool");
  }
  const JsonValue* calls = item.find("tool_calls");
  const bool has_calls = calls != nullptr && !empty_value(*calls);
  const bool call = by_speaker && role->text == "function_call";
  if (content == nullptr && (!has_calls || call))
    refuse("bad_type", item,
           pointer + " has no " + content_key + "; each message needs role and content");
  const std::string content_pointer = pointer + "/" + content_key;
  std::string only_template = has_calls ? pointer + "/tool_calls" : "";
  seen.add("role", message.role);
  if (call) {
    if (!content->is_string()) refuse_type(content_pointer, *content, "a string");
    seen.add_null("content").add_raw("tool_calls", calls_of(*content, content_pointer));
    only_template = content_pointer;
  } else if (content == nullptr || content->is_null()) {
    if (!has_calls) refuse_type(content_pointer, *content, "a string");
    seen.add_null("content");
  } else if (content->is_array()) {
    message.content = joined_parts(*content, content_pointer);
    seen.add_raw("content", json_text(*content));
    more = true;
  } else {
    if (!content->is_string()) refuse_type(content_pointer, *content, "a string");
    message.content = content->text;
    seen.add("content", message.content);
  }
  for (const auto& [key, value] : item.members) {
    if (key == role_key || key == content_key || empty_value(value)) continue;
    seen.add_raw(key, json_text(value));
    more = true;
  }
  if (more || !only_template.empty()) message.json = seen.str();
  if (out.row.needs_template.empty()) out.row.needs_template = only_template;
  return message;
}

std::vector<Message> RowReader::read_messages(const JsonValue& list, const std::string& pointer) {
  if (!list.is_array()) refuse_type(pointer, list, "a list of messages");
  std::vector<Message> messages;
  for (size_t i = 0; i < list.items.size(); ++i)
    messages.push_back(read_message(list.items[i], pointer + "/" + std::to_string(i)));
  if (messages.empty()) refuse("bad_type", list, pointer + " is an empty list, expected messages");
  return messages;
}

}  // namespace pref::dialects
