// SPDX-License-Identifier: Apache-2.0
// Tokenizer over libsentencepiece with the rules that transformers' LlamaTokenizer adds to it:
// special and added tokens are cut out of the text first; with `legacy` (its published default)
// every stretch between them is encoded as a text of its own, with sentencepiece's dummy prefix,
// otherwise only the first one gets it.
//
// A continuation must not get that prefix. The library has no switch for it per call, so the text
// is encoded behind a sentinel, a character that no other piece contains and that therefore merges
// with nothing, whose ids are cut off.
#include <sentencepiece_processor.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/utf8.h"
#include "libpref/data/added_tokens.h"
#include "libpref/data/chat_template.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/sentencepiece_model.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/tokenizers/token_files.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "tokenizer";

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& bytes, const std::string& path,
                         const TokenizerFolder& folder)
      : path_(path) {
    const SentencePieceModel model = parse_sentencepiece_model(bytes, path_);
    require(!model.whitespace_as_suffix, ErrorKind::data, kWhere, path_,
            ": models trained with treat_whitespace_as_suffix are not supported. Use a model that "
            "was trained without it.");
    const auto status = processor_.LoadFromSerializedProto(bytes);
    require(status.ok(), ErrorKind::data, kWhere, path_,
            ": libsentencepiece refuses the model: ", escape_text(status.ToString(), 500),
            ". Download it again.");  // its words may quote bytes of the file
    static constexpr const char* kTypes[] = {"?", "unigram", "bpe", "word", "char"};
    kind_ = std::string("sentencepiece ") +
            kTypes[model.model_type >= 1 && model.model_type <= 4 ? model.model_type : 0];
    legacy_ = folder.legacy.value_or(true);
    dummy_prefix_ = model.add_dummy_prefix;
    add_tokens(folder);
    add_bos_ = folder.add_bos.value_or(true) && special_.bos.has_value();
    if (dummy_prefix_) find_sentinel(model);
    chat_template_ = folder.chat_template;
    chat_format_ = recognise_chat_format(chat_template_);
    digest_ = make_digest(bytes);
  }

  std::vector<int32_t> encode(std::string_view text) const override {
    return encode_parts(text, dummy_prefix_);
  }
  std::vector<int32_t> encode_continuation(std::string_view text) const override {
    return encode_parts(text, false);
  }

  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string out;
    std::vector<int> run;
    bool first = true;
    const auto flush = [&] {
      if (run.empty()) return;
      std::string text;
      std::vector<int> with_prefix;
      // Where encode adds no prefix the library must not take one away: it strips the space of a
      // first piece only.
      if (dummy_prefix_ && !first && !legacy_) {
        with_prefix = sentinel_ids_;
        with_prefix.insert(with_prefix.end(), run.begin(), run.end());
      }
      const auto status = processor_.Decode(with_prefix.empty() ? run : with_prefix, &text);
      require_coded(status, "decode");
      if (!with_prefix.empty()) text.erase(0, sentinel_.size());
      out += text;
      run.clear();
    };
    for (const int32_t id : ids) {
      check_id(id);
      if (const std::string* content = added_.content(id)) {
        flush();
        out += *content;
        first = false;
      } else {
        run.push_back(id);
      }
    }
    flush();
    return out;
  }

  int64_t vocab_size() const override { return vocab_size_; }
  std::string piece(int32_t id) const override {
    check_id(id);
    if (const std::string* content = added_.content(id)) return *content;
    return id < processor_.GetPieceSize() ? processor_.IdToPiece(id) : "";
  }
  std::optional<int32_t> piece_id(std::string_view piece) const override {
    if (const auto id = added_.find(piece)) return id;
    const int id = processor_.PieceToId(piece);
    if (id == processor_.unk_id() && processor_.IdToPiece(id) != piece) return std::nullopt;
    return id;
  }
  const SpecialTokens& special() const override { return special_; }
  bool adds_bos() const override { return add_bos_; }
  std::string kind() const override { return kind_; }
  std::string digest() const override { return digest_; }
  std::string chat_format() const override { return chat_format_; }
  std::string chat_template() const override { return chat_template_; }

 private:
  void check_id(int32_t id) const {
    require(id >= 0 && id < vocab_size_, ErrorKind::option, kWhere, "id ", id, " is outside [0, ",
            vocab_size_, ")");
  }

  /// The id of a token text that a folder file names: an added token or a piece of the model.
  std::optional<int32_t> resolve(const std::optional<std::string>& text, int model_id,
                                 const char* name) const {
    if (text) {
      const auto id = piece_id(*text);
      require(
          id.has_value(), ErrorKind::data, kWhere, path_, ": ", name, " ", escape_text(*text),
          " is neither a piece of the model nor in added_tokens_decoder. Download the tokenizer's "
          "files again, together.");
      return id;
    }
    return model_id >= 0 ? std::optional<int32_t>(model_id) : std::nullopt;
  }

  void add_tokens(const TokenizerFolder& folder) {
    const int32_t pieces = processor_.GetPieceSize();
    vocab_size_ = pieces;
    // Without an own list every control piece of the model counts as special, as its authors meant
    // it.
    for (int32_t id = 0; id < pieces && folder.added.empty(); ++id)
      if (processor_.IsControl(id))
        added_.add(id, {.content = processor_.IdToPiece(id), .special = true});
    for (const auto& [id, token] : folder.added) {
      require(id >= pieces || processor_.IdToPiece(id) == token.content, ErrorKind::data, kWhere,
              path_, ": added_tokens_decoder gives id ", id, " to ", escape_text(token.content),
              ", the model to ", escape_text(id < pieces ? processor_.IdToPiece(id) : ""),
              ". The files belong to different models; download them together.");
      added_.add(id, token);
      vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{id} + 1);
    }
    special_.bos = resolve(folder.bos, processor_.bos_id(), "bos_token");
    special_.eos = resolve(folder.eos, processor_.eos_id(), "eos_token");
    special_.unk = resolve(folder.unk, processor_.unk_id(), "unk_token");
    special_.pad = resolve(folder.pad, processor_.pad_id(), "pad_token");
    for (const auto& id : {special_.bos, special_.eos, special_.unk, special_.pad})
      if (id && added_.content(*id) == nullptr)
        added_.add(*id, {.content = processor_.IdToPiece(*id), .special = true});
    for (const std::string& text : folder.additional) {
      const auto id = piece_id(text);
      require(id.has_value(), ErrorKind::data, kWhere, path_, ": additional_special_tokens names ",
              escape_text(text),
              ", which has no id. Add it with its id to added_tokens_decoder of "
              "tokenizer_config.json.");
      if (added_.content(*id) == nullptr) added_.add(*id, {.content = text, .special = true});
    }
  }

  /// A one-character piece that is part of no other piece and that normalization leaves alone.
  void find_sentinel(const SentencePieceModel& model) {
    std::unordered_map<std::string_view, int> characters;  // how many pieces hold it
    for (const auto& piece : model.pieces)
      for (size_t i = 0; i < piece.text.size(); i += utf8_length(piece.text, i))
        ++characters[piece.text.substr(i, utf8_length(piece.text, i))];
    for (auto piece = model.pieces.rbegin(); piece != model.pieces.rend(); ++piece) {
      if (piece->type != PieceType::normal || utf8_length(piece->text, 0) != piece->text.size())
        continue;
      if (characters.at(piece->text) != 1 || piece->text.size() < 2) continue;
      const std::vector<int> ids = library_ids(piece->text);
      if (ids.empty() || processor_.IdToPiece(ids.back()) != piece->text) continue;
      sentinel_ = std::string(piece->text);
      sentinel_prefix_ = ids.size();
      sentinel_ids_ = {ids.back()};
      if (ids_behind_sentinel("a")) return;  // a model of whole words would join the two
    }
    // A small vocabulary may have none. A private-use character that no piece holds falls to its
    // bytes, which never merge.
    constexpr std::string_view kPrivateUse = "\xEE\x84\xA3";
    const std::vector<int> ids = library_ids(kPrivateUse);
    const auto bytes =
        std::count_if(ids.begin(), ids.end(), [&](int id) { return processor_.IsByte(id); });
    require(
        characters.count(kPrivateUse) == 0 && bytes == static_cast<ptrdiff_t>(kPrivateUse.size()),
        ErrorKind::data, kWhere, path_,
        ": no character of the vocabulary stands apart from all other pieces and there is no byte "
        "fallback, so text cannot be encoded without the dummy prefix. Train the model with "
        "byte_fallback=true.");
    sentinel_ = std::string(kPrivateUse);
    sentinel_prefix_ = ids.size();
    sentinel_ids_.assign(ids.end() - bytes, ids.end());
  }

  /// A model file may be well formed and still name a normalization, say, that the library trips on.
  template <class Status>
  void require_coded(const Status& status, const char* what) const {
    require(status.ok(), ErrorKind::data, kWhere, path_, ": libsentencepiece cannot ", what,
            " with this model: ", escape_text(status.ToString(), 500), ". Download it again.");
  }

  std::vector<int> library_ids(std::string_view text) const {
    std::vector<int> ids;
    const auto status = processor_.Encode(absl::string_view(text.data(), text.size()), &ids);
    require_coded(status, "encode");
    return ids;
  }

  void append_ids(std::string_view text, bool prefix, std::vector<int32_t>& out) const {
    if (prefix || !dummy_prefix_) {
      const std::vector<int> ids = library_ids(text);
      out.insert(out.end(), ids.begin(), ids.end());
      return;
    }
    const auto ids = ids_behind_sentinel(text);
    require(
        ids.has_value(), ErrorKind::data, kWhere, path_,
        ": the model joins a text to what stands before it, so it cannot be encoded without the "
        "dummy prefix. Train a unigram or bpe model.");
    out.insert(out.end(), ids->begin(), ids->end());
  }

  /// The ids of `text` after the sentinel's; nothing where these are not what they are alone.
  std::optional<std::vector<int>> ids_behind_sentinel(std::string_view text) const {
    std::vector<int> ids = library_ids(sentinel_ + std::string(text));
    if (ids.size() < sentinel_prefix_) return std::nullopt;
    const auto behind = ids.begin() + static_cast<ptrdiff_t>(sentinel_prefix_);
    if (!std::equal(sentinel_ids_.rbegin(), sentinel_ids_.rend(),
                    std::make_reverse_iterator(behind)))
      return std::nullopt;
    ids.erase(ids.begin(), behind);
    return ids;
  }

  std::vector<int32_t> encode_parts(std::string_view text, bool prefix) const {
    const size_t broken = find_invalid_utf8(text);
    require(broken == std::string_view::npos, ErrorKind::data, kWhere, "byte ", broken,
            " of the text is not UTF-8");
    std::vector<int32_t> ids;
    for (const auto& part : added_.split(text)) {
      if (part.id >= 0)
        ids.push_back(part.id);
      else
        append_ids(part.text, prefix, ids);
      if (part.id >= 0) prefix = dummy_prefix_ && legacy_;
    }
    return ids;
  }

  std::string make_digest(const std::string& bytes) const {
    Sha256 sha;
    sha.update(bytes);
    for (const auto& [id, token] : added_.tokens()) {
      sha.update(std::to_string(id) + ":" + std::to_string(token.content.size()) + ":" +
                 token.content);
      sha.update(std::string{token.lstrip ? 'l' : '-', token.rstrip ? 'r' : '-'});
    }
    const auto number = [](std::optional<int32_t> id) {
      return std::to_string(id.value_or(-1)) + ",";
    };
    sha.update(number(special_.bos) + number(special_.eos) + (legacy_ ? "legacy" : "") +
               (add_bos_ ? "bos" : ""));
    return sha.hex();
  }

  std::string path_, kind_, digest_, chat_format_, chat_template_;
  sentencepiece::SentencePieceProcessor processor_;
  AddedTokenSplitter added_;
  SpecialTokens special_;
  int64_t vocab_size_ = 0;
  bool legacy_ = true, dummy_prefix_ = true, add_bos_ = false;
  std::string sentinel_;
  std::vector<int> sentinel_ids_;
  size_t sentinel_prefix_ =
      0;  ///< ids that the sentinel takes at the start of a text, dummy prefix included
};

}  // namespace

std::shared_ptr<const Tokenizer> parse_sentencepiece(const std::string& bytes,
                                                     const std::string& path,
                                                     const TokenizerFolder& folder) {
  return std::make_shared<SentencePieceTokenizer>(bytes, path, folder);
}

}  // namespace pref
