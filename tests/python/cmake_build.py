# SPDX-License-Identifier: Apache-2.0
"""Configures the project beside build/release, with the torch of build/release."""

import subprocess

from pref_command import BUILD, ROOT


def cache_value(name, build=BUILD):
    for line in (build / "CMakeCache.txt").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split("=", 1)[1]
    raise AssertionError(f"{build} has no {name}; run cmake/bootstrap.sh")


def configure(build, *options, torch=None, environment=None):
    torch = torch or cache_value("PREF_TORCH_DIR")
    command = ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", f"-DPREF_TORCH_DIR={torch}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
