// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/rows.h.
#include "kernels/cuda/rows.h"

#include "kernels/cuda/device/rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {

void gather_rows(ConstPointer x, int64_t stride_x, int64_t width, const int64_t* index,
                 int64_t count, Pointer out, Stream stream) {
  const char* where = "gather_rows";
  require_same_type(where, x, out);
  require(stride_x >= width, ErrorKind::option, where, "a stride of at least the width ", width,
          " is required, got ", stride_x, ".");
  const auto start = [&](auto* unit, int64_t units, int64_t per_unit) {
    using Unit = std::remove_pointer_t<decltype(unit)>;
    launch(where, stream, {width > 0 ? count : 0, threads_for(units)}, gather_row<Unit>,
           static_cast<const Unit*>(x.data), stride_x / per_unit, units, index,
           static_cast<Unit*>(out.data));
  };
  const int64_t bytes = width * bytes_of(x.type);
  if (rows_aligned(x, stride_x) && rows_aligned(out, width)) {
    start(static_cast<uint4*>(nullptr), bytes / 16, 16 / bytes_of(x.type));
  } else if (x.type == Type::f32) {
    start(static_cast<uint32_t*>(nullptr), width, 1);
  } else {
    start(static_cast<uint16_t*>(nullptr), width, 1);
  }
}

void sum_row_groups(Pointer x, int64_t stride_x, int64_t width, const int64_t* target,
                    const int64_t* begin, const int64_t* source, int64_t groups, ConstPointer rows,
                    bool accumulate, Stream stream) {
  require(stride_x >= width, ErrorKind::option, "sum_row_groups", "a stride of at least the width ",
          width, " is required, got ", stride_x, ".");
  with_type(x.type, [&](auto* to) {
    with_type(rows.type, [&](auto* from) {
      with_vectors(rows_aligned(x, stride_x) && rows_aligned(rows, width), width, [&](auto n) {
        using X = std::remove_pointer_t<decltype(to)>;
        using R = std::remove_pointer_t<decltype(from)>;
        constexpr int kN = decltype(n)::value;
        launch("sum_row_groups", stream, {groups, threads_for(divide_up(width, kN))},
               sum_row_group<X, R, kN>, static_cast<X*>(x.data), stride_x, width, target, begin,
               source, static_cast<const R*>(rows.data), accumulate);
      });
    });
  });
}

}  // namespace pref::kernels::cuda
