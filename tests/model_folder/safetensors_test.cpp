// SPDX-License-Identifier: Apache-2.0
// What safetensors files hold after a round trip, and the float conversions over all 16-bit
// patterns.
#include <bit>
#include <cmath>
#include <limits>

#include "libpref/base/file_system.h"
#include "tests/model_folder/model_folder_test_util.h"

namespace pref {
namespace {

using namespace pref::testing;  // NOLINT

constexpr TensorType kAllTypes[] = {
    TensorType::f64, TensorType::f32, TensorType::f16, TensorType::bf16, TensorType::i64,
    TensorType::i32, TensorType::i16, TensorType::i8,  TensorType::u8,   TensorType::boolean};

/// The value of an f16 or bf16 by its definition: sign, exponent and significand of the given
/// widths.
double value_of_bits(uint16_t bits, int significand_bits, int bias) {
  const int exponent_bits = 15 - significand_bits;
  const int exponent = (bits >> significand_bits) & ((1 << exponent_bits) - 1);
  const int significand = bits & ((1 << significand_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1)
    return significand != 0 ? std::numeric_limits<double>::quiet_NaN()
                            : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(significand, 1 - bias - significand_bits);
  return sign *
         std::ldexp((1 << significand_bits) + significand, exponent - bias - significand_bits);
}

struct Half {
  TensorType type;
  int significand_bits, bias;
};
constexpr Half kHalves[] = {{TensorType::f16, 10, 15}, {TensorType::bf16, 7, 127}};

uint16_t to_half(TensorType type, float value) {
  uint16_t bits = 0;
  std::byte out[2];
  convert_from_f32(type, &value, 1, out);
  std::memcpy(&bits, out, 2);
  return bits;
}

TEST(Convert, ValueOfAll16BitPatternsAndRoundTrip) {
  for (const Half& half : kHalves) {
    SCOPED_TRACE(tensor_type_name(half.type));
    std::vector<std::byte> in(2 * 65536 + 1);  // one byte off: misaligned on purpose
    for (uint32_t i = 0; i < 65536; ++i) {
      const auto bits = static_cast<uint16_t>(i);
      std::memcpy(in.data() + 1 + 2 * i, &bits, 2);
    }
    std::vector<float> values(65536);
    convert_to_f32(half.type, in.data() + 1, 65536, values.data());
    std::vector<std::byte> out(2 * 65536 + 1);
    convert_from_f32(half.type, values.data(), 65536, out.data() + 1);
    for (uint32_t i = 0; i < 65536; ++i) {
      const double expected =
          value_of_bits(static_cast<uint16_t>(i), half.significand_bits, half.bias);
      uint16_t back;
      std::memcpy(&back, out.data() + 1 + 2 * i, 2);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(values[i])) << i;
        ASSERT_TRUE(std::isnan(value_of_bits(back, half.significand_bits, half.bias))) << i;
      } else {
        ASSERT_EQ(values[i], expected) << i;
        ASSERT_EQ(std::signbit(values[i]), std::signbit(expected)) << i;
        ASSERT_EQ(back, i);
      }
    }
  }
}

// Between every two neighbouring finite halves: the middle goes to the even one, its two f32
// neighbours to the nearer.
TEST(Convert, ValueRoundsToNearestEven) {
  for (const Half& half : kHalves) {
    SCOPED_TRACE(tensor_type_name(half.type));
    const uint16_t infinity =
        static_cast<uint16_t>(0x7fff >> half.significand_bits << half.significand_bits);
    for (uint16_t low = 0; low < infinity; ++low) {
      const double a = value_of_bits(low, half.significand_bits, half.bias);
      const double above = value_of_bits(low + 1, half.significand_bits, half.bias);
      // Past the largest finite value the next step is infinity's place in the grid.
      const double step = low + 1 == infinity
                              ? a - value_of_bits(low - 1, half.significand_bits, half.bias)
                              : above - a;
      const auto middle = static_cast<float>(a + step / 2);
      const auto even = static_cast<uint16_t>(low + (low & 1));
      ASSERT_EQ(static_cast<double>(middle), a + step / 2) << low;
      ASSERT_EQ(to_half(half.type, middle), even) << low;
      ASSERT_EQ(to_half(half.type, -middle), even | 0x8000) << low;
      ASSERT_EQ(to_half(half.type, std::nextafter(middle, 0.0f)), low) << low;
      ASSERT_EQ(to_half(half.type, std::nextafter(middle, INFINITY)), low + 1) << low;
    }
    EXPECT_EQ(to_half(half.type, std::numeric_limits<float>::max()), infinity);
    EXPECT_EQ(to_half(half.type, INFINITY), infinity);
    EXPECT_EQ(to_half(half.type, -INFINITY), infinity | 0x8000);
    EXPECT_EQ(to_half(half.type, -0.0f), 0x8000);
    // A NaN whose payload lies in the dropped bits must stay one.
    const uint16_t nan = to_half(half.type, std::bit_cast<float>(0x7f800001u));
    EXPECT_TRUE(std::isnan(value_of_bits(nan, half.significand_bits, half.bias)));
  }
}

TEST(Convert, ValueOfWideTypes) {
  const double doubles[] = {1.5, -0.0, 1e300, 0.1, 5e-324};
  const float expected[] = {1.5f, -0.0f, INFINITY, 0.1f, 0.0f};
  float out[5];
  convert_to_f32(TensorType::f64, reinterpret_cast<const std::byte*>(doubles), 5, out);
  EXPECT_EQ(std::memcmp(out, expected, sizeof(out)), 0);
  std::byte wide[5 * 8];
  convert_from_f32(TensorType::f64, expected, 5, wide);
  for (int i = 0; i < 5; ++i) {
    double value;
    std::memcpy(&value, wide + 8 * i, 8);
    EXPECT_EQ(value, static_cast<double>(expected[i]));
  }
  const uint32_t bits[] = {0x7f800001u, 0x00000001u,
                           0x80000000u};  // a signalling NaN, a subnormal, -0: kept as they are
  std::byte copy[12];
  convert_to_f32(TensorType::f32, reinterpret_cast<const std::byte*>(bits), 3, out);
  convert_from_f32(TensorType::f32, out, 3, copy);
  EXPECT_EQ(std::memcmp(copy, bits, sizeof(bits)), 0);
  convert_to_f32(TensorType::f32, nullptr, 0, out);  // an empty tensor has no address
}

TEST(Convert, RejectsIntegerTypes) {
  float value = 0;
  std::byte bytes[8] = {};
  for (const TensorType type : kAllTypes) {
    const bool is_float = type == TensorType::f64 || type == TensorType::f32 ||
                          type == TensorType::f16 || type == TensorType::bf16;
    const std::string name(tensor_type_name(type));
    const std::string to = error_of([&] { convert_to_f32(type, bytes, 1, &value); });
    const std::string from = error_of([&] { convert_from_f32(type, &value, 1, bytes); });
    EXPECT_EQ(to.empty(), is_float) << name;
    EXPECT_EQ(from.empty(), is_float) << name;
    if (is_float) continue;
    EXPECT_NE(to.find("no conversion from " + name), std::string::npos) << to;
    EXPECT_NE(from.find("no conversion from F32 to " + name), std::string::npos) << from;
  }
}

struct Recorder : ByteObserver {
  std::string seen;
  void update(const void* data, size_t size) override {
    seen.append(static_cast<const char*>(data), size);
  }
};

void expect_round_trip(const MemoryTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  TempFolder folder;
  MemoryTensors source = tensors;
  Recorder recorder;
  const std::string path = folder.file("x.safetensors");
  const uint64_t size =
      write_safetensors(posix_file_system(), path, source.entries, source, metadata, &recorder);
  EXPECT_EQ(size, std::filesystem::file_size(path));
  EXPECT_TRUE(recorder.seen == read_text(path)) << "the observer saw other bytes than the file has";
  uint64_t header = 0;
  std::memcpy(&header, recorder.seen.data(), 8);
  EXPECT_EQ((8 + header) % 64, 0u) << "the data is to be aligned";

  const SafetensorsFile file(posix_file_system(), path);
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), tensors.entries.size());
  for (size_t i = 0; i < tensors.entries.size(); ++i) {
    const TensorEntry* found = file.find(tensors.entries[i].name);
    ASSERT_NE(found, nullptr) << tensors.entries[i].name;
    EXPECT_EQ(found->type, tensors.entries[i].type);
    EXPECT_EQ(found->shape, tensors.entries[i].shape);
    const auto bytes = file.bytes(*found);
    EXPECT_TRUE(
        std::equal(bytes.begin(), bytes.end(), tensors.values[i].begin(), tensors.values[i].end()))
        << tensors.entries[i].name;
  }
  EXPECT_EQ(file.find("not there"), nullptr);
}

TEST(Safetensors, RoundTripOfEveryType) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  MemoryTensors tensors;
  const std::vector<std::vector<int64_t>> shapes{{}, {0}, {3}, {2, 5}, {1, 1, 7}, {4, 0, 2}};
  for (const TensorType type : kAllTypes)
    for (size_t i = 0; i < shapes.size(); ++i)
      tensors.add("t." + std::string(tensor_type_name(type)) + "." + std::to_string(i), type,
                  shapes[i], random);
  tensors.add("n\"a\\m\ne \xc3\xa9", TensorType::u8, {3}, random);
  expect_round_trip(tensors, {{"format", "pt"}, {"ke\"y", "va\nlue"}});
  expect_round_trip(MemoryTensors(), {});
}

TEST(Safetensors, RoundTripOfATensorLargerThanAChunk) {
  std::mt19937_64 random(7);
  MemoryTensors tensors;
  tensors.add("a", TensorType::u8, {3}, random);
  tensors.add("b", TensorType::u8, {(1 << 20) + 5}, random);
  tensors.add("c", TensorType::f32, {1 << 18}, random);  // a chunk exactly
  expect_round_trip(tensors, {});
}

TEST(Safetensors, RejectsWhatItCouldNotReadBack) {
  TempFolder folder;
  int count = 0;
  const auto error_with = [&](std::vector<TensorEntry> entries,
                              const std::map<std::string, std::string>& metadata = {}) {
    MemoryTensors source;
    source.values.resize(entries.size());
    const std::string path = folder.file(std::to_string(count++));
    const std::string error =
        error_of([&] { write_safetensors(posix_file_system(), path, entries, source, metadata); });
    // Only the source's bytes can be wrong after the file was created.
    EXPECT_EQ(std::filesystem::exists(path), error.find("the source gave") != std::string::npos)
        << error;
    return error;
  };
  const int64_t huge = int64_t{1} << 40;
  const std::pair<std::string, const char*> cases[] = {
      {error_with({{.name = "a", .shape = {0}}, {.name = "a", .shape = {0}}}),
       "two tensors are named \"a\""},
      {error_with({{.name = "__metadata__", .shape = {0}}}),
       "\"__metadata__\" cannot name a tensor"},
      {error_with({{.name = std::string(5000, 'x'), .shape = {0}}}), "cannot name a tensor"},
      {error_with({{.name = "a\xff", .shape = {0}}}), "\"a\\xff\" is not UTF-8"},
      {error_with({}, {{"k", "\xc3"}}), "is not UTF-8"},
      {error_with({}, {{"\xc3", "v"}}), "is not UTF-8"},
      {error_with({{.name = "a", .shape = {-1}}}), "a shape that is negative"},
      {error_with({{.name = "a", .shape = {huge, huge}}}), "overflows 64 bits"},
      {error_with({{.name = "a", .shape = std::vector<int64_t>(65, 1)}}), "of too many dimensions"},
      {error_with({{.name = "a", .shape = {2}}}), "the source gave 0 bytes; its shape needs 8"}};
  for (const auto& [error, fragment] : cases)
    EXPECT_NE(error.find(fragment), std::string::npos) << error;
  const std::string there = folder.write("there", "x");
  MemoryTensors none;
  EXPECT_EQ(kind_of([&] { write_safetensors(posix_file_system(), there, {}, none, {}); }),
            ErrorKind::cannot_create);
  EXPECT_EQ(read_text(there), "x");
}

}  // namespace
}  // namespace pref
