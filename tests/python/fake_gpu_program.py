# SPDX-License-Identifier: Apache-2.0
"""Stands in for the programs of a bundle in test_gpu_suite.py: `fake_gpu_program.py NAME ARGUMENTS...` does what the
program NAME would on a machine with a device, as far as tests/gpu/suite.py looks. FAKE names one thing to do wrong.
"""

import json
import os
import pathlib
import sys
import time

WRONG = os.environ.get("FAKE", "")


def emit(**line):
    print(json.dumps(line), flush=True)


def train(path):
    options = dict(line.split(": ", 1) for line in path.read_text().splitlines())
    options = {key: json.loads(value) for key, value in options.items()}
    folder = pathlib.Path(options["output_dir"])
    (folder / "model").mkdir(parents=True)
    shift = (
        0.0 if options["device"] == "cpu" else 0.001 if options.get("dtype") == "float32" else 0.01
    )
    if WRONG == "float32":
        shift *= 3
    if WRONG == "loss" and options["trainer"] == "wpo" and shift:
        shift = 0.2
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(options["max_steps"]):
            loss = 0.7 - 0.001 * step + shift
            if WRONG == "nan" and options["trainer"] == "dpo" and shift:
                loss = None
            file.write(
                json.dumps(
                    {
                        "kind": "train",
                        "step": step,
                        "loss": loss,
                        "perf/tokens_per_second": time.time(),
                    }
                )
                + "\n"
            )
    weights = b"w" + (os.urandom(8) if WRONG == "weights" else b"")
    (folder / "model" / "model.safetensors").write_bytes(weights)


def pref(arguments):
    if arguments == ["--help"] or arguments == ["doctor"]:
        print("pref train doctor")
    elif arguments == ["train", "--help"]:
        print("device   choice   cpu")
    elif arguments[0] == "train":
        train(pathlib.Path(arguments[1]))
    elif arguments[0] == "doctor":
        assert arguments[1:] == ["--device", "cuda", "--json", "--full"]
        emit(
            kind="device",
            name="Fake 1",
            memory_gb=80.0,
            sm=132,
            capability="9.0",
            driver="1.2",
            runtime="13.0",
        )
        if WRONG == "hang":
            time.sleep(600)
        emit(kind="ceiling", name="read", value=4300.0, unit="GB/s")
        emit(
            kind="check",
            name="logprob_statistics",
            case="bf16 [4, 9]",
            error=1e-6,
            bound=1e-5,
            ok=WRONG != "check",
        )
        emit(
            kind="bench",
            goal="G1",
            name="logprob_statistics",
            case="bf16 [8192, 32000]",
            ms=0.1,
            ms_p20=0.09,
            ms_p80=0.12,
            value=4000.0,
            unit="GB/s",
            share=0.93,
            of="read",
            wanted=0.92,
        )
        if WRONG == "garbage":
            print("{half of a line")
        return 1 if WRONG == "check" else 0
    return 0


def test_gpu(arguments):
    path = next(
        word.removeprefix("--gtest_output=xml:")
        for word in arguments
        if word.startswith("--gtest_output=xml:")
    )
    cases = {"Works": "", "Other": ""}
    if WRONG == "test":
        cases["Other"] = '<failure message="no"/>'
    if WRONG == "skip":
        cases = dict.fromkeys(cases, '<skipped message="no device"/>')
    if WRONG == "crash":
        return 139
    inside = "".join(
        f'<testcase name="{name}" classname="Gpu" status="run">{body}</testcase>'
        for name, body in cases.items()
    )
    pathlib.Path(path).write_text(f"<testsuites><testsuite>{inside}</testsuite></testsuites>")
    return {"test": 1, "late crash": 139}.get(WRONG, 0)


def gpu_bench(arguments):
    if WRONG == "no figures":
        return 0
    if "--peers" in arguments:
        emit(kind="bench", goal="G3", name="logprob", case="bf16 [8192, 128256]", ms=2.0)
        emit(kind="bench", goal="G5", name="head", case="only ours", ms=2.0)
    else:
        emit(
            kind="bench",
            goal="G4",
            name="head",
            case="bf16 [8192, 4096] x 128256",
            ms=40.0,
            ratio=1.1,
            of="three GEMMs",
            wanted=1.08,
        )
    return 0


def peers(arguments):
    number = int(pathlib.Path("rounds").read_text()) + 1 if pathlib.Path("rounds").exists() else 1
    pathlib.Path("rounds").write_text(str(number))
    emit(
        kind="peer",
        goal="G3",
        name="logprob",
        case="bf16 [8192, 128256]",
        of="torch eager",
        ms=10.0 + number,
        ms_p20=10.0,
        ms_p80=13.0,
        memory_gb=2.0,
    )
    emit(kind="skipped", name="head, CCE", reason="No module named 'cut_cross_entropy'")
    return 0


def beside_trl(arguments):
    if WRONG == "no trl":
        emit(kind="skipped", name="beside TRL", reason="python has no trl")
        return 77
    case = {"goal": "G10", "name": "DPO update, UltraFeedback", "case": "1B llama"}
    for number in (1, 2, 3):
        ours = {"round": number, "ms": 80.0, "memory_gb": 20.0, "pairs_per_s": 100.0, "setup_s": 5.0}
        theirs = {**ours, "ms": 300.0 + number, "memory_gb": 60.0, "pairs_per_s": 25.0}
        emit(kind="bench", **case, **ours)
        emit(kind="peer", **case, **theirs, of="TRL default")
        right = WRONG != "other work"
        emit(kind="check", name="the same work: tokens", case="x", error=0, bound=0, ok=right)
    return 0


def quickstart(arguments):
    folder = pathlib.Path(arguments[0])
    folder.mkdir()
    rows = [{"prompt": f"p{i}", "chosen": f"c{i}", "rejected": f"r{i}"} for i in range(3)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0


sys.exit(globals()[sys.argv[1]](sys.argv[2:]))
