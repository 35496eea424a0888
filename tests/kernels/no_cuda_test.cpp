// SPDX-License-Identifier: Apache-2.0
// In a build without nvcc every function of kernels/cuda says what is missing, before it looks at
// its arguments.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/ceilings.h"
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/logprob.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/samples.h"
#include "kernels/cuda/sequence_sums.h"
#include "kernels/cuda/swiglu.h"
#include "libpref/base/error.h"

namespace pref::kernels::cuda {
namespace {

TEST(NoCuda, RejectsEveryCall) {
#if defined(PREF_HAS_CUDA)
  GTEST_SKIP() << "this build has CUDA";
#endif
  float* f = nullptr;
  double* d = nullptr;
  const int64_t* i = nullptr;
  const std::map<std::string, std::function<void()>> calls = {
      {"adamw_update",
       [&] {
         adamw_update({f, nullptr, f, f}, f, 0, {}, {}, 0, 0, nullptr);
       }},
      {"split_master", [&] { split_master(f, 0, nullptr, nullptr, nullptr); }},
      {"join_master", [&] { join_master(nullptr, nullptr, 0, f, nullptr); }},
      {"logprob_parts", [&] { logprob_parts(1, 1); }},
      {"logprob_statistics", [&] { logprob_statistics(f, 0, 1, 1, i, {}, {}, nullptr, nullptr); }},
      {"logprob_partials", [&] { logprob_partials(f, 0, 1, 1, i, 0, {}, nullptr, nullptr); }},
      {"logprob_merge", [&] { logprob_merge(nullptr, 0, 1, 1, 1, 1, {}, {}, nullptr); }},
      {"logprob_gradient", [&] { logprob_gradient(f, 0, 1, 1, i, f, f, f, {}, nullptr, nullptr); }},
      {"sum_of_squares_workspace", [&] { sum_of_squares_workspace(1); }},
      {"sum_of_squares", [&] { sum_of_squares(f, 0, d, d, nullptr); }},
      {"clip_factor", [&] { clip_factor(d, 1, f, f, nullptr, nullptr); }},
      {"flag_non_finite", [&] { flag_non_finite(f, 0, nullptr, nullptr); }},
      {"head_norm_forward", [&] { head_norm_forward(f, 1, {}, f, 0, f, 1, f, nullptr); }},
      {"head_norm_backward_workspace", [&] { head_norm_backward_workspace({}); }},
      {"head_norm_backward",
       [&] { head_norm_backward(f, 1, f, 1, {}, f, f, f, 1, f, f, nullptr); }},
      {"rms_norm_forward",
       [&] { rms_norm_forward(f, nullptr, nullptr, 0, 1, 1, f, 0, f, 1, f, nullptr); }},
      {"rms_norm_backward_workspace", [&] { rms_norm_backward_workspace(1, 1); }},
      {"rms_norm_backward",
       [&] { rms_norm_backward(f, 1, f, 1, f, f, 0, 1, f, 1, false, f, f, nullptr); }},
      {"rope_rotate", [&] { rope_rotate(f, 2, i, 0, 1, 2, i, f, f, 1, f, 2, nullptr); }},
      {"device_facts", [&] { device_facts(); }},
      {"use_device", [&] { use_device(0); }},
      {"allocate", [&] { allocate(1); }},
      {"copy_to_device", [&] { copy_to_device(d, d, 0, nullptr); }},
      {"copy_to_host", [&] { copy_to_host(d, d, 0, nullptr); }},
      {"copy_on_device", [&] { copy_on_device(d, d, 0, nullptr); }},
      {"fill_bytes", [&] { fill_bytes(d, 0, 0, nullptr); }},
      {"synchronize", [&] { synchronize(nullptr); }},
      {"Event", [&] { Event(); }},
      {"gather_rows", [&] { gather_rows(f, 1, 1, i, 0, f, nullptr); }},
      {"sum_row_groups", [&] { sum_row_groups(f, 1, 1, i, i, i, 0, f, false, nullptr); }},
      {"stream_copy", [&] { stream_copy(d, d, 0, 4, nullptr); }},
      {"stream_read_words", [&] { stream_read_words(0, 4); }},
      {"stream_read", [&] { stream_read(d, 0, 4, nullptr, nullptr); }},
      {"stream_write", [&] { stream_write(d, 0, 0, 4, nullptr); }},
      {"fill_normal", [&] { fill_normal(f, 0, 0, 1, 1, nullptr); }},
      {"set_elements", [&] { set_elements(f, i, f, 0, nullptr); }},
      {"fingerprint", [&] { fingerprint(f, 0, nullptr, nullptr); }},
      {"sequence_sums", [&] { sequence_sums(i, 0, nullptr, 0, nullptr); }},
      {"marked_sums", [&] { marked_sums(i, 0, d, f, d, d, nullptr); }},
      {"spread_to_labels", [&] { spread_to_labels(d, i, 0, f, nullptr); }},
      {"swiglu_forward", [&] { swiglu_forward(f, 0, 1, f, nullptr); }},
      {"swiglu_backward", [&] { swiglu_backward(f, f, 0, 1, f, nullptr); }}};
  for (const auto& [name, call] : calls) {
    try {
      call();
      ADD_FAILURE() << name << " did not throw";
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), "[" + name + "] libpref was built without CUDA.");
    }
  }
}

// Whoever asks first gets an answer, not an error.
TEST(NoCuda, CountsNoDevicesAndSaysWhy) {
#if defined(PREF_HAS_CUDA)
  GTEST_SKIP() << "this build has CUDA";
#endif
  const Devices found = devices();
  EXPECT_EQ(found.count, 0);
  EXPECT_EQ(found.architectures, "");
  EXPECT_NE(found.reason.find("built without CUDA"), std::string::npos) << found.reason;
}

}  // namespace
}  // namespace pref::kernels::cuda
