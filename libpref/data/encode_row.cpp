// SPDX-License-Identifier: Apache-2.0
// See encode_row.h.
#include "libpref/data/encode_row.h"

#include <algorithm>

#include "libpref/base/error.h"
#include "libpref/data/json_row.h"
#include "libpref/data/whitespace.h"

namespace pref {
namespace {

using Ids = std::vector<int32_t>;

struct Texts {
  std::string prompt;
  std::vector<std::string> completions;
};

Texts render(const PreferenceRow& row, const EncodeOptions& options, const TemplateTokens& tokens) {
  Texts texts{.prompt = row.prompt.text};
  for (size_t b = 0; b < row.branches.size(); ++b) {
    const Content& branch = row.branches[b];
    if (!branch.conversational()) {
      texts.completions.push_back(branch.text);
      continue;
    }
    const bool by_folder = options.chat_format == ChatFormat::automatic;
    require(!by_folder || options.folder_template, ErrorKind::option, "encode_row", row.place,
            ": the row is a conversation and the tokenizer's folder has no chat template. Set "
            "chat_format to zephyr, chatml, qwen2, qwen2.5 or llama-2.");
    try {
      RenderedChat chat =
          by_folder
              ? render_chat_pair(
                    [&](const std::vector<Message>& messages, bool add_generation_prompt) {
                      return render_with_template(*options.folder_template, messages, tokens,
                                                  add_generation_prompt);
                    },
                    "folder's chat", row.prompt.messages, branch.messages)
              : render_chat_pair(options.chat_format, row.prompt.messages, branch.messages, tokens);
      texts.prompt =
          std::move(chat.prompt);  // the same for every branch: it depends on the prompt alone
      texts.completions.push_back(std::move(chat.completion));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;
      throw RowError("bad_turns", 0, error.what());
    }
  }
  return texts;
}

bool mentions(const Content& content, const std::string& token) {
  if (token.empty()) return false;
  const auto in = [&](const std::string& text) { return text.find(token) != std::string::npos; };
  return in(content.text) ||
         std::any_of(content.messages.begin(), content.messages.end(),
                     [&](const Message& message) { return in(message.content); });
}

/// Ids of the prompt with one BOS in front where the tokenizer wants it.
Ids encode_prompt(const std::string& text, const Tokenizer& tokenizer,
                  std::vector<std::string>& notes) {
  Ids ids = tokenizer.encode(text);
  const std::optional<int32_t> bos = tokenizer.special().bos;
  if (!bos) return ids;
  const auto own = static_cast<size_t>(
      std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id != *bos; }) - ids.begin());
  if (own > 1) {
    notes.emplace_back("double_bos");
    ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(own - 1));
  }
  if (own == 0 && tokenizer.adds_bos()) ids.insert(ids.begin(), *bos);
  return ids;
}

void end_response(Ids& ids, const Tokenizer& tokenizer, EosPolicy policy) {
  if (policy == EosPolicy::never) return;
  const std::optional<int32_t> eos = tokenizer.special().eos;
  require(eos.has_value(), ErrorKind::option, "encode_row",
          "the tokenizer has no EOS token; set eos_policy: never");
  const auto last =
      std::find(ids.rbegin(), ids.rend(), *eos).base();  // behind the last EOS; begin() without one
  if (last == ids.begin() || !strip(tokenizer.decode({last, ids.end()})).empty()) {
    ids.push_back(*eos);
  } else if (policy == EosPolicy::append_if_absent) {
    ids.erase(last, ids.end());
    while (ids.size() > 1 && ids[ids.size() - 2] == *eos)
      ids.pop_back();  // the text had one and the template another
  }
}

}  // namespace

bool merges_across(const Tokenizer& tokenizer, std::string_view prompt,
                   std::string_view completion) {
  constexpr size_t kNear = 32, kFar = 256;
  if (prompt.empty() || completion.empty()) return false;
  size_t first = word_start(prompt, prompt.size() - std::min(prompt.size(), kNear));
  if (prompt.size() - first > kFar) first = character_start(prompt, prompt.size() - kFar);
  size_t last = character_start(completion, std::min(completion.size(), kNear));
  while (last < completion.size() && last < kFar && whitespace_bytes(completion, last) == 0) ++last;
  last = character_start(completion, last);
  const std::string tail(prompt.substr(first)), head(completion.substr(0, last));
  const auto encode_tail = [&](const std::string& text) {
    return first == 0 ? tokenizer.encode(text) : tokenizer.encode_continuation(text);
  };
  Ids apart = encode_tail(tail);
  const Ids second = tokenizer.encode_continuation(head);
  apart.insert(apart.end(), second.begin(), second.end());
  return encode_tail(tail + head) != apart;
}

EncodedRow encode_row(const PreferenceRow& row, const Tokenizer& tokenizer,
                      const EncodeOptions& options) {
  const SpecialTokens& special = tokenizer.special();
  const TemplateTokens tokens{.bos = special.bos ? tokenizer.piece(*special.bos) : "",
                              .eos = special.eos ? tokenizer.piece(*special.eos) : ""};
  const Texts texts = render(row, options, tokens);
  EncodedRow out;
  out.row = {.id = row.id, .place = row.place, .facts = row.facts};
  std::vector<std::string>& notes = out.notes;
  bool special_in_text = mentions(row.prompt, tokens.bos) || mentions(row.prompt, tokens.eos);
  for (const Content& branch : row.branches)
    special_in_text =
        special_in_text || mentions(branch, tokens.bos) || mentions(branch, tokens.eos);
  if (special_in_text) notes.emplace_back("special_in_text");

  out.row.prompt = encode_prompt(texts.prompt, tokenizer, notes);
  const bool bos_first =
      special.bos && !out.row.prompt.empty() && out.row.prompt[0] == *special.bos;
  const bool bos_in_text = !tokens.bos.empty() && texts.prompt.starts_with(tokens.bos);
  bool merges = false, invertible = true;
  for (size_t b = 0; b < texts.completions.size(); ++b) {
    const std::string& completion = texts.completions[b];
    Ids ids = texts.prompt.empty() ? tokenizer.encode(completion)
                                   : tokenizer.encode_continuation(completion);
    if (ids.empty())
      throw RowError("empty_response", 0, "response " + std::to_string(b) + " has no token");
    merges = merges || merges_across(tokenizer, texts.prompt, completion);
    Ids whole(out.row.prompt.begin() + (bos_first && !bos_in_text ? 1 : 0), out.row.prompt.end());
    whole.insert(whole.end(), ids.begin(), ids.end());
    invertible = invertible && tokenizer.decode(whole) == texts.prompt + completion;
    end_response(ids, tokenizer, options.eos_policy);
    out.row.branches.push_back(std::move(ids));
  }
  if (merges) notes.emplace_back("boundary_merge");
  if (!invertible) notes.emplace_back("not_invertible");

  std::vector<int64_t> lengths;
  for (const Ids& branch : out.row.branches) lengths.push_back(static_cast<int64_t>(branch.size()));
  out.truncation = plan_truncation(static_cast<int64_t>(out.row.prompt.size()), lengths, bos_first,
                                   options.limits);
  if (!out.truncation.usable())
    throw RowError(out.truncation.reason, 0, out.truncation.explanation);
  apply_truncation(out.truncation, out.row);
  const bool cut_response =
      out.truncation.response_tokens_cut_left + out.truncation.response_tokens_cut_right > 0;
  if (out.truncation.prompt_tokens_cut > 0) notes.emplace_back("truncated_prompt");
  if (cut_response) notes.emplace_back("truncated_response");
  if (out.row.branches.size() >= 2 && out.row.branches[0] == out.row.branches[1])
    throw RowError("identical_pair", 0,
                   cut_response ? "chosen and rejected have equal token ids once truncated"
                                : "chosen and rejected have equal token ids");
  return out;
}

}  // namespace pref
