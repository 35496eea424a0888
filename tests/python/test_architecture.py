# SPDX-License-Identifier: Apache-2.0
"""Reads the includes of every source and fails on an arrow that the layers do not allow; nothing is compiled."""

import pathlib
import re

import pytest
from pref_command import ROOT

# What each layer may include, itself aside. A file's layer is the longest entry that its path starts with.
_CHAIN = ["objectives", "distributed", "ops", "nn", "optim", "train", "online", "cli"]
_ROOTS = {"libpref/base", "libpref/data", "kernels"}
ALLOWED = {
    "libpref/base": set(),
    "libpref/data": {"libpref/base"},
    "libpref/evaluate": {"libpref/base"},
    "libpref/device_check": {"libpref/base", "libpref/objectives", "kernels"},
    "kernels": {"libpref/base/error.h"},
    "examples/world": {"libpref/base"},
    "examples/experiments": {"libpref/base", "libpref/objectives"},
    **{
        f"libpref/{name}": _ROOTS | {f"libpref/{left}" for left in _CHAIN[:index]}
        for index, name in enumerate(_CHAIN)
    },
}
_LIBRARY = {name for name in ALLOWED if name.startswith("libpref/")}
ALLOWED["libpref/cli"] |= {"libpref/evaluate", "libpref/device_check"}
ALLOWED["libpref/pref.h"] = _LIBRARY
ALLOWED["examples"] = _LIBRARY | {"libpref/pref.h", "examples/world", "examples/experiments"}
ALLOWED["python_bindings"] = ALLOWED["examples"] - {"examples/world", "examples/experiments"}

# The only layers in which torch meets the kernels.
KERNEL_CALLERS = {"kernels", "libpref/objectives", "libpref/ops", "libpref/optim"}
KERNEL_CALLERS |= {"libpref/device_check"}
TORCH_FREE = {"libpref/base", "libpref/data", "libpref/evaluate", "libpref/objectives", "kernels"}
TORCH_FREE |= {"libpref/device_check"}
TORCH_FREE |= {"examples/world", "examples/experiments"}
TORCH = re.compile(r"(torch|ATen|c10|caffe2)/")
# torch brings an fmt of its own, so whoever sees torch may not see these.
FORMATTERS = re.compile(r"(fmt|spdlog)/")
FORMATTER_USERS = {"libpref/base", "libpref/data"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
FOLDERS = ("libpref", "kernels", "examples", "tests", "python_bindings")
LICENCE = "SPDX-License-Identifier: Apache-2.0"


def starts_with(path, prefix):
    return path == prefix or path.startswith(prefix + "/")


def layer_of(path):
    return max((layer for layer in ALLOWED if starts_with(path, layer)), key=len, default=None)


def violations(sources, exists=lambda path: True):
    """What is wrong with {path: text}, in words."""
    found = []
    for path, text in sorted(sources.items()):
        if starts_with(path, "tests"):
            continue
        layer = layer_of(path)
        if layer is None:
            found.append(f"{path}: belongs to no layer")
            continue
        for quote, target in INCLUDE.findall(text):
            if TORCH.match(target) and layer in TORCH_FREE:
                found.append(f"{path}: includes {target}, but {layer} is torch-free")
            if FORMATTERS.match(target) and layer not in FORMATTER_USERS:
                found.append(f"{path}: includes {target}; log through libpref/base/log.h")
            # Highway's own idiom for files that are compiled once per target is a quoted include.
            if quote == "<" or (layer == "kernels" and target.startswith("hwy/")):
                continue
            if not exists(target):
                found.append(f"{path}: {target} is not there (includes are written from the root)")
                continue
            other = layer_of(target)
            if other == layer:
                continue
            if not any(starts_with(target, prefix) for prefix in ALLOWED[layer]):
                found.append(f"{path}: {layer} may not include {target}")
            elif other == "kernels" and layer not in KERNEL_CALLERS:
                found.append(
                    f"{path}: includes {target}; only {sorted(KERNEL_CALLERS)} call kernels"
                )
    return found


@pytest.fixture(scope="module")
def sources():
    files = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                files[str(path.relative_to(ROOT))] = path.read_text()
    assert len(files) > 50
    return files


def test_arrows(sources):
    assert violations(sources, lambda path: (ROOT / path).is_file()) == []


@pytest.mark.parametrize(
    ("path", "line", "reason"),
    [
        ("libpref/base/x.h", '#include "libpref/data/rows.h"', "may not include"),
        ("libpref/data/x.cpp", "#include <torch/torch.h>", "torch-free"),
        ("libpref/data/x.cpp", "#include <ATen/core/Tensor.h>", "torch-free"),
        ("kernels/cpu/x.cpp", '#include "libpref/base/log.h"', "may not include"),
        ("libpref/objectives/x.h", '#include "libpref/ops/head.h"', "may not include"),
        ("libpref/nn/x.cpp", '#include "libpref/train/trainer.h"', "may not include"),
        ("libpref/nn/x.cpp", '#include "kernels/rope.h"', "call kernels"),
        ("libpref/train/x.cpp", '#include "libpref/pref.h"', "may not include"),
        ("libpref/train/x.cpp", "#include <spdlog/spdlog.h>", "log through"),
        ("libpref/newcomer/x.h", "", "no layer"),
    ],
)
def test_a_wrong_arrow_is_found(path, line, reason):
    (message,) = violations({path: line})
    assert message.startswith(path) and reason in message


def test_right_arrows_pass():
    files = {
        "libpref/data/x.cpp": ['"libpref/base/error.h"', '"libpref/data/rows.h"', "<fmt/format.h>"],
        "kernels/cpu/x.cpp": ['"kernels/rope.h"', '"libpref/base/error.h"', "<hwy/highway.h>"],
        "libpref/ops/x.cpp": ["<ATen/ATen.h>", '"kernels/rope.h"', '"libpref/objectives/row.h"'],
        "examples/x.cpp": ['"libpref/pref.h"', '"examples/world/world.h"'],
    }
    lines = {path: "".join(f"#include {name}\n" for name in names) for path, names in files.items()}
    assert violations(lines) == []


def test_missing_include_is_found():
    (message,) = violations({"libpref/nn/x.h": '#include "decoder.h"'}, lambda path: False)
    assert "not there" in message


def test_licence_line(sources):
    texts = dict(sources)
    for pattern in ("*.py", "*.sh", "*.cmake", "CMakeLists.txt"):
        for path in ROOT.rglob(pattern):
            place = path.relative_to(ROOT)
            if not place.parts[0].startswith((".venv", "build", "runs")):
                texts[str(place)] = path.read_text()
    assert [path for path, text in sorted(texts.items()) if LICENCE not in text[:200]] == []


def test_headers_are_included_once(sources):
    again = []
    for path, text in sources.items():
        # Highway's files are included once per target on purpose, and say so themselves.
        if pathlib.Path(path).suffix in (".h", ".cuh") and "HWY_TARGET_TOGGLE" not in text:
            if "#pragma once" not in text:
                again.append(path)
    assert again == []
