// SPDX-License-Identifier: Apache-2.0
// Conversations to text in the formats that published chat models were trained with, byte for byte
// as their jinja
// templates render them under transformers (trim_blocks and lstrip_blocks on):
//   zephyr    HuggingFaceH4/zephyr-7b-beta
//   chatml    <|im_start|>role ... <|im_end|>, without a default system message (as TRL's
//             setup_chat_format)
//   qwen2     chatml with the default system message of Qwen2 (and the later Qwen1.5) chat models
//   qwen2.5   chatml with that of Qwen2.5
//   llama-2   meta-llama/Llama-2-chat
#pragma once
#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/data/rows.h"

namespace pref {

/// `automatic`: what the tokenizer's folder uses.
enum class ChatFormat { automatic, zephyr, chatml, qwen2, qwen2_5, llama2 };
constexpr std::array<EnumName<ChatFormat>, 6> enum_names(ChatFormat) {
  return {{{ChatFormat::automatic, "auto"},
           {ChatFormat::zephyr, "zephyr"},
           {ChatFormat::chatml, "chatml"},
           {ChatFormat::qwen2, "qwen2"},
           {ChatFormat::qwen2_5, "qwen2.5"},
           {ChatFormat::llama2, "llama-2"}}};
}

/// The format of that name; automatic for "" and "auto". Throws ErrorKind::option naming the
/// nearest.
ChatFormat parse_chat_format(std::string_view name);

/// The name of the format that a jinja template's text is known to render, "" when it is none of
/// the above. Looks for the template's own expressions, not merely for marker words, which other
/// formats share.
std::string recognise_chat_format(std::string_view jinja);

/// Texts of the tokens that templates write.
struct TemplateTokens {
  std::string bos, eos;
};

/// The whole conversation as text. `add_generation_prompt` opens an assistant turn at the end.
/// Throws ErrorKind::data for roles, or an order of roles, that the format cannot express; `format`
/// must not be automatic.
std::string render_chat(ChatFormat format, const std::vector<Message>& messages,
                        const TemplateTokens& tokens, bool add_generation_prompt);

/// Renders a conversation; `add_generation_prompt` opens an assistant turn at the end.
using ChatText =
    std::function<std::string(const std::vector<Message>&, bool add_generation_prompt)>;

struct RenderedChat {
  std::string prompt, completion;  ///< prompt + completion is the whole conversation's text
};
/// Splits the conversation prompt + completion where the completion begins. The prompt ends in a
/// generation prompt unless its last message is the assistant's.
RenderedChat render_chat_pair(const ChatText& render, std::string_view name,
                              const std::vector<Message>& prompt,
                              const std::vector<Message>& completion);
RenderedChat render_chat_pair(ChatFormat format, const std::vector<Message>& prompt,
                              const std::vector<Message>& completion, const TemplateTokens& tokens);

}  // namespace pref
