// SPDX-License-Identifier: Apache-2.0
// tiktoken rank files: one token a line, its bytes in base64, then its rank, which is its id. Two
// neighbours merge where their bytes together are a token, the lowest rank first; so the table of
// merges holds every way to cut a token into two tokens. Patterns and special tokens are those of
// the published encodings, told apart by the file's name or its number of ranks.
#include <algorithm>
#include <array>
#include <charconv>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/bpe.h"
#include "libpref/data/tokenizers/byte_level.h"
#include "libpref/data/tokenizers/pipeline_tokenizer.h"
#include "libpref/data/tokenizers/token_files.h"
#include "libpref/data/tokenizers/unsupported.h"

namespace pref {
namespace {

constexpr size_t kMaxRanks = 1 << 21, kMaxRankedBytes = 1024;

constexpr std::string_view kGpt2 =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";
constexpr std::string_view kCl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Special {
  std::string_view text;
  int32_t id;
};
struct Encoding {
  std::string_view name;
  size_t ranks;
  std::string_view pattern;
  std::array<Special, 5> special;
  std::string_view bos, eos;
};
constexpr Encoding kEncodings[] = {
    {"r50k_base", 50256, kGpt2, {{{"<|endoftext|>", 50256}}}, "", "<|endoftext|>"},
    {"p50k_base", 50280, kGpt2, {{{"<|endoftext|>", 50256}}}, "", "<|endoftext|>"},
    {"cl100k_base",
     100256,
     kCl100k,
     {{{"<|endoftext|>", 100257},
       {"<|fim_prefix|>", 100258},
       {"<|fim_middle|>", 100259},
       {"<|fim_suffix|>", 100260},
       {"<|endofprompt|>", 100276}}},
     "",
     "<|endoftext|>"},
    {"o200k_base",
     199998,
     kO200k,
     {{{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
     "",
     "<|endoftext|>"},
    {"qwen",
     151643,
     kQwen,
     {{{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}}},
     "",
     "<|endoftext|>"}};

// Llama 3 keeps 256 ids behind the ranks. These five bear the same names in all its versions; the
// others are named by tokenizer_config.json where it is present.
constexpr int32_t kLlama3Reserved = 256;
constexpr Special kLlama3Special[] = {{"<|begin_of_text|>", 0},
                                      {"<|end_of_text|>", 1},
                                      {"<|start_header_id|>", 6},
                                      {"<|end_header_id|>", 7},
                                      {"<|eot_id|>", 9}};

[[noreturn]] void fail_line(const std::string& path, size_t line, std::string_view what) {
  fail(ErrorKind::data, "tokenizer", path, ":", line, ": ", what,
       " Each line needs a token in base64, a space and its rank. Download the file again.");
}

bool decode_base64(std::string_view text, std::string& out) {
  if (text.empty() || text.size() % 4 != 0) return false;
  const auto digit = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : (c == '/' ? 63 : -1);
  };
  out.clear();
  size_t padding = text.ends_with("==") ? 2 : (text.ends_with("=") ? 1 : 0);
  for (size_t at = 0; at < text.size(); at += 4) {
    uint32_t bits = 0;
    const size_t digits = at + 4 == text.size() ? 4 - padding : 4;
    for (size_t i = 0; i < 4; ++i) {
      const int value = i < digits ? digit(text[at + i]) : 0;
      if (value < 0) return false;
      bits = bits << 6 | static_cast<uint32_t>(value);
    }
    for (size_t i = 0; i + 1 < digits; ++i) out += static_cast<char>(bits >> (16 - 8 * i) & 0xFF);
  }
  return true;
}

struct Ranks {
  Vocabulary bytes;    ///< tokens as their bytes
  Vocabulary written;  ///< tokens in the byte alphabet
};

Ranks read_ranks(std::string_view text, const std::string& path) {
  Ranks out;
  std::string token, written;
  size_t line = 1;
  for (size_t at = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view row = text.substr(at, end - at);
    at = end + 1;
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    const size_t space = std::min(row.find(' '), row.size());
    if (!decode_base64(row.substr(0, space), token))
      fail_line(path, line, "the token is not base64.");
    if (token.empty() || token.size() > kMaxRankedBytes)
      fail_line(path, line, "a token has 1 to 1024 bytes.");
    const std::string_view digits = row.substr(std::min(space + 1, row.size()));
    int32_t rank = -1;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (error != std::errc() || stop != digits.data() + digits.size() || rank < 0 ||
        static_cast<size_t>(rank) > line + 65536 || line > kMaxRanks)
      fail_line(path, line, "the rank is not a number that continues those before.");
    if (!out.bytes.add(token, rank)) fail_line(path, line, "the token or its rank stands twice.");
    written.clear();
    append_byte_characters(token, written);
    out.written.add(written, rank);
  }
  for (int b = 0; b < 256; ++b)
    require(out.bytes.find(std::string(1, static_cast<char>(b))) >= 0, ErrorKind::data, "tokenizer",
            path, ": the byte ", b, " has no rank. The file is incomplete; download it again.");
  return out;
}

MergeTable all_merges(const Vocabulary& bytes) {
  MergeTable out(bytes.size() * 4);
  for (int32_t id = 0; id < bytes.end_id(); ++id) {
    if (!bytes.contains(id)) continue;
    const std::string_view token = bytes.text(id);
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const int32_t left = bytes.find(token.substr(0, cut));
      const int32_t right = left < 0 ? -1 : bytes.find(token.substr(cut));
      if (right >= 0) out.set(left, right, {static_cast<uint32_t>(id), id});
    }
  }
  return out;
}

const Encoding* find_encoding(const std::string& path, size_t ranks) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  for (const Encoding& encoding : kEncodings)
    if (name == std::string(encoding.name) + ".tiktoken") return &encoding;
  for (const Encoding& encoding : kEncodings)
    if (encoding.ranks == ranks) return &encoding;
  return nullptr;
}

}  // namespace

bool looks_like_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, std::min(bytes.find('\n'), bytes.size()));
  const size_t space = line.find(' ');
  std::string token;
  return space != std::string_view::npos && line.size() < 2048 &&
         decode_base64(line.substr(0, space), token) && line.size() > space + 1 &&
         line[space + 1] >= '0' && line[space + 1] <= '9';
}

std::shared_ptr<const Tokenizer> parse_tiktoken(const std::string& bytes, const std::string& path,
                                                const TokenizerFolder& folder) {
  Ranks ranks = read_ranks(bytes, path);
  const Encoding* encoding = find_encoding(path, ranks.bytes.size());
  if (encoding == nullptr && !path.ends_with(".model"))
    fail_unsupported(
        path, ": a rank file of ", ranks.bytes.size(),
        " tokens, which is none of r50k_base, p50k_base, cl100k_base, o200k_base, qwen "
        "and llama-3, so its split pattern is not known. Give it the name of the "
        "encoding that it belongs to (NAME.tiktoken; tokenizer.model for Llama 3's), or "
        "convert the tokenizer to tokenizer.json.");
  TokenizerParts parts;
  parts.path = path;
  parts.source =
      "tiktoken, split as " + std::string(encoding != nullptr ? encoding->name : "llama-3");
  parts.bytes_digest = sha256_hex(bytes);
  TokenizerFolder named = folder;
  const auto add = [&](std::string_view name, int32_t id) {
    parts.added[id] = {.content = std::string(name), .special = true, .normalized = false};
  };
  const bool own_list = !folder.added.empty();
  if (encoding != nullptr) {
    for (const Special& special : encoding->special)
      if (!special.text.empty() && !own_list) add(special.text, special.id);
    if (!named.eos && !own_list) named.eos = std::string(encoding->eos);
  } else {
    const int32_t first = ranks.bytes.end_id();
    for (const Special& special : kLlama3Special)
      if (!own_list) add(special.text, first + special.id);
    parts.reserved_end = first + kLlama3Reserved;
    if (!named.bos && !own_list) named.bos = std::string(kLlama3Special[0].text);
    if (!named.eos && !own_list) named.eos = std::string(kLlama3Special[1].text);
    parts.surrounding.before = {first};  // Llama 3 begins every sequence with BOS
  }
  MergeTable merges = all_merges(ranks.bytes);
  parts.model = std::make_unique<Bpe>(std::move(ranks.written), std::move(merges),
                                      BpeOptions{.byte_level = true, .ignore_merges = true});
  PreTokenizerStep split;
  split.regex = std::make_shared<Regex>(encoding != nullptr ? encoding->pattern : kLlama3,
                                        RegexDialect::rust, path);
  parts.pre_tokenizer = PreTokenizer({split});
  parts.decoder = Decoder({{.kind = DecoderStep::Kind::byte_level}});
  return make_pipeline_tokenizer(std::move(parts), named);
}

}  // namespace pref
