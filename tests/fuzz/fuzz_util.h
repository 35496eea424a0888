// SPDX-License-Identifier: Apache-2.0
// What every fuzz target shares. An input may be read or refused; a refusal must be one Error whose
// text names the file, is short and is fit for a terminal. Anything else (another exception, a fault
// that libpref calls its own, a broken promise) stops the fuzzer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "libpref/base/error.h"
#include "libpref/base/utf8.h"

namespace pref::fuzz {

inline void promise(bool kept, std::string_view what) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

inline void check_message(const Error& error, std::string_view path) {
  const std::string_view text = error.what();
  const auto check = [&](bool good, const char* what) {
    if (!good) std::fprintf(stderr, "message: %s\n", error.what());
    promise(good, what);
  };
  check(error.kind() != ErrorKind::internal, "no internal error");
  check(text.find(path) != std::string_view::npos, "a message names its file");
  check(text.size() < 4096, "a message is short");
  check(find_invalid_utf8(text) == std::string_view::npos, "a message is UTF-8");
  for (const char c : text)
    check(static_cast<unsigned char>(c) >= 0x20 || c == '\n', "a message has no control bytes");
}

/// Runs `parse`. True when it throws nothing.
template <class Parse>
bool accepts(std::string_view path, const Parse& parse) {
  try {
    parse();
    return true;
  } catch (const Error& error) {
    check_message(error, path);
    return false;
  }
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace pref::fuzz
