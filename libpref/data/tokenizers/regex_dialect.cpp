// SPDX-License-Identifier: Apache-2.0
// See regex_dialect.h. White space is the property White_Space in both engines, whereas PCRE2's \s
// adds U+180E; words are spelled out as the properties of Unicode TR18, whereas PCRE2's \w lacks
// the marks.
#include "libpref/data/tokenizers/regex_dialect.h"

#include <algorithm>
#include <array>

#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/unsupported.h"

namespace pref {
namespace {

constexpr std::array<std::string_view, 37> kCategories{
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};
constexpr std::array<std::string_view, 14> kScripts{
    "Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Georgian", "Greek",
    "Han",    "Hangul",   "Hebrew",  "Hiragana", "Katakana",   "Latin",    "Thai"};

class Translator {
 public:
  Translator(std::string_view pattern, RegexDialect dialect, const std::string& place)
      : in_(pattern), onig_(dialect == RegexDialect::oniguruma), place_(place) {}

  std::string run() {
    while (at_ < in_.size()) step();
    if (in_class_) refuse("a class without ]");
    return out_;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail_unsupported(place_, ": the pattern ", escape_text(in_), " uses ", what, " at byte ", at_,
                     ", which is not supported. Use the tokenizer.model of the same model where "
                     "there is one.");
  }
  bool here(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  void copy(size_t bytes) {
    out_.append(in_.substr(at_, bytes));
    at_ += bytes;
  }
  std::string word() const {
    return onig_ ? "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
                 : "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";
  }

  void step() {
    const char c = in_[at_];
    if (c == '\\') return escape();
    if (in_class_) return inside_class(c);
    if (c == '[') {
      in_class_ = true;
      copy(here("[^") ? 2 : 1);
      if (here("]")) refuse("an empty class");
      return;
    }
    if (c == '(') return group();
    if (c == '{') return interval();
    if (c == '^' || c == '$') {
      out_ += c == '^' ? (onig_ ? "(?m:^)" : "\\A") : (onig_ ? "(?m:$)" : "\\z");
      ++at_;
      return;
    }
    copy(1);
  }

  void inside_class(char c) {
    if (c == ']') in_class_ = false;
    if (c == '[') refuse("a class inside a class");
    if (here("&&") || (!onig_ && (here("--") || here("~~")))) refuse("a set operation");
    copy(1);
  }

  void group() {
    if (!here("(?")) {  // nothing refers back to groups, so they need not be remembered
      out_ += "(?:";
      ++at_;
      return;
    }
    for (const std::string_view known :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:", "(?i)", "(?-i)"})
      if (here(known)) return copy(known.size());
    refuse("the group " + escape_text(in_.substr(at_, 4)));
  }

  void interval() {
    const size_t close = in_.find('}', at_);
    const std::string_view body =
        close == std::string_view::npos ? "" : in_.substr(at_ + 1, close - at_ - 1);
    const auto digits = [](std::string_view text) {
      return text.size() <= 3 &&
             std::all_of(text.begin(), text.end(), [](char d) { return d >= '0' && d <= '9'; });
    };
    const size_t comma = std::min(body.find(','), body.size());
    const std::string_view low = body.substr(0, comma);
    const std::string_view high = comma < body.size() ? body.substr(comma + 1) : low;
    if (body.empty() || !digits(low) || !digits(high) || (low.empty() && high.empty()))
      refuse("a brace that is no interval");
    out_ += "{" + std::string(low.empty() ? "0" : low) +
            std::string(comma < body.size() ? "," : "") +
            std::string(comma < body.size() ? high : "") + "}";
    at_ = close + 1;
    // To Ruby a + behind an interval repeats the interval, to PCRE2 it makes it possessive.
    if (onig_ && here("+")) refuse("+ behind an interval");
  }

  void escape() {
    if (at_ + 1 == in_.size()) refuse("a backslash at the end");
    const char e = in_[at_ + 1];
    const auto emit = [&](std::string_view text) {
      out_ += text;
      at_ += 2;
    };
    switch (e) {
      case 's':
        return emit("\\p{White_Space}");
      case 'S':
        return emit("\\P{White_Space}");
      case 'd':
        return emit("\\p{Nd}");
      case 'D':
        return emit("\\P{Nd}");
      case 'w':
        return emit(in_class_ ? word() : "[" + word() + "]");
      case 'W':
        if (in_class_) refuse("\\W inside a class");
        return emit("[^" + word() + "]");
      case 'b':
      case 'B': {
        if (in_class_) refuse("\\b inside a class");
        const std::string w = "[" + word() + "]";
        const bool edge = e == 'b';
        return emit("(?:(?<=" + w + ")(?" + (edge ? "!" : "=") + w + ")|(?<!" + w + ")(?" +
                    (edge ? "=" : "!") + w + "))");
      }
      case 'v':
        return emit("\\x0B");
      case 'r':
      case 'n':
      case 't':
      case 'f':
        return copy(2);
      case 'A':
      case 'z':
        if (in_class_) refuse("an anchor inside a class");
        return copy(2);
      case 'x':
      case 'u':
        return code_point();
      case 'p':
      case 'P':
        return property();
      default:
        if (static_cast<unsigned char>(e) < 0x80 && e > ' ' && std::isalnum(e) == 0) return copy(2);
        if (e == ' ') return emit(" ");
        refuse("the escape " + escape_text(in_.substr(at_, 2)));
    }
  }

  void code_point() {
    size_t first = at_ + 2, size = in_[at_ + 1] == 'u' ? 4 : 2, end = first + size;
    if (first < in_.size() && in_[first] == '{') {
      end = std::min(in_.find('}', first), in_.size());
      ++first;
      size = end - first;
    }
    const std::string_view digits = in_.substr(std::min(first, in_.size()), size);
    if (digits.empty() || digits.size() != size || size > 6 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      refuse("a code point that is not hexadecimal");
    out_ += "\\x{" + std::string(digits) + "}";
    at_ = std::min(end + (in_[first - 1] == '{' ? 1 : 0), in_.size());
  }

  void property() {
    bool negated = in_[at_ + 1] == 'P';
    std::string_view name;
    size_t end = at_ + 3;
    if (at_ + 2 < in_.size() && in_[at_ + 2] == '{') {
      const size_t close = std::min(in_.find('}', at_), in_.size());
      name = in_.substr(at_ + 3, close - at_ - 3);
      end = close + 1;
    } else {
      name = in_.substr(std::min(at_ + 2, in_.size()), 1);
    }
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const bool category =
        std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end();
    const bool script = std::find(kScripts.begin(), kScripts.end(), name) != kScripts.end();
    if (!category && !script) refuse("the property " + escape_text(name));
    out_ +=
        std::string(negated ? "\\P{" : "\\p{") + (script ? "sc:" : "") + std::string(name) + "}";
    at_ = end;
  }

  std::string_view in_;
  bool onig_;
  const std::string& place_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

std::string translate_regex(std::string_view pattern, RegexDialect dialect,
                            const std::string& place) {
  return Translator(pattern, dialect, place).run();
}

}  // namespace pref
