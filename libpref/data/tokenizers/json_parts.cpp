// SPDX-License-Identifier: Apache-2.0
// See json_parts.h. Defaults of absent fields are those of the tokenizers package.
#include "libpref/data/tokenizers/json_parts.h"

#include <algorithm>

#include "libpref/base/utf8.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/vocabulary.h"

namespace pref {
namespace {

/// ByteLevel's own pattern, GPT-2's.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr size_t kMaxSteps = 64;

/// The items of a Sequence, nested ones in place; any other component is its own only item.
std::vector<JsonPlace> flatten(const JsonPlace& place, const char* list) {
  if (place.at("type").string() != "Sequence") return {place};
  place.only({"type", list});
  std::vector<JsonPlace> out;
  for (const JsonPlace& item : place.at(list).items())
    for (JsonPlace& inner : flatten(item, list)) out.push_back(std::move(inner));
  if (out.size() > kMaxSteps) place.fail_with("more than 64 steps.");
  return out;
}

/// {"String": text} or {"Regex": pattern}.
void read_pattern(const JsonPlace& place, std::string& text, std::shared_ptr<const Regex>& regex) {
  place.only({"String", "Regex"});
  if (const auto literal = place.find("String")) {
    text = literal->string();
    if (text.empty()) literal->fail_here("a string that is not empty");
    if (place.find("Regex")) place.fail_here("one of String and Regex");
    return;
  }
  const JsonPlace pattern = place.at("Regex");
  regex = std::make_shared<Regex>(pattern.string(), RegexDialect::oniguruma,
                                  place.file() + ": " + pattern.pointer());
}

std::string read_replacement(const JsonPlace& place) {
  const auto found = place.find("replacement");
  if (!found) return "\xE2\x96\x81";
  std::string text = found->string();
  if (text.empty() || utf8_length(text, 0) != text.size()) found->fail_here("one character");
  return text;
}

PrefixScheme read_prefix_scheme(const JsonPlace& place) {
  place.only({"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
  const bool add = place.boolean_or("add_prefix_space", true);
  const auto found = place.find("prepend_scheme");
  const std::string name = found ? found->string() : add ? "always" : "never";
  if (name != "always" && name != "first" && name != "never")
    found->fail_here("\"always\", \"first\" or \"never\"");
  if (!add && name != "never") found->fail_here("\"never\", as add_prefix_space is false,");
  return name == "always" ? PrefixScheme::always
                          : (name == "first" ? PrefixScheme::first : PrefixScheme::never);
}

SplitBehavior read_behavior(const JsonPlace& place) {
  constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  const std::string text = place.string();
  for (const auto& [name, behavior] : kNames)
    if (text == name) return behavior;
  place.fail_here("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

}  // namespace

std::map<int32_t, AddedToken> read_json_added_tokens(const JsonPlace& list) {
  std::map<int32_t, AddedToken> out;
  for (const JsonPlace& item : list.items()) {
    item.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token;
    token.content = item.at("content").string();
    if (token.content.empty() || token.content.size() > kMaxTokenBytes)
      item.at("content").fail_here("a token of 1 to 65536 bytes");
    token.special = item.boolean_or("special", false);
    token.lstrip = item.boolean_or("lstrip", false);
    token.rstrip = item.boolean_or("rstrip", false);
    token.single_word = item.boolean_or("single_word", false);
    token.normalized = item.boolean_or("normalized", !token.special);
    const auto id = static_cast<int32_t>(item.at("id").integer(0, kMaxTokenId - 1));
    if (!out.emplace(id, std::move(token)).second) item.at("id").fail_with("the id stands twice.");
  }
  return out;
}

std::vector<NormalizerStep> read_json_normalizer(const JsonPlace& place) {
  using Kind = NormalizerStep::Kind;
  std::vector<NormalizerStep> out;
  for (const JsonPlace& item : flatten(place, "normalizers")) {
    const std::string type = item.at("type").string();
    NormalizerStep step;
    if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      item.only({"type"});
      step.form = type == "NFC"    ? NormalForm::nfc
                  : type == "NFD"  ? NormalForm::nfd
                  : type == "NFKC" ? NormalForm::nfkc
                                   : NormalForm::nfkd;
    } else if (type == "Lowercase") {
      item.only({"type"});
      step.kind = Kind::lower_case;
    } else if (type == "StripAccents") {
      item.only({"type"});
      step.kind = Kind::strip_accents;
    } else if (type == "Prepend") {
      item.only({"type", "prepend"});
      step.kind = Kind::prepend;
      step.text = item.at("prepend").string();
    } else if (type == "Replace") {
      item.only({"type", "pattern", "content"});
      read_pattern(item.at("pattern"), step.text, step.regex);
      step.kind = step.regex ? Kind::replace_regex : Kind::replace;
      step.content = item.at("content").string();
    } else if (type == "Strip") {
      item.only({"type", "strip_left", "strip_right"});
      step.kind = Kind::strip;
      step.left = item.boolean_or("strip_left", true);
      step.right = item.boolean_or("strip_right", true);
    } else {
      item.fail_unsupported_here("the normalizer " + escape_text(type));
    }
    out.push_back(std::move(step));
  }
  return out;
}

JsonPreTokenizer read_json_pre_tokenizer(const JsonPlace& place) {
  using Kind = PreTokenizerStep::Kind;
  JsonPreTokenizer out;
  for (const JsonPlace& item : flatten(place, "pretokenizers")) {
    const std::string type = item.at("type").string();
    PreTokenizerStep step;
    out.bytes_last = type == "ByteLevel";
    if (type == "ByteLevel") {
      item.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      // Each one doubles the bytes beyond ASCII.
      if (out.byte_level) item.fail_unsupported_here("a second ByteLevel");
      out.byte_level = true;
      if (item.boolean_or("add_prefix_space", true)) {
        step.kind = Kind::prefix_space;
        out.steps.push_back(step);
      }
      if (item.boolean_or("use_regex", true)) {
        step.kind = Kind::split_regex;
        step.regex =
            std::make_shared<Regex>(kByteLevelPattern, RegexDialect::oniguruma, "ByteLevel");
        out.steps.push_back(step);
      }
      step.kind = Kind::byte_map;
    } else if (type == "Split") {
      item.only({"type", "pattern", "behavior", "invert"});
      read_pattern(item.at("pattern"), step.text, step.regex);
      step.kind = step.regex ? Kind::split_regex : Kind::split_text;
      step.behavior = read_behavior(item.at("behavior"));
      step.invert = item.boolean_or("invert", false);
    } else if (type == "Digits") {
      item.only({"type", "individual_digits"});
      step.kind = Kind::digits;
      step.behavior = item.boolean_or("individual_digits", false) ? SplitBehavior::isolated
                                                                  : SplitBehavior::contiguous;
    } else if (type == "Punctuation") {
      item.only({"type", "behavior"});
      step.kind = Kind::punctuation;
      if (const auto behavior = item.find("behavior")) step.behavior = read_behavior(*behavior);
    } else if (type == "WhitespaceSplit") {
      item.only({"type"});
      step.kind = Kind::white_space;
      step.behavior = SplitBehavior::removed;
    } else if (type == "Whitespace") {
      item.only({"type"});
      step.regex = std::make_shared<Regex>(R"(\w+|[^\w\s]+)", RegexDialect::rust, "Whitespace");
      step.behavior = SplitBehavior::removed;
      step.invert = true;
    } else if (type == "Metaspace") {
      step.kind = Kind::metaspace;
      step.prefix = read_prefix_scheme(item);
      step.text = read_replacement(item);
      step.split = item.boolean_or("split", true);
    } else {
      item.fail_unsupported_here("the pre-tokenizer " + escape_text(type));
    }
    out.steps.push_back(std::move(step));
  }
  return out;
}

std::vector<DecoderStep> read_json_decoder(const JsonPlace& place) {
  using Kind = DecoderStep::Kind;
  std::vector<DecoderStep> out;
  for (const JsonPlace& item : flatten(place, "decoders")) {
    const std::string type = item.at("type").string();
    DecoderStep step;
    if (type == "ByteLevel") {
      item.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      step.kind = Kind::byte_level;
    } else if (type == "ByteFallback" || type == "Fuse") {
      item.only({"type"});
      step.kind = type == "Fuse" ? Kind::fuse : Kind::byte_fallback;
    } else if (type == "Metaspace") {
      step.kind = Kind::metaspace;
      step.strips_first = read_prefix_scheme(item) != PrefixScheme::never;
      step.text = read_replacement(item);
    } else if (type == "Replace") {
      item.only({"type", "pattern", "content"});
      std::shared_ptr<const Regex> regex;
      read_pattern(item.at("pattern"), step.text, regex);
      if (regex) item.fail_unsupported_here("a decoder that replaces by a regex");
      step.kind = Kind::replace;
      step.content = item.at("content").string();
    } else if (type == "Strip") {
      item.only({"type", "content", "start", "stop"});
      step.kind = Kind::strip;
      step.text = item.at("content").string();
      if (step.text.empty() || utf8_length(step.text, 0) != step.text.size())
        item.at("content").fail_here("one character");
      step.start = static_cast<size_t>(item.at("start").integer(0, 1 << 20));
      step.stop = static_cast<size_t>(item.at("stop").integer(0, 1 << 20));
    } else {
      item.fail_unsupported_here("the decoder " + escape_text(type));
    }
    out.push_back(std::move(step));
  }
  return out;
}

namespace {

/// One side of TemplateProcessing's "single": special tokens around the sequence A.
SurroundingTokens read_template(const JsonPlace& item) {
  item.only({"type", "single", "pair", "special_tokens"});
  SurroundingTokens out;
  bool behind = false;
  for (const JsonPlace& piece : item.at("single").items()) {
    if (piece.find("Sequence")) {
      if (behind) piece.fail_unsupported_here("a template that repeats the text");
      behind = true;
      continue;
    }
    const std::string name = piece.at("SpecialToken").at("id").string();
    const JsonPlace token = item.at("special_tokens").at(name);
    for (const JsonPlace& id : token.at("ids").items())
      (behind ? out.after : out.before)
          .push_back(static_cast<int32_t>(id.integer(0, kMaxTokenId - 1)));
  }
  if (!behind) item.at("single").fail_with("the sequence A is missing.");
  return out;
}

/// ["<s>", 0]
int32_t read_pair_id(const JsonPlace& place) {
  const std::vector<JsonPlace> items = place.items();
  if (items.size() != 2) place.fail_here("a token and its id");
  items[0].string();
  return static_cast<int32_t>(items[1].integer(0, kMaxTokenId - 1));
}

}  // namespace

SurroundingTokens read_json_post_processor(const JsonPlace& place) {
  SurroundingTokens out;
  for (const JsonPlace& item : flatten(place, "processors")) {
    const std::string type = item.at("type").string();
    if (type == "ByteLevel") continue;  // moves offsets only
    SurroundingTokens own;
    if (type == "TemplateProcessing") {
      own = read_template(item);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      own.before = {read_pair_id(item.at("cls"))};
      own.after = {read_pair_id(item.at("sep"))};
    } else {
      item.fail_unsupported_here("the post-processor " + escape_text(type));
    }
    out.before.insert(out.before.begin(), own.before.begin(), own.before.end());
    out.after.insert(out.after.end(), own.after.begin(), own.after.end());
  }
  return out;
}

}  // namespace pref
