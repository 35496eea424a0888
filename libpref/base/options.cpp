// SPDX-License-Identifier: Apache-2.0
// Setting, checking and describing options over type-erased fields (options_inl.h), and the texts
// of their errors.
#include "libpref/base/options.h"

#include <algorithm>
#include <map>
#include <set>

#include "libpref/base/error.h"
#include "libpref/base/option_text.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

bool has_bound(double end) {
  return end != std::numeric_limits<double>::infinity() &&
         end != -std::numeric_limits<double>::infinity();
}

/// The path of path:line:column; other places as they are.
std::string source_of(const std::string& place) {
  size_t end = place.size();
  for (int part = 0; part < 2; ++part) {
    size_t digits = end;
    while (digits > 0 && place[digits - 1] >= '0' && place[digits - 1] <= '9') --digits;
    if (digits == end || digits == 0 || place[digits - 1] != ':') break;
    end = digits - 1;
  }
  return place.substr(0, end);
}

/// Optimal string alignment: Levenshtein with transpositions of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out.append(out.empty() ? "" : ", ").append(name);
  return out;
}

}  // namespace

std::string range_text(const Range& range) {
  const bool low = has_bound(range.low), high = has_bound(range.high);
  if (low && high && !range.low_open && !range.high_open)
    return "between " + option_detail::format_number(range.low) + " and " +
           option_detail::format_number(range.high);
  std::string out;
  if (low)
    out.append(range.low_open ? "above " : "at least ")
        .append(option_detail::format_number(range.low));
  if (low && high) out.append(" and ");
  if (high)
    out.append(range.high_open ? "below " : "at most ")
        .append(option_detail::format_number(range.high));
  return out;
}

std::string nearest_name(std::string_view word, const std::vector<std::string>& names) {
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const std::string& name : names) {
    const size_t length = std::max(word.size(), name.size());
    if (length > 256) continue;
    const size_t distance = edit_distance(word, name);
    // A third of the letters may differ; more is another word.
    if (distance < best_distance && distance <= std::max<size_t>(1, length / 3) &&
        distance < length) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

void fail_unknown_option(std::string_view name, const std::vector<std::string>& names,
                         const ValueSource& source) {
  const std::string near = nearest_name(name, names);
  if (!near.empty())
    fail(ErrorKind::option, "config", source.place, ": unknown option ",
         option_detail::shown(name, 80), "; did you mean \"", near, "\"?");
  fail(ErrorKind::option, "config", source.place, ": unknown option ",
       option_detail::shown(name, 80), "; the options are ", joined(names), ".");
}

void refuse_repeated_settings(const std::vector<Setting>& settings) {
  std::map<std::pair<std::string, std::string>, const std::string*>
      seen;  // (source, name) -> first place
  for (const Setting& setting : settings) {
    const auto [entry, fresh] =
        seen.try_emplace({source_of(setting.source.place), setting.name}, &setting.source.place);
    require(fresh, ErrorKind::option, "config", setting.source.place, ": option \"", setting.name,
            "\" is given twice; the first is at ", *entry->second, ". Keep one of them.");
  }
}

namespace option_detail {

std::vector<std::string> field_names(const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.push_back(field.name);
  std::set<std::string> distinct(names.begin(), names.end());
  require(distinct.size() == names.size(), ErrorKind::internal, "config",
          "an options struct declares one name twice among ", joined(names), ".");
  return names;
}

bool set_field(const std::vector<Field>& fields, std::string_view name, std::string_view text,
               const ValueSource& source, bool unknown_is_error) {
  const Field* field = nullptr;
  for (const Field& candidate : fields) {
    if (candidate.name != name) continue;
    require(field == nullptr, ErrorKind::internal, "config", "an options struct declares \"", name,
            "\" twice.");
    field = &candidate;
  }
  if (field == nullptr) {
    if (unknown_is_error) fail_unknown_option(name, field_names(fields), source);
    return false;
  }
  const Verdict verdict = field->codec->assign(text, field->range, field->value);
  if (verdict == Verdict::outside)
    fail(ErrorKind::option, "config", source.place, ": option \"", name, "\" must be ",
         range_text(field->range), ", got ", escaped_controls(cut_to_width(text, 80)));
  if (verdict == Verdict::malformed)
    fail(ErrorKind::option, "config", source.place, ": option \"", name, "\" must be ",
         field->codec->expects(), ", got ", shown(text));
  return true;
}

void check_fields(const std::vector<Field>& fields, std::string_view where) {
  for (const Field& field : fields) {
    const Verdict verdict = field.codec->check(field.value, field.range);
    if (verdict == Verdict::good) continue;
    fail(ErrorKind::option, where, "option \"", field.name, "\" must be ",
         verdict == Verdict::outside ? range_text(field.range) : field.codec->expects(), ", got ",
         field.codec->format(field.value));
  }
}

std::vector<OptionText> describe_fields(const std::vector<Field>& fields) {
  std::vector<OptionText> out;
  for (const Field& field : fields)
    out.push_back({field.name, field.codec->format(field.value), field.codec->type(),
                   field.codec->bounds(field.range), field.help});
  return out;
}

}  // namespace option_detail
}  // namespace pref
