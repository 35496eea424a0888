// SPDX-License-Identifier: Apache-2.0
// The chat template of a model folder (the Jinja text in chat_template.jinja or
// tokenizer_config.json), run on a conversation: the text that transformers' apply_chat_template
// gives. docs/data.md says what of Jinja is covered.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/chat_template.h"
#include "libpref/data/jinja/limits.h"

namespace pref {

/// A template, read once and rendered any number of times, from any number of threads.
class ChatTemplate {
 public:
  /// `name` stands before the line in messages; a file's name is good. Throws ErrorKind::data:
  /// syntax, a filter or test that is not there, a tag that is not supported, a cap.
  explicit ChatTemplate(std::string_view text, std::string name = "chat_template",
                        const TemplateLimits& limits = {});

  /// `messages`: a JSON list of objects. `variables`: a JSON object of what else the template sees,
  /// such as tools, add_generation_prompt, bos_token and eos_token; "" is none. As in transformers,
  /// tools and documents are none and add_generation_prompt is false unless given, and a message's
  /// reasoning is found under reasoning_content and thinking whichever of the two (or reasoning) it
  /// came under. `now` is what strftime_now shows, in seconds since 1970; absent: the clock.
  /// Throws ErrorKind::data with the template's line: what the template refuses by
  /// raise_exception, an operation that Python refuses, a cap.
  std::string render(std::string_view messages, std::string_view variables = {},
                     std::optional<int64_t> now = std::nullopt) const;

  const std::string& name() const { return name_; }

 private:
  struct Tree;
  std::shared_ptr<const Tree> tree_;
  std::string name_;
  TemplateLimits limits_;
};

/// What a row gives the template beside its messages, as compact JSON; "" for none.
struct TemplateInputs {
  std::string_view tools, kwargs;  ///< a list; an object whose members become variables
};
/// The conversation by a folder's template, which sees the texts of BOS and EOS.
std::string render_with_template(const ChatTemplate& chat_template,
                                 const std::vector<Message>& messages, const TemplateTokens& tokens,
                                 bool add_generation_prompt, const TemplateInputs& inputs = {});

/// ChatTemplate(template_text).render(messages, variables).
std::string render_chat_template(std::string_view template_text, std::string_view messages,
                                 std::string_view variables = {});

}  // namespace pref
