// SPDX-License-Identifier: Apache-2.0
// Alerts: each from the metrics that call for it, once, and none from a healthy run.
#include "libpref/train/health.h"

#include <gmock/gmock.h>

namespace pref {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MetricSums healthy(double pairs = 100) {
  MetricSums sums;
  sums.add("rewards/margins", 0.3 * pairs, pairs);
  sums.add("rewards/accuracies", 0.7 * pairs, pairs);
  sums.add("preference/ties", 0, pairs);
  sums.add("preference/chosen_logratio", 0.01 * pairs, pairs);
  sums.add("entropy", 150, 100);
  return sums;
}

MetricSums with(const std::string& name, double mean, double pairs = 100) {
  MetricSums sums;
  const MetricSums base = healthy(pairs);
  for (const auto& entry : base.entries())
    if (entry.name != name) sums.add(entry.name, entry.sum, entry.count);
  sums.add(name, mean * pairs, pairs);
  return sums;
}

TEST(Health, HealthyRunsHaveNoAlert) { EXPECT_THAT(Health().alerts(healthy()), IsEmpty()); }

TEST(Health, EveryAlertComesOnceAndSaysWhatToDo) {
  const std::vector<std::tuple<std::string, double, std::string>> cases = {
      {"preference/chosen_logratio", -0.3, "less likely than under the reference"},
      {"preference/weight", 1e-4, "WPO's mean weight"},
      {"preference/weight_clipped", 0.99, "clipped to 1"},
      {"preference/ties", 0.8, "equal rewards"},
      {"rewards/accuracies", 1, "every pair is won"},
      {"entropy", 0.001, "deterministic"}};
  for (const auto& [name, value, text] : cases) {
    Health health;
    EXPECT_THAT(health.alerts(with(name, value)), ElementsAre(HasSubstr(text))) << name;
    EXPECT_THAT(health.alerts(with(name, value)), IsEmpty()) << "said before: " << name;
    if (name != "entropy") {
      EXPECT_THAT(Health().alerts(with(name, value, 10)), IsEmpty()) << "too few pairs: " << name;
    }
  }
}

TEST(Health, RewardsThatFollowLengthAreSeen) {
  MetricSums sums = healthy();
  // Margins equal to length gaps of -1 and 1.
  for (const auto& [name, value] :
       {std::pair("x", 0.0), {"y", 0.0}, {"xx", 1.0}, {"yy", 1.0}, {"xy", 0.9}})
    sums.add(std::string("_length_reward/") + name, value * 100, 100);
  EXPECT_THAT(Health().alerts(sums), ElementsAre(HasSubstr("correlation 0.9")));
}

}  // namespace
}  // namespace pref
