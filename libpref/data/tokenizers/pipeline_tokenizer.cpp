// SPDX-License-Identifier: Apache-2.0
// See pipeline_tokenizer.h.
#include "libpref/data/tokenizers/pipeline_tokenizer.h"

#include <simdjson.h>

#include <algorithm>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/base/utf8.h"
#include "libpref/data/chat_template.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "tokenizer";
constexpr std::string_view kTogether = ". Download the tokenizer's files again, together.";

struct Scratch {
  ModelScratch model;
  PreTokenizerScratch pieces;
  std::vector<AddedTokenFinder::Part> raw, normalized;
  std::string buffers[3];
};

class PipelineTokenizer final : public Tokenizer {
 public:
  PipelineTokenizer(TokenizerParts parts, const TokenizerFolder& folder)
      : parts_(std::move(parts)), chat_template_(folder.chat_template) {
    end_id_ = std::max<int64_t>(parts_.model->vocabulary().end_id(), parts_.reserved_end);
    add_tokens(folder);
    name_special_tokens(folder);
    make_finders();
    prefixes_every_stretch_ =
        parts_.normalizer.prepends() || parts_.pre_tokenizer.prefixes_always();
    digest_ = make_digest();
  }

  std::vector<int32_t> encode(std::string_view text) const override {
    return encode_text(text, true);
  }
  std::vector<int32_t> encode_continuation(std::string_view text) const override {
    return encode_text(text, false);
  }

  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string out;
    std::vector<std::string> run;
    bool first = true;
    const auto flush = [&] {
      if (!run.empty()) out += parts_.decoder.decode(run, first || prefixes_every_stretch_);
      run.clear();
      first = false;
    };
    for (const int32_t id : ids) {
      check_id(id);
      if (const auto added = parts_.added.find(id); added != parts_.added.end()) {
        flush();
        out += added->second.content;
      } else if (parts_.model->vocabulary().contains(id)) {
        run.emplace_back(parts_.model->vocabulary().text(id));
      }
    }
    flush();
    return out;
  }

  int64_t vocab_size() const override { return end_id_; }
  std::string piece(int32_t id) const override {
    check_id(id);
    if (const auto added = parts_.added.find(id); added != parts_.added.end())
      return added->second.content;
    return parts_.model->vocabulary().contains(id)
               ? std::string(parts_.model->vocabulary().text(id))
               : "";
  }
  std::optional<int32_t> piece_id(std::string_view piece) const override {
    if (const auto added = added_ids_.find(piece); added != added_ids_.end()) return added->second;
    const int32_t id = parts_.model->vocabulary().find(piece);
    return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
  }
  const SpecialTokens& special() const override { return special_; }
  bool adds_bos() const override { return add_bos_; }
  bool adds_eos() const override { return add_eos_; }
  std::string kind() const override { return parts_.source + ", " + parts_.model->name(); }
  std::string digest() const override { return digest_; }
  std::string chat_format() const override { return recognise_chat_format(chat_template_); }
  std::string chat_template() const override { return chat_template_; }

 private:
  void check_id(int32_t id) const {
    require(id >= 0 && id < end_id_, ErrorKind::option, kWhere, "id ", id, " is outside [0, ",
            end_id_, ")");
  }

  void add_token(int32_t id, AddedToken token) {
    const Vocabulary& vocabulary = parts_.model->vocabulary();
    const int32_t own = vocabulary.find(token.content);
    require(own < 0 || own == id, ErrorKind::data, kWhere, parts_.path, ": the added token ",
            escape_text(token.content), " has id ", id, ", in the vocabulary it has ", own,
            ". The files belong to different models; download them together.");
    require(own == id || !vocabulary.contains(id), ErrorKind::data, kWhere, parts_.path,
            ": the added token ", escape_text(token.content), " has id ", id,
            ", which the vocabulary gives to ",
            escape_text(vocabulary.contains(id) ? vocabulary.text(id) : ""),
            ". The files belong to different models; download them together.");
    const auto same = piece_id(token.content);
    require(!same || *same == id, ErrorKind::data, kWhere, parts_.path, ": the added token ",
            escape_text(token.content), " has two ids, ", same.value_or(-1), " and ", id, kTogether);
    if (const auto known = parts_.added.find(id); known != parts_.added.end())
      require(known->second.content == token.content, ErrorKind::data, kWhere, parts_.path, ": id ",
              id, " belongs to ", escape_text(known->second.content),
              " and, in added_tokens_decoder, to ", escape_text(token.content), kTogether);
    end_id_ = std::max<int64_t>(end_id_, int64_t{id} + 1);
    added_ids_[token.content] = id;
    parts_.added[id] = std::move(token);
  }

  void add_tokens(const TokenizerFolder& folder) {
    const auto own = std::move(parts_.added);
    parts_.added.clear();
    for (const auto& [id, token] : own) add_token(id, token);
    for (const auto& [id, token] : folder.added) add_token(id, token);
  }

  /// The id of a token text that a folder file names, which from then on is a special token.
  std::optional<int32_t> special_token(const std::optional<std::string>& text, const char* name) {
    if (!text) return std::nullopt;
    const auto id = piece_id(*text);
    require(id.has_value(), ErrorKind::data, kWhere, parts_.path, ": ", name, " ",
            escape_text(*text),
            " is neither in the vocabulary nor an added token. Add it with its id to "
            "added_tokens_decoder of tokenizer_config.json.");
    if (!parts_.added.contains(*id))
      add_token(*id, {.content = *text, .special = true, .normalized = false});
    return id;
  }

  void name_special_tokens(const TokenizerFolder& folder) {
    const SurroundingTokens& around = parts_.surrounding;
    special_.bos = special_token(folder.bos, "bos_token");
    special_.eos = special_token(folder.eos, "eos_token");
    special_.pad = special_token(folder.pad, "pad_token");
    special_.unk = special_token(folder.unk, "unk_token");
    for (const std::string& text : folder.additional)
      special_token(text, "additional_special_tokens");
    if (!special_.unk && parts_.unk) special_.unk = piece_id(*parts_.unk);
    if (!special_.bos && !folder.bos && around.before.size() == 1) special_.bos = around.before[0];
    if (!special_.eos && !folder.eos && around.after.size() == 1) special_.eos = around.after[0];
    const auto is = [](const std::vector<int32_t>& ids, std::optional<int32_t> id) {
      return id && ids.size() == 1 && ids[0] == *id;
    };
    add_bos_ = special_.bos && folder.add_bos.value_or(is(around.before, special_.bos));
    add_eos_ = special_.eos && folder.add_eos.value_or(is(around.after, special_.eos));
    if ((!around.before.empty() && !is(around.before, special_.bos)) ||
        (!around.after.empty() && !is(around.after, special_.eos)))
      log_warning("[tokenizer] ", parts_.path,
                  ": its post-processor puts other tokens than one BOS and one EOS around a text; "
                  "libpref does not. Write them into the prompts if the model was trained so.");
  }

  void make_finders() {
    std::vector<AddedTokenFinder::Entry> raw, normalized;
    for (const auto& [id, token] : parts_.added) {
      std::string buffers[3];
      if (token.normalized.value_or(!token.special))
        normalized.push_back(
            {id, std::string(parts_.normalizer.apply(token.content, true, buffers)), token});
      else
        raw.push_back({id, token.content, token});
    }
    raw_finder_ = AddedTokenFinder(std::move(raw));
    normalized_finder_ = AddedTokenFinder(std::move(normalized));
  }

  std::vector<int32_t> encode_text(std::string_view text, bool prefix) const {
    if (!simdjson::validate_utf8(text.data(), text.size()))
      fail(ErrorKind::data, kWhere, "byte ", find_invalid_utf8(text), " of the text is not UTF-8");
    std::vector<int32_t> out;
    out.reserve(text.size() / 4 + 4);
    std::unique_ptr<Scratch> scratch = take_scratch();
    scratch->raw.clear();
    raw_finder_.split(text, scratch->raw);
    for (const auto& part : scratch->raw) {
      if (part.id >= 0)
        out.push_back(part.id);
      else
        encode_stretch(text.substr(part.begin, part.end - part.begin), part.begin == 0,
                       prefix || part.begin > 0, *scratch, out);
    }
    give_back(std::move(scratch));
    return out;
  }

  void encode_stretch(std::string_view text, bool at_start, bool prefix, Scratch& scratch,
                      std::vector<int32_t>& out) const {
    const std::string_view normal = parts_.normalizer.apply(text, prefix, scratch.buffers);
    scratch.normalized.clear();
    normalized_finder_.split(normal, scratch.normalized);
    for (const auto& part : scratch.normalized) {
      if (part.id >= 0) {
        out.push_back(part.id);
        continue;
      }
      parts_.pre_tokenizer.run(
          normal.substr(part.begin, part.end - part.begin), at_start && part.begin == 0,
          prefix || part.begin > 0, scratch.pieces,
          [&](std::string_view piece) { parts_.model->encode(piece, scratch.model, out); });
    }
  }

  std::unique_ptr<Scratch> take_scratch() const {
    const std::lock_guard lock(mutex_);
    if (pool_.empty()) return std::make_unique<Scratch>();
    std::unique_ptr<Scratch> scratch = std::move(pool_.back());
    pool_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<Scratch> scratch) const {
    const std::lock_guard lock(mutex_);
    pool_.push_back(std::move(scratch));
  }

  std::string make_digest() const {
    Sha256 sha;
    sha.update(parts_.source + parts_.bytes_digest);
    for (const auto& [id, token] : parts_.added)
      sha.update(std::to_string(id) + ":" + std::to_string(token.content.size()) + ":" +
                 token.content + (token.lstrip ? "l" : "-") + (token.rstrip ? "r" : "-") +
                 (token.single_word ? "w" : "-") +
                 (token.normalized.value_or(!token.special) ? "n" : "-"));
    const auto number = [](std::optional<int32_t> id) {
      return std::to_string(id.value_or(-1)) + ",";
    };
    sha.update(number(special_.bos) + number(special_.eos) + (add_bos_ ? "bos" : ""));
    return sha.hex();
  }

  TokenizerParts parts_;
  std::map<std::string, int32_t, std::less<>> added_ids_;
  std::string chat_template_, digest_;
  SpecialTokens special_;
  int64_t end_id_ = 0;
  bool add_bos_ = false, add_eos_ = false, prefixes_every_stretch_ = false;
  AddedTokenFinder raw_finder_, normalized_finder_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> pool_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_pipeline_tokenizer(TokenizerParts parts,
                                                         const TokenizerFolder& folder) {
  return std::make_shared<PipelineTokenizer>(std::move(parts), folder);
}

}  // namespace pref
