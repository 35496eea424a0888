// SPDX-License-Identifier: Apache-2.0
// The command line `pref`. `pref --help` lists the commands.
#include <malloc.h>

#include <iostream>

#include "libpref/cli/commands.h"

int main(int argc, char** argv) {
  // Activations come and go in blocks of some MB. Kept in the heap they cost no page faults the
  // next time.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  return pref::cli::run_program(argc, argv, std::cin, std::cout, std::cerr);
}
