// SPDX-License-Identifier: Apache-2.0
#include "libpref/device_check/lines.h"

#include <algorithm>
#include <cstdio>

#include "libpref/base/json_text.h"

namespace pref::device_check {
namespace {

JsonObject object(const char* kind) { return JsonObject().add("kind", kind); }

std::string line(const Ceiling& ceiling) {
  return object("ceiling")
      .add("name", ceiling.name)
      .add("value", ceiling.value)
      .add("unit", "GB/s")
      .str();
}
std::string line(const Check& check) {
  return object("check")
      .add("name", check.name)
      .add("case", check.shape)
      .add("quantity", check.quantity)
      .add("error", check.error)
      .add("bound", check.bound)
      .add("ok", check.ok)
      .str();
}
std::string line(const Bench& bench) {
  JsonObject out = object("bench");
  if (!bench.goal.empty()) out.add("goal", bench.goal);
  out.add("name", bench.name).add("case", bench.shape);
  out.add("ms", bench.ms).add("ms_p20", bench.ms_p20).add("ms_p80", bench.ms_p80);
  out.add("value", bench.value).add("unit", "GB/s").add("share", bench.share).add("of", bench.of);
  if (bench.wanted > 0) out.add("wanted", bench.wanted);
  return out.str();
}
std::string line(const Skipped& skipped) {
  return object("skipped").add("name", skipped.name).add("reason", skipped.reason).str();
}

}  // namespace

std::string json_line(const Result& result) {
  return std::visit([](const auto& one) { return line(one); }, result);
}

std::string json_line(const kernels::cuda::Devices& devices,
                      const kernels::cuda::DeviceFacts& facts) {
  return object("device")
      .add("name", facts.name)
      .add("memory_gb", static_cast<double>(facts.memory) * 1e-9)
      .add("sm", facts.processors)
      .add("capability", std::to_string(facts.major) + "." + std::to_string(facts.minor))
      .add("driver", kernels::cuda::version_text(devices.driver))
      .add("runtime", kernels::cuda::version_text(devices.runtime))
      .str();
}

namespace {

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Columns of a table; the last one ends where its text does.
std::string columns(const std::string& name, const std::string& shape, const std::string& error,
                    const std::string& bound, const std::string& speed, const std::string& share) {
  const auto left = [](std::string text, size_t width) {
    text.resize(std::max(text.size(), width), ' ');
    return text + "  ";
  };
  const auto right = [](const std::string& text, size_t width) {
    return std::string(width - std::min(width, text.size()), ' ') + text + "  ";
  };
  std::string out = left(name, 25) + left(shape, 49) + right(error, 8) + right(bound, 8) +
                    right(speed, 7) + share;
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string percent(double share) { return number("%.0f %%", share * 100); }

std::string text(const Ceiling& ceiling) {
  return columns("ceiling", ceiling.name, "", "", number("%.0f", ceiling.value), "");
}
std::string text(const Check& check) {
  return columns(check.name, check.shape, number("%.1e", check.error), number("%.1e", check.bound),
                 "", check.ok ? "" : "FAILED: " + check.quantity);
}
std::string text(const Bench& bench) {
  std::string share = percent(bench.share) + " of " + bench.of;
  if (bench.wanted > 0)
    share += (bench.share < bench.wanted ? ", below the " : ", wanted ") + percent(bench.wanted) +
             " of " + bench.goal;
  return columns(bench.name, bench.shape, "", "", number("%.0f", bench.value), share);
}
std::string text(const Skipped& skipped) {
  return columns(skipped.name, "skipped: " + skipped.reason, "", "", "", "");
}

}  // namespace

std::string text_line(const Result& result) {
  return std::visit([](const auto& one) { return text(one); }, result);
}

std::string text_line(const kernels::cuda::DeviceFacts& facts) {
  std::string out = facts.name + ", " + number("%.0f GB", static_cast<double>(facts.memory) * 1e-9);
  if (facts.memory_gb_per_s > 0) out += number(" of %.0f GB/s", facts.memory_gb_per_s);
  out += " (" + number("%.0f GB free", static_cast<double>(facts.free_memory) * 1e-9) + "), " +
         std::to_string(facts.processors) + " processors";
  if (facts.clock_ghz > 0) out += number(" at %.2f GHz", facts.clock_ghz);
  return out + ", capability " + std::to_string(facts.major) + "." + std::to_string(facts.minor);
}

std::string table_head() { return columns("name", "case", "error", "bound", "GB/s", "share"); }

std::string table_end(const Summary& summary) {
  const auto count = [](int n, const std::string& one) {
    return std::to_string(n) + " " + one + (n == 1 ? "" : "s");
  };
  std::string out;
  if (summary.skipped > 0)
    out += count(summary.skipped, "case") + " left out for want of device memory\n";
  if (summary.below_goal > 0)
    out += count(summary.below_goal, "speed") + " of " + std::to_string(summary.benches) +
           " below the goal\n";
  if (summary.failed > 0)
    return out + count(summary.failed, "check") + " of " + std::to_string(summary.checks) +
           " failed";
  return out + "all " + count(summary.checks, "check") + " passed";
}

}  // namespace pref::device_check
