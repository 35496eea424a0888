// SPDX-License-Identifier: Apache-2.0
// In place of pair_loss.cu in a build without CUDA.
#include "libpref/objectives/pair_loss.h"

#include "libpref/base/error.h"

namespace pref {

void pair_losses(const Objective&, const Normalizers&, const DeviceRows&, const DeviceRowLosses&,
                 kernels::cuda::Stream) {
  fail(ErrorKind::option, "pair_losses", "libpref was built without CUDA.");
}

}  // namespace pref
