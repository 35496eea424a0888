// SPDX-License-Identifier: Apache-2.0
// The file of reference log-probs: the same numbers back, and nobody else's.
#include "libpref/train/reference.h"

#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

const ReferenceKey kKey{.model = "aaaa", .tokenizer = "bbbb", .rows = "cccc"};

TEST(ReferenceCache, RoundTripIsBitwise) {
  const TempFolder folder;
  const auto rows = counting_rows(5);
  RandomStream random(1, "test reference");
  std::vector<double> values;
  for (int i = 0; i < 10; ++i) values.push_back(-20 * random.uniform());
  EXPECT_FALSE(read_reference_cache(folder.file("ref"), kKey, rows).has_value());
  write_reference_cache(folder.file("ref"), kKey, ReferenceLogps(rows, values));
  const auto read = read_reference_cache(folder.file("ref"), kKey, rows);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->values(), values);
  EXPECT_EQ(read->row(3)[1], values[7]);
  // Written again: the newer one counts.
  values[7] = -1;
  write_reference_cache(folder.file("ref"), kKey, ReferenceLogps(rows, values));
  EXPECT_EQ(read_reference_cache(folder.file("ref"), kKey, rows)->row(3)[1], -1);
}

TEST(ReferenceCache, RejectsFilesOfAnotherModelTokenizerOrRows) {
  const TempFolder folder;
  const auto rows = counting_rows(2);
  write_reference_cache(folder.file("ref"), kKey, ReferenceLogps(rows, {1, 2, 3, 4}));
  const auto refusal = [&](ReferenceKey key) {
    return error_of(ErrorKind::digest,
                    [&] { read_reference_cache(folder.file("ref"), key, rows); });
  };
  ReferenceKey model = kKey, tokenizer = kKey, other_rows = kKey, dtype = kKey, two = kKey;
  model.model = "dddd";
  tokenizer.tokenizer = "";
  other_rows.rows = "eeee";
  dtype.dtype = "bfloat16";
  two.model = two.rows = "ffff";
  EXPECT_NE(refusal(model).find("model: this run has dddd, the file aaaa"), std::string::npos);
  EXPECT_NE(refusal(tokenizer).find("tokenizer: this run has"), std::string::npos);
  EXPECT_NE(refusal(other_rows).find("rows: this run has eeee, the file cccc"), std::string::npos);
  EXPECT_NE(refusal(dtype).find("dtype: this run has bfloat16"), std::string::npos);
  const std::string both = refusal(two);
  EXPECT_NE(both.find("model: this run has ffff"), std::string::npos);
  EXPECT_NE(both.find("rows: this run has ffff"), std::string::npos);
  EXPECT_EQ(both.find("tokenizer: "), std::string::npos);
}

TEST(ReferenceCache, RejectsDamagedFilesAndOtherRowCounts) {
  const TempFolder folder;
  const auto rows = counting_rows(2);
  folder.write("ref", "not a safetensors file");
  error_of(ErrorKind::data, [&] { read_reference_cache(folder.file("ref"), kKey, rows); });
  write_reference_cache(folder.file("ref"), kKey, ReferenceLogps(rows, {1, 2, 3, 4}));
  error_of(ErrorKind::data,
           [&] { read_reference_cache(folder.file("ref"), kKey, counting_rows(3)); });
}

}  // namespace
}  // namespace pref::testing
