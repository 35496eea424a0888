// SPDX-License-Identifier: Apache-2.0
// Which of a folder's files is its tokenizer. tokenizer.json comes first, for it is what the model's
// other users encode with; the choice is logged.
#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/log.h"
#include "libpref/data/hub_cache.h"
#include "libpref/data/sentencepiece_model.h"
#include "libpref/data/tokenizers/token_files.h"
#include "libpref/data/tokenizers/unsupported.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "tokenizer";

bool is_file(const std::string& path) { return posix_file_system().info(path).is_regular; }

/// A device or FIFO would be read without an end, or block.
std::string read_file(const std::string& path, uint64_t most) {
  require(is_file(path), ErrorKind::data, kWhere, path,
          ": not a regular file. Give a tokenizer file or the folder that holds it.");
  return posix_file_system().read(path, most);
}

std::shared_ptr<const Tokenizer> load_model_file(const std::string& path,
                                                 const TokenizerFolder& folder) {
  const std::string bytes = read_file(path, kMaxSentencePieceModelBytes);
  return looks_like_tiktoken(bytes) ? parse_tiktoken(bytes, path, folder)
                                    : parse_sentencepiece(bytes, path, folder);
}

std::shared_ptr<const Tokenizer> load_json(const std::string& path, const TokenizerFolder& folder) {
  return parse_tokenizer_json(read_file(path, kMaxTokenizerJsonBytes), path, folder);
}

std::shared_ptr<const Tokenizer> load_ranks(const std::string& path,
                                            const TokenizerFolder& folder) {
  return parse_tiktoken(read_file(path, kMaxRankFileBytes), path, folder);
}

std::shared_ptr<const Tokenizer> load_file(const std::string& path) {
  if (path.ends_with(".json")) return load_json(path, {});
  if (path.ends_with(".tiktoken")) return load_ranks(path, {});
  return load_model_file(path, {});
}

std::shared_ptr<const Tokenizer> load_folder(const std::string& path) {
  const TokenizerFolder folder = read_tokenizer_folder(path);
  const std::string json = join_path(path, "tokenizer.json"),
                    model = join_path(path, "tokenizer.model");
  if (is_file(json)) {
    try {
      return load_json(json, folder);
    } catch (const UnsupportedTokenizer& reason) {
      if (!is_file(model)) throw;
      log_warning(reason.what(), " tokenizer.model of the same folder is used instead.");
    }
  }
  if (is_file(model)) return load_model_file(model, folder);
  std::string ranks;
  for (const std::string& name : posix_file_system().list(path))
    if (name.ends_with(".tiktoken")) {
      require(ranks.empty(), ErrorKind::data, kWhere, path, ": two rank files, ", ranks, " and ",
              name, ". Name the one to use instead of the folder.");
      ranks = name;
    }
  if (!ranks.empty()) return load_ranks(join_path(path, ranks), folder);
  std::string found;
  for (const char* other : {"vocab.json", "merges.txt", "vocab.txt", "spiece.model",
                            "sentencepiece.bpe.model", "tekken.json"})
    if (is_file(join_path(path, other))) found += (found.empty() ? "" : ", ") + std::string(other);
  fail(ErrorKind::missing_input, kWhere, path,
       ": no tokenizer.json, tokenizer.model or *.tiktoken here",
       found.empty()
           ? std::string(". Download the model's tokenizer files too.")
           : "; " + found +
                 " alone is not supported. Save the tokenizer with transformers "
                 "(AutoTokenizer.from_pretrained(...).save_pretrained(...)), which writes "
                 "tokenizer.json.");
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name) {
  const std::string path = resolve_model_folder(name);
  const FileInfo info = posix_file_system().info(path);
  require(info.exists, ErrorKind::missing_input, kWhere, path, ": no such file or folder");
  auto tokenizer = info.is_directory ? load_folder(path) : load_file(path);
  log_info("[tokenizer] ", path, ": ", tokenizer->kind(), ", ", tokenizer->vocab_size(),
           " ids, BOS ", tokenizer->adds_bos() ? "added" : "not added");
  return tokenizer;
}

}  // namespace pref
