// SPDX-License-Identifier: Apache-2.0
// See text.h.
#include "libpref/data/jinja/text.h"

#include <algorithm>

#include "libpref/data/jinja/unicode.h"
#include "libpref/data/whitespace.h"

namespace pref::jinja {
namespace {

/// The length of the line break at text[at], 0 when there is none.
size_t line_break(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte == '\r') return at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
  if (byte == '\n' || byte == '\v' || byte == '\f' || (byte >= 0x1c && byte <= 0x1e)) return 1;
  if (text.substr(at, 2) == "\xc2\x85") return 2;
  if (text.substr(at, 3) == "\xe2\x80\xa8" || text.substr(at, 3) == "\xe2\x80\xa9") return 3;
  return 0;
}

}  // namespace

std::string strip_text(std::string_view text, const std::string* set, bool left, bool right) {
  std::vector<uint32_t> codes;
  if (set != nullptr)
    for (size_t at = 0; at < set->size();) codes.push_back(next_code_point(*set, &at));
  std::sort(codes.begin(), codes.end());
  const auto goes = [&](size_t at) {
    if (set == nullptr) return whitespace_bytes(text, at) != 0;
    return std::binary_search(codes.begin(), codes.end(), next_code_point(text, &at));
  };
  size_t begin = 0, end = text.size();
  while (left && begin < end && goes(begin)) next_code_point(text, &begin);
  while (right && begin < end) {
    const size_t last = character_start(text, end - 1);
    if (!goes(last)) break;
    end = last;
  }
  return std::string(text.substr(begin, end - begin));
}

std::vector<std::string_view> split_words(std::string_view text, int64_t most) {
  std::vector<std::string_view> out;
  size_t at = 0;
  const auto skip = [&] {
    while (const size_t bytes = at < text.size() ? whitespace_bytes(text, at) : 0) at += bytes;
  };
  for (skip(); at < text.size(); skip()) {
    if (most >= 0 && static_cast<int64_t>(out.size()) == most) {
      out.push_back(text.substr(at));
      break;
    }
    const size_t begin = at;
    while (at < text.size() && whitespace_bytes(text, at) == 0) next_code_point(text, &at);
    out.push_back(text.substr(begin, at - begin));
  }
  return out;
}

std::vector<std::string_view> split_words_right(std::string_view text, int64_t most) {
  std::vector<std::string_view> out;
  size_t end = text.size();
  const auto ends_in_space = [&] {
    return end > 0 && whitespace_bytes(text, character_start(text, end - 1)) != 0;
  };
  const auto skip = [&] {
    while (ends_in_space()) end = character_start(text, end - 1);
  };
  for (skip(); end > 0; skip()) {
    const size_t stop = end;
    if (most >= 0 && static_cast<int64_t>(out.size()) == most) {
      out.push_back(text.substr(0, stop));
      break;
    }
    while (end > 0 && !ends_in_space()) end = character_start(text, end - 1);
    out.push_back(text.substr(end, stop - end));
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_text(std::string_view text, std::string_view mark,
                                         int64_t most) {
  std::vector<std::string_view> out;
  size_t begin = 0;
  while (most < 0 || static_cast<int64_t>(out.size()) < most) {
    const size_t found = text.find(mark, begin);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(begin, found - begin));
    begin = found + mark.size();
  }
  out.push_back(text.substr(begin));
  return out;
}

std::vector<std::string_view> split_text_right(std::string_view text, std::string_view mark,
                                               int64_t most) {
  std::vector<std::string_view> out;
  size_t end = text.size();
  while (most < 0 || static_cast<int64_t>(out.size()) < most) {
    if (end < mark.size()) break;
    const size_t found = text.rfind(mark, end - mark.size());
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(found + mark.size(), end - found - mark.size()));
    end = found;
  }
  out.push_back(text.substr(0, end));
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t size = line_break(text, at);
    if (size == 0) {
      ++at;
      continue;
    }
    out.push_back(text.substr(begin, at - begin + (keep_ends ? size : 0)));
    begin = at += size;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

std::string replace_text(Budget& budget, const std::string& text, const std::string& old,
                         const std::string& with, int64_t most) {
  std::string out;
  size_t at = 0;
  const auto put = [&] {
    out += with;
    budget.step(with.size() / 256);
    if (out.size() > budget.limits().output) budget.text(out.size());
  };
  int64_t done = 0;
  if (old.empty()) {  // before every character and at the end
    while (most < 0 || done < most) {
      put();
      ++done;
      if (at >= text.size()) break;
      const size_t begin = at;
      next_code_point(text, &at);
      out.append(text, begin, at - begin);
    }
  } else {
    for (; most < 0 || done < most; ++done) {
      const size_t found = text.find(old, at);
      if (found == std::string::npos) break;
      out.append(text, at, found - at);
      put();
      at = found + old.size();
    }
  }
  out.append(text, at, std::string::npos);
  budget.text(out.size());
  return out;
}

std::string pad_text(Budget& budget, const std::string& text, int64_t width,
                     const std::string& fill, Padding padding) {
  const auto size = static_cast<int64_t>(count_code_points(text));
  if (width <= size) return text;
  const auto most = static_cast<int64_t>(budget.limits().output);
  if (width > most) budget.text(static_cast<size_t>(most) + 1);
  const int64_t room = width - size;
  // str.center puts the odd space to the left where the width is odd too.
  const int64_t left = padding == Padding::left    ? room
                       : padding == Padding::right ? 0
                                                   : room / 2 + (room & width & 1);
  budget.text(text.size() + static_cast<size_t>(room) * fill.size());
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < room; ++i) out += fill;
  return out;
}

bool is_cased_as(std::string_view text, bool (*other)(uint32_t)) {
  bool cased = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t code = next_code_point(text, &at);
    if (other(code)) return false;
    cased = cased || is_cased(code);
  }
  return cased;
}

}  // namespace pref::jinja
