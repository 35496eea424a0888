// SPDX-License-Identifier: Apache-2.0
// Floors and ceilings to read a preference accuracy against: how far a scorer gets that never sees
// the prompt, or that only counts words, and how often the best possible one agrees with labels
// that are noisy.
#pragma once
#include <vector>

#include "examples/world/world.h"

namespace pref {

/// Share of `held_out` pairs in which a logistic regression on what the replies alone show (words,
/// pairs of neighbouring words, numbers of words and of sentences) prefers `chosen`; fitted to the
/// labels of `train` by Adagrad with weight decay. Ties count one half. Throws ErrorKind::option
/// when a list is empty.
double blind_scorer_accuracy(const std::vector<WorldPair>& train,
                             const std::vector<WorldPair>& held_out);

/// The same for the number of words alone; `train` decides whether longer or shorter is preferred.
double length_scorer_accuracy(const std::vector<WorldPair>& train,
                              const std::vector<WorldPair>& held_out);

/// Mean of max(p, 1 - p) over the pairs' label probabilities: the agreement with drawn labels that
/// no scorer exceeds, except by luck. Throws ErrorKind::option when the list is empty.
double bayes_accuracy(const std::vector<WorldPair>& pairs);

}  // namespace pref
