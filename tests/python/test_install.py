# SPDX-License-Identifier: Apache-2.0
"""`cmake --install` gives a library that an outside project finds with find_package(libpref), links and runs."""

import os
import subprocess

import pytest
from pref_command import BUILD, ROOT

CONSUMER = ROOT / "tests" / "consumer"


def run(*command, **more):
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, **more)
    assert (
        done.returncode == 0
    ), f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("install")
    run("cmake", "--install", BUILD, "--prefix", folder)
    return folder


def test_program_runs_from_the_prefix(prefix):
    """Nothing of the build folder is needed: the run paths are those of the installation."""
    assert (prefix / "include" / "libpref" / "pref.h").is_file()
    program = prefix / "bin" / "pref"
    assert "train" in run(program, "--help").stdout
    assert str(BUILD) not in run("readelf", "-d", program).stdout


def test_consumer_builds_and_runs(prefix, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    options = ["-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release"]
    run("cmake", "-S", CONSUMER, "-B", tmp_path, *options, env=environment)
    run("cmake", "--build", tmp_path, env=environment)
    programs = [path for path in tmp_path.iterdir() if path.is_file() and os.access(path, os.X_OK)]
    programs = [path for path in programs if not path.suffix]
    assert programs, "tests/consumer builds no program"
    for program in programs:
        run(program, env=environment, cwd=tmp_path)


def test_installed_headers_do_not_reach_into_the_sources(prefix):
    """Every quoted include of an installed header is installed too."""
    include = prefix / "include"
    headers = sorted(include.rglob("*.h"))
    assert headers
    lacking = []
    for header in headers:
        for line in header.read_text().splitlines():
            if line.startswith('#include "') and not (include / line.split('"')[1]).is_file():
                lacking.append(f"{header.relative_to(include)}: {line}")
    assert lacking == []
