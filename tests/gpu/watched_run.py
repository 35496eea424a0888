# SPDX-License-Identifier: Apache-2.0
"""`pref train` watched from outside, for the comparisons with TRL: when its reference cache and each line of its
metrics.jsonl appear, and how much memory it takes.
"""

import json
import os
import subprocess
import threading
import time


class Watch(threading.Thread):
    """Seconds after the start at which the reference cache appears in a run folder, and every training line of its
    metrics.jsonl: `lines` holds (seconds, line)."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.started = folder, time.perf_counter()
        self.reference, self.lines, self.finished = None, [], False

    def run(self):
        while not self.finished:
            self.look()
            time.sleep(0.005)
        self.look()

    def look(self):
        now = time.perf_counter() - self.started
        if self.reference is None and (self.folder / "reference_logps.safetensors").exists():
            self.reference = now
        try:
            text = (self.folder / "metrics.jsonl").read_text()
        except FileNotFoundError:
            return
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        found = [line for line in lines if line.get("kind") == "train"]
        self.lines += [(now, line) for line in found[len(self.lines) :]]

    def seconds_at(self, update):
        """When the line of an update appeared; None where it has not."""
        return next((seconds for seconds, line in self.lines if line["step"] == update), None)


def wait(process):
    """(exit code, peak resident MiB)."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024


def runs(process):
    """Whether it does still; its exit code is left for wait()."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def run_watched(command, folder, log, updates, end_there=False):
    """Runs a training command whose run folder is `folder`, its output into the file `log`. Returns (the watch, peak
    resident MiB) once it is through its updates; end_there: ends the process then, before it saves the model."""
    watch = Watch(folder)
    watch.start()
    with log.open("w") as file:
        process = subprocess.Popen([*map(str, command)], stdout=file, stderr=file)
        try:
            while end_there and runs(process):
                if watch.seconds_at(updates) is not None:
                    process.kill()
                    break
                time.sleep(0.005)
            code, peak = wait(process)
        except BaseException:
            process.kill()
            raise
    watch.finished = True
    watch.join()
    if watch.seconds_at(updates) is None or (code != 0 and not end_there):
        raise RuntimeError(f"exit code {code} of {command[0]}: {log.read_text()[-3000:]}")
    if watch.reference is None:
        raise RuntimeError(f"{folder} has no reference cache")
    return watch, peak
