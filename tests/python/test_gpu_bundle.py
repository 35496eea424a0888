# SPDX-License-Identifier: Apache-2.0
"""The bundle for GPU machines, rehearsed as far as it goes without a device: it is made from a CUDA build where there
is one, else from the release build, and run in a root folder without any of the packages that libpref is built with (as
root; else in place). What a GPU machine would measure must come out as skipped, never as passed.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import gpu_rehearsal
import pytest
from pref_command import BUILD, DATA, NO_INPUT, ROOT, USAGE

BUNDLE = ROOT / "tests" / "gpu" / "bundle.sh"
UNAVAILABLE, NO_DEVICE = 69, 77
PROGRAMS = ["pref", "quickstart", "train_dpo", "test_gpu", "gpu_bench"]  # as bundle.sh packs them
MINUTES = "25"  # far more than it takes: how busy this machine is must not decide a test


def cache_value(name, build=BUILD):
    for line in (build / "CMakeCache.txt").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split("=", 1)[1]
    raise AssertionError(f"{build} has no {name}; run cmake/bootstrap.sh")


def bundle_sh(*arguments, check=0):
    done = subprocess.run(
        [str(BUNDLE), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == check, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module", autouse=True)
def patchelf():
    if shutil.which("patchelf") is None:
        pytest.skip("patchelf is not installed; cmake/bootstrap.sh --tests does it")


@pytest.fixture(scope="module")
def python():
    """The Python whose torch the build is linked with."""
    return cache_value("PREF_PYTHON")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "gpu.tar.gz"
    cuda = ROOT / "build" / "cuda"
    if all((cuda / "bin" / name).exists() for name in PROGRAMS):
        arguments = ["--build", cuda]
    else:
        arguments = ["--build", BUILD, "--allow-cpu"]
    done = bundle_sh(*arguments, "--out", path)
    assert done.stdout.strip() == str(path)
    return path


@pytest.fixture
def unpacked(archive, tmp_path):
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    return tmp_path / "libpref-gpu"


def run_sh(folder, *arguments, python, check=None):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("VIRTUAL_ENV", None)
    options = ["--python", python, "--minutes", MINUTES]
    command = ["bash", str(folder / "run.sh"), *map(str, arguments), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1600, env=environment)
    if check is not None:
        assert done.returncode == check, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


def assert_rehearsed(done, results):
    """run.sh went as far as it goes: everything that needs no device ran, everything else is skipped and says why."""
    assert done.returncode == NO_DEVICE, f"{done.stdout}{done.stderr}"
    outcomes = {part["name"]: part for part in results["parts"]}
    assert outcomes.pop("prepare")["outcome"] == "prepared", f"{done.stdout}{done.stderr}"
    assert set(outcomes) == {"doctor", "tests", "train", "bench", "peers", "trl"}
    for name, part in outcomes.items():
        assert part["outcome"] == "skipped" and part["text"].startswith(
            "no device"
        ), f"{name}: {part}"
    runs = [line for line in results["lines"] if line["kind"] == "run"]
    assert [line["name"] for line in runs] == ["dpo", "simpo", "wpo", "selm"]
    assert all(
        0 < line["loss_last"] < 3 and line["case"].startswith("10 updates") for line in runs
    ), runs
    assert not any(line["kind"] in ("check", "bench") for line in results["lines"])
    assert "0 parts passed" in done.stdout


def test_every_needed_library_is_there_or_the_targets(unpacked, python):
    """Without running anything: what a file needs is in the bundle, comes with torch, or belongs to the system."""
    torch = pathlib.Path(cache_value("PREF_TORCH_DIR"))
    brought = {
        path.name
        for folder in (torch / "lib", *torch.parent.glob("nvidia/*/lib"))
        for path in folder.glob("*.so*")
    }
    own = {path.name for path in (unpacked / "lib").iterdir()}
    assert not own & (
        brought | gpu_rehearsal.SYSTEM
    ), "a library that the target brings must not be in the bundle"
    for path in [*(unpacked / "lib").iterdir(), *(unpacked / "bin").iterdir()]:
        missing = set(gpu_rehearsal.needed(path)) - own - brought - gpu_rehearsal.SYSTEM
        assert not missing, f"{path.name}: {missing}"
        dynamic = subprocess.run(
            ["readelf", "-d", str(path)], capture_output=True, text=True, check=True
        ).stdout
        assert "RUNPATH" not in dynamic and "$ORIGIN/../torch/lib" in dynamic, path.name
        assert str(ROOT) not in dynamic, f"{path.name} looks for libraries in the build's folder"
    manifest = json.loads((unpacked / "manifest.json").read_text())
    listed = {entry["path"] for entry in manifest["files"]}
    assert listed == {
        str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()
    } - {"manifest.json"}
    packages = {entry["path"]: entry["from"] for entry in manifest["files"]}
    assert packages["lib/libpref.so"] == "build" and packages["lib/libyaml-cpp.so.0.7"].startswith(
        "libyaml-cpp0.7 "
    )


def test_rehearsal(archive, python, tmp_path):
    """In a root folder without the packages where that is possible, else in place."""
    torch = pathlib.Path(cache_value("PREF_TORCH_DIR"))
    folder = gpu_rehearsal.scratch_folder(torch) if os.geteuid() == 0 else None
    if folder is None:
        with tarfile.open(archive) as file:
            file.extractall(tmp_path, filter="data")
        done = run_sh(tmp_path / "libpref-gpu", archive, "--out", tmp_path / "out", python=python)
        assert_rehearsed(done, json.loads((tmp_path / "out" / "results.json").read_text()))
        return
    try:
        root = gpu_rehearsal.Root(folder, python)
        with tarfile.open(archive) as file:
            file.extractall(folder / "gpu", filter="data")
        bundle = folder / "gpu" / "libpref-gpu"
        system = {path.name for path in (folder / "usr/lib/x86_64-linux-gnu").iterdir()}
        assert not system & {path.name for path in (bundle / "lib").iterdir()}

        def run(*command):
            return root.run(*command, origin="/gpu/libpref-gpu/bin")

        options = ["--python", python, "--minutes", MINUTES, "--out", "/out"]
        done = run("/usr/bin/bash", "/gpu/libpref-gpu/run.sh", "/gpu/libpref-gpu", *options)
        assert (folder / "out" / "results.json").is_file(), f"{done.stdout}{done.stderr}"
        assert_rehearsed(done, json.loads((folder / "out" / "results.json").read_text()))
        assert "not measured: no device" in (folder / "out" / "results.md").read_text()
        # The link to torch that run.sh made serves by hand as well; without it there is no torch to be found.
        assert run("/gpu/libpref-gpu/bin/pref", "doctor").returncode == 0
        (bundle / "torch").unlink()
        assert "libtorch_cpu.so" in run("/gpu/libpref-gpu/bin/pref", "doctor").stderr
    finally:
        shutil.rmtree(folder)  # deletes names only: torch's files stay where they are


def test_a_changed_file_is_found(unpacked, python):
    with (unpacked / "lib" / "libyaml-cpp.so.0.7").open("ab") as file:
        file.write(b"x")
    done = run_sh(unpacked, unpacked, "--out", unpacked / "out", python=python, check=UNAVAILABLE)
    assert "libyaml-cpp.so.0.7" in done.stderr
    (unpacked / "lib" / "libyaml-cpp.so.0.7").unlink()
    done = run_sh(unpacked, unpacked, "--out", unpacked / "out", python=python, check=UNAVAILABLE)
    assert "libyaml-cpp.so.0.7 is missing" in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"torch": "2.12.0+cu130"}, "built for torch 2.12"),
        ({"needs": {"GLIBC": "9.1"}}, "needs glibc 9.1"),
    ],
)
def test_an_unfit_target_is_refused(unpacked, python, change, words):
    manifest = unpacked / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    done = run_sh(unpacked, unpacked, "--out", unpacked / "out", python=python, check=UNAVAILABLE)
    assert words in done.stderr


def test_run_rejects(unpacked, tmp_path, python):
    assert "name the bundle" in run_sh(unpacked, python=python, check=USAGE).stderr
    assert "no manifest.json" in run_sh(unpacked, tmp_path, python=python, check=NO_INPUT).stderr
    assert (
        "there is no nowhere"
        in run_sh(unpacked, unpacked, python="nowhere", check=UNAVAILABLE).stderr
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--allow-cpu", "--programs", "pref,absent"], NO_INPUT, "bin/absent is not built"),
        (["--allow-cpu", "--programs", "pref", "--glibc", "2.20"], DATA, "needs GLIBC_2."),
        (["--allow-cpu", "--programs", "pref", "--max-mb", "1"], DATA, "more than 1 MB"),
        (["--programs", "pref"], DATA, "no CUDA kernels"),
        (["--programs"], USAGE, "needs a value"),
        (["--build", "/nowhere"], NO_INPUT, "no build folder"),
    ],
)
def test_bundle_rejects(arguments, code, words, tmp_path):
    out = tmp_path / "refused.tar.gz"
    done = bundle_sh("--build", BUILD, "--out", out, *arguments, check=code)
    assert words in done.stderr and not out.exists()


@pytest.fixture
def small_build(tmp_path):
    """small_build(what its library needs...) is a build folder with one program and one library, linked with g++."""
    torch = pathlib.Path(cache_value("PREF_TORCH_DIR"))
    folders = [torch / "lib", *torch.parent.glob("nvidia/*/lib"), tmp_path]

    def link(source, out, *arguments):
        options = ["-Wl,--no-as-needed", "-Wl,--unresolved-symbols=ignore-all", *arguments]
        options += [f"-L{folder}" for folder in folders]
        subprocess.run(["g++", str(source), "-o", str(out), *options], check=True)

    def make(*needs):
        build = tmp_path / "build"
        for name in ("bin", "lib"):
            (build / name).mkdir(parents=True)
        shutil.copy(BUILD / "CMakeCache.txt", build / "CMakeCache.txt")
        source = tmp_path / "source.cpp"
        source.write_text("int answer() { return 42; }\n")
        (tmp_path / "libabsent.so.1").touch()
        link(source, tmp_path / "libabsent.so.1", "-shared", "-Wl,-soname,libabsent.so.1")
        library = ["-shared", "-fPIC", "-Wl,-soname,libsmall.so", *(f"-l:{name}" for name in needs)]
        link(source, build / "lib" / "libsmall.so", *library)
        source.write_text("int answer();\nint main() { return answer(); }\n")
        link(
            source,
            build / "bin" / "small",
            str(build / "lib" / "libsmall.so"),
            f"-Wl,-rpath,{build / 'lib'}",
        )
        return build

    return make


def test_a_cuda_build_takes_its_libraries_from_torch(small_build, tmp_path):
    """A CUDA build differs for the dynamic linker in that a library needs libtorch_cuda and the CUDA run time."""
    cuda = ["libtorch_cuda.so", "libc10_cuda.so", "libcudart.so.13"]
    build, out = small_build(*cuda, "libyaml-cpp.so.0.7"), tmp_path / "gpu.tar.gz"
    bundle_sh("--build", build, "--programs", "small", "--out", out)
    with tarfile.open(out) as file:
        file.extractall(tmp_path, filter="data")
    folder = tmp_path / "libpref-gpu"
    assert json.loads((folder / "manifest.json").read_text())["cuda"] is True
    assert {path.name for path in (folder / "lib").iterdir()} == {
        "libsmall.so",
        "libyaml-cpp.so.0.7",
    }
    (folder / "torch").symlink_to(cache_value("PREF_TORCH_DIR"))
    found = gpu_rehearsal.linked(folder / "bin" / "small")
    site = pathlib.Path(cache_value("PREF_TORCH_DIR")).resolve().parent
    assert all(site in found[name].resolve().parents for name in [*cuda, "libcudnn.so.9"]), found
    assert folder / "lib" in found["libyaml-cpp.so.0.7"].resolve().parents
    assert "libcuda.so.1" not in found, "without a driver nothing would start"
    assert subprocess.run([folder / "bin" / "small"]).returncode == 42


def test_a_library_that_is_nowhere_is_named(small_build, tmp_path):
    """A program that needs what neither the build, torch nor this machine has, the driver's library for one."""
    arguments = ["--build", small_build("libabsent.so.1"), "--allow-cpu", "--programs", "small"]
    done = bundle_sh(*arguments, "--out", tmp_path / "x.tar.gz", check=NO_INPUT)
    assert "libsmall.so needs libabsent.so.1" in done.stderr
