// SPDX-License-Identifier: Apache-2.0
// nlohmann-json made strict for untrusted files: repeated keys, byte-order marks, NUL bytes and
// nesting, count or size above a cap are errors with path, line and column. No recursion on the
// input. Needs nlohmann in the including file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "libpref/base/error.h"

namespace pref {

/// `text` in quotes, fit for one line of a message: control bytes, quotes and bytes that are not
/// UTF-8 are escaped, and what goes beyond max_bytes of output is cut ("...").
std::string escape_text(std::string_view text, size_t max_bytes = 80);

/// A value in a message: null, true, 3.5, "text", a list of 2, an object.
std::string describe_json(const nlohmann::ordered_json& value);

/// What a nlohmann exception complains about, without its prefix, position and copy of the input.
std::string json_syntax_message(const std::exception& error);

/// "a NUL byte" or "a UTF-8 byte-order mark" when `text` has one (nlohmann takes the first for the
/// end of the input and skips the second), and where; nullptr when it has none.
const char* find_forbidden_byte(std::string_view text, size_t* offset);

/// "line:column", both from 1, of a byte of `text`.
std::string line_and_column(std::string_view text, size_t offset);

struct JsonLimits {
  uint64_t max_bytes = 1'000'000;
  size_t max_depth = 32;
  size_t max_values = 100'000;
};

/// Parses a whole JSON text. Throws ErrorKind::data, `[where] path:line:column: ...`.
nlohmann::ordered_json parse_json(std::string_view text, std::string_view where,
                                  const std::string& path, const JsonLimits& limits = {});

/// Tells how far the parser has read, which SAX events do not.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

/// Runs nlohmann's SAX parser over `text`. *reached follows the parser: at an event it is just
/// after the event's token, or one byte later after a number. The handler reports errors by
/// throwing.
template <class Handler>
void parse_json_events(std::string_view text, Handler& handler, const char** reached) {
  *reached = text.data();
  const CountingIterator first(text.data(), reached), last(text.data() + text.size(), reached);
  if (!nlohmann::ordered_json::sax_parse(first, last, &handler))
    fail(ErrorKind::internal, "json", "the parser stopped without an error");
}

/// Offsets of tokens for a SAX handler: start() at every event but the closing ones, close() at
/// those.
class TokenOffsets {
 public:
  explicit TokenOffsets(std::string_view text) : text_(text) {}
  const char** reached() { return &reached_; }
  /// Where the token that was just read begins: only white space, ':' and ',' lie between two
  /// tokens.
  size_t start() {
    size_t at = previous_;
    while (at < text_.size() &&
           std::string_view(" \t\r\n:,").find(text_[at]) != std::string_view::npos)
      ++at;
    close();
    return at;
  }
  void close() { previous_ = static_cast<size_t>(reached_ - text_.data()); }

 private:
  std::string_view text_;
  const char* reached_ = nullptr;
  size_t previous_ = 0;
};

}  // namespace pref
