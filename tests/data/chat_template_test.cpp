// SPDX-License-Identifier: Apache-2.0
// Chat formats, against texts worked by hand from the published templates.
#include "libpref/data/chat_template.h"

#include <gmock/gmock.h>

#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

const TemplateTokens kTokens{.bos = "<s>", .eos = "</s>"};
const std::vector<Message> kTalk{
    {"system", "S"}, {"user", " U1 "}, {"assistant", " A1\n"}, {"user", "U2"}};

TEST(ChatTemplate, ValueZephyr) {
  EXPECT_EQ(render_chat(ChatFormat::zephyr, kTalk, kTokens, true),
            "<|system|>\nS</s>\n<|user|>\n U1 </s>\n<|assistant|>\n "
            "A1\n</s>\n<|user|>\nU2</s>\n<|assistant|>\n");
}

TEST(ChatTemplate, ValueChatml) {
  EXPECT_EQ(render_chat(ChatFormat::chatml, {kTalk[3]}, kTokens, true),
            "<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render_chat(ChatFormat::qwen2, {kTalk[3]}, kTokens, false),
            "<|im_start|>system\nYou are a helpful "
            "assistant.<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n");
  EXPECT_THAT(render_chat(ChatFormat::qwen2_5, {kTalk[3]}, kTokens, false),
              HasSubstr("You are Qwen, created by Alibaba Cloud."));
  for (const auto format :
       {ChatFormat::qwen2, ChatFormat::qwen2_5})  // an own system message replaces the default one
    EXPECT_EQ(render_chat(format, kTalk, kTokens, true),
              render_chat(ChatFormat::chatml, kTalk, kTokens, true));
}

TEST(ChatTemplate, ValueLlama2) {
  EXPECT_EQ(render_chat(ChatFormat::llama2, kTalk, kTokens, true),
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n U1 [/INST] A1 </s><s>[INST] U2 [/INST]");
  EXPECT_EQ(render_chat(ChatFormat::llama2, {{"user", "\u3000u\n"}}, kTokens, false),
            "<s>[INST] u [/INST]");
}

TEST(ChatTemplate, InvariantPromptPlusCompletionIsTheWhole) {
  const std::vector<Message> answer{{"assistant", "A2"}};
  std::vector<Message> whole = kTalk;
  whole.push_back(answer[0]);
  for (const auto format : {ChatFormat::zephyr, ChatFormat::chatml, ChatFormat::qwen2,
                            ChatFormat::qwen2_5, ChatFormat::llama2}) {
    const RenderedChat split = render_chat_pair(format, kTalk, answer, kTokens);
    EXPECT_EQ(split.prompt + split.completion, render_chat(format, whole, kTokens, false));
    EXPECT_EQ(split.prompt, render_chat(format, kTalk, kTokens, true));
    EXPECT_THAT(split.completion, HasSubstr("A2"));
    EXPECT_EQ(split.prompt.find("A2"), std::string::npos);
  }
}

TEST(ChatTemplate, GenerationPromptOnlyWhereNoAssistantTurnIsOpen) {
  const std::vector<Message> open{{"user", "u"}, {"assistant", "a"}};
  const RenderedChat split =
      render_chat_pair(ChatFormat::zephyr, open, {{"assistant", "b"}}, kTokens);
  EXPECT_EQ(split.prompt, "<|user|>\nu</s>\n<|assistant|>\na</s>\n");
  EXPECT_EQ(split.completion, "<|assistant|>\nb</s>\n");
}

TEST(ChatTemplate, RejectsWhatAFormatCannotSay) {
  EXPECT_THAT(error_of([] {
                render_chat(ChatFormat::zephyr, {{"tool", "x"}}, kTokens, false);
              }),
              HasSubstr("message 0 (tool): the zephyr"));
  EXPECT_THAT(error_of([] {
                render_chat(ChatFormat::llama2, {{"user", "x"}, {"user", "y"}}, kTokens, false);
              }),
              HasSubstr("message 1 (user)"));
  EXPECT_THAT(error_of([] {
                render_chat_pair(ChatFormat::chatml, kTalk, {{"user", "x"}}, kTokens);
              }),
              HasSubstr("begin"));
  EXPECT_NE(error_of([] { render_chat(ChatFormat::automatic, kTalk, kTokens, false); }), "");
}

TEST(ChatTemplate, NamesAndRecognition) {
  EXPECT_EQ(parse_chat_format("llama-2"), ChatFormat::llama2);
  EXPECT_EQ(parse_chat_format(""), ChatFormat::automatic);
  EXPECT_THAT(error_of([] { parse_chat_format("zephir"); }), HasSubstr("did you mean \"zephyr\"?"));
  const std::string zephyr =
      "{% if message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + eos_token }}{% "
      "elif message['role'] == 'system' %}"
      "{{ '<|system|>\\n' + message['content'] + eos_token }}{% else %}{{ '<|assistant|>\\n'  + "
      "message['content'] + eos_token }}{% endif %}";
  EXPECT_EQ(recognise_chat_format(zephyr), "zephyr");
  std::string without_eos =
      zephyr;  // other models share the markers and end their turns differently
  for (size_t at; (at = without_eos.find(" + eos_token")) != std::string::npos;)
    without_eos.erase(at, 12);
  EXPECT_EQ(recognise_chat_format(without_eos), "");
  const std::string chatml =
      "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}";
  EXPECT_EQ(recognise_chat_format(chatml), "chatml");
  EXPECT_EQ(recognise_chat_format(
                "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>' }}" + chatml),
            "qwen2");
  EXPECT_EQ(
      recognise_chat_format("{{ '<|im_start|>system\\nYou are a pirate.<|im_end|>' }}" + chatml),
      "");
  EXPECT_EQ(recognise_chat_format("{{ '<think>' }}" + chatml), "");
  EXPECT_EQ(recognise_chat_format(""), "");
}

}  // namespace
}  // namespace pref
