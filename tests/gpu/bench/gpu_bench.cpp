// SPDX-License-Identifier: Apache-2.0
// Benchmarks of head, attention and whole steps on a card, one JSON object a line. The kernels' own
// stand in `pref doctor --device cuda`.
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>

#include "kernels/cuda/runtime.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/ops/device.h"
#include "tests/gpu/bench/bench_run.h"

int main(int argc, char** argv) {
  using namespace pref;
  double seconds = 180;
  bool peers = false, tiny = false;
  CLI::App app("Benchmarks of libpref on a CUDA device; one JSON object a line.");
  app.add_option("--seconds", seconds, "no case starts after this");
  app.add_flag("--peers", peers, "the cases that tests/gpu/peers.py times for other libraries");
  app.add_flag("--tiny", tiny, "a trial of the program at sizes whose times mean nothing");
  CLI11_PARSE(app, argc, argv);
  try {
    const kernels::cuda::Devices there = kernels::cuda::devices();
    bench::Bench run(seconds, tiny);
    if (there.count == 0) {
      run.print(
          JsonObject().add("kind", "skipped").add("name", "gpu_bench").add("reason", there.reason));
      return 77;
    }
    set_log_level(LogLevel::warning);
    std::optional<ops::EmulatedDevice> emulated;
    if (kernels::cuda::device_facts().name == "emulated") {
      emulated.emplace();
      bench::use_cpu();
    }
    if (peers) {
      bench::peer_cases(run);
    } else {
      bench::head_cases(run);
      bench::step_cases(run);
    }
    return 0;
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
}
