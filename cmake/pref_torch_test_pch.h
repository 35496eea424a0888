// SPDX-License-Identifier: Apache-2.0
// Precompiled for the tests that see torch: all operators at once, the test framework, JSON. Tests
// include what they use; this only makes it quick.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cmake/pref_torch_pch.h"
