# SPDX-License-Identifier: Apache-2.0
"""Runs the `pref` command line as a user would and reads what it writes."""

import dataclasses
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"
PROGRAM = BUILD / "bin" / "pref"

# Exit codes (sysexits): bad option, bad data, input missing.
USAGE, DATA, NO_INPUT = 64, 65, 66

# Fields of metrics.jsonl that say how long something took, and so differ between equal runs.
TIMING_WORDS = ("second", "time", "per_s", "perf/", "rss", "memory")


def read_jsonl(path_or_text):
    text = path_or_text.read_text() if isinstance(path_or_text, pathlib.Path) else path_or_text
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def without_timings(entry):
    return {k: v for k, v in entry.items() if not any(word in k.lower() for word in TIMING_WORDS)}


@dataclasses.dataclass
class Run:
    """A finished `pref train`."""

    folder: pathlib.Path
    stderr: str

    def metrics(self, kind="train"):
        lines = read_jsonl(self.folder / "metrics.jsonl")
        return [line for line in lines if line.get("kind") == kind]

    def final_weights(self):
        """The safetensors files of the final model, wherever in the run directory it stands."""
        files = []
        for path in sorted(self.folder.rglob("model*.safetensors")):
            parts = path.relative_to(self.folder).parts
            if not any(part.startswith("checkpoint-") for part in parts):
                files.append(path)
        assert (
            files
        ), f"no final model in {self.folder}: {sorted(p.name for p in self.folder.iterdir())}"
        return files


def run(*arguments, stdin="", check=0, threads=1, timeout=600):
    """`pref ARGUMENTS`; the exit code must be `check`. One thread: tiny models gain nothing from more."""
    assert PROGRAM.exists(), f"{PROGRAM} is not built; run cmake/bootstrap.sh"
    environment = dict(os.environ)
    environment.pop("OMP_NUM_THREADS", None)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
    )
    assert done.returncode == check, (
        f"pref {' '.join(map(str, arguments))}: exit code {done.returncode}, not {check}\n"
        f"stdout: {done.stdout[-800:]}\nstderr: {done.stderr[-2000:]}"
    )
    return done


def logps(model, data, *extra):
    """Rows of `pref logps --ids`."""
    return read_jsonl(run("logps", "--model", model, "--data", data, "--ids", *extra).stdout)


def write_config(path, options):
    """A configuration file; JSON is YAML."""
    path.write_text(json.dumps(options, indent=2))
    return path


def train(folder, options, *overrides, threads=1, timeout=3600):
    """`pref train` into `folder`/run (or options["output_dir"])."""
    options = {"output_dir": str(folder / "run"), **options}
    config = write_config(folder / "train.yaml", options)
    done = run("train", config, *overrides, threads=threads, timeout=timeout)
    return Run(pathlib.Path(options["output_dir"]), done.stderr)


def dpo_options(model, data, *, steps, learning_rate, batch=4, beta=0.1):
    """`pref train`'s configuration of what trl_run.py does: file order, constant rate, one log line a step."""
    return {
        "trainer": "dpo",
        "model_name_or_path": str(model),
        "dataset_name": str(data),
        "beta": beta,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": batch,
        "max_steps": steps,
        "shuffle": False,
        "logging_steps": 1,
        "save_strategy": "no",
    }
