#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that needs a GPU, on the machine that has one: takes the archive of tests/gpu/bundle.sh, finds a Python
# with torch and runs tests/gpu/suite.py. Needs no compiler, no network and no package: bash, coreutils and that Python.
set -euo pipefail

readonly EX_USAGE=64 EX_NO_INPUT=66 EX_UNAVAILABLE=69
HERE="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
readonly HERE

usage() {
  cat <<USAGE
usage: tests/gpu/run.sh BUNDLE [options]

Runs the GPU tests and benchmarks of a bundle: kernels against double precision, the test program, training runs, the
benchmarks, the same beside other libraries, and updates beside TRL. BUNDLE is the archive of tests/gpu/bundle.sh, or the folder it was
unpacked into (inside of it: ./run.sh .).

  --out DIR         results.json, results.md, test_gpu.xml and log.txt go here (default: gpu-results)
  --minutes N       all of it takes no longer (default: 8); what does not fit is skipped, and said
  --parts LIST      only these, separated by commas: doctor, tests, train, bench, peers, trl
  --python PYTHON   whose torch is used (default: the active environment's, else python3)
  --help            this text

Exit codes: 0 everything that ran is right, 1 something failed, 77 there is no device: nothing was tested.
USAGE
}

fail() {
  local code=$1
  shift
  printf '[gpu] error: %s\n' "$@" >&2
  exit "$code"
}

BUNDLE="" PYTHON="" ARGUMENTS=()
while (($#)); do
  case "$1" in
    --out | --minutes | --parts | --python)
      (($# > 1)) || fail "$EX_USAGE" "$1 needs a value"
      if [[ "$1" == --python ]]; then PYTHON=$2; else ARGUMENTS+=("$1" "$2"); fi
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*) fail "$EX_USAGE" "unknown option $1; see run.sh --help" ;;
    *)
      [[ -z "$BUNDLE" ]] || fail "$EX_USAGE" "two bundles were named, $BUNDLE and $1"
      BUNDLE=$1
      ;;
  esac
  shift
done
[[ -n "$BUNDLE" ]] || fail "$EX_USAGE" "name the bundle; see run.sh --help"
[[ -e "$BUNDLE" ]] || fail "$EX_NO_INPUT" "there is no $BUNDLE"

if [[ -z "$PYTHON" ]]; then
  if [[ -n "${VIRTUAL_ENV:-}" ]]; then PYTHON="$VIRTUAL_ENV/bin/python"; else PYTHON=python3; fi
fi
command -v "$PYTHON" >/dev/null || fail "$EX_UNAVAILABLE" "there is no $PYTHON; name a Python that has torch with --python"
"$PYTHON" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' ||
  fail "$EX_UNAVAILABLE" "$PYTHON has no torch; name a Python that has it with --python"

WORK="$(mktemp -d)"
trap 'rm -rf -- "$WORK"' EXIT
FOLDER=$BUNDLE
if [[ -f "$BUNDLE" ]]; then
  "$PYTHON" -m tarfile -e "$BUNDLE" "$WORK/bundle" || fail "$EX_NO_INPUT" "$BUNDLE cannot be unpacked"
  FOLDER="$WORK/bundle/libpref-gpu"
fi
[[ -f "$FOLDER/manifest.json" ]] || fail "$EX_NO_INPUT" "$FOLDER holds no manifest.json: it is no bundle of tests/gpu/bundle.sh"

code=0
"$PYTHON" -B "$HERE/suite.py" "$FOLDER" --work "$WORK" "${ARGUMENTS[@]}" || code=$?
exit "$code"
