// SPDX-License-Identifier: Apache-2.0
// The objectives, named once. Trainer, command line, help, configuration and tests walk this list;
// adding one is its header, an include and a name here.
#pragma once
#include <variant>

#include "libpref/objectives/alphapo.h"
#include "libpref/objectives/aot.h"
#include "libpref/objectives/aot_unpaired.h"
#include "libpref/objectives/apo_down.h"
#include "libpref/objectives/apo_zero.h"
#include "libpref/objectives/apo_zero_unpaired.h"
#include "libpref/objectives/bco.h"
#include "libpref/objectives/bco_pair.h"
#include "libpref/objectives/cpo.h"
#include "libpref/objectives/cut.h"
#include "libpref/objectives/discopop.h"
#include "libpref/objectives/dno.h"
#include "libpref/objectives/dpo.h"
#include "libpref/objectives/exo_pair.h"
#include "libpref/objectives/hinge.h"
#include "libpref/objectives/ipo.h"
#include "libpref/objectives/kto.h"
#include "libpref/objectives/logo.h"
#include "libpref/objectives/nca_pair.h"
#include "libpref/objectives/orpo.h"
#include "libpref/objectives/pro.h"
#include "libpref/objectives/r_dpo.h"
#include "libpref/objectives/robust.h"
#include "libpref/objectives/rrhf.h"
#include "libpref/objectives/selm.h"
#include "libpref/objectives/sft.h"
#include "libpref/objectives/sigmoid_norm.h"
#include "libpref/objectives/simpo.h"
#include "libpref/objectives/slic.h"
#include "libpref/objectives/sppo.h"
#include "libpref/objectives/sppo_hard.h"
#include "libpref/objectives/t_reg.h"
#include "libpref/objectives/xpo.h"

namespace pref {

using Term = std::variant<DPO, SFT,
                          // on log-ratios to a reference
                          RobustDPO, Hinge, IPO, EXOPair, NCAPair, BCOPair, SPPOHard, APOZero,
                          APODown, DiscoPOP, SigmoidNorm, RDPO,
                          // without a reference
                          SimPO, CPO, ORPO, AlphaPO, SLiC, RRHF,
                          // on win probabilities, with exploration, on lists
                          SPPO, DNO, SELM, XPO, PRO, LOGO,
                          // on unpaired feedback, coupled over a batch, on token rewards
                          KTO, BCO, APOZeroUnpaired, AOT, AOTUnpaired, TREG, CUT>;

/// Calls f with a default-constructed object of every objective in the list.
template <class F>
void for_each_objective(F&& f) {
  [&]<class... T>(std::variant<T...>*) { (f(T{}), ...); }(static_cast<Term*>(nullptr));
}

}  // namespace pref
