// SPDX-License-Identifier: Apache-2.0
// The two generators behind World: prompts, and the replies of a policy of mixed quality.
#pragma once
#include <string>
#include <string_view>

#include "examples/world/world_language.h"
#include "libpref/base/random.h"

namespace pref::world {

std::string draw_prompt(RandomStream& random);
std::string draw_reply(const Question& question, RandomStream& random);
/// The claim as a sentence, or as the bare word that the question leaves open, between two other
/// sentences (or none).
std::string render_reply(const Claim& claim, const Question& question, bool bare,
                         std::string_view before, std::string_view after);

}  // namespace pref::world
