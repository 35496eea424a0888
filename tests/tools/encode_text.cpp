// SPDX-License-Identifier: Apache-2.0
// encode_text TOKENIZER [--decode | --continuation | --describe | --time N]: one JSON string a line
// on stdin, one JSON array of ids a line on stdout. With --decode the lines are id arrays and the
// answers strings; --describe prints what the folder says about special tokens; --time encodes all
// lines N times on one thread and prints the processor seconds of each round. Lets the tests compare with
// other implementations without torch.
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/data/tokenizer.h"

namespace {

using nlohmann::json;

json optional_id(const std::optional<int32_t>& id) { return id ? json(*id) : json(nullptr); }

json describe(const pref::Tokenizer& tokenizer) {
  const pref::SpecialTokens& special = tokenizer.special();
  return {{"kind", tokenizer.kind()},
          {"vocab_size", tokenizer.vocab_size()},
          {"bos", optional_id(special.bos)},
          {"eos", optional_id(special.eos)},
          {"pad", optional_id(special.pad)},
          {"unk", optional_id(special.unk)},
          {"adds_bos", tokenizer.adds_bos()},
          {"adds_eos", tokenizer.adds_eos()},
          {"chat_template", tokenizer.chat_template()},
          {"digest", tokenizer.digest()}};
}

void time_rounds(const pref::Tokenizer& tokenizer, int rounds) {
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);)
    texts.push_back(json::parse(line).get<std::string>());
  for (int round = 0; round < rounds; ++round) {
    const std::clock_t start = std::clock();  // of the processor: other programs do not count
    size_t ids = 0;
    for (const std::string& text : texts) ids += tokenizer.encode(text).size();
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::cout << json{{"seconds", seconds}, {"ids", ids}}.dump() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    std::cerr
        << "usage: encode_text TOKENIZER [--decode | --continuation | --describe | --time N]\n";
    return static_cast<int>(pref::ErrorKind::option);
  }
  std::ios::sync_with_stdio(false);
  try {
    const auto tokenizer = pref::load_tokenizer(arguments[0]);
    const std::string mode = arguments.size() > 1 ? arguments[1] : "";
    if (mode == "--describe") {
      std::cout << describe(*tokenizer).dump() << "\n";
      return 0;
    }
    if (mode == "--time") {
      time_rounds(*tokenizer, std::stoi(arguments.at(2)));
      return 0;
    }
    for (std::string line; std::getline(std::cin, line);) {
      const json input = json::parse(line);
      if (mode == "--decode")
        std::cout << json(tokenizer->decode(input.get<std::vector<int32_t>>())).dump() << "\n";
      else if (mode == "--continuation")
        std::cout << json(tokenizer->encode_continuation(input.get<std::string>())).dump() << "\n";
      else
        std::cout << json(tokenizer->encode(input.get<std::string>())).dump() << "\n";
    }
  } catch (const pref::Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
  return 0;
}
