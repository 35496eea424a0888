// SPDX-License-Identifier: Apache-2.0
// Methods of texts, by code points as Python's str has them.
#include <algorithm>

#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/text.h"
#include "libpref/data/jinja/unicode.h"
#include "libpref/data/whitespace.h"

namespace pref::jinja {
namespace {

using Args = Arguments;

void check(const Args& arguments, std::string_view who, size_t least, size_t most) {
  if (!arguments.named.empty()) refuse("str.", who, " takes no named arguments");
  if (arguments.positional.size() < least || arguments.positional.size() > most)
    refuse("str.", who, " takes ", least, " to ", most, " arguments, not ",
           arguments.positional.size());
}

/// A text of self's kind.
Value like(Runtime& runtime, const Value& self, std::string text) {
  runtime.budget.text(text.size());
  return Value::string(std::move(text), self.is_markup());
}

Value upper(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "upper", 0, 0);
  return like(runtime, self, to_upper(self.text()));
}
Value lower(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "lower", 0, 0);
  return like(runtime, self, to_lower(self.text()));
}
Value title(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "title", 0, 0);
  return like(runtime, self, to_title(self.text()));
}
Value capitalize(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "capitalize", 0, 0);
  return like(runtime, self, to_capitalized(self.text()));
}

Value strip_by(Runtime& runtime, const Value& self, Args& arguments, bool left, bool right) {
  check(arguments, "strip", 0, 1);
  const bool has_set = !arguments.positional.empty() && !arguments.positional[0].is(Kind::none);
  const std::string* set = has_set ? &text_argument(arguments.positional[0], "str.strip") : nullptr;
  return like(runtime, self, strip_text(self.text(), set, left, right));
}
Value strip_both(Runtime& runtime, const Value& self, Args& arguments) {
  return strip_by(runtime, self, arguments, true, true);
}
Value strip_left(Runtime& runtime, const Value& self, Args& arguments) {
  return strip_by(runtime, self, arguments, true, false);
}
Value strip_right(Runtime& runtime, const Value& self, Args& arguments) {
  return strip_by(runtime, self, arguments, false, true);
}

Value list_like(Runtime& runtime, const Value& self, const std::vector<std::string_view>& pieces,
                Sequence::Flavor flavor = Sequence::Flavor::list) {
  runtime.budget.text(self.text().size());
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces)
    items.push_back(Value::string(std::string(piece), self.is_markup()));
  return make_sequence(runtime.budget, std::move(items), flavor);
}

Value split_by(Runtime& runtime, const Value& self, Args& arguments, bool from_right) {
  const auto given = bind(arguments, "str.split", {"sep", "maxsplit"});
  const int64_t most = integer_argument(given[1], -1, "str.split");
  const bool has_mark = given[0] && !given[0]->is(Kind::none);
  if (!has_mark)
    return list_like(
        runtime, self,
        from_right ? split_words_right(self.text(), most) : split_words(self.text(), most));
  const std::string& mark = text_argument(*given[0], "str.split");
  if (mark.empty()) refuse("str.split by an empty text");
  return list_like(
      runtime, self,
      from_right ? split_text_right(self.text(), mark, most) : split_text(self.text(), mark, most));
}
Value split(Runtime& runtime, const Value& self, Args& arguments) {
  return split_by(runtime, self, arguments, false);
}
Value rsplit(Runtime& runtime, const Value& self, Args& arguments) {
  return split_by(runtime, self, arguments, true);
}

Value splitlines(Runtime& runtime, const Value& self, Args& arguments) {
  const auto given = bind(arguments, "str.splitlines", {"keepends"});
  return list_like(runtime, self, split_lines(self.text(), truth_argument(given[0], false)));
}

Value partition_by(Runtime& runtime, const Value& self, Args& arguments, bool from_right) {
  check(arguments, "partition", 1, 1);
  const std::string& mark = text_argument(arguments.positional[0], "str.partition");
  if (mark.empty()) refuse("str.partition by an empty text");
  const std::string_view text = self.text();
  const size_t at = from_right ? text.rfind(mark) : text.find(mark);
  std::vector<std::string_view> parts{text, "", ""};
  if (at != std::string_view::npos)
    parts = {text.substr(0, at), mark, text.substr(at + mark.size())};
  else if (from_right)
    parts = {"", "", text};
  return list_like(runtime, self, parts, Sequence::Flavor::tuple);
}
Value partition(Runtime& runtime, const Value& self, Args& arguments) {
  return partition_by(runtime, self, arguments, false);
}
Value rpartition(Runtime& runtime, const Value& self, Args& arguments) {
  return partition_by(runtime, self, arguments, true);
}

/// The part of self that the arguments after the first (start, end) leave.
struct Part {
  std::string_view text;
  size_t begin = 0;  ///< in code points
  bool valid = true;
};
Part part_of(Runtime& runtime, const Value& self, const Args& arguments) {
  runtime.budget.text(std::min(self.text().size(), runtime.budget.limits().output));
  const auto size = static_cast<int64_t>(length(self));
  const auto bound = [&](size_t index, int64_t otherwise) {
    if (arguments.positional.size() <= index || arguments.positional[index].is(Kind::none))
      return otherwise;
    const int64_t at = integer_argument(arguments.positional[index], 0, "str");
    return at < 0 ? std::max<int64_t>(at < -size ? 0 : at + size, 0) : at;
  };
  const int64_t begin = bound(1, 0), end = std::min(bound(2, size), size);
  if (begin > end) return {{}, 0, false};
  const std::string_view text = self.text();
  const auto offset = [&](int64_t at) {
    return self.is_ascii() ? static_cast<size_t>(at)
                           : code_point_offset(text, static_cast<size_t>(at));
  };
  const size_t first = offset(begin);
  return {text.substr(first, offset(end) - first), static_cast<size_t>(begin), true};
}

Value affix(Runtime& runtime, const Value& self, Args& arguments, bool at_end) {
  check(arguments, at_end ? "endswith" : "startswith", 1, 3);
  const Part part = part_of(runtime, self, arguments);
  const auto test = [&](const Value& value) {
    const std::string& what = text_argument(value, "str.startswith");
    return part.valid && (at_end ? part.text.ends_with(what) : part.text.starts_with(what));
  };
  const Value& what = arguments.positional[0];
  if (!what.is(Kind::sequence) || what.sequence().flavor != Sequence::Flavor::tuple)
    return Value::boolean(test(what));
  for (const Value& item : what.sequence().items)
    if (test(item)) return Value::boolean(true);
  return Value::boolean(false);
}
Value startswith(Runtime& runtime, const Value& self, Args& arguments) {
  return affix(runtime, self, arguments, false);
}
Value endswith(Runtime& runtime, const Value& self, Args& arguments) {
  return affix(runtime, self, arguments, true);
}

Value find_by(Runtime& runtime, const Value& self, Args& arguments, bool last, bool must) {
  check(arguments, "find", 1, 3);
  const Part part = part_of(runtime, self, arguments);
  const std::string& what = text_argument(arguments.positional[0], "str.find");
  const size_t at = !part.valid ? std::string_view::npos
                    : last      ? part.text.rfind(what)
                                : part.text.find(what);
  if (at != std::string_view::npos)
    return Value::integer(
        static_cast<int64_t>(part.begin + count_code_points(part.text.substr(0, at))));
  if (must) refuse("str.index: the text is not there");
  return Value::integer(-1);
}
Value find(Runtime& runtime, const Value& self, Args& arguments) {
  return find_by(runtime, self, arguments, false, false);
}
Value rfind(Runtime& runtime, const Value& self, Args& arguments) {
  return find_by(runtime, self, arguments, true, false);
}
Value index(Runtime& runtime, const Value& self, Args& arguments) {
  return find_by(runtime, self, arguments, false, true);
}
Value rindex(Runtime& runtime, const Value& self, Args& arguments) {
  return find_by(runtime, self, arguments, true, true);
}

Value count(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "count", 1, 3);
  const Part part = part_of(runtime, self, arguments);
  const std::string& what = text_argument(arguments.positional[0], "str.count");
  if (!part.valid) return Value::integer(0);
  if (what.empty()) return Value::integer(static_cast<int64_t>(count_code_points(part.text)) + 1);
  int64_t found = 0;
  for (size_t at = 0; (at = part.text.find(what, at)) != std::string_view::npos; at += what.size())
    ++found;
  return Value::integer(found);
}

Value replace(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "replace", 2, 3);
  const auto& given = arguments.positional;
  const std::string& old = text_argument(given[0], "str.replace");
  std::string with = text_argument(given[1], "str.replace");
  if (self.is_markup() && !given[1].is_markup()) with = escape_html(with);
  const int64_t most = given.size() == 3 ? integer_argument(given[2], -1, "str.replace") : -1;
  return Value::string(replace_text(runtime.budget, self.text(), old, with, most),
                       self.is_markup());
}

Value join(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "join", 1, 1);
  std::string out;
  bool first = true;
  Values values(runtime.budget, arguments.positional[0]);
  for (Value value; values.next(&value);) {
    if (!std::exchange(first, false)) out += self.text();
    if (self.is_markup() && !value.is_markup())
      out += escape_html(to_text(runtime.budget, value));
    else
      out += text_argument(value, "str.join");
    if (out.size() > runtime.budget.limits().output) break;
  }
  return like(runtime, self, std::move(out));
}

Value format(Runtime& runtime, const Value& self, Args& arguments) {
  return like(runtime, self, format_braces(runtime, self.text(), arguments, self.is_markup()));
}

Value remove_affix(Runtime& runtime, const Value& self, Args& arguments, bool at_end) {
  check(arguments, "removeprefix", 1, 1);
  const std::string& what = text_argument(arguments.positional[0], "str.removeprefix");
  std::string_view text = self.text();
  if (at_end && text.ends_with(what)) text.remove_suffix(what.size());
  if (!at_end && text.starts_with(what)) text.remove_prefix(what.size());
  return like(runtime, self, std::string(text));
}
Value removeprefix(Runtime& runtime, const Value& self, Args& arguments) {
  return remove_affix(runtime, self, arguments, false);
}
Value removesuffix(Runtime& runtime, const Value& self, Args& arguments) {
  return remove_affix(runtime, self, arguments, true);
}

Value pad(Runtime& runtime, const Value& self, Args& arguments, Padding padding) {
  check(arguments, "center", 1, 2);
  const int64_t width = integer_argument(arguments.positional[0], 0, "str.center");
  std::string fill = " ";
  if (arguments.positional.size() == 2) fill = text_argument(arguments.positional[1], "str.center");
  if (count_code_points(fill) != 1) refuse("str.center fills with one character");
  return Value::string(pad_text(runtime.budget, self.text(), width, fill, padding),
                       self.is_markup());
}
Value center(Runtime& runtime, const Value& self, Args& arguments) {
  return pad(runtime, self, arguments, Padding::both);
}
Value ljust(Runtime& runtime, const Value& self, Args& arguments) {
  return pad(runtime, self, arguments, Padding::right);
}
Value rjust(Runtime& runtime, const Value& self, Args& arguments) {
  return pad(runtime, self, arguments, Padding::left);
}
Value zfill(Runtime& runtime, const Value& self, Args& arguments) {
  check(arguments, "zfill", 1, 1);
  const int64_t width = integer_argument(arguments.positional[0], 0, "str.zfill");
  std::string text = self.text(), sign;
  if (text.starts_with("-") || text.starts_with("+")) {
    sign = text.substr(0, 1);
    text.erase(0, 1);
  }
  if (width > static_cast<int64_t>(sign.size()))
    text = pad_text(runtime.budget, text, width - static_cast<int64_t>(sign.size()), "0",
                    Padding::left);
  return like(runtime, self, sign + text);
}

bool holds_for_all(const Value& self, std::string_view who, bool (*test)(char)) {
  if (!self.is_ascii()) refuse("str.", who, " is only supported for ASCII text");
  const std::string& text = self.text();
  return !text.empty() && std::all_of(text.begin(), text.end(), test);
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
Value isdigit(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "isdigit", 0, 0);
  return Value::boolean(holds_for_all(self, "isdigit", is_digit));
}
Value isalpha(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "isalpha", 0, 0);
  return Value::boolean(holds_for_all(self, "isalpha", is_letter));
}
Value isalnum(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "isalnum", 0, 0);
  return Value::boolean(
      holds_for_all(self, "isalnum", [](char c) { return is_digit(c) || is_letter(c); }));
}
Value isascii(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "isascii", 0, 0);
  return Value::boolean(self.is_ascii());
}
Value isspace(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "isspace", 0, 0);
  return Value::boolean(!self.text().empty() && strip(self.text()).empty());
}
Value isupper(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "isupper", 0, 0);
  return Value::boolean(is_cased_as(self.text(), is_lower));
}
Value islower(Runtime&, const Value& self, Args& arguments) {
  check(arguments, "islower", 0, 0);
  return Value::boolean(is_cased_as(self.text(), is_upper));
}

}  // namespace

Method find_text_method(std::string_view name) {
  constexpr std::pair<std::string_view, Method> kMethods[] = {{"capitalize", capitalize},
                                                              {"center", center},
                                                              {"count", count},
                                                              {"endswith", endswith},
                                                              {"find", find},
                                                              {"format", format},
                                                              {"index", index},
                                                              {"isalnum", isalnum},
                                                              {"isalpha", isalpha},
                                                              {"isascii", isascii},
                                                              {"isdecimal", isdigit},
                                                              {"isdigit", isdigit},
                                                              {"islower", islower},
                                                              {"isnumeric", isdigit},
                                                              {"isspace", isspace},
                                                              {"isupper", isupper},
                                                              {"join", join},
                                                              {"ljust", ljust},
                                                              {"lower", lower},
                                                              {"lstrip", strip_left},
                                                              {"partition", partition},
                                                              {"removeprefix", removeprefix},
                                                              {"removesuffix", removesuffix},
                                                              {"replace", replace},
                                                              {"rfind", rfind},
                                                              {"rindex", rindex},
                                                              {"rjust", rjust},
                                                              {"rpartition", rpartition},
                                                              {"rsplit", rsplit},
                                                              {"rstrip", strip_right},
                                                              {"split", split},
                                                              {"splitlines", splitlines},
                                                              {"startswith", startswith},
                                                              {"strip", strip_both},
                                                              {"title", title},
                                                              {"upper", upper},
                                                              {"zfill", zfill}};
  for (const auto& [known, method] : kMethods)
    if (known == name) return method;
  return nullptr;
}

}  // namespace pref::jinja
