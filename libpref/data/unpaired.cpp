// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/unpaired.h"

#include <algorithm>

#include "libpref/base/error.h"

namespace pref {

PreferenceData unpaired(PreferenceData data) {
  std::vector<TokenizedRow> rows;
  for (TokenizedRow& row : data.rows) {
    if (row.facts.desirable) {
      rows.push_back(std::move(row));
      continue;
    }
    require(row.branches.size() > 1, ErrorKind::data, "unpaired", row.place,
            ": a row of one response must say whether it is desirable; give it \"label\": true or "
            "false.");
    for (size_t k = 0; k < row.branches.size(); ++k) {
      TokenizedRow one{.id = row.id + (k == 0 ? "/chosen" : "/rejected"),
                       .place = row.place,
                       .prompt = row.prompt,
                       .branches = {std::move(row.branches[k])},
                       .reference_prompt = row.reference_prompt,
                       .facts = {.desirable = k == 0, .weight = row.facts.weight}};
      if (k > 1) one.id += std::to_string(k);
      rows.push_back(std::move(one));
    }
  }
  data.rows = std::move(rows);
  data.digest = digest_rows(data.rows);
  return data;
}

PreferenceData with_mismatched_responses(PreferenceData data, std::optional<int64_t> max_length) {
  std::vector<TokenizedRow>& rows = data.rows;
  for (size_t i = 0; i < rows.size(); ++i) {
    require(rows[i].branches.size() == 1, ErrorKind::data, "unpaired", rows[i].place,
            ": a row of one response is required, got ", rows[i].branches.size(), ".");
    const auto& own = rows[i].branches[0];
    size_t other = i;
    do {
      other = (other + rows.size() - 1) % rows.size();
    } while (other != i && rows[other].branches[0] == own);
    require(other != i, ErrorKind::data, "unpaired", rows[i].place,
            ": every row has this row's response, so none is mismatched. KTO needs rows with "
            "different responses.");
    std::vector<int32_t> mismatched = rows[other].branches[0];
    if (max_length) {
      const int64_t room =
          std::max<int64_t>(1, *max_length - static_cast<int64_t>(rows[i].prompt.size()));
      mismatched.resize(std::min(mismatched.size(), static_cast<size_t>(room)));
    }
    rows[i].branches.push_back(std::move(mismatched));
  }
  data.digest = digest_rows(rows);
  return data;
}

}  // namespace pref
