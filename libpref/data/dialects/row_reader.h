// SPDX-License-Identifier: Apache-2.0
// What the readers of layouts share: fields that are text or messages, the errors about them, which
// keys were read, and the row under construction. A family of layouts reads a row's fields and
// hands its prompt and responses to one of the joiners below; scores, weights and other facts have
// one reader for all of them (facts.cpp).
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/dialect.h"

namespace pref::dialects {

inline constexpr std::string_view kHuman = "\n\nHuman:", kAssistant = "\n\nAssistant:";

[[noreturn]] void refuse(const char* code, const JsonValue& at, const std::string& text);
[[noreturn]] void refuse_type(const std::string& pointer, const JsonValue& found,
                              const std::string& expected);
bool blank(std::string_view text);
/// True where the object has the key, with a value other than null.
bool has(const JsonValue& root, std::string_view key);
bool has_string(const JsonValue& root, std::string_view key);
bool has_array(const JsonValue& root, std::string_view key);

/// A value that is text or messages, with where it stands.
struct Field {
  const JsonValue* json = nullptr;  ///< nullptr where the row has none
  std::string pointer;
  Content content;
  bool chat() const { return json != nullptr && !json->is_string(); }
};

class RowReader {
 public:
  RowReader(const JsonValue& root, const DialectOptions& options) : root(root), options(options) {}
  const JsonValue& root;
  const DialectOptions& options;
  ParsedRow out;
  std::vector<Field>
      branches;              ///< in step with out.row.branches; for a supervised list its one field
  bool ranked_list = false;  ///< branches are put in the order of `order`, or of the scores
  std::vector<double> order;  ///< [branches] higher is better; empty: scores, else as they stand

  /// The member of the row, marked as read; nullptr when absent or null.
  const JsonValue* find(std::string_view key);
  /// The member, which must be there; a null is returned for the caller to refuse.
  const JsonValue& require_member(std::string_view key);
  /// Text, a message or a list of messages.
  Field field(std::string_view key, bool required = true);
  /// A string that is not blank; "" when it is absent, null or blank.
  std::string optional_text(std::string_view key);
  /// A list of responses, each of which is text, a message or a list of messages.
  std::vector<Field> response_list(std::string_view key);
  Field value_field(const JsonValue& value, std::string pointer);
  double number(const JsonValue& value, const std::string& pointer) const;
  void note(const char* code);
  void note_nul(const JsonValue& value);
  [[noreturn]] void missing(std::string_view key) const;
  /// Keys of the row that were never asked for.
  std::vector<std::string> unread() const;

  /// The one parser of messages: {role, content} or ShareGPT's {from, value}, with whatever else
  /// the message has.
  std::vector<Message> read_messages(const JsonValue& list, const std::string& pointer);

  /// Prompt and responses become the row; returns the layout that their forms make. A prompt
  /// without json is implicit: the common beginning of the responses.
  Dialect join(const Field& prompt, std::vector<Field> responses);
  /// The same under a prompt of messages; text responses become assistant messages.
  void join_chat(std::vector<Message> prompt, std::vector<Field> responses);
  /// [system,] user messages.
  static std::vector<Message> opening(const std::string& system, const std::string& user);

 private:
  Message read_message(const JsonValue& item, const std::string& pointer);
  Content answer(const Field& branch, const std::vector<Message>& prompt) const;
  void split_conversations();
  void split_ultrafeedback(const Field& prompt);
  void split_texts();

  std::vector<std::string_view> read_;
};

/// What a file says beside texts: id, scores, win probabilities, weight, margin, label, token
/// rewards, reference prompt, tools and chat_template_kwargs.
void read_facts(RowReader& row);
/// A truth value: true, false, 1 or 0.
bool read_label(const JsonValue& value, const std::string& pointer);

/// Puts a list's branches in order and picks pairs of it; notes ties. `line` seeds the draw.
void arrange_list(RowReader& row, std::string_view line);

/// The turns of a transcript, their texts as they stand (with the space after the colon).
std::vector<Message> read_transcript(std::string_view text);
void split_transcripts(RowReader& row);

/// One layout, or a few that differ in form only.
struct Family {
  std::span<const Dialect> dialects;
  bool (*matches)(const JsonValue& root);
  void (*parse)(RowReader& row);
};

}  // namespace pref::dialects
