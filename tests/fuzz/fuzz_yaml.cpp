// SPDX-License-Identifier: Apache-2.0
// YAML run files and option values: read into the options of a data set, whose values then hold
// their ranges and survive being written as text.
#include "libpref/base/yaml.h"
#include "libpref/data/load_preferences.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<Setting> settings;
  if (!fuzz::accepts("run.yaml", [&] {
        settings = parse_yaml_settings(fuzz::text_of(data, size), "run.yaml");
      }))
    return 0;
  DataOptions options;
  if (!fuzz::accepts("run.yaml", [&] { apply_settings(options, settings); })) return 0;
  fuzz::promise(fuzz::accepts("", [&] { check_options(options, "data"); }),
                "accepted values are in range");
  DataOptions again;
  std::vector<Setting> written;
  for (const OptionText& option : describe_options(options))
    written.push_back({option.name, option.value, {"written"}});
  fuzz::promise(fuzz::accepts("", [&] { apply_settings(again, written); }),
                "what is written is accepted");
  const auto before = describe_options(options), after = describe_options(again);
  for (size_t i = 0; i < before.size(); ++i)
    fuzz::promise(before[i].value == after[i].value, "values survive being written");
  return 0;
}
