// SPDX-License-Identifier: Apache-2.0
// See dialect.h. Shapes are told apart by which keys are there and whether they hold text or
// messages.
#include "libpref/data/dialect.h"

#include <algorithm>
#include <cmath>

#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/whitespace.h"

namespace pref {
namespace {

constexpr std::string_view kHuman = "\n\nHuman:", kAssistant = "\n\nAssistant:";
constexpr std::string_view kRead[] = {"prompt",         "chosen", "rejected",  "completion",
                                      "messages",       "id",     "prompt_id", "score_chosen",
                                      "score_rejected", "weight", "margin"};

[[noreturn]] void refuse(const char* code, const JsonValue& at, const std::string& text) {
  throw RowError(code, at.offset, text);
}
[[noreturn]] void refuse_type(const std::string& pointer, const JsonValue& found,
                              const std::string& expected) {
  refuse("bad_type", found,
         pointer + " is " + std::string(found.kind_name()) + ", expected " + expected);
}

bool blank(std::string_view text) { return strip(text).empty(); }

/// A value that is text or messages, with where it stands.
struct Field {
  const JsonValue* json = nullptr;
  std::string pointer;
  Content content;
  bool chat() const { return json->is_array(); }
};

std::vector<Message> read_messages(const JsonValue& list, const std::string& pointer) {
  std::vector<Message> out;
  for (size_t i = 0; i < list.items.size(); ++i) {
    const JsonValue& item = list.items[i];
    const std::string at = pointer + "/" + std::to_string(i);
    if (!item.is_object()) refuse_type(at, item, "a message with role and content");
    Message message;
    for (const auto& [key, slot] :
         {std::pair{"role", &message.role}, {"content", &message.content}}) {
      const JsonValue* value = item.find(key);
      if (value == nullptr)
        refuse("bad_type", item, at + " has no " + key + "; each message needs role and content");
      if (!value->is_string()) refuse_type(at + "/" + key, *value, "a string");
      *slot = value->text;
    }
    for (const char* key : {"tool_calls", "images", "image"})
      if (const JsonValue* value = item.find(key);
          value != nullptr && !value->is_null() && !(value->is_array() && value->items.empty()))
        refuse("bad_type", *value, at + "/" + key + " cannot be trained on; remove it");
    static constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
    if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles))
      refuse("bad_type", *item.find("role"),
             at + "/role is " + escape_text(message.role) +
                 ", expected system, user, assistant or tool");
    out.push_back(std::move(message));
  }
  if (out.empty()) refuse("bad_type", list, pointer + " is an empty list, expected messages");
  return out;
}

class RowParser {
 public:
  RowParser(const JsonValue& root, const DialectOptions& options)
      : root_(root), options_(options) {}

  ParsedRow parse() {
    if (root_.is_array())
      refuse("not_object", root_,
             "the line is an array, expected an object. A JSON array of rows is converted by: "
             "jq -c '.[]' FILE > rows.jsonl");
    if (!root_.is_object())
      refuse("not_object", root_,
             "the line is " + std::string(root_.kind_name()) + ", expected an object");
    for (const char* key : {"images", "image", "videos", "tools"})
      if (const JsonValue* value = root_.find(key);
          value != nullptr && !value->is_null() && !(value->is_array() && value->items.empty()))
        refuse("bad_type", *value,
               "/" + std::string(key) + " cannot be trained on; remove the column");
    note_nul(root_);
    if (root_.find("chosen") != nullptr || root_.find("rejected") != nullptr)
      parse_pair();
    else
      parse_supervised();
    check_forced();
    parse_extras();
    check_branches();
    return std::move(out_);
  }

 private:
  Field field(const char* key, bool required = true) {
    Field f{.json = root_.find(key), .pointer = std::string("/") + key};
    if (f.json == nullptr) {
      if (required) missing(key);
      return f;
    }
    if (f.json->is_string())
      f.content.text = f.json->text;
    else if (f.json->is_array())
      f.content.messages = read_messages(*f.json, f.pointer);
    else
      refuse_type(f.pointer, *f.json, "a string or a list of messages");
    return f;
  }

  [[noreturn]] void missing(const std::string& key) const {
    std::string found;
    std::vector<std::string> unread;
    for (const auto& [name, value] : root_.members) {
      found += (found.empty() ? "" : ", ") + escape_text(name, 40);
      if (std::find(std::begin(kRead), std::end(kRead), name) == std::end(kRead))
        unread.push_back(name);
    }
    if (found.size() > 200) found = found.substr(0, character_start(found, 200)) + "...";
    const std::string near = nearest_name(key, unread);
    throw RowError("missing_key", root_.offset,
                   "field \"" + key +
                       "\" is missing (found: " + (found.empty() ? "nothing" : found) + ")." +
                       (near.empty() ? "" : " Is " + escape_text(near, 40) + " meant?") +
                       " A row needs prompt, chosen, rejected; or chosen, rejected; or prompt, "
                       "completion; or messages");
  }

  void note(const char* code) {
    if (std::find(out_.notes.begin(), out_.notes.end(), code) == out_.notes.end())
      out_.notes.emplace_back(code);
  }
  void note_nul(const JsonValue& value) {  // depth is capped by the parser
    if (value.text.find('\0') != std::string::npos) note("nul_byte");
    for (const JsonValue& item : value.items) note_nul(item);
    for (const auto& [key, member] : value.members) note_nul(member);
  }

  void parse_pair() {
    const Field prompt = field("prompt", false), chosen = field("chosen"),
                rejected = field("rejected");
    if (chosen.chat() != rejected.chat())
      refuse("bad_type", *rejected.json,
             "/chosen is " + std::string(chosen.json->kind_name()) + " and /rejected is " +
                 std::string(rejected.json->kind_name()) + "; both must be of one form");
    branches_ = {chosen, rejected};
    if (options_.reference_response) {
      const Field reference = field("reference_response");
      if (reference.chat() != chosen.chat())
        refuse("bad_type", *reference.json,
               "/reference_response is " + std::string(reference.json->kind_name()) +
                   " and /chosen is " + std::string(chosen.json->kind_name()) +
                   "; both must be of one form");
      if (prompt.json == nullptr && !chosen.chat())
        refuse("missing_key", root_,
               "field \"prompt\" is missing: rows with a reference_response need it");
      branches_.push_back(reference);
    }
    if (prompt.json == nullptr) {
      if (chosen.chat())
        split_conversations(Dialect::implicit_chat);
      else if (chosen.content.text.starts_with(kHuman) &&
               rejected.content.text.starts_with(kHuman) &&
               (options_.dialect == Dialect::automatic || options_.dialect == Dialect::hh))
        split_transcripts();
      else
        split_texts();
    } else if (prompt.chat()) {
      if (!chosen.chat())
        refuse("bad_type", *chosen.json,
               "/prompt is a list of messages, /chosen is a string; both must be of one form");
      out_.dialect = Dialect::conversational;
      out_.row.prompt = prompt.content;
      for (const Field& branch : branches_)
        out_.row.branches.push_back(answer(branch, prompt.content.messages));
    } else if (chosen.chat()) {
      split_ultrafeedback(prompt);
    } else {
      out_.dialect = Dialect::preference;
      out_.row.prompt = prompt.content;
      for (const Field& branch : branches_) out_.row.branches.push_back(branch.content);
    }
  }

  void parse_supervised() {
    if (const JsonValue* label = root_.find("label");
        label != nullptr && root_.find("completion") != nullptr)
      refuse("bad_type", *label,
             "/label marks an unpaired row; pairs with chosen and rejected are required");
    if (root_.find("messages") != nullptr) {
      const Field messages = field("messages");
      if (!messages.chat()) refuse_type("/messages", *messages.json, "a list of messages");
      branches_ = {messages};
      split_conversations(Dialect::messages);
      return;
    }
    // Without any of the keys a preference row is what most users meant.
    if (root_.find("completion") == nullptr) missing("chosen");
    const Field prompt = field("prompt"), completion = field("completion");
    if (prompt.chat() != completion.chat())
      refuse("bad_type", *completion.json,
             "/prompt is " + std::string(prompt.json->kind_name()) + " and /completion is " +
                 std::string(completion.json->kind_name()) + "; both must be of one form");
    branches_ = {completion};
    out_.dialect = Dialect::completion;
    out_.row.prompt = prompt.content;
    out_.row.branches = {prompt.chat() ? answer(completion, prompt.content.messages)
                                       : completion.content};
  }

  /// The branch's messages after the prompt. A list that does not open with an assistant message is
  /// taken to be the whole conversation, which must then begin with the prompt.
  Content answer(const Field& branch, const std::vector<Message>& prompt) {
    const std::vector<Message>& messages = branch.content.messages;
    if (messages[0].role == "assistant" || messages[0].role == "tool") return branch.content;
    for (size_t i = 0; i < prompt.size(); ++i)
      if (i >= messages.size() || !(messages[i] == prompt[i]))
        refuse("prompt_mismatch", i < messages.size() ? branch.json->items[i] : *branch.json,
               branch.pointer + " does not begin with /prompt: message " + std::to_string(i) +
                   " is the first to differ");
    if (messages.size() == prompt.size())
      refuse("empty_response", *branch.json, branch.pointer + " holds the prompt and no response");
    return {.messages = {messages.begin() + static_cast<ptrdiff_t>(prompt.size()), messages.end()}};
  }

  /// Whole conversations: the last message is the response, all before it the prompt, equal for
  /// every branch.
  void split_conversations(Dialect dialect) {
    out_.dialect = dialect;
    for (const Field& branch : branches_) {
      const std::vector<Message>& messages = branch.content.messages;
      std::vector<Message> prompt(messages.begin(), messages.end() - 1);
      if (&branch == &branches_[0])
        out_.row.prompt.messages = prompt;
      else
        require_same_prompt(branch, prompt);
      out_.row.branches.push_back({.messages = {messages.back()}});
    }
    if (out_.row.prompt.messages.empty())
      refuse("bad_type", *branches_[0].json,
             branches_[0].pointer + " holds one message, a prompt and a response are required");
  }

  void require_same_prompt(const Field& branch, const std::vector<Message>& prompt) const {
    const std::vector<Message>& first = out_.row.prompt.messages;
    size_t i = 0;
    while (i < first.size() && i < prompt.size() && first[i] == prompt[i]) ++i;
    if (i < first.size() || i < prompt.size())
      refuse("prompt_mismatch", branch.json->items[std::min(i, branch.json->items.size() - 1)],
             branches_[0].pointer + " and " + branch.pointer + " have different prompts: message " +
                 std::to_string(i) + " is the first to differ");
  }

  void split_ultrafeedback(const Field& prompt) {
    out_.dialect = Dialect::ultrafeedback;
    if (branches_[0].content.messages[0].role == "assistant") {  // answers only
      out_.row.prompt.messages = {{"user", prompt.content.text}};
      for (const Field& branch : branches_)
        out_.row.branches.push_back(answer(branch, out_.row.prompt.messages));
      return;
    }
    for (const Field& branch : branches_) {
      const std::vector<Message>& messages = branch.content.messages;
      const size_t first = messages[0].role == "system" ? 1 : 0;
      if (first >= messages.size() || messages[first].role != "user" ||
          messages[first].content != prompt.content.text)
        refuse("prompt_mismatch", branch.json->items[std::min(first, messages.size() - 1)],
               branch.pointer + " does not begin with /prompt: message " + std::to_string(first) +
                   " is the first to differ");
      if (first + 1 == messages.size())
        refuse("empty_response", *branch.json,
               branch.pointer + " holds the prompt and no response");
    }
    split_conversations(Dialect::ultrafeedback);
  }

  /// Texts without a prompt: the longest common beginning that ends with a word, leaving every
  /// branch something. One space before the branches goes with them, because tokenizers keep a
  /// space with the word that follows it.
  void split_texts() {
    out_.dialect = Dialect::implicit;
    const std::string &a = branches_[0].content.text, &b = branches_[1].content.text;
    const size_t shorter = std::min(a.size(), b.size());
    size_t common = static_cast<size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(shorter), b.begin()).first -
        a.begin());
    if (common == shorter && common > 0) --common;  // one is the other's beginning
    size_t split = word_start(a, common);
    if (split > 0 && a[split - 1] == ' ') --split;
    out_.row.prompt.text = a.substr(0, split);
    for (const Field& branch : branches_)
      out_.row.branches.push_back({.text = branch.content.text.substr(split)});
  }

  void split_transcripts() {
    out_.dialect = Dialect::hh;
    std::vector<std::vector<Message>> turns;
    for (const Field& branch : branches_) turns.push_back(read_transcript(branch));
    for (size_t i = 0; i + 1 < std::max(turns[0].size(), turns[1].size()); ++i)
      if (i + 1 >= std::min(turns[0].size(), turns[1].size()) || !(turns[0][i] == turns[1][i]))
        refuse("prompt_mismatch", *branches_[1].json,
               "/chosen and /rejected have different prompts: turn " + std::to_string(i) +
                   " is the first to differ");
    for (size_t b = 0; b < branches_.size(); ++b) {
      const std::string& text = branches_[b].content.text;
      const size_t split = text.rfind(kAssistant) + kAssistant.size();
      if (options_.hh_as_messages) {
        for (Message& message : turns[b]) message.content = std::string(strip(message.content));
        out_.row.prompt.messages.assign(turns[b].begin(), turns[b].end() - 1);
        out_.row.branches.push_back({.messages = {turns[b].back()}});
      } else {
        out_.row.prompt.text = text.substr(0, split);
        out_.row.branches.push_back({.text = text.substr(split)});
      }
    }
  }

  /// The turns of a transcript, their texts as they stand (with the space after the colon).
  static std::vector<Message> read_transcript(const Field& branch) {
    const std::string_view text = branch.content.text;
    std::vector<Message> turns;
    for (size_t at = 0; at < text.size();) {
      const bool human = text.substr(at).starts_with(kHuman);
      const size_t begin = at + (human ? kHuman : kAssistant).size();
      at = std::min({text.find(kHuman, begin), text.find(kAssistant, begin), text.size()});
      turns.push_back({human ? "user" : "assistant", std::string(text.substr(begin, at - begin))});
    }
    if (turns.back().role != "assistant")
      refuse("bad_turns", *branch.json,
             branch.pointer + " does not end with an \"Assistant:\" turn");
    return turns;
  }

  void check_forced() const {
    if (options_.dialect != Dialect::automatic && options_.dialect != out_.dialect)
      refuse("bad_type", root_,
             "the row has the layout " + std::string(dialect_name(out_.dialect)) +
                 ", the option dialect "
                 "requires " +
                 std::string(dialect_name(options_.dialect)));
  }

  double number(const JsonValue& value, const std::string& pointer) const {
    if (!value.is_number() || !std::isfinite(value.number))
      refuse_type(pointer, value, "a finite number");
    return value.number;
  }

  void parse_extras() {
    for (const char* key : {"prompt_id", "id"})
      if (const JsonValue* id = root_.find(key);
          id != nullptr && (id->is_string() || id->is_number()))
        out_.row.id = id->text;
    if (const JsonValue* weight = root_.find("weight"); weight != nullptr && !weight->is_null()) {
      out_.row.facts.weight = number(*weight, "/weight");
      if (out_.row.facts.weight < 0)
        refuse("bad_type", *weight, "/weight is " + weight->text + ", expected at least 0");
    }
    if (const JsonValue* margin = root_.find("margin"); margin != nullptr && !margin->is_null())
      out_.row.facts.margin = number(*margin, "/margin");
    const JsonValue *chosen = root_.find("score_chosen"), *rejected = root_.find("score_rejected");
    if (branches_.size() == 2 && chosen != nullptr && rejected != nullptr && !chosen->is_null() &&
        !rejected->is_null()) {
      out_.row.facts.scores = {number(*chosen, "/score_chosen"),
                               number(*rejected, "/score_rejected")};
      if (out_.row.facts.scores[0] < out_.row.facts.scores[1])
        refuse("inverted_scores", *chosen,
               "/score_chosen is " + chosen->text + ", below /score_rejected, " + rejected->text);
    }
    for (const auto& [key, value] : root_.members)
      if (std::find(std::begin(kRead), std::end(kRead), key) == std::end(kRead) &&
          !(options_.reference_response && key == "reference_response"))
        out_.extra_keys.push_back(key);
  }

  void check_branches() {
    const auto check_turns = [&](const std::vector<Message>& messages, size_t b) {
      for (size_t i = 0; i + 1 < messages.size(); ++i) {
        if (messages[i].role != messages[i + 1].role || messages[i].role == "tool") continue;
        if (options_.strict_turns)
          refuse("bad_turns", *branches_[b].json,
                 branches_[b].pointer + ": two messages of the role " + messages[i].role +
                     " follow each other");
        note("bad_turns");
      }
    };
    for (size_t b = 0; b < out_.row.branches.size(); ++b) {
      const Content& branch = out_.row.branches[b];
      const JsonValue& at = *branches_[b].json;
      if (branch.conversational()) {
        if (branch.messages.back().role != "assistant")
          refuse("bad_turns", at,
                 branches_[b].pointer + " ends with a message of the role " +
                     branch.messages.back().role + ", the assistant's is required");
        std::vector<Message> whole = out_.row.prompt.messages;
        whole.insert(whole.end(), branch.messages.begin(), branch.messages.end());
        check_turns(whole, b);
      }
      if (blank(branch.conversational() ? branch.messages.back().content : branch.text))
        refuse("empty_response", at, branches_[b].pointer + " is empty or only white space");
    }
    if (out_.row.branches.size() < 2) return;
    const Content &chosen = out_.row.branches[0], &rejected = out_.row.branches[1];
    if (chosen.text == rejected.text && chosen.messages == rejected.messages)
      refuse("identical_pair", *branches_[1].json,
             "/chosen and /rejected are equal, so the row teaches nothing");
  }

  const JsonValue& root_;
  const DialectOptions& options_;
  std::vector<Field> branches_;
  ParsedRow out_;
};

}  // namespace

std::string_view dialect_name(Dialect dialect) {
  for (const auto& entry : enum_names(Dialect{}))
    if (entry.value == dialect) return entry.name;
  return "?";
}

ParsedRow parse_row(std::string_view line, const DialectOptions& options) {
  const JsonValue root = parse_json_row(line);
  return RowParser(root, options).parse();
}

}  // namespace pref
