// SPDX-License-Identifier: Apache-2.0
#include "examples/world/world_tokenizer.h"

#include <sentencepiece_trainer.h>

#include <cctype>
#include <unordered_map>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/json_text.h"

namespace pref {
namespace {

// A space between a digit and the punctuation behind it. sentencepiece keeps letters apart from
// punctuation, but digits only from letters; "3." would become a piece of its own, and a number
// another token at the end of a sentence.
std::string set_numbers_apart(const std::string& sentence) {
  std::string out;
  for (size_t i = 0; i < sentence.size(); ++i) {
    const auto is_ascii = [&](size_t at, auto test) {
      const auto byte = static_cast<unsigned char>(sentence[at]);
      return byte < 128 && test(byte);
    };
    if (i > 0 && is_ascii(i - 1, isdigit) && is_ascii(i, ispunct)) out += ' ';
    out += sentence[i];
  }
  return out;
}

class ListIterator : public sentencepiece::SentenceIterator {
 public:
  explicit ListIterator(const std::vector<std::string>& sentences) : sentences_(sentences) {
    prepare();
  }
  bool done() const override { return next_ == sentences_.size(); }
  void Next() override {
    ++next_;
    prepare();
  }
  const std::string& value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void prepare() {
    if (!done()) value_ = set_numbers_apart(sentences_[next_]);
  }
  const std::vector<std::string>& sentences_;
  size_t next_ = 0;
  std::string value_;
};

void write_new(const std::string& path, std::string_view text) {
  const auto file = posix_file_system().create(path);
  file->write(text);
  file->sync();
  file->close();
}

}  // namespace

std::string train_sentencepiece(const std::vector<std::string>& sentences, int64_t vocab_size,
                                const std::string& directory) {
  constexpr std::string_view kWhere = "world_tokenizer";
  require(!sentences.empty(), ErrorKind::option, kWhere,
          "at least one sentence is required, none came.");
  require(vocab_size >= 320 && vocab_size <= 1'000'000, ErrorKind::option, kWhere,
          "vocab_size in [320, 1000000] is required, ", vocab_size, " came.");
  for (size_t i = 0; i < sentences.size(); ++i) {
    require(!sentences[i].empty(), ErrorKind::option, kWhere, "sentences[", i,
            "] is empty. Leave it out.");
    require(sentences[i].find('\0') == std::string::npos, ErrorKind::option, kWhere, "sentences[",
            i, "] has a NUL byte, which sentencepiece cannot represent. Remove it.");
  }
  const std::unordered_map<std::string, std::string> spec = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", "1.0"},
      {"byte_fallback", "true"},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"normalization_rule_name", "identity"},
      // transformers' Llama tokenizers keep every space; so must the model.
      {"remove_extra_whitespaces", "false"},
      {"num_threads", "1"},
      {"minloglevel", "2"},
  };
  ListIterator iterator(sentences);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(spec, &iterator, &model);
  require(status.ok(), ErrorKind::option, kWhere, "sentencepiece could not train ", vocab_size,
          " pieces on ", sentences.size(), " sentences: ", status.ToString());

  posix_file_system().make_directories(directory);
  const std::string path = join_path(directory, "tokenizer.model");
  write_new(path, model);
  const std::string config = JsonObject()
                                 .add("tokenizer_class", "LlamaTokenizer")
                                 .add("bos_token", "<s>")
                                 .add("eos_token", "</s>")
                                 .add("unk_token", "<unk>")
                                 .add("add_bos_token", true)
                                 .add("add_eos_token", false)
                                 .add("clean_up_tokenization_spaces", false)
                                 .add("legacy", false)
                                 .str();
  write_new(join_path(directory, "tokenizer_config.json"), config + "\n");
  return path;
}

}  // namespace pref
