// SPDX-License-Identifier: Apache-2.0
// Protobuf wire format: a varint key (field << 3 | type), then a varint (0), 8 bytes (1), a length
// and bytes (2) or 4 bytes (5). Groups (3, 4) do not occur in this schema. Field numbers are those
// of sentencepiece_model.proto.
#include "libpref/data/sentencepiece_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "libpref/base/error.h"
#include "libpref/base/utf8.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

// libsentencepiece collects matches in arrays of these sizes without looking whether more were
// found.
constexpr int kMaxCharsmapMatches = 32;
constexpr size_t kMaxNestedUserPieces = 64;
// Published tables have some 300 KB, and their states are reached on one or two ways.
constexpr uint32_t kMaxCharsmapTrieBytes = 4 << 20;
constexpr size_t kMaxVisitsPerUnit = 8;
// Sums of scores over a long text must stay inside a float.
constexpr float kMaxScore = 1e30f;

struct Context {
  const std::string& path;
  const char* base;
  template <class... Parts>
  [[noreturn]] void fail_at(const char* at, const Parts&... parts) const {
    fail(ErrorKind::data, "sentencepiece", path, ": byte ", at - base, ": ", parts...,
         ". The file is damaged or not a sentencepiece model; download it again.");
  }
};

/// One message's fields in turn.
class FieldReader {
 public:
  FieldReader(std::string_view bytes, const Context& context)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()), context_(context) {}

  bool next() {
    if (at_ == end_) return false;
    start_ = at_;
    const uint64_t key = varint();
    number_ = key >> 3;
    if (number_ == 0 || number_ > 536870911)
      context_.fail_at(start_, "field number ", number_, " is out of range");
    wire_ = static_cast<int>(key & 7);
    switch (wire_) {
      case 0:
        value_ = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        take(varint());
        break;
      case 5:
        take(4);
        break;
      default:
        context_.fail_at(start_, "wire type ", wire_, " does not occur in this format");
    }
    return true;
  }
  uint64_t number() const { return number_; }
  const char* start() const { return start_; }
  uint64_t integer() const {
    if (wire_ != 0) context_.fail_at(start_, "field ", number_, " is not an integer");
    return value_;
  }
  std::string_view bytes() const {
    if (wire_ != 2) context_.fail_at(start_, "field ", number_, " is not a string or message");
    return bytes_;
  }
  float real() const {
    if (wire_ != 5) context_.fail_at(start_, "field ", number_, " is not a 4-byte number");
    float value = 0;
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) context_.fail_at(start_, "the field is cut off");
      const auto byte = static_cast<uint8_t>(*at_++);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    context_.fail_at(start_, "an integer has more than 10 bytes");
  }
  void take(uint64_t size) {
    if (size > static_cast<uint64_t>(end_ - at_))
      context_.fail_at(start_, "field ", number_, " has ", size, " bytes, ", end_ - at_,
                       " are left");
    bytes_ = {at_, static_cast<size_t>(size)};
    at_ += size;
  }

  const char *at_, *end_, *start_ = nullptr;
  const Context& context_;
  uint64_t number_ = 0, value_ = 0;
  int wire_ = 0;
  std::string_view bytes_;
};

SentencePieceModel::Piece read_piece(std::string_view message, const Context& context) {
  SentencePieceModel::Piece piece;
  for (FieldReader field(message, context); field.next();) {
    if (field.number() == 1) piece.text = field.bytes();
    // A NaN leaves the library without a best path.
    if (field.number() == 2 && !(std::abs(field.real()) <= kMaxScore))
      context.fail_at(field.start(), "the score ", field.real(), " is not a finite number below ",
                      kMaxScore);
    if (field.number() != 3) continue;
    if (field.integer() < 1 || field.integer() > 6)
      context.fail_at(field.start(), "piece type ", field.integer(), " is not in 1..6");
    piece.type = static_cast<PieceType>(field.integer());
  }
  const char* at = message.data();
  if (piece.text.empty()) context.fail_at(at, "a piece is empty");
  if (piece.text.size() > kMaxPieceBytes)
    context.fail_at(at, "a piece has ", piece.text.size(), " bytes, at most ", kMaxPieceBytes,
                    " are read");
  if (piece.text.find('\0') != std::string_view::npos)
    context.fail_at(at, "a piece holds a NUL byte, which libsentencepiece cannot read");
  if (find_invalid_utf8(piece.text) != std::string_view::npos)
    context.fail_at(at, "piece ", escape_text(piece.text), " is not valid UTF-8");
  return piece;
}

/// The normalization table: a 4-byte size, a double-array trie (darts-clone) of that size, then
/// NUL-terminated strings. Every state that a text can reach must keep its successors inside the
/// array and its value inside the strings, and no text may match more prefixes than the library's
/// buffer holds.
void check_charsmap(std::string_view map, const Context& context) {
  if (map.empty()) return;
  const char* at = map.data();
  uint32_t trie_bytes = 0;
  if (map.size() <= sizeof trie_bytes) context.fail_at(at, "the normalization table is cut off");
  std::memcpy(&trie_bytes, at, sizeof trie_bytes);
  if (trie_bytes > map.size() - sizeof trie_bytes || trie_bytes < 1024 || trie_bytes % 1024 != 0)
    context.fail_at(at, "the normalization trie has ", trie_bytes, " bytes in a table of ",
                    map.size());
  if (trie_bytes > kMaxCharsmapTrieBytes)
    context.fail_at(at, "the normalization trie has ", trie_bytes, " bytes, at most ",
                    kMaxCharsmapTrieBytes, " are read");
  const std::string_view strings = map.substr(sizeof trie_bytes + trie_bytes);
  if (strings.empty() || strings.back() != '\0')
    context.fail_at(at, "the normalized strings do not end in NUL");

  std::vector<uint32_t> units(trie_bytes / 4);
  std::memcpy(units.data(), at + sizeof trie_bytes, trie_bytes);
  const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  std::vector<int> visited(units.size(), -1);  // the most matches with which a state was reached
  size_t visits = 0;
  std::vector<std::pair<uint32_t, int>> open{{0, 0}};
  while (!open.empty()) {
    auto [state, matches] = open.back();
    open.pop_back();
    if (visited[state] >= matches) continue;
    visited[state] = matches;
    if (++visits > kMaxVisitsPerUnit * units.size())
      context.fail_at(at, "the normalization trie reaches its states on too many ways");
    const uint32_t successors = state ^ offset(units[state]);
    if ((successors | 0xFF) >= units.size())
      context.fail_at(at, "the normalization trie leads outside itself at state ", state);
    if ((units[state] >> 8) & 1) {  // a key ends here; its value is the successor without label
      if ((units[successors] & 0x7FFFFFFF) >= strings.size())
        context.fail_at(at, "the normalization trie names a string outside the table");
      if (++matches > kMaxCharsmapMatches)
        context.fail_at(at, "the normalization trie nests more than ", kMaxCharsmapMatches,
                        " keys");
    }
    for (uint32_t label = 1; label < 256; ++label)
      if ((units[successors ^ label] & 0x800000FF) == label)
        open.emplace_back(successors ^ label, matches);
  }
}

void check_pieces(const SentencePieceModel& model, const Context& context) {
  std::unordered_set<std::string_view> seen;
  std::vector<std::string_view> user_defined;
  size_t unknown = 0;
  for (const auto& piece : model.pieces) {
    if (!seen.insert(piece.text).second)
      context.fail_at(piece.text.data(), "piece ", escape_text(piece.text), " occurs twice");
    if (piece.type == PieceType::unknown) ++unknown;
    if (piece.type == PieceType::user_defined) user_defined.push_back(piece.text);
  }
  if (model.pieces.empty()) context.fail_at(context.base, "there is no piece");
  if (unknown != 1)
    context.fail_at(context.base, "there are ", unknown, " unknown pieces, one is required");
  std::sort(user_defined.begin(), user_defined.end());
  std::vector<std::string_view> prefixes;  // those of the piece at hand
  for (const std::string_view piece : user_defined) {
    while (!prefixes.empty() && !piece.starts_with(prefixes.back())) prefixes.pop_back();
    prefixes.push_back(piece);
    if (prefixes.size() > kMaxNestedUserPieces)
      context.fail_at(piece.data(), "more than ", kMaxNestedUserPieces,
                      " user-defined pieces begin one another");
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& path) {
  const Context context{path, bytes.data()};
  require(bytes.size() <= kMaxSentencePieceModelBytes, ErrorKind::data, "sentencepiece", path,
          ": has ", bytes.size(), " bytes, at most ", kMaxSentencePieceModelBytes,
          " are read. Is it the right file?");
  SentencePieceModel model;
  for (FieldReader field(bytes, context); field.next();) {
    if (field.number() == 1) {
      if (model.pieces.size() == kMaxPieces)
        context.fail_at(field.start(), "more than ", kMaxPieces, " pieces");
      model.pieces.push_back(read_piece(field.bytes(), context));
    } else if (field.number() == 2) {  // trainer_spec
      for (FieldReader option(field.bytes(), context); option.next();) {
        if (option.number() == 3) model.model_type = static_cast<int64_t>(option.integer());
        if (model.model_type < 1 || model.model_type > 4)
          context.fail_at(option.start(), "model type ", model.model_type, " is not in 1..4");
        if (option.number() == 24) model.whitespace_as_suffix = option.integer() != 0;
        if (option.number() == 35) model.byte_fallback = option.integer() != 0;
      }
    } else if (field.number() == 3 || field.number() == 5) {  // normalizer_spec, denormalizer_spec
      for (FieldReader option(field.bytes(), context); option.next();) {
        if (option.number() == 2) check_charsmap(option.bytes(), context);
        if (field.number() != 3) continue;
        if (option.number() == 3) model.add_dummy_prefix = option.integer() != 0;
        if (option.number() == 4) model.remove_extra_whitespaces = option.integer() != 0;
      }
    } else if (field.number() == 4) {  // self_test_data: samples, which the library encodes
      for (FieldReader sample(field.bytes(), context); sample.next();)
        if (sample.number() == 1)
          for (FieldReader text(sample.bytes(), context); text.next();) {
          }
    }
  }
  check_pieces(model, context);
  return model;
}

}  // namespace pref
