// SPDX-License-Identifier: Apache-2.0
// Bad safetensors files by name, each with the words of its error: the cases of the reference
// implementation, what it leaves open, and a small file cut at every byte.
#include "libpref/base/file_system.h"
#include "tests/model_folder/model_folder_test_util.h"

namespace pref {
namespace {

using namespace pref::testing;  // NOLINT

SafetensorsHeader parse(std::string_view bytes) {
  return parse_safetensors_header(as_bytes(bytes), bytes.size(), "m.safetensors");
}

/// `"name":{dtype F32, shape [count], at [begin, begin + 4 count]}`
std::string entry(const std::string& name, int count, int begin = 0) {
  return "\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(count) +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + 4 * count) +
         "]}";
}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}
std::string zeros(size_t count) { return std::string(count, '\0'); }
std::string length_only(uint64_t length) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out;
}

struct Case {
  const char* name;
  std::string bytes;
  const char* fragment;  ///< of the error; "" when the file is good
};

std::vector<Case> reference_cases() {
  std::string ten = "{";
  for (int i = 0; i < 10; ++i) ten += (i ? "," : "") + entry("weight_" + std::to_string(i), 4);
  const std::string good = "{" + entry("a", 1) + "}";
  return {
      {"1 empty", "", "has 0 bytes; a safetensors file has at least the 8"},
      {"1 shorter than 8", "abc", "has 3 bytes"},
      {"2 header too large", length_only(100'000'001) + "{}",
       "header length 100000001 is above the cap of 100000000"},
      {"3 header beyond the end", length_only(60) + "{}",
       "header length 60 reaches beyond the end of the file (10 bytes)"},
      {"4 header not UTF-8", safetensors_bytes("{\"\xff\":1}"), "the header is not JSON: "},
      {"5 header not JSON", safetensors_bytes("{\"a\" 1}"),
       "header byte 5: the header is not JSON: "},
      {"5 header empty", safetensors_bytes(""), "the header is not JSON"},
      {"6 trailing spaces", safetensors_bytes(good + " \r\n\t  ", zeros(4)), ""},
      {"7 leading white space", safetensors_bytes("  \n" + good, zeros(4)), ""},
      {"8 ten names on one span", safetensors_bytes(ten + "}", zeros(16)),
       "tensor \"weight_1\": data begins at 0 but the tensor before it ends at 16 (they overlap)"},
      {"9 bytes after the last tensor", safetensors_bytes(good, zeros(9)),
       "take 4 bytes but the file holds 9 after the header (bytes that belong to no tensor)"},
      {"10 two bytes missing", safetensors_bytes(good, zeros(2)),
       "but the file holds 2 after the header (cut short)"},
      {"11 shape and span differ", safetensors_bytes(one("\"F32\"", "[2,2]", "[0,12]"), zeros(12)),
       "shape [2, 2] x F32 = 16 bytes but data_offsets span 12"},
      {"12 shape overflows",
       safetensors_bytes(one("\"F32\"", "[4611686018427387904,4]", "[0,16]"), zeros(16)),
       "overflows 64 bits"},
      {"12 shape wraps to zero",
       safetensors_bytes(one("\"U8\"", "[4294967296,4294967296]", "[0,0]")), "overflows 64 bits"},
      {"13 shape times type overflows",
       safetensors_bytes(one("\"F64\"", "[2305843009213693952]", "[0,0]")), "overflows 64 bits"},
      {"14 a zero dimension", safetensors_bytes(one("\"F32\"", "[2,0]", "[0,0]")), ""},
      {"15 no dimension", safetensors_bytes(one("\"F32\"", "[]", "[0,4]"), zeros(4)), ""},
      {"16 4-bit type, odd count", safetensors_bytes(one("\"F4\"", "[3]", "[0,2]"), zeros(2)),
       "tensor \"t\": dtype \"F4\" is not supported (supported: F64, F32, F16, BF16"},
      {"17 4-bit type, wrong span", safetensors_bytes(one("\"F4\"", "[4]", "[0,3]"), zeros(3)),
       "dtype \"F4\""},
  };
}

std::vector<Case> further_cases() {
  const std::string a = entry("a", 1);
  const std::string fields = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const auto file = [](const std::string& header, size_t data = 4) {
    return safetensors_bytes(header, zeros(data));
  };
  return {
      {"length wraps", length_only(UINT64_MAX) + "{}",
       "header length 18446744073709551615 is above the cap"},
      {"one byte too long", length_only(3) + "{}", "reaches beyond the end"},
      {"two JSON values", file("{" + a + "}{}"), "the header is not JSON"},
      {"header a list", file("[]", 0), "the header must be a JSON object, found a list"},
      {"header a number", file("7", 0), "must be a JSON object, found 7"},
      {"header null", file("null", 0), "must be a JSON object, found null"},
      {"header a string", file("\"{}\"", 0), "must be a JSON object, found \"{}\""},
      {"byte-order mark", file("\xef\xbb\xbf{" + a + "}"),
       "header byte 0: the header is not JSON: a UTF-8 byte-order mark"},
      {"NUL padding", file("{" + a + "}" + zeros(2)), "the header is not JSON: a NUL byte"},
      {"NaN", file(R"({"t":NaN})"), "the header is not JSON"},
      {"comment", file("{" + a + "}//x"), "the header is not JSON"},
      {"trailing comma", file("{" + a + ",}"), "the header is not JSON"},
      {"name twice", file("{" + a + "," + a + "}"), "tensor \"a\" stands twice"},
      {"name twice, escaped", file("{" + a + "," + entry("\\u0061", 1, 4) + "}", 8),
       "tensor \"a\" stands twice"},
      {"metadata twice", file(R"({"__metadata__":{},"__metadata__":{}})", 0),
       "__metadata__ stands twice"},
      {"metadata key twice", file(R"({"__metadata__":{"k":"1","k":"2"}})", 0),
       "__metadata__ has the key \"k\" twice"},
      {"metadata a list", file(R"({"__metadata__":[]})", 0),
       "must be an object of strings, found a list"},
      {"metadata a string", file(R"({"__metadata__":"x"})", 0),
       "must be an object of strings, found \"x\""},
      {"metadata value a number", file(R"({"__metadata__":{"k":1}})", 0),
       "values must be strings, found 1"},
      {"metadata value null", file(R"({"__metadata__":{"k":null}})", 0),
       "values must be strings, found null"},
      {"metadata value an object", file(R"({"__metadata__":{"k":{}}})", 0),
       "values must be strings, found an object"},
      {"entry null", file(R"({"t":null})"),
       "an object with dtype, shape and data_offsets is required, found null"},
      {"entry a list", file(R"({"t":[]})"),
       "an object with dtype, shape and data_offsets is required, found a list"},
      {"unknown field", file("{\"t\":{" + fields + R"(,"device":"cpu"}})"),
       "unknown field \"device\""},
      {"no dtype", file(R"({"t":{"shape":[1],"data_offsets":[0,4]}})"),
       "the field dtype is missing"},
      {"no shape", file(R"({"t":{"dtype":"F32","data_offsets":[0,4]}})"),
       "the field shape is missing"},
      {"no data_offsets", file(R"({"t":{"dtype":"F32","shape":[1]}})"),
       "the field data_offsets is missing"},
      {"dtype twice", file("{\"t\":{" + fields + R"(,"dtype":"F32"}})"),
       "the field dtype stands twice"},
      {"shape twice", file("{\"t\":{" + fields + R"(,"shape":[1]}})"),
       "the field shape stands twice"},
      {"data_offsets twice", file("{\"t\":{" + fields + R"(,"data_offsets":[0,4]}})"),
       "field data_offsets stands twice"},
      {"dtype unknown", file(one("\"FLOAT\"", "[1]", "[0,4]")),
       "tensor \"t\": dtype \"FLOAT\" is not supported"},
      {"dtype lower case", file(one("\"f32\"", "[1]", "[0,4]")), "dtype \"f32\" is not supported"},
      {"dtype F8", file(one("\"F8_E4M3\"", "[4]", "[0,4]")), "dtype \"F8_E4M3\" is not supported"},
      {"dtype a number", file(one("4", "[1]", "[0,4]")), "dtype must be a string, found 4"},
      {"shape a number", file(one("\"F32\"", "4", "[0,4]")), "shape must be a list, found 4"},
      {"shape negative", file(one("\"F32\"", "[-4]", "[0,4]")),
       "shape must hold whole numbers from 0, found -4"},
      {"shape fractional", file(one("\"F32\"", "[1.0]", "[0,4]")),
       "shape must hold whole numbers from 0"},
      {"shape a string", file(one("\"F32\"", "[\"1\"]", "[0,4]")),
       "shape must hold whole numbers from 0, found \"1\""},
      {"shape nested", file(one("\"F32\"", "[[1]]", "[0,4]")),
       "shape must hold whole numbers from 0, found a list"},
      {"shape of 2^63", file(one("\"U8\"", "[9223372036854775808]", "[0,4]")),
       "found 9223372036854775808"},
      {"shape of 2^64", file(one("\"U8\"", "[18446744073709551616]", "[0,4]")),
       "shape must hold whole numbers"},
      {"shape of 65 dimensions",
       file(one(
                "\"U8\"",
                "[1" +
                    [] {
                      std::string s;
                      for (int i = 0; i < 64; ++i) s += ",1";
                      return s;
                    }() +
                    "]",
                "[0,1]"),
            1),
       "more than 64 dimensions"},
      {"overflow beside a zero", file(one("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), 0),
       "overflows 64 bits"},
      {"offsets a number", file(one("\"F32\"", "[1]", "4")), "data_offsets must be [begin, end]"},
      {"offsets of one", file(one("\"F32\"", "[1]", "[0]")), "data_offsets has 1 numbers"},
      {"offsets of none", file(one("\"F32\"", "[1]", "[]")), "data_offsets has 0 numbers"},
      {"offsets of three", file(one("\"F32\"", "[1]", "[0,4,8]")), "found 8 as a third"},
      {"offsets negative", file(one("\"F32\"", "[1]", "[-4,0]")),
       "two whole numbers from 0, found -4"},
      {"offsets fractional", file(one("\"F32\"", "[1]", "[0,4.0]")),
       "data_offsets must be [begin, end]"},
      {"offsets reversed", file(one("\"F32\"", "[1]", "[4,0]")),
       "data_offsets [4, 0] end before they begin"},
      {"offsets huge", file(one("\"U8\"", "[1]", "[18446744073709551614,18446744073709551615]"), 1),
       "(a hole)"},
      {"first not at 0", file("{" + entry("a", 1, 4) + "}", 8),
       "data begins at 4 but the tensor before it ends at 0 (a hole)"},
      {"hole", file("{" + entry("a", 1) + "," + entry("b", 1, 8) + "}", 12),
       "tensor \"b\": data begins at 8"},
      {"overlap by one element", file("{" + entry("a", 2) + "," + entry("b", 1, 4) + "}", 8),
       "(they overlap)"},
      {"beyond the file", file("{" + entry("a", 1) + "," + entry("b", 1, 4) + "}", 4),
       "(cut short)"},
      {"name too long", file("{" + entry(std::string(4097, 'n'), 1) + "}"),
       "a tensor name of 4097 bytes"},
      {"git-lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
       "run git lfs pull"},
      {"zip pickle", std::string("PK\x03\x04", 4) + zeros(64), "This looks like a PyTorch pickle"},
      {"GGUF", "GGUF" + std::string("\3\0\0\0", 4) + zeros(64), "This is a GGUF file"},
      {"web page", "<!DOCTYPE html><html></html>", "This looks like a web page"},
  };
}

TEST(Safetensors, RejectsNamedBadFiles) {
  std::vector<Case> cases = reference_cases();
  for (Case& more : further_cases()) cases.push_back(std::move(more));
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string error = error_of([&] { parse(c.bytes); });
    if (*c.fragment == '\0') {
      EXPECT_EQ(error, "");
      continue;
    }
    EXPECT_TRUE(error.starts_with("[safetensors] m.safetensors: ")) << error;
    EXPECT_NE(error.find(c.fragment), std::string::npos) << error;
    EXPECT_LT(error.size(), 600u) << error;
    EXPECT_EQ(kind_of([&] { parse(c.bytes); }), ErrorKind::data);
  }
}

// Cases 18 to 20 of the reference are about slices; what we hand out is whole tensors of this very
// file.
TEST(Safetensors, RejectsAnEntryOfAnotherFile) {
  TempFolder folder;
  const std::string path = folder.write("a", safetensors_bytes("{" + entry("a", 1) + "}", "wxyz"));
  const SafetensorsFile file(posix_file_system(), path);
  EXPECT_EQ(file.bytes(file.tensors()[0]).size(), 4u);
  TensorEntry other = file.tensors()[0];
  other.offset += 1;
  EXPECT_NE(error_of([&] { file.bytes(other); }).find("is not an entry of this file"),
            std::string::npos);
  other = file.tensors()[0];
  other.offset = UINT64_MAX - 1;
  EXPECT_NE(error_of([&] { file.bytes(other); }).find("is not an entry of this file"),
            std::string::npos);
}

TEST(Safetensors, RejectsWithThePositionInTheHeader) {
  // The 14 bytes before the second name: {"a":{...}, is one entry long.
  const std::string first = "{" + entry("a", 1) + ", ";
  const std::string at = "header byte " + std::to_string(first.size()) + ": ";
  EXPECT_NE(
      error_of([&] { parse(safetensors_bytes(first + entry("a", 1) + "}", zeros(4))); }).find(at),
      std::string::npos);
  EXPECT_NE(error_of([&] { parse(safetensors_bytes(first + "?}", zeros(4))); }).find(at),
            std::string::npos);
  const std::string shape = R"({"t":{"shape":[1, 2,)";
  EXPECT_NE(
      error_of([&] {
        parse(safetensors_bytes(shape + "-3]}}"));
      }).find("header byte " + std::to_string(shape.size()) + ": tensor \"t\": shape must hold"),
      std::string::npos);
}

TEST(Safetensors, RejectsWithAtMostEightyEscapedBytesOfANameInTheMessage) {
  const std::string error = error_of(
      [&] { parse(safetensors_bytes("{\"" + std::string(100, 'n') + "\\u001b[31m\":7}")); });
  EXPECT_NE(error.find("\"" + std::string(80, 'n') + "...\""), std::string::npos) << error;
  const std::string escape =
      error_of([&] { parse(safetensors_bytes("{\"\\u001b[31m\\n\\u0085\":7}")); });
  EXPECT_NE(escape.find("\"\\x1b[31m\\n\\xc2\\x85\""), std::string::npos) << escape;
}

TEST(Safetensors, RejectsDeepNestingWithoutRecursion) {
  const std::string deep(1'000'000, '[');
  EXPECT_NE(error_of([&] { parse(safetensors_bytes(deep)); }).find("must be a JSON object"),
            std::string::npos);
  EXPECT_NE(
      error_of([&] { parse(safetensors_bytes("{\"t\":{\"x\":" + deep)); }).find("unknown field"),
      std::string::npos);
}

TEST(Safetensors, RejectsACountAboveTheCap) {
  std::string header = "{";
  for (int i = 0; i <= 1'000'000; ++i) {
    header += i == 0 ? "\"" : ",\"";
    header += std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  EXPECT_NE(error_of([&] {
              parse(safetensors_bytes(header + "}"));
            }).find("more than 1000000 tensors, the cap"),
            std::string::npos);
}

TEST(Safetensors, RejectsTruncationAtEveryByte) {
  TempFolder folder;
  const std::string whole = safetensors_bytes(
      R"({"__metadata__":{"k":"v"},)" + entry("a", 2) + "," + entry("b", 1, 8) + "} ",
      "0123456789ab");
  EXPECT_EQ(parse(whole).tensors.size(), 2u);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string path = folder.write("cut.safetensors", whole.substr(0, size));
    EXPECT_NE(error_of([&] { SafetensorsFile(posix_file_system(), path); }), "") << size;
  }
}

}  // namespace
}  // namespace pref
