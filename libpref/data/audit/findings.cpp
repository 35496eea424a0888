// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/findings.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "libpref/base/error.h"

namespace pref::audit {
namespace {

constexpr double kAny = 0, kNever = 2;  // shares

struct Check {
  const char *code, *title, *unit;
  double note, warning, error;  ///< from this share on, and at least one
  const char *detail, *advice;
};

constexpr Check kChecks[] = {
    {"unknown_tokens", "unknown tokens", "tokens", kAny, kAny, 0.01,
     "The tokenizer has no token for parts of these texts and puts its unknown token there: the "
     "model neither sees nor learns them.",
     "Check that --model is the folder of the model that is to be trained and that the text is in "
     "a language and script that its tokenizer knows."},
    {"byte_tokens", "characters spelled in bytes", "tokens", 0.005, 0.05, kNever,
     "The tokenizer has no token for many characters and spells them byte by byte: texts get long "
     "and the model has hardly seen their like.",
     "Check that the model knows the language of the data, and that the text was not decoded "
     "wrongly."},
    {"identical_pairs", "identical answers", "rows", kAny, kAny, 0.05,
     "Chosen and rejected are the same text or the same tokens: the row teaches nothing.",
     "Remove these rows, or pass on_bad_row=skip."},
    {"identical_once_cut", "answers identical once cut", "rows", kAny, kAny, 0.05,
     "Chosen and rejected differ only behind the place where max_length cuts them.",
     "Raise max_length, or remove these rows."},
    {"near_identical", "near-identical answers", "rows", kAny, 0.01, kNever,
     "Chosen and rejected share nearly all of their words: the label rests on very little, and the "
     "likelihood of both falls together.",
     "Look at some with `pref inspect`. Where the difference is meant (a corrected figure), keep "
     "them; where it is noise, remove them."},
    {"contradictory_labels", "contradictory labels", "rows", kAny, kAny, 0.05,
     "The same two answers to the same prompt are ranked one way in one row and the other way in "
     "another.",
     "Decide by majority or remove both directions; if annotators disagree, label smoothing says "
     "so to the objective."},
    {"duplicate_rows", "repeated rows", "rows", kAny, 0.01, kNever,
     "Prompt and answers stood in an earlier row, in the same order.",
     "Remove the copies, unless the repetition is meant as a weight."},
    {"duplicate_prompts", "repeated prompts", "rows", kAny, kNever, kNever,
     "The prompt stood in an earlier row.",
     "Usual where several answers were compared. Split training and evaluation by prompt, not by "
     "row."},
    {"prompt_in_answer", "prompt text in answers", "rows", kAny, 0.05, kNever,
     "An answer repeats a long stretch of its prompt word for word.",
     "Usual for editing tasks. Otherwise look for an export that put the prompt, or a whole "
     "conversation, into the answer."},
    {"turn_marks", "marks of turns in answers", "rows", kAny, 0.001, kNever,
     "Answers contain marks such as <|im_start|> or \"Human:\" that are plain text to this "
     "tokenizer: the data went through the template of another model, or an answer runs on into "
     "the next turn.",
     "Cut the answers at the mark, or convert the rows to messages."},
    {"special_in_text", "special tokens written in the data", "rows", kAny, 0.001, kNever,
     "Texts contain words that become control tokens of the model.",
     "Remove them where the template writes them as well; prompts from strangers could otherwise "
     "open turns of their own."},
    {"eos_inside", "EOS inside answers", "rows", kAny, kAny, kNever,
     "The end-of-sequence token stands before the end of an answer: the model learns to stop "
     "there.",
     "Remove the token from the texts, or split the rows there."},
    {"empty_answers", "empty answers", "rows", kAny, kAny, 0.05,
     "An answer has no text, or no token beside EOS.",
     "Remove these rows, or pass on_bad_row=skip for those without any text."},
    {"no_eos", "answers without EOS", "answers", kAny, 0.1, 0.9,
     "These answers do not end with the end-of-sequence token once encoded and cut: the model "
     "does not learn from them where to stop.",
     "Raise max_length; where eos_policy is never, the template or the data must write EOS."},
    {"truncated_rows", "rows that are cut", "rows", kAny, 0.05, 0.5,
     "Prompt and longest answer exceed a limit, so tokens are removed.",
     "See the table of truncation below for what other limits cost."},
    {"beyond_model", "sequences longer than the model's positions", "rows", kAny, kAny, kAny,
     "Prompt and answer are longer, after truncation, than max_position_embeddings of the model.",
     "Set max_length to the model's positions or less."},
    {"eval_prompts", "evaluation prompts that are trained on", "rows", kAny, kAny, 0.5,
     "The prompt of an evaluation row stands in the training rows.",
     "Split by prompt, or read the evaluation as one on known prompts."},
    {"eval_rows", "evaluation rows that are trained on", "rows", kAny, kAny, 0.05,
     "Prompt and answers of an evaluation row stand in the training rows.",
     "Remove them from one of the two: their accuracy measures memory."},
    {"not_invertible", "texts that tokens do not give back", "rows", kAny, 0.01, kNever,
     "Decoding the tokens does not give the text back: the tokenizer, or the template's white "
     "space, changes it.",
     "Harmless where the tokenizer normalizes; look at one with `pref inspect`."},
    {"boundary_merge", "seams inside a token", "rows", kAny, kNever, kNever,
     "Tokenized in one piece, a token would span the end of the prompt. libpref tokenizes prompt "
     "and answer apart; a sampler that continues the prompt does the same.",
     "Nothing, if generation also starts from the tokens of the prompt. Else end prompts with a "
     "line break or a turn mark."},
    {"double_bos", "two BOS in front", "rows", kAny, kAny, kNever,
     "The text brought a BOS of its own beside the template's; one was dropped.",
     "Remove the token from the texts."},
    {"layouts", "more than one layout", "rows", kAny, kNever, kNever,
     "Rows of several layouts are mixed; these have not the most frequent one.",
     "Fine if meant; option dialect refuses all but one."},
    {"unread_keys", "fields that nothing reads", "rows", kAny, kNever, kNever,
     "Rows have fields that training does not look at.", "Check that none of them is meant."},
};

const Check& check_of(std::string_view code) {
  for (const Check& check : kChecks)
    if (code == check.code) return check;
  fail(ErrorKind::internal, "audit", "no check is called ", code);
}

Severity severity_of(int64_t count, double share, double note, double warning, double error) {
  if (count == 0 || share < note) return Severity::ok;
  if (share >= error) return Severity::error;
  return share >= warning ? Severity::warning : Severity::note;
}

}  // namespace

std::string_view severity_name(Severity severity) {
  return enum_names(severity)[static_cast<size_t>(severity)].name;
}

Finding judge(std::string_view code, const Tally& tally, int64_t total) {
  const Check& check = check_of(code);
  Finding out{.code = check.code,
              .title = check.title,
              .count = tally.count,
              .total = total,
              .unit = check.unit,
              .examples = tally.examples};
  out.severity = severity_of(out.count, out.share(), check.note, check.warning, check.error);
  if (out.severity == Severity::ok) return out;
  out.detail = check.detail;
  out.advice = check.advice;
  return out;
}

Finding judge_unusable(std::string_view code, const Tally& tally, int64_t total, bool strict,
                       const std::string& first_problem) {
  Finding out{.code = "unusable_" + std::string(code),
              .title = "rows that cannot be used (" + std::string(code) + ")",
              .count = tally.count,
              .total = total,
              .unit = "rows",
              .examples = tally.examples};
  out.severity = strict                ? Severity::error
                 : out.share() >= 0.01 ? Severity::warning
                                       : Severity::note;
  out.detail = first_problem.empty() ? "These rows are left out." : "First: " + first_problem + ".";
  out.advice = strict ? "A run stops at the first. Fix the rows or pass on_bad_row=skip."
                      : "They are left out of training and listed in rejects.jsonl.";
  return out;
}

bool covered_note(std::string_view code) {
  // Checks of their own; truncation has a table; dup_row compares tokens after all else.
  constexpr std::string_view kCovered[] = {
      "boundary_merge",     "not_invertible", "double_bos", "special_in_text", "truncated_prompt",
      "truncated_response", "dup_row",        "extra_key",  "blank",           "no_final_newline"};
  return std::find(std::begin(kCovered), std::end(kCovered), code) != std::end(kCovered);
}

Finding other_note(std::string_view code, const Tally& tally, int64_t total) {
  struct Words {
    const char *code, *title, *detail;
  };
  constexpr Words kKnown[] = {
      {"bad_turns", "two messages of one role in a row",
       "Turns do not alternate; templates may refuse or join them."},
      {"boundary_moved", "seams moved",
       "Prompt tokens at the seam were given to the answers (seam: move_back)."},
      {"nul_byte", "NUL characters", "Texts contain the character U+0000."},
      {"bom", "byte-order mark", "The file begins with a byte-order mark, which is passed over."},
      {"crlf", "Windows line ends", "Lines end in CR LF; the CR is passed over."}};
  Finding out{.code = std::string(code),
              .title = "note " + std::string(code),
              .severity = Severity::note,
              .count = tally.count,
              .total = total,
              .unit = "rows",
              .detail = "The loader noted " + std::string(code) + ".",
              .advice = "Nothing, if that is meant.",
              .examples = tally.examples};
  for (const Words& known : kKnown)
    if (code == known.code) {
      out.title = known.title;
      out.detail = known.detail;
    }
  return out;
}

Finding judge_length_bias(const LengthBias& bias) {
  const bool pairs = bias.pairs() > 0;
  Finding out{.code = "length_bias", .title = "length tells the label"};
  char text[200];
  double distance;  // from chance; 1.5 / sqrt(n) is three standard errors of chance itself
  if (pairs) {
    out.count = bias.longer_wins();
    out.total = bias.unequal();
    out.unit = "pairs";
    distance = std::abs(bias.longer_wins_share() - 0.5);
    std::snprintf(text, sizeof text,
                  "The longer answer is the chosen one in %.1f %% (standard error %.1f) of the "
                  "pairs with unequal lengths; correlation of length and label %.3f (%.3f).",
                  100 * bias.longer_wins_share(), 100 * bias.longer_wins_error(),
                  bias.point_biserial(), bias.point_biserial_error());
  } else {
    out.count = out.total = bias.answers();
    out.unit = "answers";
    distance = std::abs(bias.point_biserial()) / 2;
    std::snprintf(text, sizeof text, "Correlation of length and label %.3f (standard error %.3f).",
                  bias.point_biserial(), bias.point_biserial_error());
  }
  if (distance < 0.05 || distance <= 1.5 / std::sqrt(std::max<int64_t>(out.total, 1))) return out;
  out.severity = distance >= 0.1 ? Severity::warning : Severity::note;
  out.detail = text;
  out.advice =
      "A model can learn length in place of quality. Balance the data, or take an objective that "
      "normalizes by length (simpo) or subtracts it (r_dpo); watch the length of samples.";
  return out;
}

std::string percent(double share) {
  char text[32];
  const double value = 100 * share;
  std::snprintf(text, sizeof text, value != 0 && value < 0.095 ? "%.2g %%" : "%.1f %%", value);
  return text;
}

std::string counts_text(const std::map<std::string, int64_t>& counts) {
  std::string out;
  for (const auto& [name, count] : counts)
    out += (out.empty() ? "" : ", ") + name + " " + std::to_string(count);
  return out;
}

std::string count_text(const Finding& finding) {
  return std::to_string(finding.count) + " of " + std::to_string(finding.total) + " " +
         finding.unit + " (" + percent(finding.share()) + ")";
}

std::string places_text(const Finding& finding) {
  std::string out, last;
  for (const std::string& place : finding.examples) {
    const size_t colon = std::min(place.rfind(':'), place.size());
    const std::string path = place.substr(0, colon);
    if (&place != &finding.examples.front()) out += ", ";
    out += path == last ? place.substr(colon) : place;
    last = path;
  }
  const bool more = finding.count > static_cast<int64_t>(finding.examples.size());
  return out + (more && finding.examples.size() == kExamples ? ", ..." : "");
}

}  // namespace pref::audit
