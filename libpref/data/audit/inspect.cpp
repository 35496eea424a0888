// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/inspect.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "libpref/base/error.h"
#include "libpref/base/utf8.h"
#include "libpref/data/audit/loaded_rows.h"
#include "libpref/data/audit/markers.h"
#include "libpref/data/row_watcher.h"

namespace pref::audit {
namespace {

using Ids = std::vector<int32_t>;

/// Keeps the last row in the order of files and lines. The loader reads one file after another, so
/// a row of another file than the last one's is later.
class LastRow final : public RowWatcher {
 public:
  void usable(const ParsedRow& parsed, const EncodedRow& encoded) override {
    const std::lock_guard lock(mutex_);
    if (!later(parsed.row.place)) return;
    parsed_ = parsed;
    encoded_ = encoded;
    code_.clear();
  }
  void unusable(const std::string& place, const RowError& error) override {
    const std::lock_guard lock(mutex_);
    if (!later(place)) return;
    code_ = error.code;
    problem_ = error.what();
  }
  std::string place_, code_, problem_;
  int64_t seen_ = 0;
  ParsedRow parsed_;
  EncodedRow encoded_;

 private:
  bool later(const std::string& place) {
    ++seen_;
    const size_t colon = place.rfind(':');
    const std::string file = place.substr(0, colon);
    const int64_t line = std::strtoll(place.c_str() + colon + 1, nullptr, 10);
    if (file == file_ && line < line_) return false;
    file_ = file;
    line_ = line;
    place_ = place;
    return true;
  }
  std::mutex mutex_;
  std::string file_;
  int64_t line_ = 0;
};

/// What `ids[at]` adds to the text of the token before it. A token that is a part of a character
/// has no text of its own; its piece stands for it.
std::string text_of(const Tokenizer& tokenizer, const Ids& ids, size_t at) {
  const auto known = [](const std::string& text) {
    return text.find("\uFFFD") == std::string::npos && find_invalid_utf8(text) == std::string::npos;
  };
  const std::string alone = tokenizer.decode({ids[at]});
  if (at == 0) return known(alone) && !alone.empty() ? alone : tokenizer.piece(ids[at]);
  const std::string before = tokenizer.decode({ids[at - 1]});
  const std::string both = tokenizer.decode({ids[at - 1], ids[at]});
  if (known(both) && both.starts_with(before) && both.size() > before.size())
    return both.substr(before.size());
  return known(alone) && !alone.empty() ? alone : tokenizer.piece(ids[at]);
}

InspectedPart part_of(std::string name, const Ids& ids, const Ids& context,
                      const Tokenizer& tokenizer, const Markers& markers) {
  InspectedPart out{.name = std::move(name)};
  Ids all = context;
  all.insert(all.end(), ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i)
    out.tokens.push_back({.id = ids[i],
                          .text = text_of(tokenizer, all, context.size() + i),
                          .special = markers.is_special(ids[i])});
  return out;
}

InspectedSeam seam_of(const std::string& part, const Ids& prompt, const Ids& answer,
                      const Tokenizer& tokenizer) {
  InspectedSeam out{.part = part};
  out.before.assign(prompt.end() - static_cast<ptrdiff_t>(std::min(kSeamIds, prompt.size())),
                    prompt.end());
  out.after.assign(answer.begin(),
                   answer.begin() + static_cast<ptrdiff_t>(std::min(kSeamIds, answer.size())));
  const auto text_from = [&](size_t first) {  // of the prompt's tokens from there
    return tokenizer.decode({prompt.begin() + static_cast<ptrdiff_t>(first), prompt.end()});
  };
  Ids apart = prompt;
  apart.insert(apart.end(), answer.begin(), answer.end());
  const std::string before = text_from(0);
  const std::string whole = tokenizer.decode(apart);
  const std::string behind = whole.substr(std::min(before.size(), whole.size()));
  out.merges = merges_across(tokenizer, before, behind);
  // BOS may come from the assembly or stand in the text; the reading that fits longer is the one.
  size_t best = 0;
  const bool bos = !prompt.empty() && prompt[0] == tokenizer.special().bos;
  for (size_t skip = 0; out.merges && skip <= (bos ? 1u : 0u); ++skip) {
    const Ids joined = tokenizer.encode(text_from(skip) + behind);
    size_t at = 0;
    while (at < joined.size() && at + skip < apart.size() && joined[at] == apart[at + skip]) ++at;
    if (skip > 0 && at + skip <= best) continue;
    best = at + skip;
    out.together.assign(
        joined.begin() + static_cast<ptrdiff_t>(at),
        joined.begin() + static_cast<ptrdiff_t>(std::min(joined.size(), at + kSeamIds)));
  }
  return out;
}

Ids kept_ids(const InspectedPart& part) {
  Ids out;
  for (const InspectedToken& token : part.tokens)
    if (token.kept) out.push_back(token.id);
  return out;
}

void apply(const TruncationPlan& plan, std::vector<InspectedPart>& parts) {
  const auto head = static_cast<size_t>(plan.prompt_head);
  const size_t cut = head + static_cast<size_t>(plan.prompt_tokens_cut);
  for (size_t i = head; i < cut; ++i) parts[0].tokens[i].kept = false;
  for (size_t b = 0; b < plan.branches.size(); ++b) {
    std::vector<InspectedToken>& tokens = parts[b + 1].tokens;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      tokens[i].kept = at >= plan.branches[b].first && at < plan.branches[b].last;
      tokens[i].trained = tokens[i].kept;  // every token of an answer, none of the prompt
    }
  }
}

}  // namespace

int64_t InspectedPart::kept() const {
  return std::count_if(tokens.begin(), tokens.end(),
                       [](const InspectedToken& token) { return token.kept; });
}

InspectedRow inspect_row(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                         const DataOptions& options, int64_t row) {
  require(row >= 1, ErrorKind::option, "inspect", "rows count from 1, got ", row);
  require(!options.max_rows, ErrorKind::option, "inspect",
          "max_rows has no meaning here; --row chooses the row");
  LastRow last;
  DataOptions whole = options;
  whole.max_length = whole.max_prompt_length = whole.max_completion_length = std::nullopt;
  whole.truncation_mode = TruncationMode::keep_start;
  whole.on_bad_row = BadRowPolicy::skip;
  whole.rejects_folder.clear();
  whole.max_rows = row;
  whole.watcher = &last;
  refuse_mixtures(load_preferences(paths, tokenizer, whole).report, "inspect");
  require(last.seen_ >= row, ErrorKind::option, "inspect", "there are only ", last.seen_,
          " rows, row ", row, " was asked for");

  InspectedRow out{.row = row, .place = last.place_, .code = last.code_, .problem = last.problem_};
  if (!out.usable()) return out;
  out.problem.clear();
  const TokenizedRow& tokens = last.encoded_.row;
  out.id = tokens.id;
  out.layout = std::string(dialect_name(last.parsed_.dialect));
  out.notes = last.parsed_.notes;
  out.notes.insert(out.notes.end(), last.encoded_.notes.begin(), last.encoded_.notes.end());
  const Markers markers(tokenizer);
  out.parts.push_back(part_of("prompt", tokens.prompt, {}, tokenizer, markers));
  for (size_t b = 0; b < tokens.branches.size(); ++b) {
    const std::string name = tokens.branches.size() == 1 ? "answer"
                             : b == 0                    ? "chosen"
                             : b == 1                    ? "rejected"
                                                         : "answer " + std::to_string(b + 1);
    out.parts.push_back(part_of(name, tokens.branches[b], tokens.prompt, tokenizer, markers));
    out.seams.push_back(seam_of(name, tokens.prompt, tokens.branches[b], tokenizer));
  }
  std::vector<int64_t> lengths;
  for (const auto& branch : tokens.branches) lengths.push_back(static_cast<int64_t>(branch.size()));
  const bool bos_first = !tokens.prompt.empty() && tokens.prompt[0] == tokenizer.special().bos;
  const TruncationPlan plan =
      plan_truncation(static_cast<int64_t>(tokens.prompt.size()), lengths, bos_first,
                      {options.max_length, options.max_prompt_length, options.max_completion_length,
                       options.truncation_mode});
  if (!plan.usable()) {
    out.code = plan.reason;
    out.problem = plan.explanation;
    for (InspectedPart& part : out.parts)
      for (InspectedToken& token : part.tokens) token.kept = false;
    return out;
  }
  apply(plan, out.parts);
  if (out.parts.size() > 2 && kept_ids(out.parts[1]) == kept_ids(out.parts[2])) {
    out.code = "identical_pair";
    out.problem = "chosen and rejected have equal token ids once truncated";
  }
  return out;
}

}  // namespace pref::audit
