#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one test command: sets up, builds, runs every C++ test executable and then tests/python, prints what was
# skipped and why, and closes with one line, "N passed, N failed, N skipped". Exit code 0 only if nothing failed.
set -euo pipefail

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
BIN="$ROOT/build/release/bin"
RESULTS="$ROOT/build/test-results"

usage() {
  cat <<USAGE
usage: tests/run.sh [options]

  --long             also the long forms of tests (minutes each): sets PREF_LONG_TESTS=1
  --filter PATTERN   only tests whose name contains PATTERN
  --no-build         test the build that is there
  --help             this text

OMP_NUM_THREADS is unset, so that programs choose their threads as they do for users; tests that need a fixed
number set it themselves.
USAGE
}

FILTER="" BUILD=1 LIMIT_S=900
while (($#)); do
  case "$1" in
    --long)
      export PREF_LONG_TESTS=1
      LIMIT_S=3600
      ;;
    --filter)
      if (($# < 2)); then
        echo "[run] --filter needs a pattern" >&2
        exit 64
      fi
      FILTER=$2
      shift
      ;;
    --filter=*) FILTER=${1#*=} ;;
    --no-build) BUILD=0 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      echo "[run] unknown option $1; see tests/run.sh --help" >&2
      exit 64
      ;;
  esac
  shift
done

section() { printf '\n=== %s ===\n' "$*"; }
now_ms() { local t=$EPOCHREALTIME; t=${t/[.,]/}; echo $((t / 1000)); }
took() { local ms=$(($(now_ms) - $1)); printf -- '--- %s: %d.%01d s ---\n' "$2" $((ms / 1000)) $((ms % 1000 / 100)); }

# Every run leaves a result file or a note of its exit code; count_results.py reads both, so that a crash counts.
run_executable() {
  local name=$1 code=0
  local arguments=("--gtest_output=xml:$RESULTS/$name.xml" --gtest_brief=1)
  [[ -z "$FILTER" ]] || arguments+=("--gtest_filter=*$FILTER*")
  timeout "$LIMIT_S" "$BIN/$name" "${arguments[@]}" </dev/null || code=$?
  echo "$code" >"$RESULTS/$name.exit"
}

run_pytest() {
  local code=0
  local arguments=(-q -p no:cacheprovider --tb=short --durations=10 "--junitxml=$RESULTS/pytest.xml" -o junit_suite_name=pytest)
  [[ -z "$FILTER" ]] || arguments+=(-k "$FILTER")
  PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 \
    "$ROOT/.venv-tests/bin/python" -m pytest "${arguments[@]}" tests/python </dev/null || code=$?
  # 5: the filter leaves no Python test.
  if ((code == 5)) && [[ -n "$FILTER" ]]; then code=0; fi
  echo "$code" >"$RESULTS/pytest.exit"
}

cd -- "$ROOT"
unset OMP_NUM_THREADS
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"  # waiting threads soon sleep: other work shares the cores
rm -rf -- "$RESULTS"
mkdir -p "$RESULTS"
total=$(now_ms)

section "set up and build"
start=$(now_ms)
if ((BUILD)); then
  "$ROOT/cmake/bootstrap.sh" --tests
else
  "$ROOT/cmake/bootstrap.sh" --tests --no-build
fi
took "$start" "set up and build"

shopt -s nullglob
executables=("$BIN"/test_*)
if ((${#executables[@]} == 0)); then
  echo "[run] no test executable in build/release/bin; run without --no-build" >&2
  exit 66
fi
for path in "${executables[@]}"; do
  name=${path##*/}
  section "$name"
  start=$(now_ms)
  run_executable "$name"
  took "$start" "$name"
done

section "tests/python"
start=$(now_ms)
run_pytest
took "$start" "tests/python"

section "summary"
took "$total" "everything"
exec "$ROOT/.venv-tests/bin/python" -B "$ROOT/tests/python/count_results.py" "$RESULTS" ${FILTER:+--filtered}
