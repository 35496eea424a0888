// SPDX-License-Identifier: Apache-2.0
// Values of chat templates with the meaning that Python gives them: truth, equality, order, str()
// and repr(). Containers are built once and not changed afterwards (only namespaces are), so copies
// share them. Everything that could grow without bound is charged to a Budget.
#pragma once
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "libpref/data/jinja/limits.h"

namespace pref::jinja {

/// What goes wrong while a template is read or run; whoever knows the line adds it, and the caller
/// makes it a pref::Error.
struct Failure {
  std::string what;
  int line = 0;
};
template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Failure{text.str()};
}

/// At most `most` bytes of `text` in quotes, fit for a message (json.cpp).
std::string in_quotes(std::string_view text, size_t most = 80);

/// Counts work and nesting against the limits of one rendering.
class Budget {
 public:
  explicit Budget(const TemplateLimits& limits) : limits_(limits), most_(limits.steps) {}
  const TemplateLimits& limits() const { return limits_; }
  void unlimited_steps() { most_ = UINT64_MAX; }
  void step(uint64_t steps = 1) {
    if ((steps_ += steps) > most_) [[unlikely]]
      out_of_steps();
  }
  /// A text of `bytes` is made or searched; refuses what is longer than an output may be.
  void text(size_t bytes);
  /// A list of `count` values is made or compared.
  void elements(size_t count) { step(count / 16); }
  int depth = 0;  ///< nested evaluations; see Deeper

 private:
  [[noreturn]] void out_of_steps() const;
  const TemplateLimits& limits_;
  uint64_t most_, steps_ = 0;
};

/// One level of nested evaluation.
class Deeper {
 public:
  explicit Deeper(Budget& budget, int levels = 1);
  ~Deeper() { budget_.depth -= levels_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Budget& budget_;
  int levels_;
};

enum class Kind : uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  string,
  sequence,
  dict,
  name_space,
  iterator,
  callable,
  loop
};

/// Anything that a value refers to. `depth` is the nesting of containers below it, itself included.
struct Object {
  virtual ~Object() = default;
  int depth = 1;
};
struct String;
struct Sequence;
struct Dict;
struct Namespace;
struct Iterator;
struct Callable;
struct Loop;

class Value {
 public:
  Value() = default;  ///< undefined, without a name
  static Value undefined(std::string why);
  static Value none() { return Value(Kind::none); }
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  static Value string(std::string text, bool markup = false);
  template <class T>
  static Value object(Kind kind, std::shared_ptr<T> object) {
    Value value(kind);
    value.object_ = std::move(object);
    return value;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::undefined; }
  /// bool or int, which Python counts as one.
  bool is_integral() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_number() const { return is_integral() || kind_ == Kind::real; }
  int64_t integral() const { return kind_ == Kind::boolean ? boolean_ : integer_; }
  double number() const { return kind_ == Kind::real ? real_ : static_cast<double>(integral()); }
  const std::string& text() const;
  bool is_markup() const;
  bool is_ascii() const;
  const Sequence& sequence() const;
  const Dict& dict() const;
  Namespace& name_space() const;
  Iterator& iterator() const;
  Callable& callable() const;
  Loop& loop() const;
  const Object* identity() const { return object_.get(); }
  const std::shared_ptr<Object>& shared() const { return object_; }
  int depth() const { return object_ ? object_->depth : 0; }
  /// Why an undefined value is undefined.
  std::string why_undefined() const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::undefined;
  union {
    bool boolean_;
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

struct String : Object {
  String(std::string value, bool is_markup);
  std::string text;
  bool markup;  ///< marked by `safe` or `escape`: what + joins to it is escaped, as in jinja2
  bool ascii;
};

/// list, tuple, range and the views of a dict, which differ in how they print and compare.
struct Sequence : Object {
  enum class Flavor { list, tuple, range, keys, values, items };
  Flavor flavor = Flavor::list;
  std::vector<Value> items;
  int64_t start = 0, stop = 0, step = 1;  ///< of a range
  bool has_positions() const { return flavor <= Flavor::range; }
};

/// Keeps the order of insertion. Keys are equal as in Python: 1, 1.0 and true are one key.
struct Dict : Object {
  std::vector<std::pair<Value, Value>> items;
  const Value* find(std::string_view key) const;
  const Value* find(Budget& budget, const Value& key) const;
  /// Replaces the value of an equal key. Throws Failure for keys that cannot be hashed. True: the
  /// key is new.
  bool set(Budget& budget, Value key, Value value);

 private:
  size_t position(std::string_view key) const;
  size_t position(Budget& budget, const Value& key) const;
  std::unordered_map<std::string, size_t> index_;  ///< of string keys, once they are many
};

struct Namespace : Object {
  Dict attributes;
};

/// What select, map and their like give: values that can be read once.
struct Iterator : Object {
  std::string name = "generator";
  virtual bool next(Value* value) = 0;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
struct Callable : Object {
  std::string name;
  virtual Value call(Arguments& arguments) = 0;
  virtual Value attribute(std::string_view) const { return {}; }
  virtual std::string repr() const { return "<function " + name + ">"; }
};

/// A container whose depth is checked and counted.
Value make_sequence(Budget& budget, std::vector<Value> items,
                    Sequence::Flavor flavor = Sequence::Flavor::list);
Value make_dict(Budget& budget, std::shared_ptr<Dict> dict);
Value make_pair(Budget& budget, Value first, Value second);
/// range(start, stop, step), refused above the cap.
Value make_range(Budget& budget, int64_t start, int64_t stop, int64_t step);

/// "dict object", "str object": as jinja2's messages call the type.
std::string type_name(const Value& value);

bool is_true(const Value& value);
bool equal(Budget& budget, const Value& left, const Value& right);
/// Throws Failure where Python has no order; unordered is a NaN.
enum class Order { less, equal, greater, unordered };
Order compare(Budget& budget, const Value& left, const Value& right);
/// `item in container`.
bool contains(Budget& budget, const Value& container, const Value& item);
/// len(); throws Failure for what has none.
size_t length(const Value& value);
bool has_length(const Value& value);

std::string repr_real(double value);
void append_repr(Budget& budget, std::string& out, const Value& value);
/// What {{ value }} prints.
std::string to_text(Budget& budget, const Value& value);
void append_text(Budget& budget, std::string& out, const Value& value);

/// Reads the values of anything that can be iterated over; throws Failure for what cannot.
class Values {
 public:
  Values(Budget& budget, const Value& value);
  bool next(Value* value);

 private:
  Budget& budget_;
  Value source_;
  size_t at_ = 0;
};
bool is_iterable(const Value& value);
std::vector<Value> all_values(Budget& budget, const Value& value);

}  // namespace pref::jinja
