// SPDX-License-Identifier: Apache-2.0
// A folder's tokenizer with a chat template that the user names in place of the folder's own.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "libpref/data/load_preferences.h"
#include "libpref/data/tokenizer.h"

namespace pref {

std::shared_ptr<const Tokenizer> with_chat_template(std::shared_ptr<const Tokenizer> tokenizer,
                                                    std::string jinja);

/// The tokenizer of `folder`. `choice`, where given, is the path of a file with a jinja template or
/// the name of a chat format, which becomes options.chat_format. Throws as load_tokenizer, and
/// ErrorKind::option for a choice that is neither.
std::shared_ptr<const Tokenizer> load_tokenizer_for(const std::string& folder,
                                                    const std::optional<std::string>& choice,
                                                    DataOptions& options);

}  // namespace pref
