// SPDX-License-Identifier: Apache-2.0
// What a chat template may cost. Templates come with models that strangers made.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pref {

struct TemplateLimits {
  int depth = 200;                    ///< nesting of blocks, expressions, macro calls and values
  uint64_t steps = 1'000'000;         ///< evaluated nodes; long texts and lists count as several
  int64_t range = 100'000;            ///< elements of a range(), which jinja2's sandbox has too
  size_t output = 4'000'000;          ///< bytes of the rendered text and of every text on the way
  size_t template_bytes = 1'000'000;  ///< bytes of the template
  size_t input_bytes = 64'000'000;    ///< bytes of the messages and of the variables as JSON
};

}  // namespace pref
