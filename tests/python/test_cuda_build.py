# SPDX-License-Identifier: Apache-2.0
"""A CUDA build links and starts on a machine that has nvcc and no driver.

Objects that a CUDA build compiles by the very command of build/release (all of C++, as a rule: no source of ours asks
whether CUDA is there) are taken from there, the kernels are compiled for one architecture, and the CUDA build's own
link commands do the rest. The long form builds the library for every architecture and takes nothing from elsewhere.
"""

import json
import os
import re
import shutil
import subprocess

import pytest
from cmake_build import cache_value, configure
from pref_command import BUILD, ROOT

needs_nvcc = pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not on PATH")
LONG = os.environ.get("PREF_LONG_TESTS") == "1"
PRODUCTS = ("lib/libpref_ops.so", "lib/libpref.so", "bin/pref")


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=3000, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def compile_commands(build):
    """{object, relative to the build folder: its command, without the folder's name}"""
    entries = json.loads((build / "compile_commands.json").read_text())
    commands = [entry["command"].replace(str(build), "BUILD") for entry in entries]
    return {re.search(r" -o (\S+)", command)[1]: command for command in commands}


def link_from_release(build):
    """Compiles what build/release does not hold and links PRODUCTS; returns the objects that were compiled."""
    release = compile_commands(BUILD)
    same = {name for name, command in compile_commands(build).items() if release.get(name) == command}
    same = {name for name in same if (BUILD / name).exists()}
    links = [run("ninja", "-C", build, "-t", "commands", product).splitlines()[-1].split() for product in PRODUCTS]
    used = {word for link in links for word in link if word.endswith(".o")}
    own = sorted(used - same)
    run("ninja", "-C", build, *own)
    for link in links:
        words = [str(BUILD / word) if word in same else word for word in link]
        run("sh", "-c", " ".join(words), cwd=build)
    return own


@pytest.fixture(scope="module")
def build():
    """Kept between runs: what did not change is not compiled again."""
    folder = ROOT / "build" / ("cuda-check-long" if LONG else "cuda-check")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DPREF_CUDA=ON"]
    options += ["-DPREF_TESTS=OFF", "-DPREF_BENCH=OFF", f"-DPREF_PCH={cache_value('PREF_PCH')}"]
    done = configure(folder, *options, *([] if LONG else ["-DPREF_CUDA_ARCHS=90a-real"]))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "CUDA kernels: ON" in done.stdout
    if LONG:
        run("ninja", "-C", folder, *PRODUCTS)
    else:
        (folder / "lib").mkdir(exist_ok=True)
        (folder / "bin").mkdir(exist_ok=True)
        assert any(name.endswith(".cu.o") for name in link_from_release(folder))
    return folder


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", path))


def loaded(program, **environment):
    """{name: path} of all that the dynamic linker would load."""
    lines = run("ldd", program, env={**os.environ, **environment})
    assert "not found" not in lines
    return dict(re.findall(r"(\S+) => (\S+)", lines))


@needs_nvcc
def test_cuda_is_linked(build):
    libraries = needed(build / "lib/libpref_ops.so")
    assert {"libtorch_cuda.so", "libc10_cuda.so"} <= set(libraries)
    assert [name for name in libraries if name.startswith("libcudart.so.")]


@needs_nvcc
def test_no_driver_is_asked_for(build):
    for product in PRODUCTS:
        assert [name for name in needed(build / product) if re.match(r"lib(cuda|nvrtc|cublas|cudnn)\b", name)] == []
    assert [name for name in loaded(build / "bin/pref") if name.startswith("libcuda.so")] == []


@needs_nvcc
def test_one_run_time_serves_the_process(build, tmp_path):
    """Torch's own, also where LD_LIBRARY_PATH names another."""
    ours = {name: path for name, path in loaded(build / "bin/pref").items() if name.startswith("libcudart")}
    ((name, path),) = ours.items()
    torch = os.path.join(cache_value("PREF_TORCH_DIR"), "lib", "libtorch_cuda.so")
    assert os.path.realpath(path) == os.path.realpath(loaded(torch)[name])
    (tmp_path / name).symlink_to(path)
    again = loaded(build / "bin/pref", LD_LIBRARY_PATH=str(tmp_path))
    assert [(n, p) for n, p in again.items() if n.startswith("libcudart")] == [(name, path)]


@needs_nvcc
def test_program_starts(build):
    """Torch's CUDA library is in the process, although nothing calls it by name."""
    assert "train" in run(build / "bin/pref", "--help")
    report = run(build / "bin/pref", "doctor")
    assert "libtorch_cuda.so" in report and str(build / "lib/libpref_ops.so") in report


def wheel(folder, cuda):
    """A torch folder whose version.py names this CUDA; without libtorch_cuda for the CPU."""
    real = cache_value("PREF_TORCH_DIR")
    (folder / "lib").mkdir(parents=True)
    for name in os.listdir(os.path.join(real, "lib")):
        if cuda or "cuda" not in name:
            (folder / "lib" / name).symlink_to(os.path.join(real, "lib", name))
    (folder / "include").symlink_to(os.path.join(real, "include"))
    (folder / "version.py").write_text(f"__version__ = '2.11.0'\ncuda: Optional[str] = {cuda!r}\n")
    return folder


@needs_nvcc
@pytest.mark.parametrize(("cuda", "reason"), [(None, "a torch with CUDA"), ("12.8", "nvcc 12")])
def test_rejects_a_torch_of_another_cuda(cuda, reason, tmp_path):
    torch = wheel(tmp_path / "torch", cuda)
    done = configure(tmp_path / "on", "-DPREF_CUDA=ON", torch=torch)
    assert done.returncode != 0
    assert "[cuda]" in done.stderr and reason in " ".join(done.stderr.split())
    done = configure(tmp_path / "auto", "-DPREF_CUDA=AUTO", torch=torch)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "CUDA kernels: OFF" in done.stdout
