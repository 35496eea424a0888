#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes one archive from a CUDA build on a Debian machine: stripped programs, libpref, and the few Debian libraries that
# they need. It runs, through tests/gpu/run.sh, on a GPU machine that has torch and no package of Debian's, no compiler
# and no network. torch, NVIDIA's libraries and libgomp come from the torch found there, since one process must not hold
# two of them; glibc, libstdc++ and libgcc come from its system, where torch needs them too: an older copy of libstdc++
# brought along would shadow the one that torch there was made for. Which versions of those are needed is checked.
set -euo pipefail

readonly EX_USAGE=64 EX_NO_INPUT=66 EX_UNFIT=65 EX_CREATE=73
ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)"
readonly ROOT
# What the target's system must have anyway, for torch to start.
readonly SYSTEM=" libc.so.6 libm.so.6 libdl.so.2 librt.so.1 libpthread.so.0 libutil.so.1 ld-linux-x86-64.so.2 \
libstdc++.so.6 libgcc_s.so.1 "
# What the oldest supported system has: Ubuntu 22.04 (glibc 2.35, the libraries of g++ 12).
declare -A OFFERED=([GLIBC]=2.35 [GLIBCXX]=3.4.30 [CXXABI]=1.3.13 [GCC]=12.0.0)

BUILD="$ROOT/build/cuda" OUT="$ROOT/build/libpref-gpu.tar.gz" LIMIT_MB=60 ALLOW_CPU=0
PROGRAMS="pref quickstart train_dpo test_gpu gpu_bench"

usage() {
  cat <<USAGE
usage: tests/gpu/bundle.sh [options]

Makes the archive that tests/gpu/run.sh runs on a machine with a GPU; prints its path.

  --build DIR       build folder (default: build/cuda; make it with: cmake/bootstrap.sh --preset cuda)
  --out FILE        the archive (default: build/libpref-gpu.tar.gz). gzip, because every system unpacks it
  --programs LIST   programs of DIR/bin, separated by commas (default: ${PROGRAMS// /,})
  --glibc VERSION   the oldest glibc to serve (default: ${OFFERED[GLIBC]})
  --max-mb N        largest archive, in 10^6 bytes (default: $LIMIT_MB)
  --allow-cpu       take a build without CUDA kernels, to rehearse
  --help            this text
USAGE
}

fail() {
  local code=$1
  shift
  printf '[bundle] error: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '[bundle]        %s\n' "$@" >&2
  exit "$code"
}

while (($#)); do
  case "$1" in
    --build | --out | --programs | --glibc | --max-mb)
      (($# > 1)) || fail "$EX_USAGE" "$1 needs a value"
      case "$1" in
        --build) BUILD=$2 ;;
        --out) OUT=$2 ;;
        --programs) PROGRAMS=${2//,/ } ;;
        --glibc) OFFERED[GLIBC]=$2 ;;
        --max-mb) LIMIT_MB=$2 ;;
      esac
      shift
      ;;
    --allow-cpu) ALLOW_CPU=1 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) fail "$EX_USAGE" "unknown option $1; see tests/gpu/bundle.sh --help" ;;
  esac
  shift
done
[[ "${OFFERED[GLIBC]}" =~ ^[0-9]+\.[0-9]+$ ]] || fail "$EX_USAGE" "--glibc needs a version such as 2.35, not ${OFFERED[GLIBC]}"
[[ "$LIMIT_MB" =~ ^[0-9]+$ ]] || fail "$EX_USAGE" "--max-mb needs a whole number, not $LIMIT_MB"
for tool in patchelf readelf strip ldd; do
  command -v "$tool" >/dev/null ||
    fail "$EX_USAGE" "$tool is not installed (cmake/bootstrap.sh --tests installs patchelf; the others come with g++)"
done
[[ -f "$BUILD/CMakeCache.txt" ]] ||
  fail "$EX_NO_INPUT" "$BUILD is no build folder. Make one: cmake/bootstrap.sh --preset cuda (needs nvcc, no GPU)"

cache_value() { sed -n "s|^$1:[A-Z]*=||p" "$BUILD/CMakeCache.txt"; }
TORCH="$(cache_value PREF_TORCH_DIR)"
[[ -f "$TORCH/version.py" ]] || fail "$EX_NO_INPUT" "the torch that $BUILD was linked with, '$TORCH', is gone"

# The folder of the wheels' CUDA libraries beside torch, nvidia/cu13.
CUDART="$(compgen -G "$TORCH/../nvidia/*/lib/libcudart.so.*" | head -n 1 || true)"
NVIDIA="$(basename -- "$(dirname -- "$(dirname -- "${CUDART:-x/cu13/lib/x}")")")"

WORK="$(mktemp -d)"
trap 'rm -rf -- "$WORK"' EXIT
STAGE="$WORK/libpref-gpu"
mkdir -p "$STAGE/bin" "$STAGE/lib" "$STAGE/licenses"

declare -A HIGHEST=() NEEDED_BY=() FROM=() LINKED=() FOREIGN=()

needed_by() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'; }
torch_brings() { [[ -e "$TORCH/lib/$1" ]] || compgen -G "$TORCH/../nvidia/*/lib/$1" >/dev/null; }
later() { [[ "$1" != "$2" && "$(printf '%s\n%s\n' "$1" "$2" | sort -V | tail -n 1)" == "$1" ]]; }

# The versions of symbols that one file asks of the system's libraries; the highest of each name is kept.
note_versions() {
  local file=$1 version name number
  while read -r version; do
    name=${version%%_*} number=${version#*_}
    # Packed relative relocations are announced by a name instead of a number.
    [[ "$version" == GLIBC_ABI_DT_RELR ]] && number=2.36
    if [[ "$number" =~ ^[0-9.]+$ ]] && { [[ -z "${HIGHEST[$name]:-}" ]] || later "$number" "${HIGHEST[$name]}"; }; then
      HIGHEST[$name]=$number NEEDED_BY[$name]=$file
    fi
  done < <(readelf -W -V "$1" | sed -n '/^Version needs/,$p' | grep -oE '\b(GLIBC|GLIBCXX|CXXABI|GCC)_[A-Z0-9._]+' | sort -u)
}

# Where the dynamic linker of this machine finds library $1 for file $2.
resolve() {
  [[ -n "${LINKED[$2]:-}" ]] || LINKED[$2]="$(ldd "$2" 2>/dev/null || true)"
  sed -n "s|^[[:space:]]*$1 => \(/[^ ]*\) (0x.*|\1|p" <<<"${LINKED[$2]}"
}

# Puts everything into lib/ that $1, a file of this machine, needs and the target will not have.
take_needs() {
  local file=$1 name path
  note_versions "$file"
  while read -r name; do
    [[ "$SYSTEM" != *" $name "* ]] || continue
    [[ ! -e "$STAGE/lib/$name" ]] || continue
    torch_brings "$name" && continue
    if [[ -e "$BUILD/lib/$name" ]]; then
      path="$BUILD/lib/$name"
      FROM["lib/$name"]=build
    else
      path="$(resolve "$name" "$file")"
      [[ -n "$path" ]] || fail "$EX_NO_INPUT" "$file needs $name, and it is nowhere on this machine." \
        "Neither the build, nor torch ($TORCH), nor the system has it. (libcuda.so.1 may never be linked: it is the driver's.)"
      FOREIGN[$name]=$path
    fi
    cp -L -- "$path" "$STAGE/lib/$name"
    chmod 0755 "$STAGE/lib/$name"
    take_needs "$path"
  done < <(needed_by "$file")
}

CUDA=false
! compgen -G "$BUILD/lib/*.so" >/dev/null || ! readelf -d "$BUILD"/lib/*.so | grep -q 'libcudart\.so' || CUDA=true
if [[ "$CUDA" == false ]] && ((!ALLOW_CPU)); then
  fail "$EX_UNFIT" "$BUILD holds no CUDA kernels (PREF_CUDA is off there); a bundle of it would measure nothing." \
    "Give the folder of a CUDA build (--build), or --allow-cpu to rehearse."
fi

for program in $PROGRAMS; do
  [[ -f "$BUILD/bin/$program" ]] || fail "$EX_NO_INPUT" "$BUILD/bin/$program is not built." \
    "Build it, or name the programs that the bundle is to hold with --programs."
  cp -L -- "$BUILD/bin/$program" "$STAGE/bin/$program"
  FROM["bin/$program"]=build
  take_needs "$BUILD/bin/$program"
done

for name in "${!HIGHEST[@]}"; do
  if later "${HIGHEST[$name]}" "${OFFERED[$name]}"; then
    fail "$EX_UNFIT" "${NEEDED_BY[$name]} needs ${name}_${HIGHEST[$name]}; the oldest supported system has ${name}_${OFFERED[$name]}." \
      "Build on an older system, or raise the bound (--glibc) and serve newer ones alone."
  fi
done

# Which packages the copied libraries came from, and their licences: dpkg knows a file by one of four names.
candidates=()
for path in "${FOREIGN[@]}"; do
  real="$(readlink -f "$path")"
  candidates+=("$path" "/usr$path" "$real" "/usr$real" "${real#/usr}")
done
owners="$(dpkg-query -S "${candidates[@]}" 2>/dev/null || true)"
for name in "${!FOREIGN[@]}"; do
  real="$(readlink -f "${FOREIGN[$name]}")"
  package="$(sed -n "s|^\([^:, ]*\)[^ ]*: .*/$(basename -- "$real")\$|\1|p" <<<"$owners" | head -n 1)"
  FROM["lib/$name"]=${FOREIGN[$name]}
  if [[ -n "$package" ]]; then
    FROM["lib/$name"]="$package $(dpkg-query -W -f '${Version}\n' "$package" | head -n 1)"
    cp -L "/usr/share/doc/$package/copyright" "$STAGE/licenses/$package" 2>/dev/null || true
  fi
done

# Run paths: the bundle's own libraries, then torch through a link that run.sh makes. DT_RPATH, as in torch's own
# libraries: LD_LIBRARY_PATH, which a GPU machine may need for its driver, cannot put another torch first.
for file in "$STAGE"/bin/* "$STAGE"/lib/*; do
  [[ "${FROM[${file#"$STAGE/"}]}" != build ]] || strip --strip-unneeded "$file"
  patchelf --force-rpath --set-rpath "\$ORIGIN/../lib:\$ORIGIN/../torch/lib:\$ORIGIN/../torch/../nvidia/$NVIDIA/lib" "$file"
done
# Tools that edit ELF files can break them: whatever starts on the target must load here, with the torch of the build.
ln -s -- "$TORCH" "$STAGE/torch"
for file in "$STAGE"/bin/*; do
  if ! found="$(ldd "$file" 2>&1)" || grep -q 'not found' <<<"$found"; then
    fail 1 "${file#"$STAGE/"} would not start: $(grep -E 'error|not found' <<<"$found" | head -n 1 || true)"
  fi
done
rm -- "$STAGE/torch"
for file in "$ROOT"/tests/gpu/run.sh "$ROOT"/tests/gpu/*.py; do
  cp -- "$file" "$STAGE/"
  FROM["${file##*/}"]=repository
done

# The manifest, which run.sh checks every file against.
torch_version="$(sed -n "s/^__version__ = '\(.*\)'/\1/p" "$TORCH/version.py")"
commit="$(git -C "$ROOT" describe --always --dirty 2>/dev/null || echo unknown)"
{
  printf '{\n  "libpref": "%s",\n  "commit": "%s",\n  "torch": "%s",\n  "cuda": %s,\n  "architectures": "%s",\n' \
    "$(cache_value CMAKE_PROJECT_VERSION)" "$commit" "$torch_version" "$CUDA" "$(cache_value PREF_CUDA_ARCHS)"
  printf '  "needs": {'
  separator=""
  for name in GLIBC GLIBCXX CXXABI GCC; do
    [[ -n "${HIGHEST[$name]:-}" ]] || continue
    printf '%s"%s": "%s"' "$separator" "$name" "${HIGHEST[$name]}"
    separator=", "
  done
  printf '},\n  "files": [\n'
  separator=""
  while read -r path; do
    printf '%s    {"path": "%s", "bytes": %d, "sha256": "%s", "from": "%s"}' "$separator" "$path" \
      "$(stat -c %s "$STAGE/$path")" "$(sha256sum "$STAGE/$path" | cut -d ' ' -f 1)" "${FROM[$path]:-package}"
    separator=$',\n'
  done < <(cd "$STAGE" && find . -type f -printf '%P\n' | LC_ALL=C sort)
  printf '\n  ]\n}\n'
} >"$WORK/manifest.json"
mv -- "$WORK/manifest.json" "$STAGE/manifest.json"

mkdir -p -- "$(dirname -- "$OUT")" || fail "$EX_CREATE" "cannot make the folder of $OUT"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$WORK" -cf - libpref-gpu | gzip -9n >"$WORK/bundle.tar.gz"
bytes=$(stat -c %s "$WORK/bundle.tar.gz")
if ((bytes > LIMIT_MB * 1000000)); then
  mapfile -t largest < <(cd "$STAGE" && find . -type f -printf '%s bytes before compression: %P\n' | sort -rn | head -n 6)
  fail "$EX_UNFIT" "the bundle has $bytes bytes, more than $LIMIT_MB MB. The largest files:" "${largest[@]}" \
    "Leave programs out (--programs) or compile for fewer architectures (PREF_CUDA_ARCHS)."
fi
mv -- "$WORK/bundle.tar.gz" "$OUT"
{
  printf '[bundle] %s: %d.%d MB, %d files, torch %s, CUDA kernels: %s\n' "$OUT" $((bytes / 1000000)) $((bytes / 100000 % 10)) \
    "$(grep -c '"path"' "$STAGE/manifest.json")" "$torch_version" "$CUDA"
  printf '[bundle] needs of the system: glibc %s, GLIBCXX %s, CXXABI %s\n' "${HIGHEST[GLIBC]:-none}" \
    "${HIGHEST[GLIBCXX]:-none}" "${HIGHEST[CXXABI]:-none}"
} >&2
echo "$OUT"
