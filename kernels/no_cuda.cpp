// SPDX-License-Identifier: Apache-2.0
// The functions of kernels/cuda in a build without nvcc: each says so, devices() in words.
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

[[noreturn]] void absent(const char* op) {
  fail(ErrorKind::option, op, "libpref was built without CUDA.");
}

}  // namespace

void adamw_update(const AdamWState&, ConstPointer, int64_t, const AdamWStep&, const AdamWDevice&,
                  uint64_t, int64_t, Stream) {
  absent("adamw_update");
}
void split_master(const float*, int64_t, BF16*, int16_t*, Stream) { absent("split_master"); }
void join_master(const BF16*, const int16_t*, int64_t, float*, Stream) { absent("join_master"); }

void stream_copy(const void*, void*, int64_t, int, Stream) { absent("stream_copy"); }
int64_t stream_read_words(int64_t, int) { absent("stream_read_words"); }
void stream_read(const void*, int64_t, int, uint32_t*, Stream) { absent("stream_read"); }
void stream_write(void*, int64_t, uint32_t, int, Stream) { absent("stream_write"); }

void head_norm_forward(ConstPointer, int64_t, const HeadShape&, const void*, float, void*, int64_t,
                       float*, Stream) {
  absent("head_norm_forward");
}
int64_t head_norm_backward_workspace(const HeadShape&) { absent("head_norm_backward_workspace"); }
void head_norm_backward(ConstPointer, int64_t, const void*, int64_t, const HeadShape&, const void*,
                        const float*, void*, int64_t, float*, float*, Stream) {
  absent("head_norm_backward");
}

int64_t logprob_parts(int64_t, int64_t) { absent("logprob_parts"); }
void logprob_statistics(ConstPointer, int64_t, int64_t, int64_t, const int64_t*, LogitTransform,
                        const TokenStatistics&, LogprobPartial*, Stream) {
  absent("logprob_statistics");
}
void logprob_partials(ConstPointer, int64_t, int64_t, int64_t, const int64_t*, int64_t,
                      LogitTransform, LogprobPartial*, Stream) {
  absent("logprob_partials");
}
void logprob_merge(const LogprobPartial*, int64_t, int64_t, int64_t, int64_t, int64_t,
                   LogitTransform, const TokenStatistics&, Stream) {
  absent("logprob_merge");
}
void logprob_gradient(Pointer, int64_t, int64_t, int64_t, const int64_t*, const float*,
                      const float*, const float*, LogitTransform, RowGradient*, Stream) {
  absent("logprob_gradient");
}

int64_t sum_of_squares_workspace(int64_t) { absent("sum_of_squares_workspace"); }
void sum_of_squares(ConstPointer, int64_t, double*, double*, Stream) { absent("sum_of_squares"); }
void clip_factor(const double*, double, float*, float*, int*, Stream) { absent("clip_factor"); }
void flag_non_finite(ConstPointer, int64_t, int*, Stream) { absent("flag_non_finite"); }

void rms_norm_forward(ConstPointer, const void*, void*, int64_t, int64_t, int64_t, const void*,
                      float, void*, int64_t, float*, Stream) {
  absent("rms_norm_forward");
}
int64_t rms_norm_backward_workspace(int64_t, int64_t) { absent("rms_norm_backward_workspace"); }
void rms_norm_backward(ConstPointer, int64_t, const void*, int64_t, const void*, const float*,
                       int64_t, int64_t, void*, int64_t, bool, float*, float*, Stream) {
  absent("rms_norm_backward");
}

void rope_rotate(ConstPointer, int64_t, const int64_t*, int64_t, int64_t, int64_t, const int64_t*,
                 const float*, const float*, int, void*, int64_t, Stream) {
  absent("rope_rotate");
}

Devices devices() {
  return {.reason = "libpref was built without CUDA. Configure with -DPREF_CUDA=ON where nvcc is."};
}
DeviceFacts device_facts(int) { absent("device_facts"); }
void use_device(int) { absent("use_device"); }
void* allocate(int64_t) { absent("allocate"); }
void release(void*) noexcept {}
void copy_to_device(void*, const void*, int64_t, Stream) { absent("copy_to_device"); }
void copy_to_host(void*, const void*, int64_t, Stream) { absent("copy_to_host"); }
void copy_on_device(void*, const void*, int64_t, Stream) { absent("copy_on_device"); }
void fill_bytes(void*, uint8_t, int64_t, Stream) { absent("fill_bytes"); }
void synchronize(Stream) { absent("synchronize"); }
Event::Event() { absent("Event"); }
Event::~Event() = default;
void Event::record(Stream) { absent("Event::record"); }
double Event::ms_since(const Event&) const { absent("Event::ms_since"); }

void gather_rows(ConstPointer, int64_t, int64_t, const int64_t*, int64_t, Pointer, Stream) {
  absent("gather_rows");
}
void sum_row_groups(Pointer, int64_t, int64_t, const int64_t*, const int64_t*, const int64_t*,
                    int64_t, ConstPointer, bool, Stream) {
  absent("sum_row_groups");
}

void fill_normal(Pointer, int64_t, float, float, uint64_t, Stream) { absent("fill_normal"); }
void set_elements(Pointer, const int64_t*, const float*, int64_t, Stream) {
  absent("set_elements");
}
void fingerprint(const void*, int64_t, uint64_t*, Stream) { absent("fingerprint"); }

void sequence_sums(const int64_t*, int64_t, const SequenceSum*, int, Stream) {
  absent("sequence_sums");
}
void marked_sums(const int64_t*, int64_t, const double*, const float*, double*, double*, Stream) {
  absent("marked_sums");
}
void spread_to_labels(const double*, const int64_t*, int64_t, float*, Stream, const MarkSlopes&) {
  absent("spread_to_labels");
}

void swiglu_forward(ConstPointer, int64_t, int64_t, void*, Stream) { absent("swiglu_forward"); }
void swiglu_backward(ConstPointer, const void*, int64_t, int64_t, void*, Stream) {
  absent("swiglu_backward");
}

}  // namespace pref::kernels::cuda
