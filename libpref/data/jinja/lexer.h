// SPDX-License-Identifier: Apache-2.0
// Template text to tokens, by the rules of jinja2 with trim_blocks and lstrip_blocks on, as
// transformers sets them: a newline behind a block or comment is dropped, and so is the white space
// before one that stands alone on its line; "-" drops all white space, "+" none.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pref::jinja {

enum class TokenKind : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  symbol,
  end
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  ///< of data, names and strings (without escapes); a symbol's characters
  int64_t integer = 0;
  double real = 0;

  bool is(TokenKind other) const { return kind == other; }
  bool is_symbol(std::string_view symbol) const {
    return kind == TokenKind::symbol && text == symbol;
  }
  bool is_name(std::string_view name) const { return kind == TokenKind::name && text == name; }
};

/// All tokens, the last of kind `end`. `source` is valid UTF-8. Throws Failure with the line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace pref::jinja
