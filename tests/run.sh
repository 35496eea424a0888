#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one test command: sets up, builds, runs every C++ test executable, the fuzz targets and then tests/python, prints
# what was skipped and why, and closes with one line, "N passed, N failed, N skipped". Exit code 0 only if nothing failed.
set -euo pipefail

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
BIN="$ROOT/build/release/bin"
RESULTS="$ROOT/build/test-results"

usage() {
  cat <<USAGE
usage: tests/run.sh [options]

  --long             also the long forms of tests (minutes each): sets PREF_LONG_TESTS=1; 30 s for each fuzz target
  --fuzz-seconds N   search each fuzz target for N seconds from a new seed (default: the fixed inputs of tests/fuzz/run.sh)
  --no-fuzz          leave the fuzz targets out (their build takes some minutes the first time)
  --sanitize         build the torch-free layers and their tests with the address and undefined-behaviour sanitizers
                     (preset asan) and run those tests only
  --filter PATTERN   only tests whose name contains PATTERN
  --no-build         test the build that is there
  --help             this text

OMP_NUM_THREADS is unset, so that programs choose their threads as they do for users; tests that need a fixed
number set it themselves.
USAGE
}

FILTER="" BUILD=1 LIMIT_S=900 FUZZ=1 FUZZ_SECONDS="" SANITIZE=0
while (($#)); do
  case "$1" in
    --long)
      export PREF_LONG_TESTS=1
      LIMIT_S=3600
      FUZZ_SECONDS=${FUZZ_SECONDS:-30}
      ;;
    --fuzz-seconds)
      if (($# < 2)) || [[ ! "$2" =~ ^[0-9]+$ ]]; then
        echo "[run] --fuzz-seconds needs a whole number" >&2
        exit 64
      fi
      FUZZ_SECONDS=$2
      shift
      ;;
    --no-fuzz) FUZZ=0 ;;
    --sanitize) SANITIZE=1 ;;
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

# A skipped fuzz run is counted as one skip with its reason.
run_fuzz() {
  local code=0 reason=""
  local arguments=(--jobs 2 --xml "$RESULTS/fuzz.xml")
  [[ -z "$FUZZ_SECONDS" ]] || arguments+=(--seconds "$FUZZ_SECONDS")
  ((BUILD)) || arguments+=(--no-build)
  if ((!FUZZ)); then
    reason="--no-fuzz was given"
  elif ! command -v clang++-14 >/dev/null; then
    reason="clang++-14 is not installed (cmake/bootstrap.sh --fuzz)"
  elif ((!BUILD)) && [[ ! -d "$ROOT/build/fuzz/bin" ]]; then
    reason="build/fuzz is not there and --no-build was given"
  fi
  if [[ -n "$reason" ]]; then
    echo "skipped: $reason"
    echo "<testsuite><testcase classname=\"fuzz\" name=\"all\"><skipped message=\"$reason\"/></testcase></testsuite>" \
      >"$RESULTS/fuzz.xml"
  else
    timeout "$((LIMIT_S + 1800))" "$ROOT/tests/fuzz/run.sh" "${arguments[@]}" </dev/null || code=$?
  fi
  echo "$code" >"$RESULTS/fuzz.exit"
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
packages=()
((!FUZZ)) || packages=(--fuzz)

section "set up and build"
start=$(now_ms)
if ((SANITIZE)); then
  BIN="$ROOT/build/asan/bin"
  export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}"
  export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
  "$ROOT/cmake/bootstrap.sh" --tests --no-build
  if ((BUILD)); then
    [[ -f "$ROOT/build/asan/build.ninja" ]] || cmake --preset asan
    cmake --build --preset asan -j "$(nproc)"
  fi
elif ((BUILD)); then
  "$ROOT/cmake/bootstrap.sh" --tests "${packages[@]}"
else
  "$ROOT/cmake/bootstrap.sh" --tests --no-build
fi
took "$start" "set up and build"

shopt -s nullglob
executables=("$BIN"/test_*)
if ((${#executables[@]} == 0)); then
  echo "[run] no test executable in ${BIN#"$ROOT/"}; run without --no-build" >&2
  exit 66
fi
for path in "${executables[@]}"; do
  name=${path##*/}
  section "$name"
  start=$(now_ms)
  run_executable "$name"
  took "$start" "$name"
done

if ((!SANITIZE)); then
  if [[ -z "$FILTER" ]]; then
    section "fuzz"
    start=$(now_ms)
    run_fuzz
    took "$start" "fuzz"
  fi
  section "tests/python"
  start=$(now_ms)
  run_pytest
  took "$start" "tests/python"
fi

section "summary"
took "$total" "everything"
exec "$ROOT/.venv-tests/bin/python" -B "$ROOT/tests/python/count_results.py" "$RESULTS" ${FILTER:+--filtered}
