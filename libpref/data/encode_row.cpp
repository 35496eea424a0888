// SPDX-License-Identifier: Apache-2.0
// See encode_row.h.
#include "libpref/data/encode_row.h"

#include <algorithm>
#include <span>

#include "libpref/base/error.h"
#include "libpref/data/json_row.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/whitespace.h"

namespace pref {
namespace {

using Ids = std::vector<int32_t>;

struct Texts {
  std::string prompt, reference_prompt;
  std::vector<std::string> completions;
};

/// What a template refuses is the row's fault.
template <class Work>
auto guarded(const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    throw RowError("bad_turns", 0, error.what());
  }
}

/// Conversations of one row to text, by the named format or by the folder's template.
class Renderer {
 public:
  Renderer(const PreferenceRow& row, const EncodeOptions& options, const TemplateTokens& tokens)
      : row_(row),
        options_(options),
        tokens_(tokens),
        by_folder_(options.chat_format == ChatFormat::automatic ||
                   (options.folder_template && !row.needs_template.empty())) {
    require(!by_folder_ || options.folder_template, ErrorKind::option, "encode_row", row.place,
            ": the row is a conversation and the tokenizer's folder has no chat template. Set "
            "chat_format to zephyr, chatml, qwen2, qwen2.5 or llama-2.");
    if (!by_folder_ && !row.needs_template.empty())
      throw RowError("needs_template", 0,
                     row.needs_template +
                         " is for the chat template of the model's folder, and the named chat "
                         "formats cannot express it. Set chat_format: auto, with a folder that has "
                         "a template");
  }

  RenderedChat pair(const std::vector<Message>& prompt, const std::vector<Message>& completion) {
    return guarded([&] {
      return render_chat_pair(
          [&](const std::vector<Message>& messages, bool add_generation_prompt) {
            return text(messages, add_generation_prompt);
          },
          name(), prompt, completion);
    });
  }
  /// A prompt alone: open for the assistant unless its own last message is the assistant's.
  std::string prompt(const std::vector<Message>& messages) {
    return guarded([&] { return text(messages, messages.back().role != "assistant"); });
  }

 private:
  std::string text(const std::vector<Message>& messages, bool add_generation_prompt) const {
    return by_folder_ ? render_with_template(*options_.folder_template, messages, tokens_,
                                             add_generation_prompt,
                                             {row_.tools, row_.chat_template_kwargs})
                      : render_chat(options_.chat_format, messages, tokens_, add_generation_prompt);
  }
  std::string_view name() const {
    for (const auto& entry : enum_names(ChatFormat{}))
      if (entry.value == options_.chat_format && !by_folder_) return entry.name;
    return "folder's chat";
  }
  const PreferenceRow& row_;
  const EncodeOptions& options_;
  const TemplateTokens& tokens_;
  const bool by_folder_;
};

Texts render(const PreferenceRow& row, const EncodeOptions& options, const TemplateTokens& tokens) {
  Texts texts{.prompt = row.prompt.text, .reference_prompt = row.reference_prompt.text};
  for (const Content& branch : row.branches)
    if (!branch.conversational()) texts.completions.push_back(branch.text);
  const bool chat =
      row.prompt.conversational() || (!row.branches.empty() && row.branches[0].conversational());
  if (!chat) return texts;
  Renderer renderer(row, options, tokens);
  if (row.branches.empty()) texts.prompt = renderer.prompt(row.prompt.messages);
  for (const Content& branch : row.branches) {
    RenderedChat rendered = renderer.pair(row.prompt.messages, branch.messages);
    texts.prompt = std::move(rendered.prompt);  // the same for every branch
    texts.completions.push_back(std::move(rendered.completion));
  }
  if (row.reference_prompt.conversational())
    texts.reference_prompt = renderer.prompt(row.reference_prompt.messages);
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

namespace {

/// Pieces of ids, for messages: "a|b|c".
std::string pieces(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  std::string out;
  for (const int32_t id : ids) out += (out.empty() ? "" : "|") + tokenizer.piece(id);
  return escape_text(out, 120);
}

[[noreturn]] void refuse_seam(const Tokenizer& tokenizer, const Texts& texts, const Ids& prompt,
                              const Ids& completion, const Ids& whole, size_t b) {
  const auto differ = static_cast<size_t>(
      std::mismatch(prompt.begin(), prompt.end(), whole.begin(), whole.end()).first -
      prompt.begin());
  constexpr size_t kBefore = 3, kAfter = 6;
  const size_t from = differ - std::min(differ, kBefore);
  const auto around = [&](const Ids& ids) {
    return std::span(ids).subspan(
        std::min(from, ids.size()),
        std::min(kBefore + kAfter, ids.size() - std::min(from, ids.size())));
  };
  Ids apart = prompt;
  apart.insert(apart.end(), completion.begin(), completion.end());
  throw RowError(
      "boundary_merge", 0,
      "response " + std::to_string(b) + ": a token spans the end of the prompt, " +
          escape_text(std::string_view(texts.prompt)
                          .substr(character_start(
                              texts.prompt,
                              texts.prompt.size() - std::min<size_t>(texts.prompt.size(), 20)))) +
          ": tokenized apart " + pieces(tokenizer, around(apart)) + ", together " +
          pieces(tokenizer, around(whole)) +
          ". Set seam: separate (as generation sees it) or seam: move_back");
}

struct Seam {
  bool merges = false;
  size_t tokens_moved = 0;
};

/// Applies the seam policy to prompt and branches, tokenized apart.
Seam mend_seam(const Tokenizer& tokenizer, const Texts& texts, SeamPolicy policy, Ids& prompt,
               std::vector<Ids>& branches) {
  Seam seam;
  std::vector<bool> merges;
  for (const std::string& completion : texts.completions) {
    merges.push_back(merges_across(tokenizer, texts.prompt, completion));
    seam.merges = seam.merges || merges.back();
  }
  if (!seam.merges || policy == SeamPolicy::separate) return seam;
  std::vector<Ids> wholes;
  std::vector<std::string> unused_notes;
  size_t shared = prompt.size();
  for (size_t b = 0; b < branches.size(); ++b) {
    Ids whole = encode_prompt(texts.prompt + texts.completions[b], tokenizer, unused_notes);
    if (merges[b] && policy == SeamPolicy::error)
      refuse_seam(tokenizer, texts, prompt, branches[b], whole, b);
    shared = std::min(
        shared, static_cast<size_t>(
                    std::mismatch(prompt.begin(), prompt.end(), whole.begin(), whole.end()).first -
                    prompt.begin()));
    wholes.push_back(std::move(whole));
  }
  if (shared < 1)
    throw RowError("boundary_merge", 0,
                   "seam: move_back leaves no prompt token: the responses' first token spans the "
                   "whole prompt. Set seam: separate");
  seam.tokens_moved = prompt.size() - shared;
  prompt.resize(shared);
  for (size_t b = 0; b < branches.size(); ++b)
    branches[b].assign(wholes[b].begin() + static_cast<ptrdiff_t>(shared), wholes[b].end());
  return seam;
}

void set_token_rewards(const PreferenceRow& row, TokenizedRow& out) {
  for (size_t b = 0; b < row.token_rewards.size(); ++b)
    if (row.token_rewards[b].size() != out.branches[b].size())
      throw RowError("bad_type", 0,
                     "token_rewards of response " + std::to_string(b) + " has " +
                         std::to_string(row.token_rewards[b].size()) +
                         " numbers, the response has " + std::to_string(out.branches[b].size()) +
                         " tokens as tokenized (EOS included where eos_policy puts one)");
  out.token_rewards = row.token_rewards;
}

void check_identical(const PreferenceRow& row, const TokenizedRow& out, bool cut) {
  const size_t ranked = out.branches.size() - (row.has_reference_response ? 1 : 0);
  for (size_t b = 1; b < ranked; ++b)
    if (out.branches[0] == out.branches[b])
      throw RowError(
          "identical_pair", 0,
          std::string("chosen and rejected have equal token ids") + (cut ? " once truncated" : ""));
}

}  // namespace

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
  if (!texts.reference_prompt.empty())
    out.row.reference_prompt = encode_prompt(texts.reference_prompt, tokenizer, notes);
  for (size_t b = 0; b < texts.completions.size(); ++b) {
    out.row.branches.push_back(texts.prompt.empty()
                                   ? tokenizer.encode(texts.completions[b])
                                   : tokenizer.encode_continuation(texts.completions[b]));
    if (out.row.branches.back().empty())
      throw RowError("empty_response", 0, "response " + std::to_string(b) + " has no token");
  }
  const Seam seam = mend_seam(tokenizer, texts, options.seam, out.row.prompt, out.row.branches);
  out.seam_tokens_moved = static_cast<int64_t>(seam.tokens_moved);
  const bool bos_first =
      special.bos && !out.row.prompt.empty() && out.row.prompt[0] == *special.bos;
  const bool bos_in_text = !tokens.bos.empty() && texts.prompt.starts_with(tokens.bos);
  bool invertible = true;
  for (size_t b = 0; b < out.row.branches.size(); ++b) {
    Ids& ids = out.row.branches[b];
    Ids whole(out.row.prompt.begin() + (bos_first && !bos_in_text ? 1 : 0), out.row.prompt.end());
    whole.insert(whole.end(), ids.begin(), ids.end());
    invertible = invertible && tokenizer.decode(whole) == texts.prompt + texts.completions[b];
    end_response(ids, tokenizer, options.eos_policy);
  }
  if (seam.merges) notes.emplace_back(seam.tokens_moved > 0 ? "boundary_moved" : "boundary_merge");
  if (!invertible) notes.emplace_back("not_invertible");
  set_token_rewards(row, out.row);

  std::vector<int64_t> lengths;
  for (const Ids& branch : out.row.branches) lengths.push_back(static_cast<int64_t>(branch.size()));
  out.truncation =
      plan_truncation(static_cast<int64_t>(out.row.prompt.size()), lengths, bos_first,
                      options.limits, static_cast<int64_t>(out.row.reference_prompt.size()));
  if (!out.truncation.usable())
    throw RowError(out.truncation.reason, 0, out.truncation.explanation);
  apply_truncation(out.truncation, out.row);
  const bool cut_response =
      out.truncation.response_tokens_cut_left + out.truncation.response_tokens_cut_right > 0;
  if (out.truncation.prompt_tokens_cut > 0) notes.emplace_back("truncated_prompt");
  if (out.truncation.reference_tokens_cut > 0) notes.emplace_back("truncated_reference_prompt");
  if (cut_response) notes.emplace_back("truncated_response");
  check_identical(row, out.row, cut_response);
  return out;
}

}  // namespace pref
