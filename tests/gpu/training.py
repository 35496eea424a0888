# SPDX-License-Identifier: Apache-2.0
"""Training through `pref train` for tests/gpu/suite.py: a small model and its data are made by the program quickstart,
DPO, SimPO, WPO and SELM run for 50 updates on the CPU and on the device, and losses are compared update by update.
"""

import hashlib
import json
import re
import statistics

UPDATES = 50
REHEARSAL_UPDATES = 10  # where there is no device to compare with
BATCH = 16
# A llama of two layers, with whole warps per head, and data for one pass.
WORLD = {
    "hidden_size": 128,
    "layers": 2,
    "vocab_size": 512,
    "sft_rows": 2048,
    "pairs": UPDATES * BATCH,
    "held_out_pairs": 16,
    "samples": 4,
    "dpo_learning_rate": 1e-4,
}
TRAINERS = {
    "dpo": {"beta": 0.1},
    "simpo": {"beta": 2.0, "gamma_beta_ratio": 0.5},
    "wpo": {"beta": 0.1},
    "selm": {"beta": 0.1, "alpha": 0.001},
}
# Mean distance of two loss curves over all updates, nats. On the CPU, weights rounded to bf16 at the start move a curve
# by 0.0005 to 0.0023; half the learning rate by 0.06 to 0.13; not learning at all by 0.10 to 0.35.
LOSS_BOUND = 0.03
FLOAT32_BOUND = (
    0.002  # where the device computes in float32 as well, and only the order of sums differs
)
LEARNING_RATE = 1e-3
# Fields of metrics.jsonl that time or memory decides.
_TIMING = ("second", "time", "per_s", "perf/", "rss", "memory")


def make_world(run, folder):
    """`folder`/world with sft/model and train.jsonl, in which every row also has a third response."""
    settings = [f"{name}={value}" for name, value in WORLD.items()]
    run(["quickstart", str(folder / "world"), *settings], threads=1)
    rows = [
        json.loads(line) for line in (folder / "world" / "train.jsonl").read_text().splitlines()
    ]
    for row, other in zip(rows, rows[1:] + rows[:1]):
        row["reference_response"] = other["chosen"]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def has_option(help_text, name):
    return re.search(rf"^{name}\b", help_text, re.MULTILINE) is not None


def train(run, folder, trainer, name, updates, extra):
    """Runs `pref train` into folder/name and returns the run folder."""
    options = {
        "trainer": trainer,
        "model_name_or_path": str(folder / "world" / "sft" / "model"),
        "dataset_name": str(folder / "pairs.jsonl"),
        "output_dir": str(folder / name),
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": BATCH,
        "max_steps": updates,
        "shuffle": False,
        "logging_steps": 1,
        "save_strategy": "no",
        **TRAINERS[trainer],
        **extra,
    }
    config = folder / f"{name}.yaml"
    config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in options.items()))
    run(["pref", "train", str(config)], threads=1)  # so small a model gains nothing from more
    return folder / name


def losses(run_folder):
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


def compare(trainer, ours, cpu, updates, bound=LOSS_BOUND):
    """A "check" line: the mean distance of two curves; a missing or non-finite loss is never right."""
    whole = len(ours) == len(cpu) == updates and None not in ours
    error = statistics.fmean(abs(a - b) for a, b in zip(ours, cpu)) if whole else None
    return {
        "kind": "check",
        "name": f"train {trainer}",
        "case": f"{updates} updates, loss beside the CPU's",
        "error": error,
        "bound": bound,
        "ok": error is not None and error <= bound,
    }


def mean(values):
    """Rounded; None where a value is missing, as a loss that is not finite is."""
    return None if not values or None in values else round(statistics.fmean(values), 5)


def curve(trainer, device, values, seconds):
    """A "run" line."""
    fifth = max(1, len(values) // 5)
    return {
        "kind": "run",
        "name": trainer,
        "case": f"{len(values)} updates of {BATCH} pairs on {device}",
        "loss_first": mean(values[:fifth]),
        "loss_last": mean(values[-fifth:]),
        "seconds": round(seconds, 2),
    }


def fingerprint(run_folder):
    """What two equal runs have in common, bit for bit: every logged figure that no clock decides, and the weights."""
    metrics = []
    for line in (run_folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        metrics.append(
            {k: v for k, v in entry.items() if not any(word in k.lower() for word in _TIMING)}
        )
    files = sorted((run_folder / "model").glob("*.safetensors"))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return metrics, digests


def same_bits(first, second):
    """The check line of two runs that must be equal bit for bit."""
    (metrics_a, weights_a), (metrics_b, weights_b) = fingerprint(first), fingerprint(second)
    different = sum(a != b for a, b in zip(metrics_a, metrics_b)) + abs(
        len(metrics_a) - len(metrics_b)
    )
    equal = different == 0 and weights_a == weights_b and len(weights_a) > 0
    return {
        "kind": "check",
        "name": "run to run",
        "case": "dpo, deterministic: metrics and weights, bit for bit",
        "error": different if different else int(weights_a != weights_b),
        "bound": 0,
        "ok": equal,
    }
