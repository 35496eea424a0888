// SPDX-License-Identifier: Apache-2.0
// The one error type. A text says where, what is required, what came and what to do:
//   [jsonl] train.jsonl:17:1: field "rejected" is missing (found: prompt, chosen). Each row needs
//     prompt, chosen, rejected.
// The library throws; only programs print and exit, with `Error::exit_code()`. Includes std only,
// so kernels may use it.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace pref {

/// What went wrong, by who can mend it. The values are the programs' exit codes (sysexits where one
/// fits).
enum class ErrorKind : int {
  option = 64,         ///< a bad option, argument or shape handed in by the caller
  data = 65,           ///< a bad data, model or tokenizer file
  missing_input = 66,  ///< an input file or folder that is not there or cannot be read
  internal = 70,       ///< a fault of libpref itself
  cannot_create = 73,  ///< an output that cannot be created
  io = 74,             ///< reading or writing failed midway (full disk, device error)
  requeue = 75,        ///< preempted, a peer lost, a time limit: start the job again
  non_finite = 76,     ///< a loss or gradient that is not finite
  digest = 77,         ///< a checkpoint or cache that is not what its manifest says
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view where, std::string_view text)
      : std::runtime_error(message(where, text)), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }

 private:
  static std::string message(std::string_view where, std::string_view text) {
    std::string out;
    out.reserve(where.size() + text.size() + 3);
    return out.append("[").append(where).append("] ").append(text);
  }
  ErrorKind kind_;
};

/// Throws an Error whose text is the parts, streamed one after the other.
template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, std::string_view where, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(kind, where, text.str());
}

/// fail() unless `condition`. The parts are only formatted on failure; keep costly ones out of hot
/// paths.
template <class... Parts>
void require(bool condition, ErrorKind kind, std::string_view where, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(kind, where, parts...);
}

}  // namespace pref
