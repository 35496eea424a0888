// SPDX-License-Identifier: Apache-2.0
// See json.h.
#include "libpref/data/jinja/json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "libpref/data/jinja/unicode.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref::jinja {
namespace {

/// Takes nlohmann's events; no recursion on the depth of the text.
class ValueBuilder {
 public:
  ValueBuilder(Budget& budget, std::string_view text, std::string_view what)
      : budget_(budget), text_(text), what_(what), offsets_(text) {}

  bool null() { return add(Value::none()); }
  bool boolean(bool value) { return add(Value::boolean(value)); }
  bool number_integer(int64_t value) { return add(Value::integer(value)); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) refuse_integer();
    return add(Value::integer(static_cast<int64_t>(value)));
  }
  bool number_float(double value, const std::string& raw) {
    if (raw.find_first_of(".eE") == std::string::npos) refuse_integer();
    return add(Value::real(value));
  }
  bool string(std::string& value) { return add(Value::string(std::move(value))); }
  bool binary(nlohmann::ordered_json::binary_t&) { return false; }
  bool start_object(size_t) { return open(std::make_shared<Dict>()); }
  bool start_array(size_t) { return open(nullptr); }
  bool end_object() {
    std::shared_ptr<Dict> dict = std::move(open_.back().dict);
    return close(make_dict(budget_, std::move(dict)));
  }
  bool end_array() {
    std::vector<Value> items = std::move(open_.back().items);
    return close(make_sequence(budget_, std::move(items)));
  }
  bool key(std::string& key) {
    const size_t offset = offsets_.start();
    if (open_.back().dict->find(key) != nullptr)
      refuse_at(offset, "the key " + escape_text(key) + " stands twice in one object");
    open_.back().key = std::move(key);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const std::exception& error) {
    refuse_at(position == 0 ? 0 : position - 1, "not JSON: " + json_syntax_message(error));
  }

  const char** reached() { return offsets_.reached(); }
  Value take() { return std::move(root_); }

 private:
  struct Open {
    std::shared_ptr<Dict> dict;  ///< null: a list
    std::vector<Value> items;
    std::string key;
  };

  [[noreturn]] void refuse_at(size_t offset, const std::string& problem) const {
    refuse(what_, ":", line_and_column(text_, offset), ": ", problem);
  }
  [[noreturn]] void refuse_integer() {
    refuse_at(offsets_.start(), "an integer beyond 64 bits. Write it as a string.");
  }
  void place(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Open& parent = open_.back(); parent.dict != nullptr) {
      parent.dict->set(budget_, Value::string(std::move(parent.key)), std::move(value));
    } else {
      parent.items.push_back(std::move(value));
    }
  }
  bool add(Value value) {
    offsets_.start();
    place(std::move(value));
    return true;
  }
  bool open(std::shared_ptr<Dict> dict) {
    const size_t offset = offsets_.start();
    if (open_.size() + 1 >= static_cast<size_t>(budget_.limits().depth))
      refuse_at(offset, "nested deeper than " + std::to_string(budget_.limits().depth) +
                            " levels, the cap (TemplateLimits::depth)");
    open_.push_back({std::move(dict), {}, {}});
    return true;
  }
  bool close(Value value) {
    open_.pop_back();
    place(std::move(value));
    offsets_.close();
    return true;
  }

  Budget& budget_;
  std::string_view text_, what_;
  TokenOffsets offsets_;
  std::vector<Open> open_;
  Value root_;
};

void append_json_text(std::string& out, const std::string& text, bool ascii) {
  out += '"';
  const auto escape = [&](uint32_t code) {
    char buffer[8];
    std::snprintf(buffer, sizeof buffer, "\\u%04x", code & 0xffff);
    out += buffer;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = next_code_point(text, &at);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (code < 0x20 || (ascii && code > 0x7e && code < 0x10000)) {
          escape(code);
        } else if (ascii && code >= 0x10000) {
          escape(0xd800 + ((code - 0x10000) >> 10));
          escape(0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
          out.append(text, begin, at - begin);
        }
    }
  }
  out += '"';
}

class Writer {
 public:
  Writer(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}
  std::string out;

  void write(const Value& value) {
    budget_.step();
    switch (value.kind()) {
      case Kind::none:
        out += "null";
        break;
      case Kind::boolean:
        out += value.integral() ? "true" : "false";
        break;
      case Kind::integer:
        out += std::to_string(value.integral());
        break;
      case Kind::real:
        out += real(value.number());
        break;
      case Kind::string:
        append_json_text(out, value.text(), style_.ascii);
        budget_.step(value.text().size() / 256);
        break;
      case Kind::sequence:
        if (value.sequence().flavor > Sequence::Flavor::tuple) refuse_type(value);
        write_list(value.sequence().items);
        break;
      case Kind::dict:
        write_dict(value.dict());
        break;
      default:
        refuse_type(value);
    }
    if (out.size() > budget_.limits().output) budget_.text(out.size());
  }

 private:
  [[noreturn]] static void refuse_type(const Value& value) {
    if (value.is_undefined()) refuse("tojson of an undefined value: ", value.why_undefined());
    refuse("a ", type_name(value), " cannot be written as JSON");
  }
  static std::string real(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return repr_real(value);
  }
  void new_line() {
    if (!style_.indent) return;
    out += '\n';
    for (int i = 0; i < level_; ++i) {
      out += *style_.indent;
      if (out.size() > budget_.limits().output) budget_.text(out.size());
    }
  }
  void write_list(const std::vector<Value>& items) {
    if (items.empty()) {
      out += "[]";
      return;
    }
    const Deeper deeper(budget_);
    out += '[';
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    out += ']';
  }
  void write_dict(const Dict& dict) {
    if (dict.items.empty()) {
      out += "{}";
      return;
    }
    const Deeper deeper(budget_);
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys)
      std::stable_sort(items.begin(), items.end(), [&](const auto* a, const auto* b) {
        return compare(budget_, a->first, b->first) == Order::less;
      });
    out += '{';
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      new_line();
      write_key(items[i]->first);
      out += style_.key_separator;
      write(items[i]->second);
    }
    --level_;
    new_line();
    out += '}';
  }
  void write_key(const Value& key) {
    if (key.is(Kind::string)) return write(key);
    if (!key.is_number() && !key.is(Kind::none))
      refuse("a ", type_name(key), " cannot be a key in JSON");
    out += '"';
    write(key);
    out += '"';
  }

  Budget& budget_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

std::string in_quotes(std::string_view text, size_t most) { return escape_text(text, most); }

Value parse_json_value(Budget& budget, std::string_view text, std::string_view what) {
  if (text.size() > budget.limits().input_bytes)
    refuse(what, ": has ", text.size(), " bytes; the cap is ", budget.limits().input_bytes,
           " (TemplateLimits::input_bytes)");
  size_t offset = 0;
  if (const char* problem = find_forbidden_byte(text, &offset))
    refuse(what, ":", line_and_column(text, offset), ": not JSON: ", problem);
  ValueBuilder builder(budget, text, what);
  parse_json_events(text, builder, builder.reached());
  return builder.take();
}

std::string to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  Writer writer(budget, style);
  writer.write(value);
  return std::move(writer.out);
}

}  // namespace pref::jinja
