// SPDX-License-Identifier: Apache-2.0
// Chat templates on a fixed conversation, under small caps: each renders to UTF-8 within the cap or
// is refused with its line.
#include "libpref/data/jinja/chat.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr const char* kTalk =
      R"([{"role":"system","content":"S é"},{"role":"user","content":" hi\n"},)"
      R"({"role":"assistant","content":"ho","tool_calls":[{"function":{"name":"f","arguments":{"a":1.5,"b":null}}}]},)"
      R"({"role":"tool","content":"12"}])";
  constexpr const char* kVariables =
      R"({"add_generation_prompt":true,"bos_token":"<s>","eos_token":"</s>",)"
      R"("tools":[{"type":"function","function":{"name":"f","parameters":{"x":[1,2]}}}]})";
  const TemplateLimits limits{.depth = 60, .steps = 20'000, .range = 1'000, .output = 50'000};
  fuzz::accepts("t.jinja", [&] {
    const ChatTemplate chat(fuzz::text_of(data, size), "t.jinja", limits);
    const std::string text = chat.render(kTalk, kVariables, 1'700'000'000);
    fuzz::promise(text.size() <= limits.output, "the output cap holds");
    fuzz::promise(find_invalid_utf8(text) == std::string_view::npos, "the output is UTF-8");
    fuzz::promise(chat.render(kTalk, kVariables, 1'700'000'000) == text,
                  "rendering twice gives one text");
  });
  return 0;
}
