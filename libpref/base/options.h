// SPDX-License-Identifier: Apache-2.0
// Options are plain structs with defaults in place and one visitor:
//
//   struct DPO {
//     double beta = 0.1;
//     template <class Self, class Visit>
//     static void fields(Self& self, Visit&& visit) {
//       visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
//     }
//   };
//
// YAML, command line, --help, Python, run.json and checkpoints all walk `fields`; nothing names an
// option twice.
// Value types: bool, int64_t, double, std::string, enums with an `enum_names` overload,
// std::vector<std::string>,
// std::vector<double>, and std::optional of the scalar ones (written `null` or `none` when empty).
// Numbers are finite.
// An outer struct splices the options of an inner one in, flat, by calling
// `Inner::fields(self.inner, visit)`.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

/// The values an option may take; checked wherever a value is set. Infinite ends mean no bound.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;
  bool contains(double x) const {
    return (low_open ? x > low : x >= low) && (high_open ? x < high : x <= high);
  }
};
constexpr Range any() { return {}; }
constexpr Range above(double low) { return {.low = low, .low_open = true}; }
constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range between(double low, double high) { return {.low = low, .high = high}; }
constexpr Range half_open(double low, double high) {
  return {.low = low, .high = high, .high_open = true};
}

/// One name of an enum value; an enum used as an option has
///   constexpr std::array<EnumName<E>, N> enum_names(E);   found by argument-dependent lookup.
template <class E>
struct EnumName {
  E value;
  std::string_view name;
};

/// Where a value came from, for error texts: "train.yaml:12:1", "command line",
/// "checkpoint-10/manifest.json".
struct ValueSource {
  std::string place;
};

/// An option's value as text, and where it was written.
struct Setting {
  std::string name;
  std::string
      text;  ///< YAML scalar syntax, quotes removed where they carry nothing; a list as [a, b]
  ValueSource source;  ///< path:line:column, or "command line"
};

/// An option as text, for help, run.json and comparison.
struct OptionText {
  std::string name, value, type, range, help;
};

/// Sets the option `name` of `options` from `text` (YAML scalar syntax; lists as [a, b] or a,b).
/// Throws ErrorKind::option for an unknown name (naming the nearest), a text of the wrong type, or
/// a value out of range. Returns false, and throws nothing, for an unknown name when
/// `unknown_is_error` is false.
template <class Options>
bool set_option(Options& options, std::string_view name, std::string_view text,
                const ValueSource& source, bool unknown_is_error = true);

/// Checks every value against its range; `where` names the owner, e.g. "dpo". Throws
/// ErrorKind::option.
template <class Options>
void check_options(const Options& options, std::string_view where);

/// Every option in declaration order with its present value.
template <class Options>
std::vector<OptionText> describe_options(const Options& options);

/// The names, in declaration order.
template <class Options>
std::vector<std::string> option_names();
template <class Options>
bool known_option(std::string_view name);

/// Sets all; on an error `options` is unchanged and the first error in order is thrown
/// (ErrorKind::option). A name given twice in one file, or twice on the command line, is an error;
/// a later source overrides an earlier one.
template <class Options>
void apply_settings(Options& options, const std::vector<Setting>& settings);

/// Throws the error of a name given twice from one source; apply_settings calls it.
void refuse_repeated_settings(const std::vector<Setting>& settings);

/// Throws ErrorKind::option: unknown name, with the nearest of `names` or all of them.
[[noreturn]] void fail_unknown_option(std::string_view name, const std::vector<std::string>& names,
                                      const ValueSource& source);

/// "above 0", "between 0 and 0.5", "at least 0 and below 1", ...; "" without bounds.
std::string range_text(const Range& range);

/// `text` as one option scalar (or list element) that reads back as the same string: quoted where
/// it would otherwise be taken for null, for a list or for a quoted text. `literal`: a word such as
/// null stands for itself.
std::string option_scalar(std::string_view text, bool in_list, bool literal = true);

/// The element of `names` nearest to `word` by edit distance (transpositions count one), or "" when
/// none is near.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

}  // namespace pref

#include "libpref/base/options_inl.h"  // the templates' bodies
