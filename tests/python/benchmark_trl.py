# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of `pref train` beside TRL 1.9, on the CPU, in alternating processes. Run it on a quiet machine:

    .venv-tests/bin/python tests/python/benchmark_trl.py

The work: a random llama of 56.4 million parameters, the first 40 pairs of alpaca_eval_train, batch 4, f32, beta 0.1,
the same token ids on both sides (../shared/data is needed). Every round runs TRL as it comes (gradient checkpointing,
the reference model in every step), libpref, TRL tuned (no checkpointing, the reference precomputed), libpref.

Pairs per second, where "reference counted" divides by the seconds of the reference pass as well:
  TRL       seconds of the steps; for the precomputed reference, all of the trainer's set-up in which it happens
  libpref   watched from outside: steps by the lines of metrics.jsonl as they appear; the reference pass from the start
            of the process (loading and tokenizing included) until its cache file appears
Memory above the start, MiB: the highest resident size, less the size before the model is loaded (TRL: after all
imports; libpref: the highest of `pref --help`).

The result is JSON in --output, and a Markdown table on standard output. Ratios are medians over the rounds.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import models  # noqa: E402
import pref_command  # noqa: E402
import trl_process  # noqa: E402
from pref_command import ROOT  # noqa: E402

sys.path.insert(0, str(ROOT / "tests" / "gpu"))
import watched_run  # noqa: E402

SHARED_DATA = ROOT.parent / "shared" / "data"
MAX_LENGTH = 1024
SIDES = {
    "trl": ("default", "tuned"),
    "pref": ("pref",),
    "both": ("default", "pref", "tuned", "pref"),
}


def own_ids(row, tokenizer):
    """libpref's documented assembly: BOS, the prompt with its generation prompt, the response to its EOS, cut from the
    right at MAX_LENGTH; the newline that the template writes after EOS is not trained on."""

    def text(messages, generation):
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generation
        )

    prompt = tokenizer.encode(text(row["chosen"][:-1], True), add_special_tokens=False)
    out = {"prompt_ids": [tokenizer.bos_token_id] + prompt}
    for side in ("chosen", "rejected"):
        whole = tokenizer.encode(text(row[side], False), add_special_tokens=False)
        response = whole[len(prompt) :]
        end = len(response) - response[::-1].index(tokenizer.eos_token_id)
        out[f"{side}_ids"] = response[:end][: MAX_LENGTH - len(out["prompt_ids"])]
    return out


def checked_ids(rows, converted, lines):
    """libpref's ids, which both sides train on; rows without runs of spaces must have transformers' ids as well."""
    ids = [{key: line[key] for key in own} for own, line in zip(converted, lines, strict=True)]
    with_runs = 0
    for row, own, line in zip(rows, converted, ids, strict=True):
        runs = models.has_runs_of_spaces(row)
        with_runs += runs
        assert runs or line == own, "other ids than transformers in a row without runs of spaces"
    print(f"{with_runs} of {len(rows)} rows hold runs of spaces", file=sys.stderr)
    return ids


def prepare(work, options):
    """The model folder, the rows and their ids."""
    import transformers

    model = models.save_reference_model(work / "model", SHARED_DATA)
    rows = models.reference_pairs(SHARED_DATA, options.pairs)
    data = pref_command.write_jsonl(work / "pairs.jsonl", rows)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = [own_ids(row, tokenizer) for row in rows]
    if options.side != "trl":
        ids = checked_ids(
            rows, ids, pref_command.logps(model, data, "--set", f"max_length={MAX_LENGTH}")
        )
    tokens = sum(len(part) for row in ids for part in row.values())
    print(f"{len(ids)} pairs, {tokens / len(ids):.0f} tokens a pair, prompt once", file=sys.stderr)
    return model, data, pref_command.write_jsonl(work / "ids.jsonl", ids)


def run_pref(work, model, data, options, number):
    folder = work / f"run-{os.getpid()}-{number}"
    settings = pref_command.dpo_options(
        model, data, steps=options.steps, learning_rate=models.REFERENCE_LEARNING_RATE
    )
    settings |= {"max_length": MAX_LENGTH, "output_dir": str(folder)}
    config = pref_command.write_config(work / "train.yaml", settings)
    watch, peak = watched_run.run_watched(
        [pref_command.PROGRAM, "train", config], folder, work / "pref.log", options.steps
    )
    assert len(watch.lines) == options.steps, f"{folder} has {len(watch.lines)} lines of steps"
    helper = subprocess.Popen([pref_command.PROGRAM, "--help"], stdout=subprocess.DEVNULL)
    _, base = watched_run.wait(helper)
    return {
        "reference_s": watch.reference,
        "steps_s": watch.seconds_at(options.steps) - watch.reference,
        "base_mib": base,
        "peak_mib": peak,
        "losses": [line["loss"] for _, line in watch.lines],
    }


def run_trl(model, ids, options, mode):
    result = trl_process.run_trl(
        model, ids, mode=mode, steps=options.steps, learning_rate=models.REFERENCE_LEARNING_RATE
    )
    return {
        # The default's reference is inside its steps.
        "reference_s": result["setup_s"] if mode == "tuned" else 0.0,
        "steps_s": sum(result["step_s"]),
        "base_mib": result["base_mib"],
        "peak_mib": result["peak_mib"],
        "losses": [entry["loss"] for entry in result["log"]],
        "margins": [entry["rewards/margins"] for entry in result["log"]],
        "versions": result["versions"],
        "threads": result["threads"],
    }


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gemm_gflops():
    """The f32 rate of one of the model's products, as a measure of how quiet the machine is."""
    import torch

    a, b = torch.randn(1024, 512), torch.randn(512, 1408)
    best = min(timed(lambda: [a @ b for _ in range(20)]) for _ in range(5))
    return 20 * 2 * 1024 * 512 * 1408 / best / 1e9


def machine():
    def field(path, name):
        lines = pathlib.Path(path).read_text().splitlines()
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")

    return {
        "cpu": field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "system": platform.platform(),
    }


def with_rates(result, pairs):
    result["pairs_per_s"] = pairs / result["steps_s"]
    result["pairs_per_s_with_reference"] = pairs / (result["steps_s"] + result["reference_s"])
    result["above_start_mib"] = result["peak_mib"] - result["base_mib"]
    return result


def summarize(rounds):
    """Medians of every side, and of the ratios of runs that stand next to each other in a round."""
    runs = {}
    for result in (result for results in rounds for result in results):
        runs.setdefault(result["side"], []).append(result)
    names = ("pairs_per_s", "pairs_per_s_with_reference", "peak_mib", "above_start_mib")
    summary = {
        side: {name: statistics.median(result[name] for result in results) for name in names}
        for side, results in runs.items()
    }
    if not {"pref", "default", "tuned"} <= set(runs):
        return summary, {}

    def ratio(ours, theirs, name):
        """Places in a round, as SIDES["both"] orders them."""
        return statistics.median(results[ours][name] / results[theirs][name] for results in rounds)

    return summary, {
        "speed against TRL default, reference counted on both sides": ratio(
            1, 0, "pairs_per_s_with_reference"
        ),
        "speed against TRL tuned, reference counted on neither side": ratio(3, 2, "pairs_per_s"),
        "memory above the start against TRL default": ratio(1, 0, "above_start_mib"),
        "memory above the start against TRL tuned": ratio(3, 2, "above_start_mib"),
    }


def markdown(report):
    titles = {"default": "TRL, default", "tuned": "TRL, tuned", "pref": "libpref"}
    lines = [
        "| | pairs/s | pairs/s, reference counted | peak RSS, GiB | above its start, GiB |",
        "|---|---|---|---|---|",
    ]
    for side, row in report["summary"].items():
        # TRL's default computes the reference in every step: there is no figure without it.
        without = "" if side == "default" else f"{row['pairs_per_s']:.3f}"
        lines.append(
            f"| {titles[side]} | {without} | {row['pairs_per_s_with_reference']:.3f} "
            f"| {row['peak_mib'] / 1024:.2f} | {row['above_start_mib'] / 1024:.2f} |"
        )
    lines.append("")
    lines += [f"- {name}: {value:.2f}" for name, value in report["ratios"].items()]
    place, gemm = report["machine"], report["gemm_gflops"]
    lines.append(
        f"- {place['cpu']}, {place['cores']} cores, {place['memory_gib']} GiB; f32 GEMM "
        f"{min(gemm):.0f} to {max(gemm):.0f} GFLOP/s between the runs"
    )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--steps", type=int, help="default: once over the pairs")
    parser.add_argument("--side", choices=tuple(SIDES), default="both", help="only one of the two")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "benchmark")
    parser.add_argument("--output", type=pathlib.Path, help="default: WORK/benchmark_trl.json")
    options = parser.parse_args()
    if not SHARED_DATA.is_dir():
        parser.error("needs the data folder ../shared/data, which is not here")
    options.steps = options.steps or options.pairs // 4
    options.work.mkdir(parents=True, exist_ok=True)
    model, data, ids = prepare(options.work, options)

    report = {"machine": machine(), "options": {"pairs": options.pairs, "steps": options.steps}}
    report |= {"gemm_gflops": [], "rounds": []}
    for number in range(options.rounds):
        results = []
        for turn, side in enumerate(SIDES[options.side]):
            report["gemm_gflops"].append(gemm_gflops())
            load = os.getloadavg()[0]
            if side == "pref":
                result = run_pref(options.work, model, data, options, f"{number}-{turn}")
            else:
                result = run_trl(model, ids, options, side)
            result = with_rates(result, 4 * options.steps) | {"side": side, "load_before": load}
            results.append(result)
            print(
                f"round {number + 1}, {side}: {result['pairs_per_s']:.3f} pairs/s, with the reference "
                f"{result['pairs_per_s_with_reference']:.3f}, {result['above_start_mib']:.0f} MiB above its "
                f"start (load before {load:.1f}, GEMM {report['gemm_gflops'][-1]:.0f} GFLOP/s)",
                file=sys.stderr,
            )
        report["rounds"].append(results)
    report["summary"], report["ratios"] = summarize(report["rounds"])
    output = options.output or options.work / "benchmark_trl.json"
    output.write_text(json.dumps(report, indent=2))
    print(markdown(report))


if __name__ == "__main__":
    main()
