// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/row_audit.h"

#include <algorithm>
#include <cstdio>

#include "libpref/data/audit/text_facts.h"

namespace pref::audit {

int64_t AuditedRow::num_tokens() const {
  int64_t sum = prompt_tokens;
  for (const int64_t tokens : branch_tokens) sum += tokens;
  return sum;
}

RowAuditor::RowAuditor(const Tokenizer& tokenizer)
    : markers_(tokenizer),
      bos_(tokenizer.special().bos),
      eos_(tokenizer.special().eos),
      is_byte_(static_cast<size_t>(tokenizer.vocab_size())) {
  const SpecialTokens& special = tokenizer.special();
  // GPT-2's kind names its EOS as the unknown token as well and never meets an unknown character.
  if (special.unk != special.bos && special.unk != special.eos && special.unk != special.pad)
    unknown_ = special.unk;
  for (int byte = 0x80; byte < 256; ++byte) {  // line breaks are spelled so as a matter of course
    char piece[8];
    std::snprintf(piece, sizeof piece, "<0x%02X>", byte);
    if (const auto id = tokenizer.piece_id(piece)) is_byte_[static_cast<size_t>(*id)] = true;
  }
}

AuditedRow RowAuditor::look(const ParsedRow& parsed, const EncodedRow& encoded) const {
  const PreferenceRow& text = parsed.row;
  const TokenizedRow& tokens = encoded.row;
  AuditedRow out{.place = text.place, .notes = parsed.notes, .desirable = text.facts.desirable};
  out.notes.insert(out.notes.end(), encoded.notes.begin(), encoded.notes.end());

  const Words prompt = words_of(text.prompt);
  out.prompt = hash_words(prompt);
  const auto long_quote = std::min(kLongQuote, static_cast<int64_t>(prompt.size()));
  Words first;  // of the chosen answer, without case
  for (size_t b = 0; b < text.branches.size(); ++b) {
    const Words answer = words_of(text.branches[b]);
    out.branches.push_back(hash_words(answer));
    const int64_t quote = longest_quote(prompt, answer);
    if (quote >= kQuoteWords && quote >= long_quote)
      (b == 0 ? out.quoted_by_chosen : out.quoted_by_others) = true;
    markers_.find(text.branches[b], out.answers);
    if (text.branches.size() < 2) continue;
    Words folded = words_of(text.branches[b], Case::folded);
    if (b == 0)
      first = std::move(folded);
    else if (first == folded || overlap(first, folded) >= kNearOverlap)
      out.near_identical = true;
  }
  out.anywhere = out.answers;
  markers_.find(text.prompt, out.anywhere);

  const auto count = [&](const std::vector<int32_t>& ids) {
    for (const int32_t id : ids) {
      out.unknown_tokens += id == unknown_;
      out.byte_tokens += is_byte_[static_cast<size_t>(id)];
    }
  };
  out.prompt_tokens = static_cast<int64_t>(tokens.prompt.size());
  out.reference_prompt_tokens = static_cast<int64_t>(tokens.reference_prompt.size());
  out.starts_with_bos = !tokens.prompt.empty() && tokens.prompt[0] == bos_;
  count(tokens.prompt);
  for (const auto& branch : tokens.branches) {
    const bool ended = !branch.empty() && branch.back() == eos_;
    out.branch_tokens.push_back(static_cast<int64_t>(branch.size()));
    out.ends_with_eos.push_back(ended);
    out.empty_answer = out.empty_answer || branch.size() == (ended ? 1 : 0);
    count(branch);
  }
  return out;
}

void RowAuditor::usable(const ParsedRow& parsed, const EncodedRow& encoded) {
  AuditedRow row = look(parsed, encoded);
  const std::lock_guard lock(mutex_);
  rows_.push_back(std::move(row));
}

void RowAuditor::unusable(const std::string& place, const RowError& error) {
  const std::lock_guard lock(mutex_);
  unusable_.push_back({place, error.code, error.what()});
}

}  // namespace pref::audit
