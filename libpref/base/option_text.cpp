// SPDX-License-Identifier: Apache-2.0
// Quoting, list splitting and the codecs of the built-in option types.
#include "libpref/base/option_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "libpref/base/options.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace option_detail {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// The index after the quoted text that starts at `begin`, or npos when it does not end.
size_t end_of_quoted(std::string_view text, size_t begin) {
  const char quote = text[begin];
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\')
      ++i;
    else if (text[i] == quote && quote == '\'' && i + 1 < text.size() && text[i + 1] == quote)
      ++i;
    else if (text[i] == quote)
      return i + 1;
  }
  return std::string_view::npos;
}

bool is_quote(char c) { return c == '"' || c == '\''; }

}  // namespace

std::string format_number(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end.ptr);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool is_null_word(std::string_view text) {
  const std::string word = lower(trimmed(text));
  return word == "null" || word == "none" || word == "~";
}

std::string escaped_controls(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out.append("\\n");
    else if (c == '\r')
      out.append("\\r");
    else if (c == '\t')
      out.append("\\t");
    else if (is_control(c))
      out.append({'\\', 'x', kHex[(c >> 4) & 15], kHex[c & 15]});
    else
      out.push_back(c);
  }
  return out;
}

std::string quoted(std::string_view text) {
  std::string marked;
  for (const char c : text) {
    if (c == '"' || c == '\\') marked.push_back('\\');
    marked.push_back(c);
  }
  return "\"" + escaped_controls(marked) + "\"";
}

std::string shown(std::string_view text, size_t width) {
  const std::string cut = cut_to_width(text, width);
  return option_detail::quoted(cut) + (cut.size() < text.size() ? "..." : "");
}

std::optional<std::string> unquoted(std::string_view text) {
  if (text.size() < 2 || !is_quote(text[0]) || end_of_quoted(text, 0) != text.size())
    return std::nullopt;
  const char quote = text[0];
  text = text.substr(1, text.size() - 2);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quote == '\'') {
      if (text[i] == '\'') ++i;  // '' stands for one
      out.push_back(text[i]);
      continue;
    }
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    switch (text[++i]) {
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case '"':
        out.push_back('"');
        break;
      case '\\':
        out.push_back('\\');
        break;
      case 'x': {
        if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
          return std::nullopt;
        out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
        i += 2;
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return out;
}

std::optional<std::vector<std::string>> split_list(std::string_view text) {
  text = trimmed(text);
  std::vector<std::string> elements;
  const bool bracketed = !text.empty() && text.front() == '[';
  if (bracketed) {
    if (text.size() < 2 || text.back() != ']') return std::nullopt;
    text = trimmed(text.substr(1, text.size() - 2));
  }
  if (text.empty()) return elements;
  for (size_t at = 0;;) {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
    size_t end = at;
    if (at < text.size() && is_quote(text[at])) {
      end = end_of_quoted(text, at);
      if (end == std::string_view::npos) return std::nullopt;
      elements.emplace_back(text.substr(at, end - at));
      while (end < text.size() && (text[end] == ' ' || text[end] == '\t')) ++end;
      if (end < text.size() && text[end] != ',') return std::nullopt;
    } else {
      end = std::min(text.find(',', at), text.size());
      const std::string_view element = trimmed(text.substr(at, end - at));
      if (element.empty() || (bracketed && element.find_first_of("[]") != std::string_view::npos))
        return std::nullopt;
      elements.emplace_back(element);
    }
    if (end == text.size()) return elements;
    at = end + 1;
  }
}

namespace {

// parse: text -> value, false when malformed. check: malformed (not finite), outside or good. One
// overload per type.

bool parse(std::string_view text, bool& value) {
  const std::string word = lower(trimmed(text));
  if (word == "true" || word == "yes" || word == "1")
    value = true;
  else if (word == "false" || word == "no" || word == "0")
    value = false;
  else
    return false;
  return true;
}

template <class Number>
bool parse_number(std::string_view text, Number& value) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}
bool parse(std::string_view text, int64_t& value) { return parse_number(text, value); }
bool parse(std::string_view text, double& value) {
  return parse_number(text, value) && std::isfinite(value);
}

bool parse(std::string_view text, std::string& value) {
  // An empty YAML value is null: taking it for the word would hide a forgotten one. `none` is an
  // ordinary word here.
  if (is_null_word(text) && lower(trimmed(text)) != "none") return false;
  if (auto inner = unquoted(text))
    value = std::move(*inner);
  else
    value = text;
  return true;
}

template <class T>
bool parse(std::string_view text, std::vector<T>& value) {
  const auto elements = split_list(text);
  if (!elements) return false;
  for (const std::string& element : *elements)
    if (!parse(element, value.emplace_back())) return false;
  return true;
}

template <class T>
bool parse(std::string_view text, std::optional<T>& value) {
  if (is_null_word(text)) return true;
  return parse(text, value.emplace());
}

std::string format(bool value) { return value ? "true" : "false"; }
std::string format(int64_t value) { return std::to_string(value); }
std::string format(double value) { return format_number(value); }
std::string format(const std::string& value) { return option_scalar(value, false); }
std::string format_element(double value) { return format_number(value); }
std::string format_element(const std::string& value) { return option_scalar(value, true); }
template <class T>
std::string format(const std::vector<T>& value) {
  std::string out = "[";
  for (const T& element : value)
    out.append(out.size() > 1 ? ", " : "").append(format_element(element));
  return out.append("]");
}
template <class T>
std::string format(const std::optional<T>& value) {
  return value ? format(*value) : "null";
}

Verdict check(bool, const Range&) { return Verdict::good; }
Verdict check(const std::string&, const Range&) { return Verdict::good; }
Verdict check(int64_t value, const Range& range) {
  return range.contains(static_cast<double>(value)) ? Verdict::good : Verdict::outside;
}
Verdict check(double value, const Range& range) {
  if (!std::isfinite(value)) return Verdict::malformed;
  return range.contains(value) ? Verdict::good : Verdict::outside;
}
template <class T>
Verdict check(const std::vector<T>& value, const Range& range) {
  for (const T& element : value)
    if (const Verdict verdict = check(element, range); verdict != Verdict::good) return verdict;
  return Verdict::good;
}
template <class T>
Verdict check(const std::optional<T>& value, const Range& range) {
  return value ? check(*value, range) : Verdict::good;
}

template <class T>
class ValueCodec final : public Codec {
 public:
  ValueCodec(std::string type, std::string expects)
      : type_(std::move(type)), expects_(std::move(expects)) {}
  Verdict assign(std::string_view text, const Range& range, void* value) const override {
    T result{};
    if (!parse(text, result)) return Verdict::malformed;
    const Verdict verdict = option_detail::check(result, range);
    if (verdict == Verdict::good) *static_cast<T*>(value) = std::move(result);
    return verdict;
  }
  Verdict check(const void* value, const Range& range) const override {
    return option_detail::check(*static_cast<const T*>(value), range);
  }
  std::string format(const void* value) const override {
    return option_detail::format(*static_cast<const T*>(value));
  }
  std::string type() const override { return type_; }
  std::string expects() const override { return expects_; }
  std::string bounds(const Range& range) const override { return range_text(range); }

 private:
  std::string type_, expects_;
};

}  // namespace

#define PREF_OPTION_TYPE(T, type, expects)              \
  const Codec& codec_for(const T*) {                    \
    static const ValueCodec<T> instance(type, expects); \
    return instance;                                    \
  }                                                     \
  static_assert(true)
#define PREF_OPTIONAL_TYPE(T, type, expects) \
  PREF_OPTION_TYPE(T, type, expects);        \
  PREF_OPTION_TYPE(std::optional<T>, type " or null", expects " or null")
PREF_OPTIONAL_TYPE(bool, "boolean", "true or false");
PREF_OPTIONAL_TYPE(int64_t, "integer", "an integer");
PREF_OPTIONAL_TYPE(double, "number", "a finite number");
PREF_OPTIONAL_TYPE(std::string, "text", "a text");
PREF_OPTION_TYPE(std::vector<std::string>, "list of texts", "a list of texts such as [a, b]");
PREF_OPTION_TYPE(std::vector<double>, "list of numbers",
                 "a list of finite numbers such as [0.5, 2]");
#undef PREF_OPTIONAL_TYPE
#undef PREF_OPTION_TYPE

Verdict EnumCodec::assign(std::string_view text, const Range&, void* value) const {
  text = trimmed(text);
  for (size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] != text) continue;
    set(value, i);
    return Verdict::good;
  }
  if (!optional_ || !is_null_word(text)) return Verdict::malformed;
  set(value, kEmpty);
  return Verdict::good;
}
Verdict EnumCodec::check(const void* value, const Range&) const {
  return get(value) == kUnnamed ? Verdict::malformed : Verdict::good;
}
std::string EnumCodec::format(const void* value) const {
  const size_t index = get(value);
  if (index == kUnnamed) return "a value without a name";
  return index == kEmpty ? "null" : std::string(names_[index]);
}
std::string EnumCodec::type() const { return optional_ ? "choice or null" : "choice"; }
std::string EnumCodec::expects() const {
  std::string out = "one of ";
  for (size_t i = 0; i < names_.size(); ++i) out.append(i ? ", " : "").append(names_[i]);
  return optional_ ? out + ", or null" : out;
}
std::string EnumCodec::bounds(const Range&) const { return expects(); }

}  // namespace option_detail

std::string option_scalar(std::string_view text, bool in_list, bool literal) {
  using namespace option_detail;
  bool needs_quotes = (literal && is_null_word(text)) || (!text.empty() && is_quote(text[0]));
  for (const char c : text) needs_quotes |= is_control(c);
  if (in_list)
    needs_quotes |= text.empty() || trimmed(text) != text ||
                    text.find_first_of(",[]{}") != std::string_view::npos;
  return needs_quotes ? quoted(text) : std::string(text);
}

}  // namespace pref
