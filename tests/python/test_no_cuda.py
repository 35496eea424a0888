# SPDX-License-Identifier: Apache-2.0
"""Without a CUDA toolkit the project configures for the CPU, although the torch wheel is a CUDA one; asking for CUDA
kernels then is an error that names what is missing."""

import os
import pathlib
import shutil

import pytest
from cmake_build import configure


@pytest.fixture
def without_toolkit(tmp_path):
    """An environment in which no nvcc can be found: its folders stand in PATH as links to everything else in them."""
    folders = []
    for index, folder in enumerate(os.environ["PATH"].split(os.pathsep)):
        folder = pathlib.Path(folder)
        if (folder / "nvcc").exists():
            copy = tmp_path / f"bin{index}"
            copy.mkdir()
            for entry in folder.iterdir():
                if not entry.name.startswith("nvcc"):
                    (copy / entry.name).symlink_to(entry)
            folder = copy
        folders.append(str(folder))
    hidden = ("CUDA", "NVCC")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment["PATH"] = os.pathsep.join(folders)
    assert shutil.which("nvcc", path=environment["PATH"]) is None
    return environment


@pytest.mark.parametrize("choice", ["AUTO", "OFF"])
def test_configures_for_the_cpu(choice, without_toolkit, tmp_path):
    done = configure(tmp_path / "build", f"-DPREF_CUDA={choice}", environment=without_toolkit)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "CUDA kernels: OFF" in done.stdout
    assert "libtorch_cuda" not in (tmp_path / "build" / "build.ninja").read_text()


def test_asking_for_cuda_is_an_error(without_toolkit, tmp_path):
    done = configure(tmp_path / "build", "-DPREF_CUDA=ON", environment=without_toolkit)
    assert done.returncode != 0
    assert "[cuda]" in done.stderr and "nvcc" in done.stderr
