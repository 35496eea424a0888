# SPDX-License-Identifier: Apache-2.0
"""From the lines of the GPU suite to tables: ratios to other libraries, and a Markdown page by goal for
docs/benchmarks.md.

    tests/gpu/table.py results.json > results.md
    tests/gpu/table.py --goals               the goals alone, nothing measured
"""

import argparse
import json
import pathlib
import statistics
import sys

# What is asked of a card like the H200; every figure is a share of a ceiling, or a ratio, of the same run.
GOALS = {
    "G1": "log-prob statistics, all outputs: share of the read ceiling >= 0.92",
    "G2": "their gradient in place: share of the copy ceiling >= 0.92",
    "G3": "G1 and G2 together: torch eager >= 5x their time, torch.compile >= 2x, Liger's Triton cross-entropy "
    ">= 1.7x; with WPO's outputs, the eager formula >= 8x",
    "G4": "head forward and backward: <= 1.08x the three GEMMs on the same tensors (fp32 logits 1.12x; "
    "hidden size 2048: 1.15x and 1.22x)",
    "G5": "head: LigerFusedLinearDPOLoss >= 1.4x its time, >= 3x on padded input; Liger's fused linear cross-entropy "
    ">= 1.4x by default, >= 1x at its best; CCE exact >= 1.5x, default >= 1.2x; QuACK >= 0.95x",
    "G6": "forward-only log-probs: <= 1.10x one GEMM on the same tensors",
    "G7": "head: memory <= 4 GiB beside the fp32 gradient; error of the gradient <= 1.5x that of torch with "
    "fp32 logits",
    "G8": "shared prefix: >= 0.93 of the ratio of tokens saved",
    "G9": "8B step: >= 0.55 of 989 TFLOP/s on useful work, >= 17 pairs/s; 1B: >= 0.45, >= 85 pairs/s",
    "G10": "1B beside TRL: >= 3.5x its defaults, >= 2x TRL tuned; prompt-heavy 5x and 3x",
    "G11": "8B, all parameters, on one GPU with exact fp32 master weights: >= 12,000 tokens a microbatch",
    "G12": "fused AdamW: share of the copy ceiling >= 0.90, equal bit for bit to fp32 master weights",
    "G13": "fused norms, rotary embedding, SwiGLU: share of the copy ceiling >= 0.85",
}
AT_MOST = {"G4", "G6", "G7"}  # for all others more is better
NOT_MEASURED = "not measured yet: no device was at hand"

# (goal, name, peer) -> the least ratio of the peer's time to ours.
WANTED = {
    ("G3", "logprob", "torch eager"): 5.0,
    ("G3", "logprob", "torch.compile"): 2.0,
    ("G3", "logprob", "Liger Triton CE"): 1.7,
    ("G3", "logprob_wpo", "torch eager"): 8.0,
    ("G5", "head", "LigerFusedLinearDPOLoss"): 1.4,
    ("G5", "head_padded", "LigerFusedLinearDPOLoss"): 3.0,
    ("G5", "head", "Liger FLCE"): 1.4,
    ("G5", "head", "Liger FLCE, best chunks"): 1.0,
    ("G5", "head", "CCE exact"): 1.5,
    ("G5", "head", "CCE"): 1.2,
    ("G5", "head", "QuACK"): 0.95,
    ("G10", "DPO update, UltraFeedback", "TRL default"): 3.5,
    ("G10", "DPO update, UltraFeedback", "TRL tuned"): 2.0,
    ("G10", "DPO update, TLDR, prompt-heavy", "TRL default"): 5.0,
    ("G10", "DPO update, TLDR, prompt-heavy", "TRL tuned"): 3.0,
}
# What may stand beside a ratio, of both sides.
BOTH = {"pairs_per_s": "pairs/s", "memory_gb": "GB"}


def ratios(lines):
    """Lines of ours ("bench") and of peers ("peer") with equal goal, name, case and round -> one "bench" line for each
    peer and case: the median over the rounds of its time over ours, with the least and the largest.
    """
    ours, theirs = {}, {}
    for line in lines:
        if "round" not in line or "ms" not in line:
            continue
        key = (line["goal"], line["name"], line["case"])
        if line["kind"] == "bench":
            ours.setdefault(key, {})[line["round"]] = line
        elif line["kind"] == "peer":
            theirs.setdefault((*key, line["of"]), {})[line["round"]] = line
    found = []
    for (goal, name, case, of), by_round in theirs.items():
        own = ours.get((goal, name, case), {})
        shared = sorted(set(own) & set(by_round))
        if not shared:
            continue
        values = [by_round[number]["ms"] / own[number]["ms"] for number in shared]
        line = {
            "kind": "bench",
            "goal": goal,
            "name": name,
            "case": case,
            "of": of,
            "rounds": len(shared),
            "ratio": round(statistics.median(values), 3),
            "ratio_low": round(min(values), 3),
            "ratio_high": round(max(values), 3),
        }
        for field in ("ms", *BOTH):
            for prefix, lines_of in (("", own), ("peer_", by_round)):
                found_of = [lines_of[number].get(field) for number in shared]
                if None not in found_of:
                    line[prefix + field] = statistics.median(found_of)
        if (goal, name, of) in WANTED:
            line["wanted"] = WANTED[goal, name, of]
        found.append(line)
    return found


def figure(line):
    """The number that a goal is about."""
    return next((line[key] for key in ("share", "ratio", "value") if line.get(key) is not None), None)


def met(line):
    """Whether the goal of a line is met; None where it names none."""
    got, wanted = figure(line), line.get("wanted")
    if got is None or wanted is None:
        return None
    return got <= wanted if line["goal"] in AT_MOST else got >= wanted


def number(value):
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def got_text(line):
    """The figure with what it is a share of, what it stands beside, or its unit."""
    got = figure(line)
    if got is None:
        return f"{number(line['ms'])} ms" if "ms" in line else ""
    if line.get("share") is not None:
        return f"{number(got)} of {line['of']}"
    if line.get("ratio") is None:
        return f"{number(got)} {line.get('unit', '')}".rstrip()
    spread = f" ({number(line['ratio_low'])} to {number(line['ratio_high'])})" if "ratio_low" in line else ""
    both = [
        f"; {number(line[field])} and {number(line['peer_' + field])} {unit}"
        for field, unit in BOTH.items()
        if field in line and "peer_" + field in line
    ]
    return f"{number(got)}x{spread} beside {line['of']}{''.join(both)}"


def table(columns, rows):
    """A Markdown table; empty where there are no rows."""

    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"

    rows = list(rows)
    return line(columns) + "|" + "---|" * len(columns) + "\n" + "".join(map(line, rows)) if rows else ""


def of_kind(lines, kind):
    return [line for line in lines if line.get("kind") == kind]


def figures_of(lines):
    """The figures that belong to goals, in the goals' order; single rounds stand behind their ratios."""
    found = [line for line in of_kind(lines, "bench") if line.get("goal") in GOALS]
    return sorted((line for line in found if "round" not in line), key=lambda line: int(line["goal"][1:]))


def word(outcome):
    return {True: "met", False: "missed", None: ""}[outcome]


def goals_table(lines, reason=NOT_MEASURED):
    """One row for every goal; one without a figure says why."""
    rows = []
    for goal, words in GOALS.items():
        outcomes = [met(line) for line in figures_of(lines) if line["goal"] == goal]
        outcome = False if False in outcomes else True if True in outcomes else None
        rows.append((goal, words, f"{len(outcomes)} figures below" if outcomes else reason, word(outcome)))
    return table(("goal", "what is asked", "got", ""), rows)


def figures_table(lines):
    rows = []
    for line in figures_of(lines):
        time = number(line["ms"]) if "ms" in line else ""
        if "ms_p20" in line and "ms_p80" in line:
            time += f" ({number(line['ms_p20'])} to {number(line['ms_p80'])})"
        wanted = line.get("wanted")
        bound = "" if wanted is None else f"{'<=' if line['goal'] in AT_MOST else '>='} {number(wanted)}"
        rows.append((line["goal"], line["name"], line["case"], time, got_text(line), bound, word(met(line))))
    return table(("goal", "what", "case", "ms (20 to 80 %)", "got", "wanted", ""), rows)


def peers_table(lines):
    """Every time of another library, whether or not libpref's stands beside it."""
    by_case = {}
    for line in of_kind(lines, "peer"):
        by_case.setdefault((line["goal"], line["of"], line["name"], line["case"]), []).append(line)
    rows = []
    for key, found in by_case.items():
        milliseconds = statistics.median(line["ms"] for line in found)
        rows.append((*key, number(milliseconds), number(max(line["memory_gb"] for line in found))))
    return table(("goal", "other library", "what", "case", "ms, median of the rounds", "memory, GB"), rows)


def setup_table(lines):
    """Seconds before the first update: loading, tokenizing, and a reference that is computed beforehand."""
    by_case = {}
    for line in lines:
        if "setup_s" in line:
            key = (line.get("of", "libpref"), line["name"], line["case"])
            by_case.setdefault(key, []).append(line["setup_s"])
    rows = [(*key, number(float(statistics.median(seconds)))) for key, seconds in by_case.items()]
    return table(("before the first update", "what", "case", "s, median of the rounds"), rows)


def about(results):
    """Device, clocks, versions: what a figure is worth nothing without."""
    device, lines = results.get("device"), results["lines"]
    words = [results["started"]]
    if device:
        words.append("{name} ({capability}, {sm} multiprocessors, {memory_gb} GB)".format(**device))
    clocks = [line["sm_mhz"] for line in of_kind(lines, "clocks") if "sm_mhz" in line]
    if clocks:
        words.append(f"{number(min(clocks))} to {number(max(clocks))} MHz after the parts")
    versions = dict(results["versions"])
    for line in of_kind(lines, "versions"):
        versions |= {name: value for name, value in line.items() if name not in ("kind", "name", "round")}
    words += [f"{name} {version}" for name, version in versions.items()]
    return ", ".join([*words, f"{number(results['seconds'])} s in all"]) + ".\n"


def markdown(results):
    """The page of a run."""
    lines = results["lines"]
    skipped = of_kind(lines, "skipped")
    reasons = sorted(line["reason"] for line in skipped if line["reason"].startswith("no device"))
    reason = f"not measured: {reasons[0]}" if reasons else "not measured in this run"
    checks = of_kind(lines, "check")
    wrong = [line for line in checks if not line.get("ok")]
    blocks = [
        about(results),
        goals_table(lines, reason),
        figures_table(lines),
        peers_table(lines),
        setup_table(lines),
        table(
            ("ceiling", "measured"),
            ((line["name"], f"{number(line['value'])} {line['unit']}") for line in of_kind(lines, "ceiling")),
        ),
        table(
            ("part", "outcome", "", "s"),
            ((part["name"], part["outcome"], part["text"], part["seconds"]) for part in results["parts"]),
        ),
        f"{len(checks) - len(wrong)} of {len(checks)} checks right.\n" if checks else "",
        table(
            ("failed check", "case", "error", "bound"),
            ((line["name"], line["case"], number(line.get("error")), number(line.get("bound"))) for line in wrong),
        ),
        table(
            ("run", "", "loss, first and last fifth", "s"),
            (
                (line["name"], line["case"], f"{line['loss_first']} -> {line['loss_last']}", line["seconds"])
                for line in of_kind(lines, "run")
            ),
        ),
        "".join(sorted({f"- skipped: {line['name']}: {line['reason']}\n" for line in skipped})),
    ]
    return "\n".join(block for block in blocks if block)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path, nargs="?")
    parser.add_argument("--goals", action="store_true")
    arguments = parser.parse_args()
    if arguments.goals:
        sys.stdout.write(goals_table([]))
    elif arguments.results:
        sys.stdout.write(markdown(json.loads(arguments.results.read_text())))
    else:
        parser.error("name results.json, or --goals")


if __name__ == "__main__":
    main()
