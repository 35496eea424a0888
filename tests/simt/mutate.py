#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the CUDA kernels one line at a time and reports which tests notice: each barrier, rescale, mask and tail
guard in turn. Works on a copy in a temporary folder of its own; the tree is only read. A mutant that no test finds
is tried again under thread and then address sanitizer (a missing barrier may give right answers under every
schedule, but never without a race). Exit code 1 if one survives all three.

usage: tests/simt/mutate.py [--only WORD]... [--plain]
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEVICE = "kernels/cuda/device/"
PAIR_LOSS = "libpref/objectives/pair_loss.cu"

# (what is broken, file in DEVICE or from the root, text that stands there once, what replaces it)
MUTANTS = [
    (
        "barrier of merge_block",
        "logprob.cuh",
        "  __syncthreads();\n  if (warp > 0) return a;",
        "  if (warp > 0) return a;",
    ),
    (
        "idle lanes of merge_block",
        "logprob.cuh",
        "lane < kWarps ? warp_states[lane] : empty_row()",
        "warp_states[lane % kWarps]",
    ),
    (
        "full loads only while they fit",
        "logprob.cuh",
        "i + (kLoads - 1) * kThreads < mine.end; i += kLoads",
        "i < mine.end; i += kLoads",
    ),
    (
        "head by the first part alone",
        "logprob.cuh",
        "if (part == 0 && thread < span.head) absorb",
        "if (thread < span.head) absorb",
    ),
    (
        "head guard",
        "logprob.cuh",
        "if (part == 0 && thread < span.head) absorb",
        "if (part == 0 && thread <= span.head) absorb",
    ),
    ("tail by the last part alone", "logprob.cuh", "if (part == parts - 1 && span.tail_begin", "if (span.tail_begin"),
    ("tail guard", "logprob.cuh", "span.tail_begin + thread < vocab)", "span.tail_begin + thread <= vocab)"),
    ("label guard, above", "logprob.cuh", "column >= 0 && column < vocab", "column >= 0"),
    ("label guard, below", "logprob.cuh", "column >= 0 && column < vocab", "column < vocab"),
    (
        "row guard of the merge",
        "logprob.cuh",
        "if (row >= rows) return;\n  RowState",
        "if (row > rows) return;\n  RowState",
    ),
    (
        "row guard of prepare",
        "logprob.cuh",
        "if (row >= rows) return;\n  const float coefficient",
        "if (row > rows) return;\n  const float coefficient",
    ),
    ("masked rows", "logprob.cuh", "const bool silent = gradient.factor == 0;", "const bool silent = false;"),
    ("what the shift loses", "logprob.cuh", "* exp2f(-rest)", ""),
    ("label's own element", "logprob.cuh", "one(z + label, true);", "{}"),
    ("owner of the label's vector", "logprob.cuh", " && (vector - mine.begin) % kThreads == thread)", ")"),
    (
        "gradient's tail by the last part alone",
        "logprob.cuh",
        "if (part == parts - 1 && tail < vocab)",
        "if (tail < vocab)",
    ),
    ("gradient's tail guard", "logprob.cuh", "part == parts - 1 && tail < vocab", "part == parts - 1 && tail <= vocab"),
    ("gradient's vector guard", "logprob.cuh", "if (i + l * kThreads >= mine.end) continue;", ""),
    ("rescale on a new maximum", "online_softmax.cuh", "if (top > a.top) raise_top(a, top, base);", "a.top = top;"),
    (
        "entropy's share of the rescale",
        "online_softmax.cuh",
        "factor * fmaf(d, a.sum, a.weighted)",
        "factor * a.weighted",
    ),
    ("square of the factor", "online_softmax.cuh", "a.squares *= factor * factor;", "a.squares *= factor;"),
    ("rescale of the second state", "online_softmax.cuh", "  raise_top(b, top, base);\n", ""),
    (
        "bound on the exponent",
        "online_softmax.cuh",
        "fmaxf(multiply(a.top, base) - multiply(top, base), -200.0f)",
        "multiply(a.top, base) - multiply(top, base)",
    ),
    ("poison", "online_softmax.cuh", "log2f(a.sum) + poison", "log2f(a.sum)"),
    ("barrier of block_sum", "block_sum.cuh", "  __syncthreads();\n", ""),
    ("mean of an empty sequence", "sequence_sums.cuh", "item.mean && end > begin", "item.mean"),
    (
        "last label of a sequence",
        "sequence_sums.cuh",
        "i < first_label[blockIdx.x + 1];\n       i += kThreads) {\n    double",
        "i <= first_label[blockIdx.x + 1];\n       i += kThreads) {\n    double",
    ),
    (
        "last marked label of a sequence",
        "sequence_sums.cuh",
        "i < first_label[blockIdx.x + 1];\n       i += kThreads) {\n    if",
        "i <= first_label[blockIdx.x + 1];\n       i += kThreads) {\n    if",
    ),
    (
        "barrier between two sums",
        "sequence_sums.cuh",
        "  __syncthreads();  // block_sum's memory is free again\n",
        "",
    ),
    (
        "width guard of sums of rows",
        "rows.cuh",
        "i < width; i += int64_t{blockDim.x} * N",
        "i <= width; i += int64_t{blockDim.x} * N",
    ),
    ("accumulate", "rows.cuh", "if (accumulate) load<N>", "load<N>"),
    (
        "barrier between rows",
        "rms_norm.cuh",
        "    __syncthreads();  // block_sum's memory is free for the next row\n",
        "",
    ),
    ("zeroes of d_weight", "rms_norm.cuh", "d_weight[i + e] = 0;", "d_weight[i + e] += 0;"),
    ("columns of the partials", "add_partials.cuh", "thread >= kWarpSize || i >= width", "thread >= kWarpSize"),
    ("barrier of the partials", "add_partials.cuh", "  __syncthreads();\n", ""),
    ("accumulate dx", "rms_norm.cuh", "accumulate_dx ? out[e] + across : across", "across"),
    ("overwrite dx", "rms_norm.cuh", "accumulate_dx ? out[e] + across : across", "to_float(dx_row[i + e]) + across"),
    ("sum's rounding", "rms_norm.cuh", "to_float(Elements<T>::round(v[e] + r[e]))", "v[e] + r[e]"),
    ("heads that are there", "head_norm.cuh", "const bool there = i < rows * heads;", "const bool there = true;"),
    (
        "heads that are there, backward",
        "head_norm.cuh",
        "const bool there = begin + own < count;",
        "const bool there = true;",
    ),
    ("lanes of a team", "head_norm.cuh", "int bits = team / 2;", "int bits = 16;"),
    ("zeroes of the teams", "head_norm.cuh", "shares[share + c + e] = 0;", "shares[share + c + e] += 0;"),
    (
        "barrier before the teams' sum",
        "head_norm.cuh",
        "  __syncthreads();  // every team's share is there\n",
        "",
    ),
    ("guard of the pairs", "rope.cuh", "item < heads * per_head;", "item <= heads * per_head;"),
    ("source row of the angles", "rope.cuh", "positions[from]", "positions[blockIdx.x]"),
    (
        "width guard, forward",
        "swiglu.cuh",
        "if (i >= width) return;\n  float g[N], u[N];\n  load<N>(gate",
        "float g[N], u[N];\n  load<N>(gate",
    ),
    (
        "width guard, backward",
        "swiglu.cuh",
        "if (i >= width) return;\n  float g[N], u[N], v[N]",
        "float g[N], u[N], v[N]",
    ),
    ("order of sigma's tails", "swiglu.cuh", "return g < 0 ?", "return g > 0 ?"),
    ("tail of a vector", "adamw.cuh", "if (i + N <= count) {", "if (i < count) {"),
    ("the device's word", "adamw.cuh", "if (device.skip && *device.skip != 0) return;", ""),
    ("the device's scale", "adamw.cuh", "f.gradient_scale * *device.gradient_scale", "f.gradient_scale"),
    (
        "element of the random bits",
        "adamw.cuh",
        "random_bits(f.seed, first_element + i + e)",
        "random_bits(f.seed, i + e)",
    ),
    ("guard of split", "adamw.cuh", "if (i >= count) return;", "if (i > count) return;"),
    ("guard of join", "adamw.cuh", "if (i < count) master", "if (i <= count) master"),
    ("vectors that fit", "norm.cuh", "if (i + N <= count) {", "if (i < count) {"),
    ("tail elements", "norm.cuh", "if (i + e < count) v[e]", "if (i + e <= count) v[e]"),
    (
        "head of a span",
        "index.cuh",
        "return {head, vectors, head + vectors * per_vector};",
        "return {0, vectors, vectors * per_vector};",
    ),
    ("end of a part", "index.cuh", "begin + size < count ? begin + size : count", "begin + size"),
    (
        "barrier after values",
        PAIR_LOSS,
        "values[i] = value(row); });\n    __syncthreads();",
        "values[i] = value(row); });",
    ),
    ("barrier after the mean", PAIR_LOSS, "    __syncthreads();\n    return mean[0];", "    return mean[0];"),
    (
        "barrier after sorting",
        PAIR_LOSS,
        "sorted[rank(others, row)] = others[row];\n    __syncthreads();",
        "sorted[rank(others, row)] = others[row];",
    ),
    (
        "barrier after partners",
        PAIR_LOSS,
        "      write(row, begin);\n    });\n    __syncthreads();",
        "      write(row, begin);\n    });",
    ),
    ("one writer of the state", PAIR_LOSS, "    if (threadIdx.x != 0) return;\n", ""),
    ("order of equal values", PAIR_LOSS, "one < own || (one == own && i < row)", "one < own"),
    ("NaN has a rank", PAIR_LOSS, "const double own = rank_key(values[row]);", "const double own = values[row];"),
    ("a failure stays out", PAIR_LOSS, "out.failure && *out.failure != 0", "false"),
    ("what stands in `coupled` before", PAIR_LOSS, "each([](Row<double>&) {});  // zeros", ""),
    ("modifiers bend the row", PAIR_LOSS, "  bend_sums(row, modifiers, slope);\n  bend_ratios", "  bend_ratios"),
]

TESTS = ("harness_test", "index_test", "logprob_test", "network_test", "optimizer_test", "pair_loss_test", "rows_test")
# Beside the kernels, what the tests are linked with.
OTHERS = (
    PAIR_LOSS,
    "libpref/objectives/objective.cpp",
    "libpref/device_check/pair_rows.cpp",
    *(f"libpref/base/{name}.cpp" for name in ("options", "option_text", "utf8")),
)
PARTS = ("kernels", "libpref/base", "libpref/objectives", "libpref/device_check", "tests/simt", "tests/objectives")
HARNESS = ("simt", "fiber")
FLAGS = ["-std=c++20", "-O1", "-g1", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-w"]
SANITIZERS = {
    "plain": [],
    "thread": ["-fsanitize=thread"],
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
}


class Build:
    """Objects of one sanitizer, compiled again only where a changed file is included."""

    def __init__(self, tree, kind):
        self.tree, self.kind = tree, kind
        self.folder = tree / "objects" / kind
        self.folder.mkdir(parents=True)
        self.sources = [tree / f"tests/simt/{name}.cpp" for name in (*HARNESS, *TESTS)]
        self.sources += sorted((tree / "kernels/cuda").glob("*.cu")) + [tree / "kernels/cuda/row_groups.cpp"]
        self.sources += [tree / name for name in OTHERS]
        self.built = {}

    def _flags(self, source):
        if self.kind == "thread" and source.stem in HARNESS:
            return [*FLAGS, "-DSIMT_THREAD_SANITIZER"]
        return [*FLAGS, *SANITIZERS[self.kind]]

    def _text(self, source, seen):
        """The source and all it includes from the tree."""
        if source in seen or not source.exists():
            return ""
        seen.add(source)
        text = source.read_text()
        for name in re.findall(r'#include ["<]([\w/.]+)[">]', text):
            for place in (self.tree / name, self.tree / "tests/simt" / name):
                text += self._text(place, seen)
        return text

    def run(self):
        """None if all tests pass, else what failed."""
        for source in self.sources:
            state = hash(self._text(source, set()))
            target = self.folder / (source.name + ".o")
            if self.built.get(source) != state:
                command = ["g++", *self._flags(source), f"-I{self.tree}", f"-I{self.tree}/tests/simt", "-x", "c++"]
                done = subprocess.run([*command, "-c", str(source), "-o", str(target)], capture_output=True, text=True)
                if done.returncode != 0:
                    raise RuntimeError(f"{source.name}: {done.stderr[:2000]}")
                self.built[source] = state
        objects = [str(self.folder / (source.name + ".o")) for source in self.sources]
        program = str(self.folder / "test_simt")
        libraries = ["-lgmock", "-lgtest", "-lgtest_main", "-lpthread"]
        subprocess.run(["g++", *SANITIZERS[self.kind], *objects, "-o", program, *libraries], check=True)
        environment = {"TSAN_OPTIONS": "halt_on_error=1 report_signal_unsafe=0", "ASAN_OPTIONS": "detect_leaks=0"}
        try:
            command = [program, "--gtest_brief=1"]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=600, env=environment, errors="replace"
            )
        except subprocess.TimeoutExpired:
            return "no end"
        if done.returncode == 0:
            return None
        failed = sorted(set(re.findall(r"FAILED  \] (?:Simt/)?(\w+\.\w+)", done.stdout)))
        reports = re.findall(r"(?:ThreadSanitizer|AddressSanitizer): ([\w -]+)|runtime error: ([\w -]+)", done.stderr)
        words = [first or second for first, second in reports[:1]]
        return ", ".join(failed[:4] + words) + (f" and {len(failed) - 4} more" if len(failed) > 4 else "")


def copy_tree():
    tree = pathlib.Path(tempfile.mkdtemp(prefix="pref-mutants-"))
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part)
    return tree


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="mutants whose name or file contains this; may be repeated")
    parser.add_argument("--plain", action="store_true", help="schedules alone, no sanitizers")
    arguments = parser.parse_args()
    tree = copy_tree()
    survivors = []
    try:
        builds = {kind: Build(tree, kind) for kind in (("plain",) if arguments.plain else SANITIZERS)}
        for kind, build in builds.items():
            if (failure := build.run()) is not None:
                print(f"[mutate] the unbroken kernels fail ({kind}): {failure}", file=sys.stderr)
                return 70
        words = arguments.only or [""]
        chosen = [m for m in MUTANTS if any(word in m[0] or word in m[1] for word in words)]
        for name, file, old, new in chosen:
            path = tree / (file if "/" in file else DEVICE + file)
            text = path.read_text()
            if text.count(old) != 1:
                print(f"[mutate] {file} has {text.count(old)} places for {name!r}", file=sys.stderr)
                return 65
            path.write_text(text.replace(old, new))
            found = None
            for kind, build in builds.items():
                if (failure := build.run()) is not None:
                    found = f"{kind}: {failure}"
                    break
            path.write_text(text)
            print(f"{path.name:20} {name:42} {found or 'SURVIVES'}", flush=True)
            if not found:
                survivors.append(name)
        print(f"{len(chosen) - len(survivors)} of {len(chosen)} found")
        return 1 if survivors else 0
    finally:
        shutil.rmtree(tree)


if __name__ == "__main__":
    sys.exit(main())
