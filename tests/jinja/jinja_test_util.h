// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "libpref/base/error.h"
#include "libpref/data/jinja/chat.h"

namespace pref::testing {

inline const std::string kTalk =
    R"([{"role":"system","content":"S"},{"role":"user","content":" hi "},)"
    R"({"role":"assistant","content":"ho"}])";

/// The rendered text; an error's message in its place, behind "! ".
inline std::string render(const std::string& text, const std::string& messages = "[]",
                          const std::string& variables = {}, const TemplateLimits& limits = {}) {
  try {
    return ChatTemplate(text, "t.jinja", limits).render(messages, variables, 86400 * 365);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    return std::string("! ") + error.what();
  }
}

/// What {{ expression }} prints.
inline std::string value_of(const std::string& expression, const std::string& variables = {}) {
  return render("{{ " + expression + " }}", "[]", variables);
}

}  // namespace pref::testing
