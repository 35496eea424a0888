# SPDX-License-Identifier: Apache-2.0
"""Every function of kernels/cuda/*.h that takes typed device arrays says their shapes in brackets: in the comment over
its declaration, in one over a group of declarations, or once for all in the comment on top of the header."""

import re

import pytest
from pref_command import ROOT

HEADERS = sorted((ROOT / "kernels/cuda").glob("*.h"))
ARRAY = re.compile(r"\b(ConstPointer|Pointer)\b|\b(float|double|int|int32_t|int64_t|uint32_t|BF16|LogprobPartial)\s*\*")
SHAPE = re.compile(r"\[[\w(]")


def functions(text):
    """(comment, declaration) of every function that a header declares outside of its structs."""
    body = re.sub(r"^(struct|class|enum)\b[^;{]*\{.*?^\};", "", text, flags=re.MULTILINE | re.DOTALL)
    pattern = r"((?:^///.*\n)*)((?:^[\w:<>*&]+ )[\w:<>*& ]*\w+\([^;{]*\);(?:\n\w[^\n;(]*\([^;{]*\);)*)"
    return re.findall(pattern, body, re.MULTILINE)


def faults(text):
    top = text.split("#pragma once")[0]
    found = []
    for comment, declarations in functions(text):
        if not ARRAY.search(declarations):
            continue
        if not comment:
            found.append(f"{declarations.split('(')[0]}: no comment")
        elif not SHAPE.search(comment + top):
            found.append(f"{declarations.split('(')[0]}: no shape in brackets")
    return found


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_shapes_are_said(header):
    assert faults(header.read_text()) == []


def test_what_is_missing_is_found():
    text = "// Top.\n#pragma once\n/// y = x.\nvoid copy(const float* x, float* y,\n          Stream stream);\n"
    assert faults(text) == ["void copy: no shape in brackets"]
    assert faults(text.replace("y = x", "x [N], y [N]")) == []
    assert faults(text.replace("/// y = x.\n", "")) == ["void copy: no comment"]
    assert [len(functions(header.read_text())) for header in HEADERS if header.name == "logprob.h"] == [5]
