// SPDX-License-Identifier: Apache-2.0
// See normalizer.h. The steps write into two buffers in turn; the third is for the regex subject.
#include "libpref/data/tokenizers/normalizer.h"
#include "libpref/data/tokenizers/growth.h"

#include <algorithm>

namespace pref {
namespace {

void replace_text(std::string_view text, const std::string& what, const std::string& content,
                  size_t most, std::string& out) {
  size_t from = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, from)) {
    check_growth(out.size() + content.size(), most);
    out.append(text.substr(from, at - from)).append(content);
    from = at + what.size();
  }
  out.append(text.substr(from));
}

void replace_matches(std::string_view text, const Regex& regex, const std::string& content,
                     size_t most, std::string& out, std::string& buffer) {
  const std::string_view subject = Regex::subject(text, buffer);
  size_t copied = 0, begin = 0, end = 0;
  for (size_t from = 0; from <= text.size() && regex.find(subject, from, begin, end);) {
    check_growth(out.size() + content.size(), most);
    out.append(text.substr(copied, begin - copied)).append(content);
    copied = end;
    from = end;
    if (begin == end) {  // an empty match: go on behind the next character
      if (end == text.size()) break;
      next_character(text, from);
    }
  }
  out.append(text.substr(copied));
}

}  // namespace

bool Normalizer::prepends() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const NormalizerStep& step) {
    return step.kind == NormalizerStep::Kind::prepend;
  });
}

std::string_view Normalizer::apply(std::string_view text, bool prefix,
                                   std::string (&buffers)[3]) const {
  using Kind = NormalizerStep::Kind;
  size_t next = 0;
  const size_t most = growth_limit(text.size());
  for (const NormalizerStep& step : steps_) {
    std::string& out = buffers[next];
    out.clear();
    switch (step.kind) {
      case Kind::form:
        if (is_ascii(text)) continue;
        append_normal_form(text, step.form, out);
        break;
      case Kind::lower_case:
        append_lower_case(text, out);
        break;
      case Kind::prepend:
        if (!prefix || text.empty()) continue;
        out.append(step.text).append(text);
        break;
      case Kind::replace:
        replace_text(text, step.text, step.content, most, out);
        break;
      case Kind::replace_regex:
        replace_matches(text, *step.regex, step.content, most, out, buffers[2]);
        break;
      case Kind::strip:
        if (step.left) text.remove_prefix(white_space_prefix(text));
        if (step.right) text.remove_suffix(white_space_suffix(text));
        continue;
      case Kind::strip_accents:
        append_without_marks(text, out);
        break;
    }
    check_growth(out.size(), most);
    text = out;
    next = 1 - next;
  }
  return text;
}

}  // namespace pref
