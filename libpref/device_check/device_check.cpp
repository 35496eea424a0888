// SPDX-License-Identifier: Apache-2.0
#include "libpref/device_check/device_check.h"

#include "libpref/device_check/session.h"

namespace pref::device_check {

Summary check_device(const Options& options, const Report& report) {
  kernels::cuda::use_device(options.device);
  Session session(options, report);
  session.measure_ceilings();
  check_logprobs(session);
  check_pair_losses(session);
  check_rows(session);
  check_network(session);
  check_optimizer(session);
  return session.summary();
}

}  // namespace pref::device_check
