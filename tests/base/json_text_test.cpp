// SPDX-License-Identifier: Apache-2.0
// JSON text by hand.
#include "libpref/base/json_text.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "libpref/base/random.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

TEST(JsonText, ValueObjectsKeepTheirOrder) {
  EXPECT_EQ(JsonObject().str(), "{}");
  EXPECT_EQ(
      JsonObject()
          .add("step", 3)
          .add("loss", 0.5)
          .add("name", "x")
          .add("a", std::string("y"))
          .add("done", true)
          .add_null("none")
          .add_raw("tags", JsonArray().add("a").add(2).add(-1.5).str())
          .str(),
      R"({"step":3,"loss":0.5,"name":"x","a":"y","done":true,"none":null,"tags":["a",2,-1.5]})");
  EXPECT_EQ(JsonArray().str(), "[]");
  EXPECT_EQ(json_value(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(json_value(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
}

TEST(JsonText, ValueEscapes) {
  EXPECT_EQ(json_value("a\"b\\c\n\r\t\x01\x1f/é"), R"("a\"b\\c\n\r\t\u0001\u001f/é")");
  EXPECT_EQ(json_value(std::string_view("a\0b", 3)), R"("a\u0000b")");
  EXPECT_EQ(JsonObject().add("a\"b", 1).str(), R"({"a\"b":1})");
  EXPECT_EQ(json_value("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"");
}

TEST(JsonText, ValueReplacesWhatIsNotUtf8) {
  const std::string replaced = "\xef\xbf\xbd";
  EXPECT_EQ(json_value("a\xff z"), "\"a" + replaced + " z\"");
  EXPECT_EQ(json_value("\xc3"), "\"" + replaced + "\"");
  EXPECT_EQ(json_value("\xed\xa0\x80"),
            "\"" + replaced + replaced + replaced + "\"");  // a surrogate
}

TEST(JsonText, ValueNonFiniteIsNull) {
  EXPECT_EQ(json_value(std::nan("")), "null");
  EXPECT_EQ(json_value(INFINITY), "null");
  EXPECT_EQ(json_value(-INFINITY), "null");
  EXPECT_EQ(json_value(0.1), "0.1");
  EXPECT_EQ(json_value(-0.0), "-0");
}

TEST(JsonText, RoundTripOfDoubles) {
  constexpr uint64_t kSeed = 5;
  RandomStream random(kSeed, "json doubles");
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random.next_u64();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const std::string text = json_value(value);
    double back = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), back);
    ASSERT_EQ(end.ptr, text.data() + text.size()) << text << " seed " << kSeed;
    ASSERT_EQ(back, value) << text << " seed " << kSeed;
  }
}

TEST(Utf8, RejectsMalformedSequences) {
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(find_invalid_utf8(good), std::string_view::npos) << good;
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82\x41"}) {
    EXPECT_EQ(find_invalid_utf8(bad), 0u) << json_value(bad);
    EXPECT_EQ(find_invalid_utf8(std::string("ab") + bad), 2u);
  }
  EXPECT_EQ(display_width("aé€😀"), 4u);
  EXPECT_EQ(cut_to_width("aé€😀", 3), "aé€");
  EXPECT_EQ(cut_to_width("ab", 5), "ab");
}

}  // namespace
}  // namespace pref
