// SPDX-License-Identifier: Apache-2.0
// Bad sentencepiece models (a protobuf, refused by our own walk before the library sees it) and bad
// tiktoken rank files.
#include <cmath>
#include <limits>

#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

std::string real_field(int number, float value) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &value, 4);
  return varint(static_cast<uint64_t>(number) << 3 | 5) + bits;
}
std::string eight_bytes(int number) {
  return varint(static_cast<uint64_t>(number) << 3 | 1) + std::string(8, '\0');
}

/// The small model with a normalization table: `trie` as its units, then `strings`.
std::string table(const std::vector<uint32_t>& trie, const std::string& strings, int spec = 3) {
  std::string map(4 + trie.size() * 4, '\0');
  const auto size = static_cast<uint32_t>(trie.size() * 4);
  std::memcpy(map.data(), &size, 4);
  std::memcpy(map.data() + 4, trie.data(), trie.size() * 4);
  return tiny_model() + bytes_field(spec, bytes_field(2, map + strings));
}
/// 256 units that match nothing; the root's successors begin at 1.
std::vector<uint32_t> empty_trie() {
  std::vector<uint32_t> units(256, 0x80000000u);
  units[0] = 1u << 10;
  return units;
}
std::vector<uint32_t> with_unit(size_t at, uint32_t value) {
  std::vector<uint32_t> units = empty_trie();
  units[at] = value;
  return units;
}

}  // namespace

Table sentencepiece_cases() {
  const auto kind = Parser::sentencepiece;
  constexpr const char* kAgain = "download it again";
  const std::string good = tiny_model();
  const std::string place = "m/tokenizer.model: byte ";
  const std::string two(2, '\0');
  const auto end = place + std::to_string(good.size());
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  const auto scored = [&](float score) { return good + piece_field("zz", score, 1); };
  return {
      {"empty", kind, "", place + "0", "there is no piece", kAgain},
      {"text", kind, "this is no model", place, "wire type", kAgain},
      {"a web page", kind, "<!DOCTYPE html>", place + "0", "wire type", kAgain},
      {"a git-lfs pointer", kind, "version https://git-lfs.github.com/spec/v1", place,
       "wire type 6", kAgain},
      {"a zip archive", kind, std::string("PK\x03\x04\x14\0\0\0", 8), place,
       "field number 0 is out of range", kAgain},
      {"cut inside a piece", kind, good.substr(0, 5), place + "0", "bytes, 3 are left", kAgain},
      {"cut inside the last field", kind, good.substr(0, good.size() - 1), place, "are left",
       kAgain},
      {"a length of 2^63", kind, "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", place + "0",
       "has 9223372036854775808 bytes", kAgain},
      {"a varint without an end", kind, std::string(20, '\xff'), place + "0", "more than 10 bytes",
       kAgain},
      {"a varint cut off", kind, good + "\x18\x80", end, "the field is cut off", kAgain},
      {"field number 0", kind, good + std::string(2, '\0'), end, "field number 0", kAgain},
      {"field number beyond 2^29", kind, good + "\x80\x80\x80\x80\x10" + std::string(1, '\0'), end,
       "is out of range", kAgain},
      {"a group", kind, good + "\x0b\x0c", end, "wire type 3", kAgain},
      {"an end of a group", kind, good + "\x0c", end, "wire type 4", kAgain},
      {"wire type 6", kind, good + "\x0e", end, "wire type 6", kAgain},
      {"wire type 7", kind, good + "\x0f", end, "wire type 7", kAgain},
      {"pieces as integers", kind, good + integer_field(1, 5), end,
       "field 1 is not a string or message", kAgain},
      {"trainer_spec an integer", kind, good + integer_field(2, 1), end,
       "field 2 is not a string or message", kAgain},
      {"normalizer_spec 8 bytes", kind, good + eight_bytes(3), end,
       "field 3 is not a string or message", kAgain},
      {"a piece's text an integer", kind, good + bytes_field(1, integer_field(1, 7)), place,
       "field 1 is not a string", kAgain},
      {"a piece's score an integer", kind,
       good + bytes_field(1, bytes_field(1, "zz") + integer_field(2, 7)), place,
       "field 2 is not a 4-byte number", kAgain},
      {"a piece's type a string", kind,
       good + bytes_field(1, bytes_field(1, "zz") + bytes_field(3, "x")), place,
       "field 3 is not an integer", kAgain},
      {"a piece of type 0", kind, good + piece_field("zz", 0, 0), place,
       "piece type 0 is not in 1..6", kAgain},
      {"a piece of type 7", kind, good + piece_field("zz", 0, 7), place, "piece type 7", kAgain},
      {"a piece of type 2^32 + 1", kind,
       good + bytes_field(1, bytes_field(1, "zz") + integer_field(3, (1ull << 32) + 1)), place,
       "piece type 4294967297", kAgain},
      {"score NaN", kind, scored(kNan), place, "the score nan is not a finite number", kAgain},
      {"score infinite", kind, scored(kInfinity), place, "the score inf", kAgain},
      {"score minus infinity", kind, scored(-kInfinity), place, "the score -inf", kAgain},
      {"score that overflows sums", kind, scored(-3e38f), place, "the score -3e+38", kAgain},
      {"a piece without text", kind, good + bytes_field(1, real_field(2, 0)), place,
       "a piece is empty", kAgain},
      {"a piece that is empty", kind, good + piece_field("", 0, 1), place, "a piece is empty",
       kAgain},
      {"a piece of 4097 bytes", kind, good + piece_field(std::string(4097, 'x'), 0, 1), place,
       "a piece has 4097 bytes, at most 4096", kAgain},
      {"a piece with NUL", kind, good + piece_field(std::string("x\0y", 3), 0, 1), place,
       "a piece holds a NUL byte", kAgain},
      {"a piece that is not UTF-8", kind, good + piece_field("\xe6\x97", 0, 1), place,
       "\"\\xe6\\x97\" is not valid UTF-8", kAgain},
      {"a piece with a surrogate", kind, good + piece_field("\xed\xa0\x80", 0, 1), place,
       "is not valid UTF-8", kAgain},
      {"a piece twice", kind, good + piece_field("ab", 0, 1), place, "piece \"ab\" occurs twice",
       kAgain},
      {"no unknown piece", kind, piece_field("a", 0, 1), place + "0", "there are 0 unknown pieces",
       kAgain},
      {"two unknown pieces", kind, good + piece_field("<unk2>", 0, 2), place + "0",
       "there are 2 unknown pieces", kAgain},
      {"65 nested user pieces", kind,
       [&] {
         std::string out = good;
         for (size_t n = 2; n <= 67; ++n) out += piece_field(std::string(n, 'u'), 0, 4);
         return out;
       }(),
       place, "more than 64 user-defined pieces begin one another", kAgain},
      {"model type 0", kind, good + bytes_field(2, integer_field(3, 0)), place,
       "model type 0 is not in 1..4", kAgain},
      {"model type 5", kind, good + bytes_field(2, integer_field(3, 5)), place, "model type 5",
       kAgain},
      {"model type a string", kind, good + bytes_field(2, bytes_field(3, "bpe")), place,
       "field 3 is not an integer", kAgain},
      {"spaces as suffixes", kind, good + bytes_field(2, integer_field(24, 1)), "m/tokenizer.model",
       "treat_whitespace_as_suffix are not supported", "Use a model that was trained without it"},
      {"a byte piece without byte fallback", kind,
       piece_field("<unk>", 0, 2) + piece_field("<0x41>", 0, 6) + piece_field("a", -1, 1),
       "m/tokenizer.model", "libsentencepiece refuses the model", "Download it again"},
      {"byte fallback without bytes", kind,
       piece_field("<unk>", 0, 2) + piece_field("a", -1, 1) + bytes_field(2, integer_field(35, 1)),
       "m/tokenizer.model", "libsentencepiece refuses the model", "Download it again"},
      {"a byte piece that names no byte", kind, good + piece_field("<0xZZ>", 0, 6),
       "m/tokenizer.model", "libsentencepiece refuses the model", "Download it again"},
      {"a byte piece with a control character", kind, good + piece_field("<0x0\r>", 0, 6),
       "m/tokenizer.model", "byte piece <0x0\\x0d> is invalid", "Download it again"},
      {"no character stands apart", kind,
       piece_field("<unk>", 0, 2) + piece_field("a", -1, 1) + piece_field("▁a", -1, 1) +
           piece_field("▁", -2, 1),
       "m/tokenizer.model", "no character of the vocabulary stands apart", "byte_fallback=true"},
      {"a model of whole words", kind, good + bytes_field(2, integer_field(3, 3)),
       "m/tokenizer.model", "no character of the vocabulary stands apart", "byte_fallback=true"},
      {"a sample cut off", kind, good + bytes_field(4, "\x0a\x05x"), place, "bytes, 1 are left",
       kAgain},
      {"a sample with a group", kind, good + bytes_field(4, bytes_field(1, "\x0b")), place,
       "wire type 3", kAgain},

      {"table of 3 bytes", kind, good + bytes_field(3, bytes_field(2, "abc")), place,
       "the normalization table is cut off", kAgain},
      {"trie larger than its table", kind,
       good + bytes_field(3, bytes_field(2, std::string("\0\4\0\0", 4) + "abc")), place,
       "the normalization trie has 1024 bytes in a table of 7", kAgain},
      {"trie of no bytes", kind, good + bytes_field(3, bytes_field(2, std::string(8, '\0'))), place,
       "the normalization trie has 0 bytes", kAgain},
      {"trie not in blocks of 1024", kind, table(std::vector<uint32_t>(300, 0), two), place,
       "the normalization trie has 1200 bytes", kAgain},
      {"trie beyond the cap", kind,
       table(std::vector<uint32_t>((4 << 20) / 4 + 256, 0x80000000u), two), place,
       "at most 4194304 are read", kAgain},
      {"strings without an end", kind, table(empty_trie(), "ab"), place,
       "the normalized strings do not end in NUL", kAgain},
      {"no strings", kind, table(empty_trie(), ""), place,
       "the normalized strings do not end in NUL", kAgain},
      {"trie leads outside", kind, table(with_unit(0, 4096u << 10), two), place,
       "leads outside itself at state 0", kAgain},
      {"trie names a string outside", kind,
       table(
           [] {
             auto units = with_unit(0, 1u << 10 | 1u << 8);
             units[1] = 0x80000000u | 7;
             return units;
           }(),
           two),
       place, "names a string outside the table", kAgain},
      {"trie of a loop with values", kind,
       table(
           [] {
             auto units = with_unit(0, 1u << 10 | 1u << 8 | 1u);
             units[1] = 0;
             return units;
           }(),
           two),
       place, "nests more than 32 keys", kAgain},
      {"denormalizer leads outside", kind, table(with_unit(0, 4096u << 10), two, 5), place,
       "leads outside itself", kAgain},
      {"table an integer", kind, good + bytes_field(3, integer_field(2, 1)), place,
       "field 2 is not a string", kAgain},
      {"add_dummy_prefix a string", kind, good + bytes_field(3, bytes_field(3, "1")), place,
       "field 3 is not an integer", kAgain},
  };
}

Table tiktoken_cases() {
  const auto kind = Parser::tiktoken, named = Parser::tiktoken_named;
  const std::string good = tiny_ranks(), line = "m/tokenizer.model:259: ";
  constexpr const char* kRow = "Each line needs a token in base64, a space and its rank";
  constexpr const char* kBase = "the token is not base64";
  constexpr const char* kRank = "the rank is not a number that continues those before";
  constexpr const char* kAgain = "Download the file again";
  const auto more = [&](const std::string& row) { return good + row + "\n"; };
  return {
      {"empty", kind, "", "m/tokenizer.model", "the byte 0 has no rank", "download it again"},
      {"a byte missing", kind, good.substr(good.find('\n') + 1), "m/tokenizer.model",
       "the byte 0 has no rank", "download it again"},
      {"cut inside a line", kind, good.substr(0, good.size() - 4), "m/tokenizer.model:258", kRow,
       kAgain},
      {"only a token", kind, more("YWJjZA=="), line, kRank, kAgain},
      {"only a rank", kind, more("258"), line, kBase, kAgain},
      {"an empty token", kind, more(" 258"), line, kBase, kAgain},
      {"base64 of 5 letters", kind, more("YWJjZ 258"), line, kBase, kAgain},
      {"base64 with a stranger", kind, more("YW?j 258"), line, kBase, kAgain},
      {"base64 of padding alone", kind, more("==== 258"), line, "the token is not base64", kAgain},
      {"base64 with padding inside", kind, more("YW==YWJj 258"), line, kBase, kAgain},
      {"base64 of the other alphabet", kind, more("_-_- 258"), line, kBase, kAgain},
      {"rank negative", kind, more("YWJjZA== -1"), line, kRank, kAgain},
      {"rank a float", kind, more("YWJjZA== 258.5"), line, kRank, kAgain},
      {"rank in hex", kind, more("YWJjZA== 0x102"), line, kRank, kAgain},
      {"rank with a tail", kind, more("YWJjZA== 258 x"), line, kRank, kAgain},
      {"two spaces", kind, more("YWJjZA==  258"), line, kRank, kAgain},
      {"a tab", kind, more("YWJjZA==\t258"), line, kBase, kAgain},
      {"rank beyond 32 bits", kind, more("YWJjZA== 99999999999"), line, kRank, kAgain},
      {"rank far ahead", kind, more("YWJjZA== 70000"), line, kRank, kAgain},
      {"rank twice", kind, more("YWJjZA== 257"), line, "the token or its rank stands twice",
       kAgain},
      {"token twice", kind, more("YWI= 258"), line, "the token or its rank stands twice", kAgain},
      {"a token of 1026 bytes", kind, more(repeated("YWJj", 342) + " 258"), line,
       "a token has 1 to 1024 bytes", kAgain},
      {"a NUL", kind, more(std::string("YW\0j 258", 8)), line, kBase, kAgain},
      {"an unknown number of ranks", named, good, "m/mine.tiktoken", "a rank file of 258 tokens",
       "Give it the name of the encoding"},
      {"JSON in place of ranks", named, "{\"a\": 1}", "m/mine.tiktoken:1", kBase, kAgain},
  };
}

}  // namespace pref::testing
