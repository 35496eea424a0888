# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of the GPU suite one after the other within a number of minutes; tests/gpu/run.sh starts it.

    prepare   the programs start; a small model and its data are made; each trainer runs on the CPU (no device needed)
    doctor    pref doctor --device cuda --json --full: every kernel against double precision, shares of the ceilings
    tests     test_gpu (GoogleTest)
    train     two deterministic runs are equal bit for bit; 50 updates of each trainer in bfloat16, and of DPO in
              float32, beside the CPU's
    bench     gpu_bench --seconds N: head, attention and whole steps
    peers     gpu_bench --peers --seconds N and peers.py in turns, three rounds: ratios to other libraries
    trl       beside_trl.py --seconds N: DPO updates of pref train and of TRL's trainer in turns, where TRL is there

Programs print one JSON object a line ("kind": device, ceiling, check, bench, peer, run, tests, clocks, versions or
skipped). Everything lands in results.json; table.py makes results.md of it. Without a device every part but the first
is reported as skipped and the exit code is 77. A part that does not fit into the time left is skipped, and said.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

import table
import target
import training

NO_DEVICE = 77
# Seconds of each part when the whole has 480, and the least that it can do anything with. Time that a part leaves over
# is the next ones'.
PARTS = {
    "prepare": (40, 0),
    "doctor": (70, 20),
    "tests": (45, 15),
    "train": (45, 25),
    "bench": (65, 30),
    "peers": (100, 45),
    "trl": (115, 60),
}
WHOLE = sum(seconds for seconds, _ in PARTS.values())
ROUNDS = 3
RESULTS = ("results.json", "results.md", "test_gpu.xml")


class Failed(Exception):
    """A part ends here, failed; the text says why."""


class Skipped(Exception):
    """A part has nothing to do on this machine; the text says why."""


class Suite:
    def __init__(self, folder, work, out, minutes):
        self.folder, self.work, self.out = folder, work, out
        self.start = time.monotonic()
        self.started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.seconds = minutes * 60
        self.deadline = self.start + self.seconds
        self.lines, self.parts = [], []
        self.device = None
        for name in RESULTS:  # of an earlier run, which must not be taken for this one's
            (out / name).unlink(missing_ok=True)
        self.log = (out / "log.txt").open("w")
        self.help = ""
        self.cpu_losses = {}
        here = pathlib.Path(__file__).resolve().parent
        self.peers_program = [sys.executable, "-B", str(here / "peers.py")]
        self.trl_program = [sys.executable, "-B", str(here / "beside_trl.py")]

    def left(self):
        return self.deadline - time.monotonic()

    def note(self, line, **extra):
        self.lines.append({**line, **extra})

    def say(self, text):
        print(text, flush=True)
        self.log.write(text + "\n")
        self.log.flush()

    def run(self, command, check=True, threads=None):
        """A program of the bundle, or any other by its path, until the part's deadline: (exit code, standard output).
        None instead of the code: it was stopped there; what it had printed still counts. threads: on the CPU.
        """
        if "/" not in command[0]:
            command = [str(self.folder / "bin" / command[0]), *command[1:]]
        self.log.write(f"$ {' '.join(command)}\n")
        start = time.monotonic()
        # Some containers turn TF32 on for all of torch; what is called float32 here is float32.
        environment = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"}
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        with contextlib.ExitStack() as stack:
            files = [tempfile.TemporaryFile("w+", dir=self.work) for _ in range(2)]
            out, err = map(stack.enter_context, files)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.work,
                env={**os.environ, **environment},
                start_new_session=True,
            )
            try:
                code = process.wait(max(0.1, self.left()))
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)  # with what it started itself
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                code = None
            out.seek(0)
            err.seek(0)
            text, errors = out.read(), err.read()
        took = time.monotonic() - start
        self.log.write(f"{text}{errors[-4000:]}--- exit code {code}, {took:.1f} s\n")
        self.log.flush()
        if check and code != 0:
            last = (errors.strip() or text.strip() or "no output").splitlines()[-1]
            how = (
                f"was stopped after {took:.0f} s"
                if code is None
                else f"ended with exit code {code}: {last}"
            )
            raise Failed(f"{pathlib.Path(command[0]).name} {how}")
        return code, text

    def json_lines(self, command, may_skip=False, **extra):
        """Runs a program that prints JSON lines and keeps them, each with `extra`. may_skip: it may say that it has
        nothing to do here."""
        code, text = self.run(command, check=False)
        name = pathlib.Path(command[0]).name
        found, unreadable = [], []
        for line in text.splitlines():
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                    self.note(found[-1], **extra)
                except ValueError:
                    unreadable.append(line)
        # The last line of a program that was stopped may be half of one.
        if unreadable and code is not None:
            raise Failed(f"{name} printed a line that is no JSON: {unreadable[0][:100]}")
        if may_skip and code == NO_DEVICE and found and found[-1].get("kind") == "skipped":
            raise Skipped(found[-1]["reason"])
        wrong = [line for line in found if line.get("kind") == "check" and not line.get("ok")]
        if wrong:
            first = f"{wrong[0].get('name')}: {wrong[0].get('case')}"
            raise Failed(f"{name}: {len(wrong)} checks failed, the first {first}")
        if code != 0:
            how = (
                "was stopped at its time's end" if code is None else f"ended with exit code {code}"
            )
            raise Failed(f"{name} {how}, after {len(found)} lines")
        return found

    # --- The parts. Each returns what to say of it. ---

    def prepare(self):
        _, text = self.run(["pref", "--help"])
        if "train" not in text:
            raise Failed("pref --help does not name its commands")
        self.run(["pref", "doctor"])
        _, self.help = self.run(["pref", "train", "--help"])
        training.make_world(self.run, self.work)
        updates = training.UPDATES if self.device else training.REHEARSAL_UPDATES
        for trainer in training.TRAINERS:
            folder, seconds = self.train(trainer, f"{trainer}-cpu", "cpu", updates)
            self.cpu_losses[trainer] = training.losses(folder)
            self.note(training.curve(trainer, "the CPU", self.cpu_losses[trainer], seconds))
        return f"programs start, {len(training.TRAINERS)} trainers ran on the CPU"

    def train(self, trainer, name, device, updates=training.UPDATES, **extra):
        """A build without devices knows no option `device`; on the CPU it can be left out there."""
        if device != "cpu" or training.has_option(self.help, "device"):
            extra["device"] = device
        start = time.monotonic()
        folder = training.train(self.run, self.work, trainer, name, updates, extra)
        return folder, time.monotonic() - start

    def doctor(self):
        found = self.json_lines(["pref", "doctor", "--device", "cuda", "--json", "--full"])
        checks = sum(line.get("kind") == "check" for line in found)
        if checks == 0:
            raise Failed("pref doctor reported no check")
        return f"{checks} checks right"

    def tests(self):
        results = self.out / "test_gpu.xml"
        code, text = self.run(["test_gpu", f"--gtest_output=xml:{results}"], check=False)
        if not results.is_file():  # it was ended, or ended itself, in the middle of a test
            begun = [line for line in text.splitlines() if line.startswith("[ RUN ")]
            where = f" in {begun[-1].split('] ')[-1]}" if begun else ""
            raise Failed(f"test_gpu ended{where} and left no results (exit code {code})")
        passed, failed, skipped = count_cases(results)
        counts = {"passed": passed, "failed": failed, "skipped": skipped}
        self.note({"kind": "tests", "name": "test_gpu", **counts})
        text = f"{passed} passed, {len(failed)} failed, {skipped} skipped"
        if failed or code != 0:
            first = f"; the first: {failed[0]}" if failed else ""
            raise Failed(f"{text}, exit code {code}{first}")
        if not passed:
            raise Failed(f"{text}: nothing was tested although there is a device")
        return text

    def training_runs(self):
        first, _ = self.train("dpo", "deterministic-1", "cuda", deterministic=True)
        second, _ = self.train("dpo", "deterministic-2", "cuda", deterministic=True)
        checks = []

        def add(check):  # noted at once: a later run may fail
            checks.append(check)
            self.note(check)

        add(training.same_bits(first, second))
        runs = [(trainer, "bfloat16", training.LOSS_BOUND) for trainer in training.TRAINERS]
        for trainer, dtype, bound in [("dpo", "float32", training.FLOAT32_BOUND), *runs]:
            folder, seconds = self.train(trainer, f"{trainer}-{dtype}", "cuda", dtype=dtype)
            values = training.losses(folder)
            self.note(training.curve(trainer, f"the device, {dtype}", values, seconds))
            cpu = self.cpu_losses[trainer]
            name = f"{trainer}, {dtype}"
            add(training.compare(name, values, cpu, training.UPDATES, bound))
        wrong = [check for check in checks if not check["ok"]]
        if wrong:
            first = f"{wrong[0]['name']}: {wrong[0]['error']}"
            raise Failed(f"{len(wrong)} of {len(checks)} checks failed, the first {first}")
        return f"{len(checks)} checks right"

    def bench(self):
        found = self.json_lines(["gpu_bench", "--seconds", f"{0.9 * self.left():.0f}"])
        figures = sum(line.get("kind") == "bench" for line in found)
        if not figures:
            raise Failed("gpu_bench reported no figure")
        return f"{figures} figures"

    def peers(self):
        """One process of ours and one of theirs in turn, so that clocks and heat are the same for both."""
        each = self.left() / ROUNDS
        done, broken = 0, None
        try:
            while done < ROUNDS and (not done or self.left() > 0.7 * each):
                ours = ["gpu_bench", "--peers", "--seconds", f"{0.25 * each:.0f}"]
                self.json_lines(ours, round=done + 1)
                theirs = [*self.peers_program, "--seconds", f"{0.5 * each:.0f}"]
                self.json_lines(theirs, round=done + 1)
                done += 1
        except Failed as error:
            broken = error  # what was measured until then still counts
        ratios = self.form_ratios(self.lines, broken)
        if done < ROUNDS:
            reason = f"time was left for {done} of {ROUNDS} rounds"
            self.note({"kind": "skipped", "name": "peers", "reason": reason})
        return f"{len(ratios)} ratios, {done} rounds"

    def form_ratios(self, lines, broken):
        """Keeps the ratios of what was measured, whether or not it then broke."""
        ratios = table.ratios(lines)
        for line in ratios:
            self.note(line)
        if broken:
            raise broken
        if not ratios:
            raise Failed("no case of libpref's has a partner of another library's")
        return ratios

    def trl(self):
        """The program takes its turns itself: importing TRL takes longer than many updates."""
        command = [*self.trl_program, "--pref", str(self.folder / "bin" / "pref")]
        command += ["--work", str(self.work), "--seconds", f"{0.95 * self.left():.0f}"]
        before, broken = len(self.lines), None
        try:
            self.json_lines(command, may_skip=True)
        except Failed as error:
            broken = error
        ratios = self.form_ratios(self.lines[before:], broken)
        return f"{len(ratios)} ratios, {min(line['rounds'] for line in ratios)} rounds or more"

    # --- All of it. ---

    def part(self, name, wanted, end):
        """Runs one part; `end` is the moment by which it must be through."""
        start = time.monotonic()
        least = PARTS[name][1]
        self.deadline = min(end, self.start + self.seconds)
        reason = ""
        if name != "prepare":
            if self.device is None:
                reason = self.reason
            elif name not in wanted:
                reason = "not asked for (--parts)"
            elif self.left() < least:
                reason = f"needs {least} s, and {max(0, self.left()):.0f} s are left of --minutes"
        if reason:
            outcome, text = "skipped", reason
            self.note({"kind": "skipped", "name": name, "reason": reason})
        else:
            try:
                text = getattr(self, {"train": "training_runs"}.get(name, name))()
                outcome = "prepared" if name == "prepare" else "passed"
            except Skipped as reason:
                outcome, text = "skipped", str(reason)
            except Failed as error:
                outcome, text = "failed", str(error)
            except Exception as error:  # the other parts' results must not be lost with it
                outcome, text = "failed", f"{type(error).__name__}: {error}"
            now = target.clocks()
            if now:
                self.note({"kind": "clocks", "name": f"after {name}", **now})
        seconds = round(time.monotonic() - start, 1)
        self.parts.append({"name": name, "outcome": outcome, "text": text, "seconds": seconds})
        self.say(f"{name:8}  {outcome}: {text}" + (f" ({seconds:.1f} s)" if seconds >= 0.1 else ""))

    def save(self, found):
        results = {
            "started": self.started,
            "seconds": round(time.monotonic() - self.start, 1),
            "versions": found["versions"],
            "architectures": found["manifest"]["architectures"],
            "device": self.device,
            "parts": self.parts,
            "lines": self.lines,
        }
        (self.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (self.out / "results.md").write_text(table.markdown(results))

    def everything(self, wanted):
        found = target.look(self.folder)
        self.device, self.reason = found["device"], found["reason"]
        self.say(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
        self.say(f"device: {self.device['name']}" if self.device else self.reason)
        if self.device is None:
            shares = {"prepare": 1.0}  # nothing else takes time
        else:
            shares = {
                name: seconds
                for name, (seconds, _) in PARTS.items()
                if name in ("prepare", *wanted)
            }
        end = self.start
        for name in PARTS:
            end += self.seconds * shares.get(name, 0) / sum(shares.values())
            self.part(name, wanted, end)
            self.save(found)  # after every part: the machine may be taken away
        outcomes = [part["outcome"] for part in self.parts]
        passed, failed, skipped = map(outcomes.count, ("passed", "failed", "skipped"))
        self.say(
            f"{passed} parts passed, {failed} failed, {skipped} skipped; {self.out / 'results.md'}"
        )
        if "failed" in outcomes:
            return 1
        return 0 if "passed" in outcomes else NO_DEVICE


def count_cases(path):
    """(passed, names of the failed, skipped) of a GoogleTest XML file."""
    passed, failed, skipped = 0, [], 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None:
            failed.append(f"{case.get('classname')}.{case.get('name')}")
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, help="an unpacked bundle")
    parser.add_argument(
        "--work", type=pathlib.Path, required=True, help="a folder for what is made on the way"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-results"))
    parser.add_argument("--minutes", type=float, default=WHOLE / 60)
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.parts.split(",") if name]
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown or arguments.minutes <= 0:
        parser.error(
            f"no part is called {unknown[0]}; there are {', '.join(PARTS)}"
            if unknown
            else "--minutes is above 0"
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # stops children
    arguments.out.mkdir(parents=True, exist_ok=True)
    suite = Suite(
        arguments.folder.resolve(),
        arguments.work.resolve(),
        arguments.out.resolve(),
        arguments.minutes,
    )
    try:
        return suite.everything(wanted)
    except target.Unfit as error:
        print(f"[gpu] error: {error}", file=sys.stderr)
        return 69


if __name__ == "__main__":
    sys.exit(main())
