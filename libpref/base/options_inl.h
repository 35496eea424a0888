// SPDX-License-Identifier: Apache-2.0
// Bodies of the templates in options.h. `fields` is walked once into a list of type-erased fields;
// everything else is ordinary code in options.cpp, so an options struct costs a translation unit
// one small instantiation.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

#include "libpref/base/options.h"

namespace pref::option_detail {

enum class Verdict { good, malformed, outside };

/// Text form, type and bounds of one value type; `value` points to that type.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual Verdict assign(std::string_view text, const Range& range,
                         void* value) const = 0;  ///< sets only when good
  virtual Verdict check(const void* value, const Range& range) const = 0;
  virtual std::string format(const void* value) const = 0;
  virtual std::string type() const = 0;
  virtual std::string expects() const = 0;  ///< "a finite number", for errors
  virtual std::string bounds(const Range& range) const = 0;
};

const Codec& codec_for(const bool*);
const Codec& codec_for(const int64_t*);
const Codec& codec_for(const double*);
const Codec& codec_for(const std::string*);
const Codec& codec_for(const std::vector<std::string>*);
const Codec& codec_for(const std::vector<double>*);
const Codec& codec_for(const std::optional<bool>*);
const Codec& codec_for(const std::optional<int64_t>*);
const Codec& codec_for(const std::optional<double>*);
const Codec& codec_for(const std::optional<std::string>*);

/// Enums and optional enums by the index of their name.
class EnumCodec : public Codec {
 public:
  Verdict assign(std::string_view text, const Range& range, void* value) const override;
  Verdict check(const void* value, const Range& range) const override;
  std::string format(const void* value) const override;
  std::string type() const override;
  std::string expects() const override;
  std::string bounds(const Range& range) const override;

 protected:
  static constexpr size_t kEmpty = static_cast<size_t>(-1), kUnnamed = static_cast<size_t>(-2);
  explicit EnumCodec(bool optional) : optional_(optional) {}
  virtual size_t get(
      const void* value) const = 0;  ///< kEmpty: no value; kUnnamed: a value without a name
  virtual void set(void* value, size_t index) const = 0;
  std::vector<std::string_view> names_;

 private:
  bool optional_;
};

template <class T>
struct EnumOf {
  using type = T;
  static constexpr bool optional = false;
};
template <class E>
struct EnumOf<std::optional<E>> {
  using type = E;
  static constexpr bool optional = true;
};

template <class T>  // an enum, or std::optional of one
class EnumCodecOf final : public EnumCodec {
  using E = typename EnumOf<T>::type;

 public:
  EnumCodecOf() : EnumCodec(EnumOf<T>::optional) {
    for (const auto& entry : enum_names(E{})) names_.push_back(entry.name);
  }

 private:
  size_t get(const void* value) const override {
    const T& held = *static_cast<const T*>(value);
    if constexpr (EnumOf<T>::optional)
      return held ? index_of(*held) : kEmpty;
    else
      return index_of(held);
  }
  void set(void* value, size_t index) const override {
    if (index == kEmpty) {
      if constexpr (EnumOf<T>::optional) static_cast<T*>(value)->reset();
    } else {
      *static_cast<T*>(value) = enum_names(E{})[index].value;
    }
  }
  static size_t index_of(E wanted) {
    size_t index = 0;
    for (const auto& entry : enum_names(E{})) {
      if (entry.value == wanted) return index;
      ++index;
    }
    return kUnnamed;
  }
};

template <class T>
const Codec& codec() {
  if constexpr (std::is_enum_v<typename EnumOf<T>::type>) {
    static const EnumCodecOf<T> instance;
    return instance;
  } else {
    static_assert(
        requires { codec_for(static_cast<const T*>(nullptr)); },
        "not an option type; options.h lists them");
    return codec_for(static_cast<const T*>(nullptr));
  }
}

struct Field {
  std::string name;
  void* value;  ///< only read through when it comes from a const struct
  const Codec* codec;
  Range range;
  std::string help;
};

struct Collector {
  std::vector<Field> fields;
  template <class T>
  void operator()(std::string_view name, T& value, const Range& range, std::string_view help) {
    using Value = std::remove_const_t<T>;
    fields.push_back(
        {std::string(name), const_cast<Value*>(&value), &codec<Value>(), range, std::string(help)});
  }
};

template <class Options>
std::vector<Field> fields_of(Options& options) {
  Collector collector;
  std::remove_const_t<Options>::fields(options, collector);
  return std::move(collector.fields);
}

bool set_field(const std::vector<Field>& fields, std::string_view name, std::string_view text,
               const ValueSource& source, bool unknown_is_error);
void check_fields(const std::vector<Field>& fields, std::string_view where);
std::vector<OptionText> describe_fields(const std::vector<Field>& fields);
std::vector<std::string> field_names(const std::vector<Field>& fields);

}  // namespace pref::option_detail

namespace pref {

template <class Options>
bool set_option(Options& options, std::string_view name, std::string_view text,
                const ValueSource& source, bool unknown_is_error) {
  return option_detail::set_field(option_detail::fields_of(options), name, text, source,
                                  unknown_is_error);
}

template <class Options>
void check_options(const Options& options, std::string_view where) {
  option_detail::check_fields(option_detail::fields_of(options), where);
}

template <class Options>
std::vector<OptionText> describe_options(const Options& options) {
  return option_detail::describe_fields(option_detail::fields_of(options));
}

template <class Options>
std::vector<std::string> option_names() {
  const Options defaults{};
  return option_detail::field_names(option_detail::fields_of(defaults));
}

template <class Options>
bool known_option(std::string_view name) {
  for (const std::string& known : option_names<Options>())
    if (known == name) return true;
  return false;
}

template <class Options>
void apply_settings(Options& options, const std::vector<Setting>& settings) {
  refuse_repeated_settings(settings);
  Options result = options;
  const auto fields = option_detail::fields_of(result);
  for (const Setting& setting : settings)
    option_detail::set_field(fields, setting.name, setting.text, setting.source, true);
  options = std::move(result);
}

}  // namespace pref
