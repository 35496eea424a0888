// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <torch/version.h>

#include <fstream>
#include <ostream>
#include <set>
#include <thread>

#include "libpref/cli/commands.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/tokenizer.h"
#include "libpref/train/memory_plan.h"

namespace pref::cli {
namespace {

// Paths of the shared libraries that are mapped into this process and whose name contains one of
// `words`.
std::set<std::string> loaded_libraries(const std::vector<std::string>& words) {
  std::set<std::string> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path == std::string::npos || line.find(".so") == std::string::npos) continue;
    const std::string file = line.substr(path), name = file.substr(file.rfind('/') + 1);
    for (const auto& word : words)
      if (name.find(word) != std::string::npos) found.insert(file);
  }
  return found;
}

}  // namespace

int doctor(const std::string& model, std::ostream& out) {
  out << "libpref " << PREF_VERSION << ", torch " << TORCH_VERSION << "\n";
  out << "threads: " << at::get_num_threads() << " of " << std::thread::hardware_concurrency()
      << " processors (set OMP_NUM_THREADS to change), CPU capability " << at::get_cpu_capability()
      << "\n";
  out << "CUDA kernels: none in this build; training runs on the CPU in fp32\n";
  out << "libraries in use:\n";
  for (const auto& path :
       loaded_libraries({"libpref", "libtorch", "libc10", "sentencepiece", "libgomp", "libmkl",
                         "libyaml", "libcrypto", "libz.", "simdjson"}))
    out << "  " << path << "\n";
  if (model.empty()) return 0;
  const DecoderConfig config = read_decoder_config(model);
  check_weights(config, WeightFiles(model));
  const auto tokenizer = load_tokenizer(model);
  out << "model: " << model << ", " << config.model_type << ", " << config.num_hidden_layers
      << " layers of " << config.hidden_size << ", vocabulary " << config.vocab_size << "\n";
  out << "tokenizer: " << tokenizer->kind() << ", " << tokenizer->vocab_size() << " ids, BOS "
      << (tokenizer->adds_bos() ? "added" : "not added") << ", chat format "
      << (tokenizer->chat_format().empty() ? "none known" : tokenizer->chat_format()) << "\n";
  out << "memory of training all parameters with default options:\n"
      << plan_memory(config, {}).text();
  return 0;
}

}  // namespace pref::cli
