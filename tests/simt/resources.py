#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the CUDA kernels for their targets and prints what ptxas reports of each: registers, shared memory,
stack and spills. Streaming kernels must keep everything in registers; --check fails where one does not.

usage: tests/simt/resources.py [--targets 90a,80] [--check] [--source NAME] [--write docs/kernels.md]
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ("80", "89", "90a", "100", "120")
# Small launches over rows of the batch: their arrays of branches live in local memory.
NOT_STREAMING = ("run_each_row", "run_one_block")
# What the build compiles a source with besides (libpref/CMakeLists.txt).
FLAGS = {"pair_loss": ["--Ofast-compile=mid"]}

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
_FUNCTION = re.compile(r"Function properties for (\w+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_CUMULATIVE = re.compile(r"(\d+) bytes cumulative stack")
_SHARED = re.compile(r"(\d+) bytes smem")


def sources():
    return [*sorted((ROOT / "kernels/cuda").glob("*.cu")), ROOT / "libpref/objectives/pair_loss.cu"]


def short_name(demangled):
    """logprob_rows<BF16, true, 256, 4> of the full name; the arguments' types say nothing new."""
    name = re.sub(r"^void ", "", demangled)
    name = re.sub(r"\(anonymous namespace\)::|pref::kernels::cuda::|pref::", "", name)
    depth = 0
    for at, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            if name[at:].startswith("(int)") or name[at:].startswith("(bool)"):
                continue
            name = name[:at]
            break
    name = re.sub(r"\((?:int|bool)\)", "", name)
    return re.sub(r"\s+", " ", name).strip()


def demangle(names):
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if not tool or not names:
        return list(names)
    done = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def parse(report):
    """One entry per kernel of ptxas's report."""
    rows, function = [], None
    for line in report.splitlines():
        if match := _ENTRY.search(line):
            rows.append({"mangled": match[1], "target": match[2], "stack": 0, "spills": 0})
        elif match := _FUNCTION.search(line):
            function = match[1]
        elif rows and (match := _STACK.search(line)):
            # Functions that a kernel calls are listed after it; their stack is in its cumulative one.
            if function == rows[-1]["mangled"]:
                rows[-1]["stack"] = int(match[1])
            rows[-1]["spills"] += int(match[2]) + int(match[3])
        elif rows and (match := _USED.search(line)):
            rows[-1]["registers"] = int(match[1])
            if cumulative := _CUMULATIVE.search(line):
                rows[-1]["stack"] = int(cumulative[1])
            shared = _SHARED.search(line)
            rows[-1]["shared"] = int(shared[1]) if shared else 0
    for row, name in zip(rows, demangle([row["mangled"] for row in rows])):
        row["kernel"] = short_name(name)
    return rows


def compile_one(source, target):
    with tempfile.TemporaryDirectory() as folder:
        command = ["nvcc", "-std=c++20", "-O3", f"-I{ROOT}", f"-arch=sm_{target}", "-Xptxas", "-v", "-cubin"]
        command += [*FLAGS.get(source.stem, []), "-o", f"{folder}/kernel.cubin", str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{source.name} for sm_{target}:\n{done.stdout}{done.stderr}")
    return parse(done.stdout + done.stderr)


def collect(targets, only=None):
    rows = []
    for source in sources():
        if only and source.stem != only:
            continue
        for target in targets:
            rows += [{**row, "source": source.stem} for row in compile_one(source, target)]
    return rows


def faults(rows):
    """Streaming kernels that use local memory."""
    return [
        f"{row['kernel']} for sm_{row['target']}: {row['stack']} bytes of stack, {row['spills']} bytes of spills"
        for row in rows
        if not row["kernel"].startswith(NOT_STREAMING) and (row["stack"] or row["spills"])
    ]


def table(rows):
    """Markdown, one line per kernel family: registers by target, the rest as the range over all."""
    targets = list(dict.fromkeys(row["target"] for row in rows))
    families = {}
    for row in rows:
        families.setdefault((row["source"], row["kernel"].split("<")[0]), []).append(row)
    heads = ["source", "kernel", "forms", *(f"registers, sm_{target}" for target in targets)]
    heads += ["static shared, bytes", "stack, bytes", "spills, bytes"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]

    def span(members, field):
        low, high = min(m[field] for m in members), max(m[field] for m in members)
        return str(low) if low == high else f"{low}–{high}"

    for (source, kernel), members in sorted(families.items()):
        fields = [source, f"`{kernel}`", str(len({member["mangled"] for member in members}))]
        fields += [span([m for m in members if m["target"] == target], "registers") for target in targets]
        fields += [span(members, field) for field in ("shared", "stack", "spills")]
        lines.append("| " + " | ".join(fields) + " |")
    return "\n".join(lines)


def write_table(path, text):
    """Puts the table where one stands in the document."""
    document = path.read_text()
    found = re.findall(r"^\| source \| kernel \|.*\n(?:\|.*\n)+", document, re.MULTILINE)
    if len(found) != 1:
        raise RuntimeError(f"{path} has {len(found)} tables of resources")
    path.write_text(document.replace(found[0], text + "\n"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(TARGETS), help="compute capabilities, e.g. 80,90a")
    parser.add_argument("--source", help="one source only, e.g. logprob")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE", help="replace the table in this Markdown file")
    parser.add_argument("--check", action="store_true", help="fail where a streaming kernel uses local memory")
    arguments = parser.parse_args()
    if not shutil.which("nvcc"):
        print("[resources] nvcc is not on PATH", file=sys.stderr)
        return 69
    rows = collect(arguments.targets.split(","), arguments.source)
    if arguments.write:
        write_table(arguments.write, table(rows))
    else:
        print(table(rows))
    found = faults(rows)
    for fault in found:
        print(f"[resources] {fault}", file=sys.stderr)
    return 1 if arguments.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
