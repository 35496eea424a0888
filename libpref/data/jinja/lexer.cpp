// SPDX-License-Identifier: Apache-2.0
// See lexer.h.
#include "libpref/data/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "libpref/data/jinja/unicode.h"
#include "libpref/data/jinja/value.h"
#include "libpref/data/whitespace.h"

namespace pref::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

/// Newlines of all three kinds as "\n", and one at the very end dropped.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) read_data();
    add(TokenKind::end);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail_here(const std::string& what) const { throw Failure{what, line_}; }
  bool at(std::string_view what) const {
    return std::string_view(text_).substr(at_).starts_with(what);
  }
  Token& add(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, line_, std::move(text)});
    return tokens_.back();
  }
  /// Moves to `end`, counting lines; `line_start_` tells whether a newline was the last character.
  void move_to(size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<ptrdiff_t>(at_),
                                         text_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    line_start_ = end > at_ && text_[end - 1] == '\n';
    at_ = end;
  }
  size_t skip_space(size_t at) const {
    while (const size_t bytes = at < text_.size() ? whitespace_bytes(text_, at) : 0) at += bytes;
    return at;
  }
  static bool is_space(std::string_view text) { return !text.empty() && strip(text).empty(); }

  /// Text up to the next tag, with the white space before it handled, and the tag.
  void read_data() {
    size_t tag = at_;
    while ((tag = text_.find('{', tag)) != std::string::npos &&
           (tag + 1 >= text_.size() ||
            std::string_view("{%#").find(text_[tag + 1]) == std::string::npos))
      ++tag;
    if (tag == std::string::npos) {
      add(TokenKind::data, text_.substr(at_));
      return move_to(text_.size());
    }
    const char kind = text_[tag + 1];
    size_t behind = tag + 2;
    const char sign = behind < text_.size() && (text_[behind] == '-' || text_[behind] == '+')
                          ? text_[behind++]
                          : '\0';
    add_data(text_.substr(at_, tag - at_), sign, kind != '{');
    const size_t raw = kind == '%' ? raw_begin(behind) : std::string::npos;
    if (raw != std::string::npos) {
      move_to(raw);
      return read_raw();
    }
    move_to(behind);
    if (kind == '#') return read_comment();
    add(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin);
    read_code(kind == '{');
  }

  void add_data(std::string data, char sign, bool may_strip) {
    if (sign == '-') {
      while (!data.empty()) {
        const size_t last = character_start(data, data.size() - 1);
        if (whitespace_bytes(data, last) == 0) break;
        data.resize(last);
      }
    } else if (sign != '+' && may_strip) {
      const size_t newline = data.rfind('\n');
      const size_t start = newline == std::string::npos ? 0 : newline + 1;
      if ((start > 0 || line_start_) && is_space(std::string_view(data).substr(start)))
        data.resize(start);
    }
    if (!data.empty()) add(TokenKind::data, std::move(data));
  }

  /// Where `raw %}` ends that begins at `at`, npos if something else stands there.
  size_t raw_begin(size_t at) const {
    at = skip_space(at);
    if (text_.compare(at, 3, "raw") != 0) return std::string::npos;
    at = skip_space(at + 3);
    if (text_.compare(at, 3, "-%}") == 0) return skip_space(at + 3);
    return text_.compare(at, 2, "%}") == 0 ? at + 2 : std::string::npos;
  }

  void read_raw() {
    for (size_t tag = at_; (tag = text_.find("{%", tag)) != std::string::npos; ++tag) {
      size_t at = tag + 2;
      const char sign =
          at < text_.size() && (text_[at] == '-' || text_[at] == '+') ? text_[at++] : '\0';
      at = skip_space(at);
      if (text_.compare(at, 6, "endraw") != 0) continue;
      const size_t end = tag_end(skip_space(at + 6), "%}", true);
      if (end == std::string::npos) continue;
      add_data(text_.substr(at_, tag - at_), sign, true);
      return move_to(end);
    }
    if (at_ < text_.size()) fail_here("{% raw %} without {% endraw %}");
  }

  /// The end of a tag's closing mark that stands at `at`, with the white space it takes along.
  size_t tag_end(size_t at, std::string_view mark, bool trims) const {
    if (text_.compare(at, 1, "-") == 0 && text_.compare(at + 1, 2, mark) == 0)
      return skip_space(at + 3);
    if (trims && text_.compare(at, 1, "+") == 0 && text_.compare(at + 1, 2, mark) == 0)
      return at + 3;
    if (text_.compare(at, 2, mark) != 0) return std::string::npos;
    return trims && text_.compare(at + 2, 1, "\n") == 0 ? at + 3 : at + 2;
  }

  void read_comment() {
    size_t end = text_.find("#}", at_);
    if (at_ == text_.size()) return;  // jinja2 lets a template end in an opening mark
    if (end == std::string::npos) fail_here("a comment without #}");
    if (end > at_ && (text_[end - 1] == '-' || text_[end - 1] == '+')) --end;
    move_to(tag_end(end, "#}", true));
  }

  /// The tokens of an expression or statement and its end.
  void read_code(bool variable) {
    std::string open;
    const int first_line = line_;
    while (true) {
      const size_t space = skip_space(at_);
      if (space > at_) move_to(space);
      if (at_ >= text_.size()) {
        line_ = first_line;
        fail_here(variable ? "{{ without }}" : "{% without %}");
      }
      if (open.empty()) {
        const size_t end = tag_end(at_, variable ? "}}" : "%}", !variable);
        if (end != std::string::npos) {
          add(variable ? TokenKind::variable_end : TokenKind::block_end);
          return move_to(end);
        }
      }
      const char c = text_[at_];
      if (is_digit(c)) {
        read_number();
      } else if (is_name_char(c)) {
        size_t end = at_;
        while (end < text_.size() && is_name_char(text_[end])) ++end;
        add(TokenKind::name, text_.substr(at_, end - at_));
        move_to(end);
      } else if (c == '"' || c == '\'') {
        read_string();
      } else {
        read_symbol(open);
      }
    }
  }

  void read_symbol(std::string& open) {
    constexpr std::string_view kLong[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
    size_t size = 0;
    for (const std::string_view symbol : kLong)
      if (at(symbol)) size = 2;
    const char c = text_[at_];
    if (size == 0 && kShort.find(c) != std::string_view::npos) size = 1;
    if (size == 0) fail_here("an unexpected character, " + quoted_character());
    if (c == '{' || c == '(' || c == '[') {
      open += c == '{' ? '}' : c == '(' ? ')' : ']';
    } else if (c == '}' || c == ')' || c == ']') {
      if (open.empty() || open.back() != c) fail_here(std::string("an unexpected ") + c);
      open.pop_back();
    }
    add(TokenKind::symbol, text_.substr(at_, size));
    move_to(at_ + size);
  }

  std::string quoted_character() const {
    size_t end = at_;
    const uint32_t code = next_code_point(text_, &end);
    return is_printable(code) ? "'" + text_.substr(at_, end - at_) + "'"
                              : "code point " + std::to_string(code);
  }

  /// Digits with single underscores between them; returns the end.
  size_t digits_end(size_t at, int base) const {
    const auto is = [&](size_t i) { return i < text_.size() && digit_value(text_[i]) < base; };
    while (is(at) || (at < text_.size() && text_[at] == '_' && is(at + 1))) ++at;
    return at;
  }

  void read_number() {
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    const size_t whole = digits_end(at_, 10);
    size_t end = whole;
    const auto next_is_digit = [&](size_t at) { return at < text_.size() && is_digit(text_[at]); };
    if (!after_dot) {
      if (end < text_.size() && text_[end] == '.' && next_is_digit(end + 1))
        end = digits_end(end + 1, 10);
      if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
        const size_t sign =
            end + 1 < text_.size() && (text_[end + 1] == '+' || text_[end + 1] == '-');
        if (next_is_digit(end + 1 + sign)) end = digits_end(end + 1 + sign, 10);
      }
    }
    if (end > whole) {
      const std::string digits = without_underscores(at_, end);
      double value = 0;
      if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc())
        fail_here("a number beyond double precision");
      add(TokenKind::real).real = value;
      return move_to(end);
    }
    read_integer();
  }

  void read_integer() {
    int base = 10;
    size_t begin = at_;
    if (text_[at_] == '0' && at_ + 1 < text_.size()) {
      const char mark = static_cast<char>(text_[at_ + 1] | 0x20);
      const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
      const size_t first = at_ + 2 + (at_ + 2 < text_.size() && text_[at_ + 2] == '_');
      if (marked != 10 && first < text_.size() && digit_value(text_[first]) < marked) {
        base = marked;
        begin = first;
      }
    }
    size_t end = digits_end(begin, base);
    if (base == 10 && text_[begin] == '0') {  // as in Python, 0 may only be followed by zeros
      end = begin + 1;
      while (end < text_.size() &&
             (text_[end] == '0' ||
              (text_[end] == '_' && end + 1 < text_.size() && text_[end + 1] == '0')))
        ++end;
    }
    const std::string digits = without_underscores(begin, end);
    int64_t value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (read.ec != std::errc()) fail_here("an integer beyond 64 bits");
    add(TokenKind::integer).integer = value;
    move_to(end);
  }

  std::string without_underscores(size_t begin, size_t end) const {
    std::string out = text_.substr(begin, end - begin);
    std::erase(out, '_');
    return out;
  }

  void read_string() {
    const char quote = text_[at_];
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail_here("a string without its closing quote");
    const std::string_view body = std::string_view(text_).substr(at_ + 1, end - at_ - 1);
    std::string value;
    for (size_t i = 0; i < body.size();) {
      if (body[i] != '\\')
        value += body[i++];
      else
        i = read_escape(body, i + 1, value);
    }
    add(TokenKind::string, std::move(value));
    move_to(end + 1);
  }

  /// One escape of Python's, whose backslash stands before `i`; returns where it ends.
  size_t read_escape(std::string_view body, size_t i, std::string& out) {
    const char c = body[i];
    constexpr std::string_view kNames = "abfnrtv\\'\"", kValues = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t found = kNames.find(c); found != std::string_view::npos) {
      out += kValues[found];
      return i + 1;
    }
    if (c == '\n') return i + 1;
    if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      size_t end = i;
      while (end < body.size() && end < i + 3 && digit_value(body[end]) < 8)
        code = code * 8 + static_cast<uint32_t>(digit_value(body[end++]));
      append_code_point(out, code);
      return end;
    }
    const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == 'N') fail_here("\\N{...} in a string is not supported; write the character itself");
    if (length == 0) {
      out += '\\';
      if (static_cast<unsigned char>(c) < 0x80) {
        out += c;
        return i + 1;
      }
      // jinja2 turns other characters into escapes first, of which the backslash then takes one.
      size_t end = i;
      const uint32_t code = next_code_point(body, &end);
      char escape[16];
      std::snprintf(escape, sizeof escape,
                    code < 0x100     ? "x%02x"
                    : code < 0x10000 ? "u%04x"
                                     : "U%08x",
                    code);
      out += escape;
      return end;
    }
    uint32_t code = 0;
    for (size_t k = 1; k <= length; ++k) {
      if (i + k >= body.size() || digit_value(body[i + k]) >= 16)
        fail_here(std::string("a truncated \\") + c + " escape in a string");
      code = code * 16 + static_cast<uint32_t>(digit_value(body[i + k]));
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      fail_here(std::string("a \\") + c + " escape in a string that is no character");
    append_code_point(out, code);
    return i + 1 + length;
  }

  std::string text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_start_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace pref::jinja
