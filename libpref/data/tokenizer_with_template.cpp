// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/tokenizer_with_template.h"

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/file_system.h"

namespace pref {
namespace {

class WithTemplate final : public Tokenizer {
 public:
  WithTemplate(std::shared_ptr<const Tokenizer> inner, std::string jinja)
      : inner_(std::move(inner)), jinja_(std::move(jinja)) {}
  std::vector<int32_t> encode(std::string_view text) const override { return inner_->encode(text); }
  std::vector<int32_t> encode_continuation(std::string_view text) const override {
    return inner_->encode_continuation(text);
  }
  std::string decode(const std::vector<int32_t>& ids) const override { return inner_->decode(ids); }
  int64_t vocab_size() const override { return inner_->vocab_size(); }
  std::string piece(int32_t id) const override { return inner_->piece(id); }
  std::optional<int32_t> piece_id(std::string_view piece) const override {
    return inner_->piece_id(piece);
  }
  const SpecialTokens& special() const override { return inner_->special(); }
  bool adds_bos() const override { return inner_->adds_bos(); }
  bool adds_eos() const override { return inner_->adds_eos(); }
  std::string kind() const override { return inner_->kind(); }
  std::string digest() const override { return sha256_hex(inner_->digest() + jinja_); }
  std::string chat_template() const override { return jinja_; }
  // chat_format() stays empty: the template is run as it is written.

 private:
  std::shared_ptr<const Tokenizer> inner_;
  std::string jinja_;
};

}  // namespace

std::shared_ptr<const Tokenizer> with_chat_template(std::shared_ptr<const Tokenizer> tokenizer,
                                                    std::string jinja) {
  return std::make_shared<WithTemplate>(std::move(tokenizer), std::move(jinja));
}

std::shared_ptr<const Tokenizer> load_tokenizer_for(const std::string& folder,
                                                    const std::optional<std::string>& choice,
                                                    DataOptions& options) {
  std::shared_ptr<const Tokenizer> tokenizer = load_tokenizer(folder);
  if (!choice) return tokenizer;
  require(options.chat_format == ChatFormat::automatic, ErrorKind::option, "data",
          "chat_format and --template both name a template; give one of them");
  if (posix_file_system().info(*choice).is_regular) {
    constexpr uint64_t kMaxBytes = 16 << 20;
    return with_chat_template(tokenizer, posix_file_system().read(*choice, kMaxBytes));
  }
  options.chat_format = parse_chat_format(*choice);
  return tokenizer;
}

}  // namespace pref
