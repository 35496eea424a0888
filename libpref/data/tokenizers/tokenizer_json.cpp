// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json: the model here, the other parts in json_parts. Sizes are checked before
// anything is built; ids are unique and dense enough to be an embedding's rows; every merge
// resolves. Its "truncation" and "padding" concern batches of the tokenizers package and are not
// applied: libpref plans lengths itself.
#include <algorithm>
#include <cmath>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/bpe.h"
#include "libpref/data/tokenizers/json_parts.h"
#include "libpref/data/tokenizers/token_files.h"
#include "libpref/data/tokenizers/unigram.h"

namespace pref {
namespace {

using Json = JsonPlace::Json;

constexpr size_t kMaxTokens = 1 << 21, kMaxMerges = 1 << 22;
constexpr int64_t kMaxIdGap = 1 << 16;  // ids that no token uses

Vocabulary read_vocabulary(const JsonPlace& place) {
  Vocabulary out;
  const Json& tokens = place.object();
  if (tokens.empty() || tokens.size() > kMaxTokens) place.fail_here("1 to 2097152 tokens");
  const int64_t end = static_cast<int64_t>(tokens.size()) + kMaxIdGap;
  for (const auto& [text, value] : tokens.items()) {
    const auto here = [&, &text = text, &value = value] {  // for clang, which captures no bindings
      return JsonPlace(value, place.file(), place.pointer() + "/" + escape_text(text));
    };
    if (text.size() > kMaxTokenBytes) here().fail_with("a token has at most 65536 bytes.");
    const auto id = static_cast<int32_t>(value.is_number_unsigned() &&
                                                 value.get<uint64_t>() < static_cast<uint64_t>(end)
                                             ? value.get<int64_t>()
                                             : here().integer(0, end - 1));
    if (!out.add(text, id))
      here().fail_with("the id " + std::to_string(id) + " belongs to " +
                       escape_text(out.contains(id) ? out.text(id) : "") + " too.");
  }
  return out;
}

/// The ids of a merge's two parts and of what they make.
struct MergeIds {
  int32_t left, right, merged;
};

MergeIds read_merge(const JsonPlace& place, const Vocabulary& vocabulary, std::string& joined) {
  std::string_view left, right;
  const Json& value = place.json();
  if (value.is_string()) {
    const std::string_view text = value.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos)
      place.fail_here("two tokens with one space between them");
    left = text.substr(0, space);
    right = text.substr(space + 1);
  } else {
    if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_string())
      place.fail_here("two tokens");
    left = value[0].get_ref<const std::string&>();
    right = value[1].get_ref<const std::string&>();
  }
  if (left.empty() || right.empty()) place.fail_with("a part of the merge is empty.");
  joined.assign(left).append(right);
  const MergeIds ids{vocabulary.find(left), vocabulary.find(right), vocabulary.find(joined)};
  for (const auto& [id, text] : {std::pair<int32_t, std::string_view>{ids.left, left},
                                 {ids.right, right},
                                 {ids.merged, joined}})
    if (id < 0) place.fail_with(escape_text(text) + " is not in the vocabulary.");
  return ids;
}

MergeTable read_merges(const JsonPlace& place, const Vocabulary& vocabulary) {
  const Json& list = place.list();
  if (list.size() > kMaxMerges) place.fail_here("at most 4194304 merges");
  MergeTable out(list.size());
  std::string joined;
  const std::string pointer = place.pointer() + "/";
  for (size_t i = 0; i < list.size(); ++i) {
    const MergeIds ids = read_merge(JsonPlace(list[i], place.file(), pointer + std::to_string(i)),
                                    vocabulary, joined);
    out.set(ids.left, ids.right, {static_cast<uint32_t>(i), ids.merged});
  }
  return out;
}

void refuse_affix(const JsonPlace& model, const char* name) {
  if (const auto found = model.find(name); found && !found->string().empty())
    found->fail_unsupported_here(std::string("a ") + name);
}

std::unique_ptr<TokenModel> read_bpe(const JsonPlace& model, bool byte_level,
                                     std::optional<std::string>& unk) {
  model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
              "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (const auto dropout = model.find("dropout"))
    if (!dropout->json().is_number() || dropout->json().get<double>() != 0)
      dropout->fail_unsupported_here("BPE dropout, which makes ids random,");
  refuse_affix(model, "continuing_subword_prefix");
  refuse_affix(model, "end_of_word_suffix");
  Vocabulary vocabulary = read_vocabulary(model.at("vocab"));
  BpeOptions options{.byte_level = byte_level,
                     .byte_fallback = model.boolean_or("byte_fallback", false),
                     .fuse_unk = model.boolean_or("fuse_unk", false),
                     .ignore_merges = model.boolean_or("ignore_merges", false)};
  if (const auto token = model.find("unk_token")) {
    unk = token->string();
    options.unk = vocabulary.find(*unk);
    if (*options.unk < 0) token->fail_here("a token of the vocabulary");
  }
  MergeTable merges = read_merges(model.at("merges"), vocabulary);
  auto bpe = std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), options);
  if (!bpe->missing_bytes().empty() && !options.unk)
    log_warning("[tokenizer] ", model.file(), ": ", bpe->missing_bytes().size(),
                " bytes of UTF-8 have no token (the first is ", bpe->missing_bytes()[0],
                ") and there is no unknown token: text that needs them loses them, as it does with "
                "the tokenizers package.");
  return bpe;
}

std::unique_ptr<TokenModel> read_unigram(const JsonPlace& model, std::optional<std::string>& unk) {
  model.only({"type", "unk_id", "vocab", "byte_fallback"});
  const JsonPlace list = model.at("vocab");
  const size_t count = list.list().size();
  if (count == 0 || count > kMaxTokens) list.fail_here("1 to 2097152 tokens");
  Vocabulary vocabulary;
  std::vector<double> scores;
  for (const JsonPlace& item : list.items()) {
    const Json& value = item.json();
    if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_number())
      item.fail_here("a token and its score");
    const std::string& text = value[0].get_ref<const std::string&>();
    const auto score = value[1].get<double>();
    if (!std::isfinite(score)) item.fail_here("a finite score");
    if (text.empty() || text.size() > kMaxTokenBytes) item.fail_here("a token of 1 to 65536 bytes");
    if (!vocabulary.add(text, static_cast<int32_t>(scores.size())))
      item.fail_with("the token " + escape_text(text) + " stands twice.");
    scores.push_back(score);
  }
  std::optional<int32_t> unk_id;
  if (const auto id = model.find("unk_id")) {
    unk_id = static_cast<int32_t>(id->integer(0, static_cast<int64_t>(count) - 1));
    unk = std::string(vocabulary.text(*unk_id));
  }
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), unk_id,
                                   model.boolean_or("byte_fallback", false));
}

/// Old files name no type; the shape of the model tells.
std::string model_type(const JsonPlace& model) {
  if (const auto type = model.find("type")) return type->string();
  if (model.find("merges")) return "BPE";
  return model.at("vocab").json().is_array() ? "Unigram" : "WordLevel";
}

}  // namespace

std::shared_ptr<const Tokenizer> parse_tokenizer_json(const std::string& bytes,
                                                      const std::string& path,
                                                      const TokenizerFolder& folder) {
  const Json json =
      parse_json(bytes, "tokenizer", path,
                 {.max_bytes = kMaxTokenizerJsonBytes, .max_depth = 64, .max_values = 20'000'000});
  const JsonPlace root(json, path, "");
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
             "post_processor", "decoder", "model"});
  TokenizerParts parts;
  parts.path = path;
  parts.source = "tokenizer.json";
  parts.bytes_digest = sha256_hex(bytes);
  if (const auto added = root.find("added_tokens")) parts.added = read_json_added_tokens(*added);
  if (const auto place = root.find("normalizer"))
    parts.normalizer = Normalizer(read_json_normalizer(*place));
  JsonPreTokenizer pre;
  if (const auto place = root.find("pre_tokenizer")) pre = read_json_pre_tokenizer(*place);
  if (const auto place = root.find("post_processor"))
    parts.surrounding = read_json_post_processor(*place);

  const JsonPlace model = root.at("model");
  const std::string type = model_type(model);
  if (type == "BPE") {
    // Where ByteLevel comes last, the model works on the bytes themselves.
    const bool on_bytes = pre.bytes_last && !model.boolean_or("byte_fallback", false);
    if (on_bytes) pre.steps.pop_back();
    parts.model = read_bpe(model, on_bytes, parts.unk);
  } else if (type == "Unigram") {
    parts.model = read_unigram(model, parts.unk);
  } else {
    model.fail_unsupported_here("the model " + escape_text(type));
  }
  std::vector<DecoderStep> decoder;
  if (const auto place = root.find("decoder")) decoder = read_json_decoder(*place);
  if (decoder.empty() && pre.byte_level) decoder = {{.kind = DecoderStep::Kind::byte_level}};
  if (decoder.empty()) decoder = {{.kind = DecoderStep::Kind::join}};
  parts.decoder = Decoder(std::move(decoder));
  parts.pre_tokenizer = PreTokenizer(std::move(pre.steps));
  return make_pipeline_tokenizer(std::move(parts), folder);
}

}  // namespace pref
