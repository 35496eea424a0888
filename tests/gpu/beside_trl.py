# SPDX-License-Identifier: Apache-2.0
"""DPO updates of `pref train` beside TRL's DPOTrainer: the same pairs as the same ids, in updates of the same eight
pairs, from the same random weights, in turns. tests/gpu/suite.py runs it on a card and forms the ratios.

    tests/gpu/beside_trl.py --pref build/release/bin/pref --device cpu --shape tiny     a rehearsal without a card

Each round and data set: TRL as it comes (float32 weights under bfloat16 autocast, gradient checkpointing, the reference
in every update), libpref as it comes, TRL tuned (the reference precomputed, no checkpointing, rows in order of length).
Where TRL runs out of memory the same update is taken in two, four or eight parts.

Timed are whole updates after the first ones, between two moments at which the device has done everything; before them
lie loading, tokenizing and precomputed references, given as setup_s. libpref is watched from outside, by the lines of
its metrics.jsonl. Memory is what is taken on the card, sampled; on a CPU, the highest resident size of the process.

"check" lines hold the two sides to the same work: tokens trained on, log-probs and gradient norm of the first update,
loss after the last.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import torch
import training
import trl_inputs
import watched_run

PACKAGES = ("trl", "transformers", "datasets", "accelerate")
NO_DEVICE = 77
MODES = ("default", "tuned")
# (relative, but for the loss) on what two sides of equal work may differ, by the type they compute in.
BOUNDS = {
    "cpu": {"log-probs": 1e-5, "gradient norm": 2e-3, "loss": 1e-4},
    "cuda": {"log-probs": 5e-3, "gradient norm": 0.1, "loss": 0.05},
}


def missing():
    """Why TRL cannot be run by this Python; empty where it can."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"{sys.executable} has no {', '.join(absent)}" if absent else ""


class Failed(Exception):
    """libpref's side did not do its work."""


class Taken(threading.Thread):
    """The most memory taken on the card while the block runs, less what was taken before, GB; None on a CPU."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device, self.finished, self.gb = device, threading.Event(), None

    def bytes(self):
        free, total = torch.cuda.mem_get_info()
        return total - free

    def run(self):
        while not self.finished.wait(0.02):
            self.gb = max(self.gb, (self.bytes() - self.before) / 1e9)

    def or_resident(self, mib):
        return mib * 2**20 / 1e9 if self.gb is None else self.gb

    def __enter__(self):
        if self.device == "cuda":
            self.before, self.gb = self.bytes(), 0.0
            self.start()
        return self

    def __exit__(self, *unused):
        self.finished.set()
        if self.gb is not None:
            self.join()


class Trl:
    """A process of trl_run.py that does one run after the other."""

    def __init__(self, log):
        command = [sys.executable, "-B", str(pathlib.Path(__file__).with_name("trl_run.py")), "--serve"]
        # One card, whatever the machine has: TRL would share the work among all of them.
        cards = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": cards[0]}
        self.log = log
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env=environment,
        )

    def run(self, *arguments):
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps([*map(str, arguments)]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            last = (self.log.read_text().strip() or "no message").splitlines()[-1]
            return {"error": f"trl_run.py ended: {last}", "out_of_memory": False}
        return json.loads(line)

    def close(self):
        self.process.kill()
        self.process.wait()


class Case:
    """One data set of one shape: its files, and a run of each side on them."""

    def __init__(self, profile, shape, options, model, folder):
        self.profile, self.shape, self.options, self.model = profile, shape, options, model
        self.folder = folder / profile.name.split(",")[0]
        self.folder.mkdir()
        rows = trl_inputs.rows(profile, shape)
        vocabulary = shape.config["vocab_size"]
        self.write("pairs.jsonl", trl_inputs.as_text(rows, vocabulary))
        self.write("default.jsonl", rows)
        self.write("tuned.jsonl", trl_inputs.by_length(rows, shape))
        self.name = f"DPO update, {profile.name}"
        dtype = "bf16" if options.device == "cuda" else "f32"
        self.case = f"{shape.name}, {trl_inputs.BATCH} pairs, {dtype}"
        tokens = sum(len(ids) for row in rows for ids in row.values()) / len(rows)
        self.case += f", {tokens:.0f} tokens a pair"

    def write(self, name, rows):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / name).write_text(text)

    def check_ids(self):
        """libpref's own ids of the text, beside those that TRL is given."""
        given, texts = [], []
        rows = (self.folder / "default.jsonl").read_text().splitlines()
        for row, line in zip(rows, (self.folder / "pairs.jsonl").read_text().splitlines()):
            ids, text = json.loads(row), json.loads(line)
            for side in ("prompt", "chosen", "rejected"):
                given.append(ids[f"{side}_ids"][: None if side == "prompt" else -1])
                texts.append(json.dumps(text[side]))
        command = [self.options.pref, "tokenize", "--model", self.model]
        done = subprocess.run(command, input="\n".join(texts), capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"pref tokenize: {done.stderr[-500:]}")
        own = [json.loads(line) for line in done.stdout.splitlines()]
        wrong = sum(a != b for a, b in zip(own, given)) + abs(len(own) - len(given))
        return self.check("ids", f"{len(given)} texts", wrong, 0)

    def check(self, what, case, error, bound):
        return {
            "kind": "check",
            "name": f"the same work, {self.profile.name}: {what}",
            "case": case,
            "error": error,
            "bound": bound,
            "ok": error is not None and error <= bound,
        }

    def pref(self):
        """A run of `pref train` with its own defaults."""
        shape, name = self.shape, "pref"
        found = {}

        def run(command, threads):
            command = [self.options.pref, *command[1:]]
            with Taken(self.options.device) as taken:
                watch, peak = watched_run.run_watched(
                    command, self.folder / name, self.folder / "pref.log", shape.updates, end_there=True
                )
            found["watch"], found["memory"] = watch, taken.or_resident(peak)

        shutil.rmtree(self.folder / name, ignore_errors=True)
        settings = {
            "model_name_or_path": str(self.model),
            "dataset_name": str(self.folder / "pairs.jsonl"),
            "device": self.options.device,
            "learning_rate": shape.learning_rate,
            "per_device_train_batch_size": trl_inputs.BATCH,
            "logging_steps": shape.warm,
            "logging_first_step": True,
        }
        try:
            training.train(run, self.folder, "dpo", name, shape.updates, settings)
        except RuntimeError as error:
            raise Failed(str(error)) from error
        watch = found["watch"]
        start, end = (watch.seconds_at(update) for update in (shape.warm, shape.updates))
        log = [line for _, line in watch.lines]
        return {"seconds": end - start, "setup": watch.reference, "memory": found["memory"], "log": log}

    def trl(self, server, mode):
        """A run of TRL, in as few parts an update as its memory allows; {"error": why} where it fails."""
        shape = self.shape
        batch = trl_inputs.BATCH
        while True:
            arguments = ["--model", self.model, "--ids", self.folder / f"{mode}.jsonl", "--mode", mode]
            arguments += ["--device", self.options.device, "--learning-rate", shape.learning_rate]
            arguments += ["--batch", batch, "--accumulate", trl_inputs.BATCH // batch]
            arguments += ["--steps", shape.updates, "--warm", shape.warm, "--logging-steps", shape.warm]
            with Taken(self.options.device) as taken:
                result = server.run(*arguments)
            if "error" not in result:
                break
            if not result["out_of_memory"] or batch == 1:
                return result
            batch //= 2
        return {
            "seconds": result["timed_s"],
            "setup": result["setup_s"],
            "memory": taken.or_resident(result["peak_mib"]),
            "log": result["log"],
            "parts": trl_inputs.BATCH // batch,
        }

    def line(self, kind, run, number, **extra):
        pairs = self.shape.timed * trl_inputs.BATCH
        return {
            "kind": kind,
            "goal": "G10",
            "name": self.name,
            "case": self.case,
            "round": number,
            **extra,
            "ms": round(1e3 * run["seconds"] / self.shape.timed, 3),
            "pairs_per_s": round(pairs / run["seconds"], 3),
            "memory_gb": round(run["memory"], 3),
            "setup_s": round(run["setup"], 2),
            "loss_last": run["log"][-1]["loss"],
        }

    def same_work(self, ours, theirs, mode):
        """Tokens, log-probs and gradient of the first update, and where the run has led, of two runs."""
        bounds = BOUNDS[self.options.device]
        a, b = ours["log"], theirs["log"]
        case = f"beside TRL {mode}"

        def relative(names):
            return max(abs(a[0][name] - b[0][name]) / abs(b[0][name]) for name in names)

        found = {
            "log-probs": relative(("logps/chosen", "logps/rejected")),
            "gradient norm": relative(("grad_norm",)),
            "loss": abs(a[-1]["loss"] - b[-1]["loss"]),
        }
        tokens = abs(a[-1]["num_tokens"] - b[-1]["num_tokens"])
        yield self.check("tokens", case, tokens, 0)
        for what, error in found.items():
            # In order of length the last updates are others.
            if what == "loss" and mode == "tuned":
                continue
            finite = error if math.isfinite(error) else None
            yield self.check(what, case, finite, bounds[what])

    def turns(self, server, number):
        """The lines of one round."""
        theirs = {"default": self.trl(server, "default")}
        ours = self.pref()
        theirs["tuned"] = self.trl(server, "tuned")
        yield self.line("bench", ours, number)
        for mode, run in theirs.items():
            if "error" in run:  # another trainer's failure is a finding, not ours
                name = f"{self.name}, round {number}, TRL {mode}"
                yield {"kind": "skipped", "name": name, "reason": run["error"]}
                continue
            yield self.line("peer", run, number, of=f"TRL {mode}", parts=run["parts"])
            yield from self.same_work(ours, run, mode)


def measure(options, work, emit):
    start = time.monotonic()
    shape = trl_inputs.SHAPES[options.shape]
    server = Trl(work / "trl.log")  # imports while the model is made
    with contextlib.closing(server):
        emit({"kind": "versions", "name": "beside TRL", **{p: importlib.metadata.version(p) for p in PACKAGES}})
        model = work / "model"
        trl_inputs.write_model(model, shape, options.device)
        torch.cuda.empty_cache()
        cases = [Case(profile, shape, options, model, work) for profile in trl_inputs.PROFILES]
        for case in cases:
            emit(case.check_ids())
        longest = 0.0
        for number in range(1, options.rounds + 1):
            for case in cases:
                began = time.monotonic()
                if longest and began - start + longest > options.seconds:
                    reason = f"{options.seconds:.0f} s were nearly over"
                    emit({"kind": "skipped", "name": f"{case.name}, round {number}", "reason": reason})
                    continue
                for line in case.turns(server, number):
                    emit(line)
                longest = max(longest, time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pref", type=pathlib.Path, required=True, help="the program")
    parser.add_argument("--work", type=pathlib.Path, help="a folder for model and runs (default: a temporary one)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--shape", choices=tuple(trl_inputs.SHAPES), default="1b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=420, help="no turn starts that would end after this")
    options = parser.parse_args()

    def emit(line):
        print(json.dumps(line), flush=True)

    reason = missing()
    if options.device == "cuda" and not torch.cuda.is_available():
        reason = "no device"
    if reason:
        emit({"kind": "skipped", "name": "beside TRL", "reason": reason})
        return NO_DEVICE
    try:
        with tempfile.TemporaryDirectory(dir=options.work) as work:
            measure(options, pathlib.Path(work), emit)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
