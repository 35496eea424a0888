// SPDX-License-Identifier: Apache-2.0
// The objectives, named once. Trainer, command line, help, configuration and tests walk this list;
// adding one is its header, an include and a name here.
#pragma once
#include <variant>

#include "libpref/objectives/dpo.h"
#include "libpref/objectives/sft.h"

namespace pref {

using Term = std::variant<DPO, SFT>;

/// Calls f with a default-constructed object of every objective in the list.
template <class F>
void for_each_objective(F&& f) {
  [&]<class... T>(std::variant<T...>*) { (f(T{}), ...); }(static_cast<Term*>(nullptr));
}

}  // namespace pref
