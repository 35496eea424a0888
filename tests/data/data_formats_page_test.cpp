// SPDX-License-Identifier: Apache-2.0
// docs/data_formats.md says what is true: each fenced example is read, as the layout it is shown for,
// and every layout has one.
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "libpref/data/load_preferences.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using testing::TempFolder;

struct Example {
  std::string key, value, text;  ///< ```json key=value
};

std::vector<Example> examples() {
  std::ifstream page(std::string(PREF_SOURCE_DIR) + "/docs/data_formats.md");
  std::vector<Example> out;
  bool open = false;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("```")) {
      if (open) out.back().text += line + "\n";
      continue;
    }
    const size_t space = line.find(' '), equals = line.find('=');
    open = !open && equals != std::string::npos;
    if (open)
      out.push_back({line.substr(space + 1, equals - space - 1), line.substr(equals + 1), ""});
  }
  return out;
}

TEST(DataFormatsPage, EveryRowIsOfItsLayout) {
  std::set<std::string> shown;
  for (const Example& example : examples()) {
    if (example.key != "dialect") continue;
    shown.insert(example.value);
    std::istringstream rows(example.text);
    for (std::string row; std::getline(rows, row);) {
      const ParsedRow parsed = parse_row(row, {.prompt_only = example.value == "prompt_only"});
      EXPECT_EQ(dialect_name(parsed.dialect), example.value) << row;
    }
  }
  for (const auto& entry : enum_names(Dialect{}))
    EXPECT_TRUE(entry.value == Dialect::automatic || shown.contains(std::string(entry.name)))
        << entry.name;
}

TEST(DataFormatsPage, EveryFileIsRead) {
  const TempFolder folder;
  const auto tokenizer = load_tokenizer(folder.write("tokenizer.model", testing::tiny_model()));
  int files = 0;
  for (const Example& example : examples()) {
    if (example.key != "file") continue;
    ++files;
    const PreferenceData data =
        load_preferences({folder.write(example.value, example.text)}, *tokenizer);
    EXPECT_GE(data.rows.size(), 1u) << example.value;
    EXPECT_TRUE(data.report.extra_keys.empty()) << example.value;
  }
  EXPECT_EQ(files, 3);
}

}  // namespace
}  // namespace pref
