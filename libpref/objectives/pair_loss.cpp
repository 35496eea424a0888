// SPDX-License-Identifier: Apache-2.0
// In place of pair_loss.cu in a build without CUDA.
#include "libpref/objectives/pair_loss.h"

#include "libpref/base/error.h"

namespace pref {
namespace {

[[noreturn]] void fail_without_cuda(const char* where) {
  fail(ErrorKind::option, where, "libpref was built without CUDA.");
}

}  // namespace

void pair_losses(const Objective&, const Normalizers&, const DeviceRows&, const DeviceRowLosses&,
                 kernels::cuda::Stream) {
  fail_without_cuda("pair_losses");
}

void couple_rows(const Objective&, const DeviceRows&, const DeviceCoupling&,
                 kernels::cuda::Stream) {
  fail_without_cuda("couple_rows");
}

}  // namespace pref
