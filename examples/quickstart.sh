#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a trained model on a CPU: installs what is missing, builds the quickstart program and runs
# it with the arguments given here. Says at the end how long each part took.
set -euo pipefail

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
PROGRAM="$ROOT/build/release/bin/quickstart"

now_ms() { local t=$EPOCHREALTIME; t=${t/[.,]/}; echo $((t / 1000)); }
as_seconds() { printf '%d.%01d s' $(($1 / 1000)) $(($1 % 1000 / 100)); }

start=$(now_ms)
"$ROOT/cmake/bootstrap.sh" --no-build
installed=$(now_ms)
"$ROOT/cmake/bootstrap.sh" --target quickstart
built=$(now_ms)
# Threads wait some microseconds, then sleep: spinning longer costs several times the time where others use the cores
# as well, sleeping at once costs half the speed where they do not.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
status=0
"$PROGRAM" "$@" || status=$?
finished=$(now_ms)

{
  printf '\n[quickstart] set up %s, build %s, run %s' "$(as_seconds $((installed - start)))" \
    "$(as_seconds $((built - installed)))" "$(as_seconds $((finished - built)))"
  if ((status)); then printf ' (the program ended with exit code %d)' "$status"; fi
  printf '\n'
} >&2
exit "$status"
