// SPDX-License-Identifier: Apache-2.0
// See decoder.h.
#include "libpref/data/tokenizers/decoder.h"

#include <charconv>

#include "libpref/base/utf8.h"
#include "libpref/data/tokenizers/byte_level.h"
#include "libpref/data/tokenizers/growth.h"
#include "libpref/data/tokenizers/unicode.h"

namespace pref {
namespace {

std::string joined(const std::vector<std::string>& tokens, std::string_view between = "") {
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) out.append(i > 0 ? between : "").append(tokens[i]);
  return out;
}

std::string replaced(const std::string& text, const std::string& what, std::string_view content,
                     size_t most) {
  std::string out;
  size_t from = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, from)) {
    check_growth(out.size() + content.size(), most);
    out.append(text, from, at - from).append(content);
    from = at + what.size();
  }
  return out.append(text, from);
}

/// The value of a <0xNN> token, or -1.
int fallback_byte(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int value = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  return error == std::errc() && end == token.data() + 5 ? value : -1;
}

std::vector<std::string> without_fallback(const std::vector<std::string>& tokens) {
  std::vector<std::string> out;
  std::string bytes;
  const auto flush = [&] {
    if (find_invalid_utf8(bytes) == std::string_view::npos) {
      if (!bytes.empty()) out.push_back(bytes);
    } else {  // one replacement character for each byte of a run that is no text
      out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
    }
    bytes.clear();
  };
  for (const std::string& token : tokens) {
    if (const int byte = fallback_byte(token); byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    out.push_back(token);
  }
  flush();
  return out;
}

std::string without_byte_level(const std::vector<std::string>& tokens) {
  std::string bytes, out;
  for (const std::string& token : tokens)
    if (!append_character_bytes(token, bytes)) bytes += token;
  append_lossy(bytes, out);
  return out;
}

std::string stripped(std::string_view token, const DecoderStep& step, bool start) {
  for (size_t n = start ? step.start : 0; n > 0 && token.starts_with(step.text); --n)
    token.remove_prefix(step.text.size());
  for (size_t n = step.stop; n > 0 && token.ends_with(step.text); --n)
    token.remove_suffix(step.text.size());
  return std::string(token);
}

}  // namespace

std::string Decoder::decode(std::vector<std::string> tokens, bool strip_prefix) const {
  using Kind = DecoderStep::Kind;
  const auto total = [&] {
    size_t bytes = tokens.size();
    for (const std::string& token : tokens) bytes += token.size();
    return bytes;
  };
  const size_t most = growth_limit(total());
  for (const DecoderStep& step : steps_) {
    if (tokens.empty()) return "";
    switch (step.kind) {
      case Kind::byte_level:
        tokens = {without_byte_level(tokens)};
        break;
      case Kind::byte_fallback:
        tokens = without_fallback(tokens);
        break;
      case Kind::fuse:
        tokens = {joined(tokens)};
        break;
      case Kind::join:
        tokens = {joined(tokens, " ")};
        break;
      case Kind::metaspace:
        for (size_t i = 0; i < tokens.size(); ++i)
          tokens[i] = replaced(tokens[i], step.text,
                               i == 0 && step.strips_first && strip_prefix ? "" : " ", most);
        break;
      case Kind::replace:
        for (std::string& token : tokens) token = replaced(token, step.text, step.content, most);
        check_growth(total(), most);
        break;
      case Kind::strip:
        for (std::string& token : tokens) token = stripped(token, step, strip_prefix);
        break;
    }
  }
  return joined(tokens);
}

}  // namespace pref
