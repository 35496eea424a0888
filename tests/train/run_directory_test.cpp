// SPDX-License-Identifier: Apache-2.0
// What a run leaves for readers: metrics.jsonl and TensorBoard events with the same values, and the
// curves of the report. The events are read back by a reader of the format's description.
#include "libpref/train/run_directory.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>

#include "libpref/train/run_report.h"
#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

// The definition of the checksum, a bit at a time.
uint32_t plain_crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  return crc ^ 0xffffffff;
}

uint32_t plain_mask(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8; }

template <class T>
T take(std::string_view& bytes) {
  T value;
  EXPECT_GE(bytes.size(), sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = take<uint8_t>(bytes);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

std::string_view take_bytes(std::string_view& bytes) {
  const uint64_t size = take_varint(bytes);
  const std::string_view out = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return out;
}

struct ReadEvent {
  double wall_time = 0;
  int64_t step = 0;
  std::string version;
  std::map<std::string, float> values;
  std::optional<uint64_t> session_status;
};

ReadEvent read_event(std::string_view bytes) {
  ReadEvent event;
  while (!bytes.empty()) {
    switch (const uint64_t key = take_varint(bytes); key) {
      case 1 << 3 | 1:
        event.wall_time = take<double>(bytes);
        break;
      case 2 << 3 | 0:
        event.step = static_cast<int64_t>(take_varint(bytes));
        break;
      case 3 << 3 | 2:
        event.version = take_bytes(bytes);
        break;
      case 5 << 3 | 2:
        for (auto summary = take_bytes(bytes); !summary.empty();) {
          EXPECT_EQ(take_varint(summary), 1u << 3 | 2);
          auto value = take_bytes(summary);
          EXPECT_EQ(take_varint(value), 1u << 3 | 2);
          const std::string tag(take_bytes(value));
          EXPECT_EQ(take_varint(value), 2u << 3 | 5);
          event.values[tag] = take<float>(value);
          EXPECT_TRUE(value.empty());
        }
        break;
      case 7 << 3 | 2: {
        auto session = take_bytes(bytes);
        EXPECT_EQ(take_varint(session), 1u << 3);
        event.session_status = take_varint(session);
        break;
      }
      default:
        ADD_FAILURE() << "field " << key;
        return event;
    }
  }
  return event;
}

std::vector<ReadEvent> read_events(const std::string& folder) {
  std::vector<ReadEvent> events;
  for (const auto& name : posix_file_system().list(folder)) {
    if (!name.starts_with("events.out.tfevents.")) continue;
    const std::string text = posix_file_system().read(join_path(folder, name), 1 << 20);
    for (std::string_view bytes = text; !bytes.empty();) {
      const std::string_view length = bytes.substr(0, 8);
      const auto size = take<uint64_t>(bytes);
      EXPECT_EQ(take<uint32_t>(bytes), plain_mask(plain_crc32c(length)));
      const std::string_view content = bytes.substr(0, size);
      bytes.remove_prefix(size);
      EXPECT_EQ(take<uint32_t>(bytes), plain_mask(plain_crc32c(content)));
      events.push_back(read_event(content));
    }
  }
  return events;
}

TEST(TensorBoard, ValueOfTheChecksum) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // RFC 3720, appendix B.4 and its usual check value
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(RunDirectory, MetricsAndEventsHoldTheSame) {
  const TempFolder folder;
  {
    RunDirectory run(posix_file_system(), folder.file("run"), false);
    run.write_metrics(
        {.kind = "train", .step = 10, .values = {{"loss", 0.5}, {"rewards/chosen", -2}}});
    run.write_metrics({.kind = "eval", .step = 300, .values = {{"eval_loss", 0.25}, {"epoch", 1}}});
  }
  const auto events = read_events(folder.file("run"));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_GT(events[1].wall_time, 1.7e9);
  EXPECT_EQ(events[1].step, 10);
  EXPECT_THAT(events[1].values,
              ::testing::ElementsAre(::testing::Pair("train/loss", 0.5f),
                                     ::testing::Pair("train/rewards/chosen", -2)));
  EXPECT_EQ(events[2].step, 300);
  EXPECT_THAT(events[2].values, ::testing::ElementsAre(::testing::Pair("eval/epoch", 1.f),
                                                       ::testing::Pair("eval/loss", 0.25f)));
  const auto lines = metric_lines(folder.file("run"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].at("step"), 10);
  EXPECT_EQ(lines[1].at("eval_loss"), 0.25);
}

TEST(RunDirectory, ARestartDropsWhatCameAfterItsCheckpoint) {
  const TempFolder folder;
  uint64_t bytes = 0;
  {
    RunDirectory run(posix_file_system(), folder.file("run"), false);
    run.write_metrics({.kind = "train", .step = 1, .values = {{"loss", 3}}});
    bytes = run.metrics_bytes();
    run.write_metrics({.kind = "train", .step = 2, .values = {{"loss", 2}}});
  }
  RunDirectory again(posix_file_system(), folder.file("run"), true);
  again.restart(1, bytes);
  again.write_metrics({.kind = "train", .step = 2, .values = {{"loss", 1}}});
  const auto lines = metric_lines(folder.file("run"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].at("loss"), 1);
  int starts = 0;
  for (const ReadEvent& event : read_events(folder.file("run")))
    if (event.session_status) {
      ++starts;
      EXPECT_EQ(*event.session_status, 1u);  // START
      EXPECT_EQ(event.step, 1);
    }
  EXPECT_EQ(starts, 1);
}

TEST(RunReport, DrawsWhatWasLogged) {
  RunMetrics metrics;
  for (int step = 1; step <= 2; ++step) {
    metrics.lines.push_back({.kind = "train",
                             .step = step * 1.,
                             .values = {{"loss", 1. / step}, {"rewards/chosen", 1}}});
    metrics.lines.push_back({.kind = "eval", .step = step * 1., .values = {{"eval_easy_loss", 2}}});
  }
  const auto charts = run_charts(metrics);
  ASSERT_EQ(charts.size(), 2u);
  ASSERT_EQ(charts[0].series.size(), 2u);
  EXPECT_EQ(charts[0].series[0].name, "train");
  EXPECT_EQ(charts[0].series[0].points.back(), (std::pair<double, double>{2, 0.5}));
  EXPECT_EQ(charts[0].series[1].name, "eval_easy");
  EXPECT_EQ(charts[1].series[0].name, "chosen, train");
  const ReportData page = run_report("Training dpo", metrics, {});
  EXPECT_EQ(page.summary.at(0), (std::pair<std::string, std::string>{"Loss, train", "1 -> 0.5"}));
}

TEST(RunReport, IsWrittenAtTheEndOfARun) {
  const TempFolder folder;
  Model model = toy_model();
  TrainerOptions options = toy_options(folder.file("run"));
  options.max_steps = 2;
  DPOTrainer(model, {}, options).fit(data_of(counting_rows(8)));
  const std::string page =
      posix_file_system().read(folder.file("run/report.html"), uint64_t{1} << 22);
  for (const char* part : {"Training dpo", "Pair accuracy", "learning_rate"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

}  // namespace
}  // namespace pref::testing
