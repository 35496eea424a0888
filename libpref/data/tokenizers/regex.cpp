// SPDX-License-Identifier: Apache-2.0
// See regex.h. pcre2_jit_match takes the text unchecked, so every text is checked to be UTF-8 once,
// before it gets here. What does not fit the compiled code's stack is matched by the interpreter,
// which uses the heap.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "libpref/data/tokenizers/regex.h"

#include <pcre2.h>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/unicode_updates.h"
#include "libpref/data/tokenizers/unsupported.h"

namespace pref {
namespace {

constexpr uint32_t kMatchLimit = 50'000'000;
constexpr size_t kMaxPatternBytes = 1 << 16;  // published ones have some 600
constexpr size_t kFirstStack = 32 << 10, kMaxStack = 16 << 20;

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

/// What matching needs beside the pattern; one per thread.
struct MatchState {
  std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>> data{
      pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>> context{
      pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freed<pcre2_jit_stack_free>> stack{
      pcre2_jit_stack_create(kFirstStack, kMaxStack, nullptr)};
  MatchState() {
    require(data && context && stack, ErrorKind::internal, "regex", "out of memory");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

std::string message_of(int code) {
  char text[256] = "";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

}  // namespace

struct Regex::Compiled {
  std::unique_ptr<pcre2_code, Freed<pcre2_code_free>> code;
  bool jit = false;
};

Regex::Regex(std::string_view pattern, RegexDialect dialect, const std::string& place)
    : compiled_(std::make_unique<Compiled>()), pattern_(pattern) {
  if (pattern.size() > kMaxPatternBytes)
    fail_unsupported(place, ": a pattern of ", pattern.size(), " bytes, at most ", kMaxPatternBytes,
                     " are read. Use the tokenizer.model of the same model where there is one.");
  const std::string translated = translate_regex(pattern, dialect, place);
  const std::unique_ptr<pcre2_compile_context, Freed<pcre2_compile_context_free>> context(
      pcre2_compile_context_create(nullptr));
  require(context != nullptr, ErrorKind::internal, "regex", "out of memory");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                      translated.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset,
                                      context.get()));
  if (!compiled_->code)
    fail_unsupported(place, ": the pattern ", escape_text(pattern),
                     " cannot be compiled: ", message_of(error), " (as ", escape_text(translated),
                     ", byte ", offset,
                     "). Use the tokenizer.model of the same model where there is one.");
  compiled_->jit = pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex::~Regex() = default;

std::string_view Regex::subject(std::string_view text, std::string& buffer) {
  return with_older_characters(text, buffer);
}

bool Regex::find(std::string_view subject, size_t from, size_t& begin, size_t& end) const {
  thread_local MatchState state;
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  int found = PCRE2_ERROR_JIT_STACKLIMIT;
  if (compiled_->jit)
    found = pcre2_jit_match(compiled_->code.get(), text, subject.size(), from, 0, state.data.get(),
                            state.context.get());
  if (found == PCRE2_ERROR_JIT_STACKLIMIT)
    found = pcre2_match(compiled_->code.get(), text, subject.size(), from,
                        PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK, state.data.get(), state.context.get());
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)  // not require(): its parts would be made at every match
    fail(ErrorKind::data, "tokenizer", "the split pattern ", escape_text(pattern_),
         " gives up on this text: ", message_of(found),
         ". A pattern that backtracks this far is not one of a published tokenizer.");
  const PCRE2_SIZE* place = pcre2_get_ovector_pointer(state.data.get());
  begin = place[0];
  end = place[1];
  return true;
}

}  // namespace pref
