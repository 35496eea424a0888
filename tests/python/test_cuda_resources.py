# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels compile for their targets and keep everything in registers; no GPU is needed, nvcc is."""

import importlib.util
import os
import shutil

import pytest
from pref_command import ROOT

_SPEC = importlib.util.spec_from_file_location("resources", ROOT / "tests/simt/resources.py")
resources = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(resources)

REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN4pref1kIfEEvPf' for 'sm_90a'
ptxas info    : Function properties for _ZN4pref1kIfEEvPf
    16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 31 registers, used 1 barriers, 640 bytes smem
ptxas info    : Function properties for _ZN4pref6calledEv
    8 bytes stack frame, 1 bytes spill stores, 1 bytes spill loads
"""


def test_report_is_read():
    (row,) = resources.parse(REPORT)
    expected = {"target": "90a", "stack": 16, "spills": 14, "registers": 31, "shared": 640, "kernel": "k<float>"}
    assert {key: row[key] for key in expected} == expected
    assert len(resources.faults([row])) == 1
    assert resources.faults([{**row, "kernel": "run_each_row<X>"}]) == []
    assert "| 31 | 640 | 16 | 14 |" in resources.table([{**row, "source": "x"}])


def test_docs_name_every_kernel_source():
    text = (ROOT / "docs/kernels.md").read_text()
    assert [source.stem for source in resources.sources() if f"| {source.stem} |" not in text] == []


@pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not on PATH")
def test_streaming_kernels_use_no_local_memory():
    targets = resources.TARGETS if os.environ.get("PREF_LONG_TESTS") == "1" else ("90a",)
    rows = resources.collect(targets)
    assert {row["target"] for row in rows} == set(targets)
    assert {row["source"] for row in rows} == {source.stem for source in resources.sources()}
    assert resources.faults(rows) == []
