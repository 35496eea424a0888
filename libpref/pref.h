// SPDX-License-Identifier: Apache-2.0
// The umbrella include of libpref: load a model folder, load preference rows, train, save.
#pragma once
#include "libpref/base/error.h"
#include "libpref/data/load_preferences.h"
#include "libpref/nn/model.h"
#include "libpref/objectives/objective.h"
#include "libpref/online/sampler.h"
#include "libpref/ops/preference_loss.h"
#include "libpref/train/trainer.h"
