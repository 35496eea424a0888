// SPDX-License-Identifier: Apache-2.0
// See unicode.h.
#include "libpref/data/jinja/unicode.h"

#include <algorithm>

namespace pref::jinja {
namespace {

template <class Range>
const Range* find_range(std::span<const Range> ranges, uint32_t code) {
  auto at =
      std::upper_bound(ranges.begin(), ranges.end(), code,
                       [](uint32_t value, const Range& range) { return value < range.first; });
  if (at == ranges.begin()) return nullptr;
  --at;
  return code <= at->last ? &*at : nullptr;
}

uint32_t map_by(std::span<const CaseRun> runs, uint32_t code) {
  const CaseRun* run = find_range(runs, code);
  if (run == nullptr || (code - run->first) % run->step != 0) return code;
  return static_cast<uint32_t>(static_cast<int64_t>(code) + run->added);
}

void append_mapped(std::string& out, uint32_t code, std::span<const CaseRun> runs,
                   std::span<const CaseSpecial> specials) {
  for (const CaseSpecial& special : specials)
    if (special.code == code) {
      for (const uint32_t mapped : special.mapped)
        if (mapped != 0) append_code_point(out, mapped);
      return;
    }
  append_code_point(out, map_by(runs, code));
}

constexpr uint32_t kSigma = 0x3a3, kFinalSigma = 0x3c2, kDottedI = 0x130;

// A capital sigma is a final one after a cased character and before none, ignorable ones left out.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  bool before = false;
  for (size_t at = 0; at < begin;) {
    const uint32_t code = next_code_point(text, &at);
    if (find_range(kCaseIgnorable, code) == nullptr) before = is_cased(code);
  }
  if (!before) return false;
  while (end < text.size()) {
    const uint32_t code = next_code_point(text, &end);
    if (find_range(kCaseIgnorable, code) == nullptr) return !is_cased(code);
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, size_t begin, size_t end, uint32_t code,
                  int* sigmas) {
  if (code == kDottedI) {
    out += "i\xcc\x87";
  } else if (code == kSigma && ++*sigmas <= 64 && is_final_sigma(text, begin, end)) {
    append_code_point(out, kFinalSigma);  // looking around is linear in the text, hence the 64
  } else {
    append_code_point(out, map_by(kLower, code));
  }
}

}  // namespace

uint32_t next_code_point(std::string_view text, size_t* offset) {
  const auto byte = [&](size_t at) {
    return at < text.size() ? static_cast<uint32_t>(static_cast<unsigned char>(text[at])) : 0u;
  };
  const size_t at = *offset;
  const uint32_t lead = byte(at);
  if (lead < 0x80) {
    *offset = at + 1;
    return lead;
  }
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint32_t code = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte(at + i) & 0x3f);
  *offset = std::min(at + length, text.size());
  return code;
}

void append_code_point(std::string& out, uint32_t code) {
  const auto add = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | code >> 6);
    add(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  } else {
    add(0xf0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3f));
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  }
}

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

size_t code_point_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) next_code_point(text, &at);
  return at;
}

bool is_printable(uint32_t code) { return find_range(kNotPrintable, code) == nullptr; }
bool is_cased(uint32_t code) { return find_range(kCased, code) != nullptr; }
bool is_upper(uint32_t code) {
  return is_cased(code) && (map_by(kLower, code) != code || code == kDottedI);
}
bool is_lower(uint32_t code) { return is_cased(code) && !is_upper(code); }

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const uint32_t code = next_code_point(text, &at);
    if (code < 0x80)
      out += static_cast<char>(code >= 'a' && code <= 'z' ? code - 32 : code);
    else
      append_mapped(out, code, kUpper, kUpperSpecial);
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  int sigmas = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = next_code_point(text, &at);
    if (code < 0x80)
      out += static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code);
    else
      append_lower(out, text, begin, at, code, &sigmas);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  std::string out;
  int sigmas = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = next_code_point(text, &at);
    if (begin == 0)
      append_mapped(out, code, kTitle, kTitleSpecial);
    else
      append_lower(out, text, begin, at, code, &sigmas);
  }
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  bool after_cased = false;
  int sigmas = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = next_code_point(text, &at);
    if (after_cased)
      append_lower(out, text, begin, at, code, &sigmas);
    else
      append_mapped(out, code, kTitle, kTitleSpecial);
    after_cased = is_cased(code);
  }
  return out;
}

}  // namespace pref::jinja
