#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The only installer: Debian packages, a Python environment with the pinned torch (whose C++ libraries
# libpref links), the tests' own environment, configuration and build. Run it as often as you like: what
# is there is left alone, no network is used when nothing is missing, and an environment that an
# interrupted run left broken is made again. Everything it says goes to stderr.
set -euo pipefail

readonly TORCH_VERSION=2.11.0
readonly TORCH_MINOR=2.11
readonly NUMPY_VERSION=2.4.6
PACKAGES=(
  g++ cmake ninja-build ccache mold pkg-config python3 python3-venv
  libsentencepiece-dev libpcre2-dev libutf8proc-dev nlohmann-json3-dev libsimdjson-dev libyaml-cpp-dev libcli11-dev
  libfmt-dev libspdlog-dev libhwy-dev libeigen3-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  zlib1g-dev libzstd-dev libxxhash-dev libssl-dev
)
# Only with --fuzz: libFuzzer and the sanitizers that the fuzz targets of tests/fuzz are built with (44 MB to fetch).
# g++ has no libFuzzer.
readonly FUZZ_PACKAGES=(clang-14 libclang-rt-14-dev)
# Only with --tests: sets the run paths of what tests/gpu/bundle.sh collects.
readonly TEST_PACKAGES=(patchelf)
# Exit codes: 64 the caller must do something first, 69 something needed could not be had.
readonly EX_USAGE=64 EX_UNAVAILABLE=69

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
readonly ROOT
readonly VENV="$ROOT/.venv" TESTS_VENV="$ROOT/.venv-tests" REQUIREMENTS="$ROOT/tests/requirements.txt"

usage() {
  cat <<USAGE
usage: cmake/bootstrap.sh [options]

Installs what libpref needs, configures and builds it.

  --preset NAME     CMake preset to configure and build (default: release; see CMakePresets.json)
  --target NAME     build only this target (and what it needs)
  --no-build        stop when packages and environments are there
  --fuzz            also install clang, for the preset fuzz (not needed to build or use libpref)
  --tests           also install patchelf and make the tests' Python environment, .venv-tests
  --skip-packages   do not look at Debian packages (on other systems: you provide them)
  --print-python    print the path of the Python whose torch is built against, and stop (implies --no-build)
  --help            this text

Python: the active one (VIRTUAL_ENV, else python3) when it already has torch $TORCH_MINOR; otherwise .venv here,
with torch $TORCH_VERSION (about 5 GB with the libraries it brings). Your active environment is never changed.
Packages need root or a password-less sudo; without either, the line to run is printed (exit code $EX_USAGE).
USAGE
}

say() { printf '[bootstrap] %s\n' "$*" >&2; }
fail() {
  local code=$1
  shift
  printf '[bootstrap] error: %s\n' "$@" >&2
  exit "$code"
}

PHASE_START=0
begin() { PHASE_START=$(now_ms); }
now_ms() { local t=$EPOCHREALTIME; t=${t/[.,]/}; echo $((t / 1000)); }
seconds_since() { local ms=$(($(now_ms) - $1)); printf '%d.%01d s' $((ms / 1000)) $((ms % 1000 / 100)); }
done_phase() { say "$1 ($(seconds_since "$PHASE_START"))"; }

# --- Debian packages ------------------------------------------------------------------------------

missing_packages() {
  local installed
  installed=" $(dpkg-query -W -f='${db:Status-Status} ${binary:Package}\n' "${PACKAGES[@]}" 2>/dev/null |
    sed -n 's/^installed \([^:]*\).*/\1/p' | tr '\n' ' ' || true)"
  local package
  for package in "${PACKAGES[@]}"; do
    [[ "$installed" == *" $package "* ]] || echo "$package"
  done
}

ensure_packages() {
  begin
  if ! command -v dpkg-query >/dev/null; then
    fail "$EX_USAGE" "this is not a Debian system (no dpkg-query). Install the equivalents of:" \
      "  ${PACKAGES[*]}" "and run again with --skip-packages."
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    done_phase "packages: all ${#PACKAGES[@]} installed"
    return
  fi
  local as_root=()
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      fail "$EX_USAGE" "${#missing[@]} Debian packages are missing, and this user may not install them. Have this run:" \
        "  apt-get install -y --no-install-recommends ${missing[*]}" "then run cmake/bootstrap.sh again."
    fi
  fi
  say "packages: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq >&2 || say "packages: apt-get update failed; trying with the lists at hand"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    fail "$EX_UNAVAILABLE" "apt-get could not install: ${missing[*]}" \
      "The package names are Debian 12's. See apt's message above; is the package source reachable?"
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) || fail "$EX_UNAVAILABLE" "still missing after apt-get: ${missing[*]}"
  done_phase "packages: installed"
}

# --- Python ---------------------------------------------------------------------------------------

# The folder `torch` that PYTHON would import, with its version, without importing it: "2.11.0+cu130 /…/torch".
torch_of() {
  "$1" -c '
import importlib.util, os, re
spec = importlib.util.find_spec("torch")
if spec and spec.origin:
    folder = os.path.dirname(spec.origin)
    text = open(os.path.join(folder, "version.py")).read()
    print(re.search(r"__version__ = .([^\x27\"]+)", text).group(1), folder)
' 2>/dev/null || true
}

has_torch() { [[ "$(torch_of "$1")" == "$TORCH_MINOR".* ]]; }

digest() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

# A stamp is the promise that the full check of an environment passed for this script and these pins.
stamp_matches() { [[ -x "$1/bin/python" && -f "$1/.pref-stamp" && "$(<"$1/.pref-stamp")" == "$2" ]]; }

pip_install() {
  local python=$1
  shift
  "$python" -m pip install --disable-pip-version-check --no-input --quiet --progress-bar off "$@" >&2
}

new_venv() {
  local base=$1 folder=$2
  rm -rf -- "$folder"
  "$base" -m venv "$folder" >&2 ||
    fail "$EX_UNAVAILABLE" "$base -m venv failed. On Debian it needs the package python3-venv; a Python of your own needs ensurepip."
}

torch_works() {
  "$1/bin/python" -c "
import numpy, torch
assert torch.__version__.startswith('$TORCH_MINOR.'), torch.__version__
torch.ones(2).sum().item()" >/dev/null 2>&1 && "$1/bin/python" -m pip check >/dev/null 2>&1
}

ensure_own_venv() {
  local stamp
  stamp=$(digest "${BASH_SOURCE[0]}")
  if stamp_matches "$VENV" "$stamp" && has_torch "$VENV/bin/python"; then
    return
  fi
  if [[ -d "$VENV" ]]; then
    if torch_works "$VENV"; then
      echo "$stamp" >"$VENV/.pref-stamp"
      return
    fi
    say "python: .venv does not work (an interrupted installation?); making it again"
  fi
  local base
  base=$(base_python)
  say "python: making .venv with torch $TORCH_VERSION (about 5 GB with the libraries it brings; some minutes)"
  new_venv "$base" "$VENV"
  pip_install "$VENV/bin/python" "torch==$TORCH_VERSION" "numpy==$NUMPY_VERSION" ||
    fail "$EX_UNAVAILABLE" "pip could not install torch==$TORCH_VERSION and numpy==$NUMPY_VERSION into .venv (see above)." \
      "Without a package index, point PIP_FIND_LINKS at a folder of wheels, or activate a Python that has torch $TORCH_MINOR." \
      "$(df -h --output=avail "$ROOT" | tail -n 1 | tr -d ' ') of disk space are free here; 6 GB are needed."
  torch_works "$VENV" ||
    fail "$EX_UNAVAILABLE" ".venv was installed, but torch does not start in it: $("$VENV/bin/python" -c 'import torch' 2>&1 | tail -n 1)"
  echo "$stamp" >"$VENV/.pref-stamp"
}

# A Python that torch has wheels for and that can make environments; Debian's when the one on PATH is too old.
base_python() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "$EX_UNAVAILABLE" "no usable Python: 3.11 to 3.14 with venv is needed (torch $TORCH_VERSION and numpy $NUMPY_VERSION have no wheels for others)."
}

# Sets PYTHON and TORCH_DIR.
ensure_python() {
  begin
  PYTHON=""
  local active
  if [[ -n "${VIRTUAL_ENV:-}" ]]; then active="$VIRTUAL_ENV/bin/python"; else active="$(command -v python3 || true)"; fi
  local how="active environment"
  if [[ -n "$active" && -x "$active" ]] && has_torch "$active"; then
    PYTHON="$("$active" -c 'import sys; print(sys.executable)')"
  else
    ensure_own_venv
    PYTHON="$VENV/bin/python"
    how=".venv"
  fi
  local found
  found="$(torch_of "$PYTHON")"
  TORCH_DIR="${found#* }"
  done_phase "python: $PYTHON ($how), torch ${found%% *}"
}

# The tests' environment sees the build's torch through a .pth file, so that torch is installed once and is the same.
ensure_tests_venv() {
  begin
  local stamp pins torch_site
  torch_site="$(dirname "$TORCH_DIR")"
  pins="$(digest "$REQUIREMENTS") $torch_site"
  stamp="$(digest "${BASH_SOURCE[0]}") $pins"
  if ! stamp_matches "$TESTS_VENV" "$stamp"; then
    if [[ -f "$TESTS_VENV/.pref-stamp" && "$(<"$TESTS_VENV/.pref-stamp")" == *" $pins" ]] && tests_venv_works; then
      echo "$stamp" >"$TESTS_VENV/.pref-stamp"
    else
      make_tests_venv "$torch_site"
      echo "$stamp" >"$TESTS_VENV/.pref-stamp"
    fi
  fi
  done_phase "tests environment: .venv-tests"
}

tests_venv_works() {
  "$TESTS_VENV/bin/python" -c 'import torch, transformers, trl, sentencepiece, pytest' >&2
}

make_tests_venv() {
  local torch_site=$1
  say "tests environment: making .venv-tests from tests/requirements.txt"
  new_venv "$PYTHON" "$TESTS_VENV"
  local python="$TESTS_VENV/bin/python" site
  site="$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
  echo "$torch_site" >"$site/torch_of_the_build.pth"
  # The constraint keeps pip from ever fetching another torch: the one seen through the .pth satisfies it.
  local constraints="$TESTS_VENV/constraints.txt"
  "$python" -c 'from importlib.metadata import version; print("torch==" + version("torch"))' >"$constraints"
  pip_install "$python" --constraint "$constraints" --requirement "$REQUIREMENTS" ||
    fail "$EX_UNAVAILABLE" "pip could not install tests/requirements.txt into .venv-tests (see above). The library itself does not need it: run without --tests to build."
  [[ ! -e "$site/torch" ]] ||
    fail "$EX_UNAVAILABLE" "pip installed a second torch into .venv-tests, which must use $TORCH_DIR; please report this with tests/requirements.txt."
  tests_venv_works ||
    fail "$EX_UNAVAILABLE" ".venv-tests was installed but does not import (see above). Remove the folder and run again."
}

# --- Build ----------------------------------------------------------------------------------------

cache_value() { sed -n "s|^$2:[A-Z]*=||p" "$1" 2>/dev/null || true; }

configure() {
  begin
  local build="$ROOT/build/$PRESET" cache="$ROOT/build/$PRESET/CMakeCache.txt"
  if [[ -f "$cache" && "$(cache_value "$cache" CMAKE_HOME_DIRECTORY)" != "$ROOT" ]]; then
    say "configure: build/$PRESET belongs to another folder; making it again"
    rm -rf -- "$build"
  fi
  if [[ -f "$build/build.ninja" && "$(cache_value "$cache" PREF_PYTHON)" == "$PYTHON" &&
    "$(cache_value "$cache" PREF_TORCH_DIR)" == "$TORCH_DIR" ]]; then
    return # ninja itself configures again when a CMake file has changed
  fi
  (cd "$ROOT" && cmake --preset "$PRESET" -DPREF_PYTHON="$PYTHON" -DPREF_TORCH_DIR="$TORCH_DIR") >&2 ||
    fail 1 "cmake --preset $PRESET failed (see above)"
  done_phase "configure: build/$PRESET"
}

# One compiler may take 1.5 GB: fewer jobs than cores where memory is short.
build_jobs() {
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1048576))
  local by_memory=$((memory_gb * 2 / 3))
  ((by_memory < 1)) && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

build() {
  begin
  local jobs
  jobs=$(build_jobs)
  cmake --build "$ROOT/build/$PRESET" -j "$jobs" ${TARGET:+--target "$TARGET"} >&2 ||
    fail 1 "the build failed (see above); run again with: cmake --build $ROOT/build/$PRESET"
  done_phase "build: build/$PRESET${TARGET:+, target $TARGET}, $jobs jobs"
}

main() {
  PRESET=release TARGET=""
  local build=1 tests=0 packages=1 print_python=0
  while (($#)); do
    case "$1" in
      --preset)
        (($# > 1)) || fail "$EX_USAGE" "--preset needs a name"
        PRESET=$2
        shift
        ;;
      --preset=*) PRESET=${1#*=} ;;
      --target)
        (($# > 1)) || fail "$EX_USAGE" "--target needs a name"
        TARGET=$2
        shift
        ;;
      --no-build) build=0 ;;
      --tests)
        tests=1
        PACKAGES+=("${TEST_PACKAGES[@]}")
        ;;
      --fuzz) PACKAGES+=("${FUZZ_PACKAGES[@]}") ;;
      --skip-packages) packages=0 ;;
      --print-python) print_python=1 build=0 ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) fail "$EX_USAGE" "unknown option $1; see cmake/bootstrap.sh --help" ;;
    esac
    shift
  done
  local start
  start=$(now_ms)
  # Two runs at once would make the same folders.
  mkdir -p "$ROOT/build"
  exec 9>"$ROOT/build/.bootstrap.lock"
  flock -n 9 || { say "waiting for another bootstrap.sh in this folder"; flock 9; }
  if ((packages)); then ensure_packages 9>&-; fi
  ensure_python
  if ((tests)); then ensure_tests_venv; fi
  if ((build)); then
    configure
    exec 9>&-
    build
  fi
  if ((print_python)); then echo "$PYTHON"; fi
  say "ready ($(seconds_since "$start"))"
}

main "$@"
