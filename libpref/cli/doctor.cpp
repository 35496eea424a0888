// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/version.h>

#include <fstream>
#include <ostream>
#include <set>
#include <thread>

#include "libpref/base/error.h"
#include "libpref/cli/commands.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/tokenizer.h"
#include "libpref/device_check/lines.h"
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

// Of the CUDA run time, the driver and cuDNN, as far as they are there.
std::string cuda_versions(const kernels::cuda::Devices& devices) {
  std::string out = "run time " + kernels::cuda::version_text(devices.runtime) + ", driver for " +
                    kernels::cuda::version_text(devices.driver);
  std::ifstream driver("/proc/driver/nvidia/version");
  if (std::string line; std::getline(driver, line)) out += " (" + line + ")";
  const auto& torch = at::detail::getCUDAHooks();
  if (torch.hasCuDNN()) out += ", cuDNN " + std::to_string(torch.versionRuntimeCuDNN());
  return out;
}

void write_libraries(const kernels::cuda::Devices& devices, std::ostream& out) {
  out << "libpref " << PREF_VERSION << ", torch " << TORCH_VERSION << "\n";
  out << "threads: " << at::get_num_threads() << " of " << std::thread::hardware_concurrency()
      << " processors (set OMP_NUM_THREADS to change), CPU capability " << at::get_cpu_capability()
      << "\n";
  if (devices.architectures.empty()) {
    out << "CUDA kernels: none in this build; training runs on the CPU in fp32\n";
  } else {
    out << "CUDA kernels: compiled for capability " << devices.architectures << " (90 is 9.0)\n";
    out << "CUDA: " << cuda_versions(devices) << "\n";
    out << "CUDA devices: "
        << (devices.count > 0 ? std::to_string(devices.count) : "none, " + devices.reason) << "\n";
  }
  out << "libraries in use:\n";
  for (const auto& path :
       loaded_libraries({"libpref", "libtorch", "libc10", "sentencepiece", "libgomp", "libmkl",
                         "libyaml", "libcrypto", "libz.", "simdjson", "libcuda.", "libcudart",
                         "libcudnn", "libcublas", "libnccl"}))
    out << "  " << path << "\n";
}

void write_plan(const std::string& model, std::ostream& out) {
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
}

// 0 of "cuda", 3 of "cuda:3".
int device_number(const std::string& name) {
  if (name == "cuda") return 0;
  const std::string digits = name.starts_with("cuda:") ? name.substr(5) : "";
  require(!digits.empty() && digits.size() < 4 &&
              digits.find_first_not_of("0123456789") == std::string::npos,
          ErrorKind::option, "doctor", "--device cuda or cuda:N is required, got \"", name, "\".");
  return std::stoi(digits);
}

int check(const DoctorArguments& arguments, int number, const kernels::cuda::Devices& devices,
          std::ostream& out) {
  require(devices.count > 0, ErrorKind::option, "doctor", "no CUDA device: ", devices.reason);
  const auto facts = kernels::cuda::device_facts(number);
  require(facts.has_kernels, ErrorKind::option, "doctor",
          "this build holds kernels for capability ", devices.architectures, ", and ", facts.name,
          " has ", facts.major, facts.minor, ". Configure with -DPREF_CUDA_ARCHS=", facts.major,
          facts.minor, "-real.");
  const auto write = [&](const std::string& line) {
    out << line << "\n";
    out.flush();  // a check may take a minute
  };
  write(arguments.json
            ? device_check::json_line(devices, facts)
            : "device: " + device_check::text_line(facts) + "\n\n" + device_check::table_head());
  const auto summary = device_check::check_device(
      {.device = number,
       .profile = arguments.full ? device_check::Profile::full : device_check::Profile::doctor},
      [&](const device_check::Result& result) {
        write(arguments.json ? json_line(result) : text_line(result));
      });
  if (!arguments.json) write("\n" + table_end(summary));
  return summary.failed == 0 ? 0 : static_cast<int>(ErrorKind::internal);
}

}  // namespace

int doctor(const DoctorArguments& arguments, std::ostream& out) {
  const bool checks = !arguments.device.empty();
  require(checks || (!arguments.json && !arguments.full), ErrorKind::option, "doctor",
          "--json and --full have a meaning beside --device only. Add --device cuda or drop them.");
  require(!arguments.json || arguments.model.empty(), ErrorKind::option, "doctor",
          "--json writes results of --device alone, no memory plan. Drop --model or --json.");
  const int number = checks ? device_number(arguments.device) : 0;
  const auto devices = kernels::cuda::devices();
  if (!arguments.json) write_libraries(devices, out);
  if (!arguments.model.empty()) write_plan(arguments.model, out);
  return checks ? check(arguments, number, devices, out) : 0;
}

}  // namespace pref::cli
