// SPDX-License-Identifier: Apache-2.0
// str() and repr() of values, as Python writes them.
#include <charconv>
#include <cmath>
#include <cstdio>

#include "libpref/data/jinja/loop.h"
#include "libpref/data/jinja/unicode.h"
#include "libpref/data/jinja/value.h"

namespace pref::jinja {

std::string repr_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string text(buffer, end.ptr);  // [-]d[.ddd]e[+-]dd, the shortest that reads back
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  std::string sign = text[0] == '-' ? "-" : "", digits;
  for (const char c : text.substr(0, e))
    if (c >= '0' && c <= '9') digits += c;
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    char power[16];
    std::snprintf(power, sizeof power, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + power;
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

namespace {

void append_quoted(std::string& out, const std::string& text) {
  const bool single = text.find('\'') != std::string::npos;
  const char quote = single && text.find('"') == std::string::npos ? '"' : '\'';
  out += quote;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = next_code_point(text, &at);
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_printable(code)) {
      out.append(text, begin, at - begin);
    } else {
      char escape[16];
      std::snprintf(escape, sizeof escape,
                    code < 0x100     ? "\\x%02x"
                    : code < 0x10000 ? "\\u%04x"
                                     : "\\U%08x",
                    code);
      out += escape;
    }
  }
  out += quote;
}

void append_items(Budget& budget, std::string& out, const std::vector<Value>& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(budget, out, items[i]);
  }
}

void append_dict(Budget& budget, std::string& out, const Dict& dict) {
  out += '{';
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(budget, out, dict.items[i].first);
    out += ": ";
    append_repr(budget, out, dict.items[i].second);
  }
  out += '}';
}

void append_sequence(Budget& budget, std::string& out, const Sequence& sequence) {
  using Flavor = Sequence::Flavor;
  switch (sequence.flavor) {
    case Flavor::range:
      out += "range(" + std::to_string(sequence.start) + ", " + std::to_string(sequence.stop);
      if (sequence.step != 1) out += ", " + std::to_string(sequence.step);
      out += ')';
      return;
    case Flavor::tuple:
      out += '(';
      append_items(budget, out, sequence.items);
      out += sequence.items.size() == 1 ? ",)" : ")";
      return;
    case Flavor::list:
      break;
    case Flavor::keys:
      out += "dict_keys(";
      break;
    case Flavor::values:
      out += "dict_values(";
      break;
    case Flavor::items:
      out += "dict_items(";
      break;
  }
  out += '[';
  append_items(budget, out, sequence.items);
  out += sequence.flavor == Flavor::list ? "]" : "])";
}

}  // namespace

void append_repr(Budget& budget, std::string& out, const Value& value) {
  budget.step();
  const size_t before = out.size();
  const Deeper deeper(budget);
  switch (value.kind()) {
    case Kind::undefined:
      out += "Undefined";
      break;
    case Kind::none:
      out += "None";
      break;
    case Kind::boolean:
      out += value.integral() ? "True" : "False";
      break;
    case Kind::integer:
      out += std::to_string(value.integral());
      break;
    case Kind::real:
      out += repr_real(value.number());
      break;
    case Kind::string:
      if (value.is_markup()) out += "Markup(";
      append_quoted(out, value.text());
      if (value.is_markup()) out += ')';
      budget.step((out.size() - before) / 256);
      break;
    case Kind::sequence:
      append_sequence(budget, out, value.sequence());
      break;
    case Kind::dict:
      append_dict(budget, out, value.dict());
      break;
    case Kind::name_space:
      out += "<Namespace ";
      append_dict(budget, out, value.name_space().attributes);
      out += '>';
      break;
    case Kind::iterator:
      out += "<" + value.iterator().name + " object>";
      break;
    case Kind::callable:
      out += value.callable().repr();
      break;
    case Kind::loop:
      out += value.loop().repr();
      break;
  }
  if (out.size() > budget.limits().output) budget.text(out.size());
}

void append_text(Budget& budget, std::string& out, const Value& value) {
  if (value.is_undefined()) return;
  if (!value.is(Kind::string)) return append_repr(budget, out, value);
  out += value.text();
  budget.step(value.text().size() / 256);
  if (out.size() > budget.limits().output) budget.text(out.size());
}

std::string to_text(Budget& budget, const Value& value) {
  std::string out;
  append_text(budget, out, value);
  return out;
}

}  // namespace pref::jinja
