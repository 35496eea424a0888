// SPDX-License-Identifier: Apache-2.0
// Reference log-probs: computed before training by the same op that trains, and kept in a file that
// proves what it is: digests of the model's weights, the tokenizer, the token ids of every row, and
// the compute type. A file made for anything else is refused, naming what differs.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "libpref/train/step.h"

namespace pref {

/// What a cache file was made for. Equal keys mean equal numbers.
struct ReferenceKey {
  std::string model;      ///< digest of the weights
  std::string tokenizer;  ///< digest, or "" when rows came as ids
  std::string rows;       ///< digest of all token ids, lengths included
  std::string dtype = "float32";
  std::string marks;  ///< what marked sums there are: "", "tail" or "token_rewards"
  std::map<std::string, std::string> as_map() const;
};

/// Log-probs of every branch under the engine's network. Where a row names another prompt for the
/// reference (reference_prompt), that one stands before its branches.
ReferenceLogps compute_reference(PreferenceStep& engine, std::span<const TokenizedRow> rows);

/// The log-probs in `path`; nullopt when there is no such file. Throws ErrorKind::digest when its
/// key is another one.
std::optional<ReferenceLogps> read_reference_cache(const std::string& path, const ReferenceKey& key,
                                                   std::span<const TokenizedRow> rows);
/// Writes aside and renames; an existing file is replaced.
void write_reference_cache(const std::string& path, const ReferenceKey& key,
                           const ReferenceLogps& logps);

}  // namespace pref
