// SPDX-License-Identifier: Apache-2.0
// safetensors headers: what is accepted tiles the file, in 128-bit arithmetic of its own.
#include <algorithm>
#include <set>

#include "libpref/data/model_folder/safetensors.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  SafetensorsHeader header;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  if (!fuzz::accepts("m.safetensors",
                     [&] { header = parse_safetensors_header(bytes, size, "m.safetensors"); }))
    return 0;
  using Wide = unsigned __int128;
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | data[i];
  Wide end = Wide{8} + length;
  std::set<std::string> names;
  for (const TensorEntry& entry : header.tensors) {
    Wide product = static_cast<Wide>(tensor_type_bytes(entry.type));
    for (const int64_t extent : entry.shape) {
      fuzz::promise(extent >= 0, "sizes are not negative");
      product *= static_cast<Wide>(extent);
    }
    fuzz::promise(product == entry.bytes, "shape times type is the span");
    fuzz::promise(entry.offset == end, "tensors follow one another");
    fuzz::promise(names.insert(entry.name).second, "names are unique");
    end += entry.bytes;
  }
  fuzz::promise(end == size, "the tensors fill the file");
  return 0;
}
