#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzz targets (preset fuzz), writes the seed corpus, and for each target replays the corpus and then fuzzes,
# several targets at a time: a fixed number of inputs from a fixed seed, so that a test run says the same of the same
# sources every time, or for some seconds from a new seed, to search. A finding is kept in build/fuzz/found. Exit code 0
# only without findings.
set -euo pipefail

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)"
BUILD="$ROOT/build/fuzz"

usage() {
  cat <<USAGE
usage: tests/fuzz/run.sh [options] [target ...]

  --runs N       inputs for each target after the replay of its corpus (default 5000; 0: replay only)
  --seed N       where they start from (default 1)
  --seconds N    instead: search for N seconds from a new seed, which the log names
  --jobs N       targets at a time (default 2)
  --keep         keep inputs that reached new code in build/fuzz/grown and start from them
  --no-build     run the programs that are there
  --xml FILE     also write the results as JUnit XML
  --help         this text

Targets are named as their programs without fuzz_: config, jsonl, text, ... (default: all).
USAGE
}

RUNS=5000 SEED=1 SECONDS_EACH="" JOBS=2 KEEP=0 DO_BUILD=1 XML="" TARGETS=()
while (($#)); do
  case "$1" in
    --xml)
      (($# > 1)) || { echo "[fuzz] $1 needs a file" >&2; exit 64; }
      XML=$2
      shift
      ;;
    --seconds | --runs | --seed | --jobs)
      if (($# < 2)) || [[ ! "$2" =~ ^[0-9]+$ ]]; then
        echo "[fuzz] $1 needs a whole number" >&2
        exit 64
      fi
      case "$1" in --seconds) SECONDS_EACH=$2 ;; --runs) RUNS=$2 ;; --seed) SEED=$2 ;; --jobs) JOBS=$2 ;; esac
      shift
      ;;
    --keep) KEEP=1 ;;
    --no-build) DO_BUILD=0 ;;
    --help | -h) usage; exit 0 ;;
    -*) echo "[fuzz] unknown option $1; see tests/fuzz/run.sh --help" >&2; exit 64 ;;
    *) TARGETS+=("$1") ;;
  esac
  shift
done

cd -- "$ROOT"
if ((DO_BUILD)); then
  if ! command -v clang++-14 >/dev/null; then
    echo "[fuzz] clang++-14 is not there: apt-get install clang-14 libclang-rt-14-dev" >&2
    exit 69
  fi
  [[ -f "$BUILD/build.ninja" ]] || cmake --preset fuzz >/dev/null
  cmake --build --preset fuzz -j "$JOBS"
fi
python3 -B tests/fuzz/make_corpus.py "$BUILD/corpus"
mkdir -p "$BUILD/found" "$BUILD/logs"
if ((${#TARGETS[@]} == 0)); then
  for program in "$BUILD"/bin/fuzz_*; do
    name=${program##*/}
    TARGETS+=("${name#fuzz_}")
  done
fi

# Where the system lays out memory anew for each start, equal seeds lead to other inputs.
STEADY=()
if setarch -R true 2>/dev/null; then STEADY=(setarch -R); fi

run_target() {
  local name=$1 program="$BUILD/bin/fuzz_$1" log="$BUILD/logs/$1.log" grown code=0
  local common=(-timeout=20 -rss_limit_mb=2048 "-artifact_prefix=$BUILD/found/$name-")
  [[ ! -f "$BUILD/corpus/$name.dict" ]] || common+=("-dict=$BUILD/corpus/$name.dict")
  grown="$BUILD/grown/$name"
  ((KEEP)) || grown="$(mktemp -d "$BUILD/grown-$name-XXXXXX")"
  mkdir -p "$grown"
  "${STEADY[@]}" "$program" "${common[@]}" -runs=0 "$BUILD/corpus/$name" "$grown" >"$log" 2>&1 </dev/null || code=$?
  local extent=("-runs=$RUNS" "-seed=$SEED")
  [[ -z "$SECONDS_EACH" ]] || extent=("-max_total_time=$SECONDS_EACH")
  if ((code == 0 && ${SECONDS_EACH:-RUNS} > 0)); then
    "${STEADY[@]}" "$program" "${common[@]}" -max_len=16384 "${extent[@]}" "$grown" "$BUILD/corpus/$name" \
      >>"$log" 2>&1 </dev/null || code=$?
  fi
  ((KEEP)) || rm -rf -- "$grown"
  echo "$code" >"$BUILD/logs/$name.exit"
  if ((code == 72)); then  # libFuzzer's code for a signal from outside
    echo "[fuzz] $name: interrupted"
  elif ((code == 0)); then
    echo "[fuzz] $name: $(grep -E '^(Done|INFO: seed corpus)|DONE' "$log" | tail -n 1)"
  else
    echo "[fuzz] $name: FINDING (exit code $code); the input is in build/fuzz/found, the end of the log:"
    tail -n 25 "$log"
  fi
}

for name in "${TARGETS[@]}"; do
  [[ -x "$BUILD/bin/fuzz_$name" ]] || { echo "[fuzz] no target $name" >&2; exit 64; }
  rm -f -- "$BUILD/logs/$name.exit"
  while (($(jobs -rp | wc -l) >= JOBS)); do wait -n || true; done
  run_target "$name" &
done
wait

failures=0
cases=""
for name in "${TARGETS[@]}"; do
  code=$(<"$BUILD/logs/$name.exit")
  cases+="<testcase classname=\"fuzz\" name=\"$name\">"
  if ((code != 0)); then
    failures=$((failures + 1))
    what=finding
    ((code != 72)) || what=interrupted
    cases+="<failure message=\"$what, see build/fuzz/logs/$name.log and build/fuzz/found\"/>"
  fi
  cases+="</testcase>"
done
[[ -z "$XML" ]] || echo "<testsuite name=\"fuzz\">$cases</testsuite>" >"$XML"
echo "[fuzz] ${#TARGETS[@]} targets, $failures failed"
exit $((failures > 0))
