// SPDX-License-Identifier: Apache-2.0
// The checks that `pref doctor --device cuda` runs on a card, run here on kernels executed by the
// CPU; the comparison that judges them; and the streams that are their ceilings.
#include "libpref/device_check/device_check.h"

#include <gmock/gmock.h>

#include <bit>
#include <map>
#include <set>

#include "kernels/cuda/ceilings.h"
#include "libpref/base/error.h"
#include "libpref/device_check/lines.h"
#include "libpref/device_check/session.h"
#include "tests/simt/simt_test_util.h"

namespace pref::device_check {
namespace {

using testing::HasSubstr;
constexpr double kInfinite = std::numeric_limits<double>::infinity();

class DeviceCheckTest : public kernels::cuda::SimtTest {};
PREF_EVERY_SCHEDULE(DeviceCheckTest);

struct Collected {
  Summary summary;
  std::vector<Check> checks;
  std::vector<Bench> benches;
  std::map<std::string, double> ceilings;
  std::vector<std::string> lines;
};
Collected run(const Options& options) {
  Collected out;
  out.summary = check_device(options, [&](const Result& result) {
    out.lines.push_back(json_line(result));
    if (const auto* check = std::get_if<Check>(&result)) out.checks.push_back(*check);
    if (const auto* bench = std::get_if<Bench>(&result)) out.benches.push_back(*bench);
    if (const auto* one = std::get_if<Ceiling>(&result)) out.ceilings[one->name] = one->value;
  });
  return out;
}

TEST_P(DeviceCheckTest, EveryKernelMatchesReference) {
  const Collected got = run({.profile = Profile::tiny, .seed = 7, .timings = false});
  std::set<std::string> names;
  for (const Check& check : got.checks) {
    names.insert(check.name);
    EXPECT_TRUE(check.ok) << check.name << ", " << check.shape << ", " << check.quantity << ": "
                          << check.error << " beyond " << check.bound;
  }
  EXPECT_EQ(got.summary.failed, 0);
  EXPECT_EQ(got.summary.checks, static_cast<int>(got.checks.size()));
  EXPECT_TRUE(got.benches.empty() && got.ceilings.empty());
  EXPECT_EQ(names, (std::set<std::string>{"adamw_update",
                                          "clip_factor",
                                          "couple_rows",
                                          "flag_non_finite",
                                          "gather_rows",
                                          "head_norm_backward",
                                          "head_norm_forward",
                                          "logprob_gradient",
                                          "logprob_merge",
                                          "logprob_statistics",
                                          "marked_sums",
                                          "pair_losses",
                                          "rms_norm_backward",
                                          "rms_norm_forward",
                                          "rope_rotate",
                                          "sequence_sums",
                                          "split_master, join_master",
                                          "spread_to_labels",
                                          "streams",
                                          "sum_of_squares",
                                          "sum_row_groups",
                                          "swiglu_backward",
                                          "swiglu_forward"}));
}

TEST(DeviceCheck, TimesWhatHasAGoal) {
  const Collected got = run({.profile = Profile::tiny});
  EXPECT_THAT(got.ceilings, testing::SizeIs(3));
  std::set<std::string> goals;
  for (const Bench& bench : got.benches) {
    if (!bench.goal.empty()) goals.insert(bench.goal);
    EXPECT_EQ(bench.goal.empty(), bench.wanted == 0) << bench.name;
    EXPECT_GT(bench.value, 0) << bench.name;
    EXPECT_LE(bench.ms_p20, bench.ms) << bench.name;
    EXPECT_LE(bench.ms, bench.ms_p80) << bench.name;
    EXPECT_NEAR(bench.share, bench.value / got.ceilings.at(bench.of), 1e-12) << bench.name;
  }
  EXPECT_EQ(goals, (std::set<std::string>{"G1", "G12", "G13", "G2"}));
  EXPECT_EQ(got.summary.benches, static_cast<int>(got.benches.size()));
}

TEST(DeviceCheck, EqualSeedsGiveEqualErrors) {
  const Options options{.profile = Profile::tiny, .seed = 3, .timings = false};
  EXPECT_EQ(run(options).lines, run(options).lines);
}

TEST(DeviceCheck, ValueOfTheLines) {
  EXPECT_EQ(json_line(Result(Ceiling{"copy", 4100.5})),
            R"({"kind":"ceiling","name":"copy","value":4100.5,"unit":"GB/s"})");
  EXPECT_EQ(json_line(Result(Check{"rope_rotate", "f32 [5]", "x", 0.25, 0.5, true})),
            R"({"kind":"check","name":"rope_rotate","case":"f32 [5]","quantity":"x","error":0.25,)"
            R"("bound":0.5,"ok":true})");
  EXPECT_EQ(json_line(Result(Bench{"G1", "n", "c", 2, 1, 3, 500, "read", 0.5, 0.92})),
            R"({"kind":"bench","goal":"G1","name":"n","case":"c","ms":2,"ms_p20":1,"ms_p80":3,)"
            R"("value":500,"unit":"GB/s","share":0.5,"of":"read","wanted":0.92})");
  EXPECT_EQ(json_line(Result(Skipped{"n", "why"})),
            R"({"kind":"skipped","name":"n","reason":"why"})");
  const kernels::cuda::DeviceFacts facts{
      .name = "card", .memory = 141000000000, .processors = 132, .major = 9};
  EXPECT_EQ(json_line({.count = 1, .driver = 13000, .runtime = 12090}, facts),
            R"({"kind":"device","name":"card","memory_gb":141,"sm":132,"capability":"9.0",)"
            R"("driver":"13.0","runtime":"12.9"})");
}

TEST(DeviceCheck, ValueOfTheTable) {
  const Check good{"rope_rotate", "f32 [5]", "x", 2.5e-8, 4e-6, true};
  EXPECT_THAT(text_line(Result(good)),
              testing::MatchesRegex("rope_rotate +f32 .5. +2.5e-08 +4.0e-06"));
  Check bad = good;
  bad.ok = false;
  EXPECT_THAT(text_line(Result(bad)), testing::EndsWith("4.0e-06           FAILED: x"));
  const Bench bench{"G1", "n", "c", 2, 1, 3, 500, "read", 0.5, 0.92};
  EXPECT_THAT(text_line(Result(bench)),
              testing::MatchesRegex("n +c +500  50 % of read, below the 92 % of G1"));
  EXPECT_THAT(text_line(Result(Ceiling{"copy", 4100.4})),
              testing::MatchesRegex("ceiling +copy +4100"));
  EXPECT_EQ(text_line(kernels::cuda::DeviceFacts{.name = "card",
                                                 .memory = 141000000000,
                                                 .free_memory = 140000000000,
                                                 .processors = 132,
                                                 .major = 9,
                                                 .clock_ghz = 1.98,
                                                 .memory_gb_per_s = 4800}),
            "card, 141 GB of 4800 GB/s (140 GB free), 132 processors at 1.98 GHz, capability 9.0");
  EXPECT_EQ(table_end({.checks = 143, .benches = 9}), "all 143 checks passed");
  EXPECT_EQ(table_end({.checks = 5, .failed = 1, .benches = 9, .below_goal = 2, .skipped = 1}),
            "1 case left out for want of device memory\n2 speeds of 9 below the goal\n"
            "1 check of 5 failed");
}

TEST(Comparison, ValueOfTheWorst) {
  Comparison c("name", "shape");
  c.near("a", 1.001, 1, 0.01, 0.01);  // 0.001 of 0.02
  c.near("b", 2.01, 2, 0.01, 0.02);   // 0.01 of 0.04
  const Check check = c.result();
  EXPECT_TRUE(check.ok);
  EXPECT_EQ(check.quantity, "b");
  EXPECT_NEAR(check.error, 0.01 / 4, 1e-12);
  EXPECT_EQ(check.bound, 0.01);
}

TEST(Comparison, RejectsWhatIsBeyondItsBound) {
  const auto ok = [](auto&& compare) {
    Comparison c("name", "shape");
    compare(c);
    return c.result().ok;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(ok([](Comparison&) {}));  // nothing was compared
  EXPECT_TRUE(ok([](Comparison& c) { c.near("x", 1, 1, 0, 0); }));
  EXPECT_FALSE(ok([](Comparison& c) { c.near("x", 1.5, 1, 0, 0); }));
  EXPECT_TRUE(ok([](Comparison& c) { c.near("x", 0.5, 0, 0, 0.5); }));
  EXPECT_FALSE(ok([&](Comparison& c) { c.near("x", nan, 1, 1, 1); }));
  EXPECT_FALSE(ok([&](Comparison& c) { c.near("x", 1, nan, 1, 1); }));
  EXPECT_FALSE(ok([&](Comparison& c) { c.near("x", nan, 1, 0, 1); }));
  EXPECT_FALSE(ok([](Comparison& c) { c.near("x", kInfinite, 1, 1, 1); }));
  EXPECT_TRUE(ok([](Comparison& c) { c.near("x", kInfinite, kInfinite, 1, 1); }));
  EXPECT_FALSE(ok([](Comparison& c) { c.near("x", {1, 2}, {1}, 1, 1); }));
  EXPECT_FALSE(ok([](Comparison& c) { c.exact("x", false); }));
  EXPECT_FALSE(ok([](Comparison& c) { c.same_bits<float>("x", {0.0f}, {-0.0f}); }));
  EXPECT_FALSE(ok([](Comparison& c) { c.same_bits<float>("x", {1}, {1, 2}); }));
  EXPECT_FALSE(ok([](Comparison& c) {
    c.exact("x", false);
    c.near("y", 1, 1, 0, 0);  // a later good one does not cover it
  }));
  EXPECT_FALSE(ok([&](Comparison& c) {
    c.near("x", nan, 1, 1, 1);
    c.near("y", 1.5, 1, 1, 1);
  }));
}

TEST_P(DeviceCheckTest, NormalNumbersAreNormal) {
  constexpr int64_t kCount = 40000;
  Session session({.profile = Profile::tiny, .timings = false}, [](const Result&) {});
  const auto x = to_double(session.normal<float>(kCount, 2, 5).read());
  double sum = 0, squares = 0, cubes = 0, beyond = 0;
  for (const double v : x) {
    const double n = (v - 5) / 2;
    sum += n, squares += n * n, cubes += n * n * n, beyond += std::abs(n) > 1.959964;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);
  EXPECT_NEAR(squares / kCount, 1, 0.03);
  EXPECT_NEAR(cubes / kCount, 0, 0.07);
  EXPECT_NEAR(beyond / kCount, 0.05, 0.005);
  EXPECT_NE(session.normal<float>(8).read(), session.normal<float>(8).read());
}

TEST_P(DeviceCheckTest, FillsDoNotDependOnAddresses) {
  for (const int64_t count : {1, 7, 8, 9, 2049}) {
    DeviceArray<BF16> whole(count + 1), odd(count + 1);
    kernels::cuda::fill_normal(whole.data(), count, 0, 1, 3, nullptr);
    kernels::cuda::fill_normal(odd.data() + 1, count, 0, 1, 3, nullptr);
    EXPECT_TRUE(kernels::cuda::same_bits(whole.read(0, count), odd.read(1, count))) << count;
    EXPECT_EQ(whole.read(count, 1)[0].bits, 0xffff) << "written beyond the end";
  }
}

TEST_P(DeviceCheckTest, FingerprintsSeeEveryByte) {
  for (const size_t bytes : {1, 15, 16, 17, 5000}) {
    std::vector<unsigned char> x(bytes, 3);
    const uint64_t before = Session::fingerprint(DeviceArray<unsigned char>(x));
    EXPECT_EQ(before, Session::fingerprint(DeviceArray<unsigned char>(x)));
    for (const size_t at : {size_t{0}, bytes / 2, bytes - 1}) {
      x[at] ^= 64;
      EXPECT_NE(before, Session::fingerprint(DeviceArray<unsigned char>(x))) << bytes << " " << at;
      x[at] ^= 64;
    }
  }
  const std::vector<uint64_t> there = {1, 2, 3, 4}, swapped = {3, 4, 1, 2};
  EXPECT_NE(Session::fingerprint(DeviceArray<uint64_t>(there)),
            Session::fingerprint(DeviceArray<uint64_t>(swapped)));
}

TEST(Ceilings, RejectsBadShapes) {
  DeviceArray<float> x(64);
  using namespace kernels::cuda;  // NOLINT
  EXPECT_THROW(stream_copy(x.data(), x.data() + 1, 64, 4, nullptr), Error);
  EXPECT_THROW(stream_copy(x.data(), x.data(), 60, 4, nullptr), Error);
  EXPECT_THROW(stream_write(x.data(), 64, 0, 5, nullptr), Error);
}

TEST(Session, SamplesHoldBothEnds) {
  EXPECT_EQ(Session::sample(3, 6), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(Session::sample(101, 3), (std::vector<int64_t>{0, 50, 100}));
  EXPECT_EQ(Session::sample(1, 3), (std::vector<int64_t>{0}));
}

TEST(Session, SkipsWhatHasNoRoom) {
  std::vector<std::string> lines;
  Session session({.profile = Profile::tiny, .timings = false},
                  [&](const Result& result) { lines.push_back(json_line(result)); });
  session.attempt("large", [] { DeviceArray<char>(int64_t{1} << 60); });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr(R"({"kind":"skipped","name":"large")"));
  EXPECT_THROW(session.attempt("other", [] { fail(ErrorKind::option, "else", "no."); }), Error);
}

}  // namespace
}  // namespace pref::device_check
