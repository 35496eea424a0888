# SPDX-License-Identifier: Apache-2.0
"""tests/gpu/beside_trl.py without a card: both sides train the same pairs from the same weights on the CPU and print
what a run on a card would print, and the table gets its ratios from it.
"""

import json
import os
import subprocess
import sys

import pytest
import transformers
from pref_command import PROGRAM, ROOT, read_jsonl

sys.path.insert(0, str(ROOT / "tests" / "gpu"))

import beside_trl  # noqa: E402
import table  # noqa: E402
import trl_inputs  # noqa: E402

TINY = trl_inputs.SHAPES["tiny"]


def rehearse(shape, rounds, timeout=900):
    assert PROGRAM.exists(), f"{PROGRAM} is not built; run cmake/bootstrap.sh"
    command = [sys.executable, "-B", str(ROOT / "tests" / "gpu" / "beside_trl.py")]
    command += ["--pref", PROGRAM, "--device", "cpu", "--shape", shape, "--rounds", rounds]
    command += ["--seconds", timeout]  # how busy this machine is must not decide a test
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # so small models gain nothing from more
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=timeout, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return read_jsonl(done.stdout)


def assert_rehearsed(lines, rounds):
    """Every figure is there, for equal work; returns the ratios."""
    checks = [line for line in lines if line["kind"] == "check"]
    assert all(line["ok"] for line in checks), [line for line in checks if not line["ok"]]
    profiles = len(trl_inputs.PROFILES)
    # The ids once, then tokens, log-probs and gradient beside both, and where TRL's default has led.
    assert len(checks) == profiles * (1 + 7 * rounds)
    ours = [line for line in lines if line["kind"] == "bench"]
    theirs = [line for line in lines if line["kind"] == "peer"]
    assert len(ours) == profiles * rounds and len(theirs) == 2 * profiles * rounds
    for line in ours + theirs:
        assert line["ms"] > 0 and line["memory_gb"] > 0 and line["setup_s"] > 0
        pairs = trl_inputs.BATCH / (line["ms"] / 1e3)
        assert line["pairs_per_s"] == pytest.approx(pairs, rel=1e-2)
    assert not any(line["kind"] == "skipped" for line in lines)
    ratios = table.ratios(lines)
    known = {key for key in table.WANTED if key[0] == "G10"}
    assert {("G10", line["name"], line["of"]) for line in ratios} == known
    assert all(line["rounds"] == rounds and line["wanted"] > 1 for line in ratios)
    page = table.goals_table(lines + ratios)
    assert "| 4 figures below |" in next(row for row in page.splitlines() if "| G10 |" in row)
    return ratios


def test_rehearsal():
    lines = rehearse("tiny", 1)
    assert_rehearsed(lines, 1)
    assert f"| G10 | {table.GOALS['G10']} | {table.NOT_MEASURED} |" in table.goals_table([])
    # The run is no standstill: its last loss depends on the updates, by far more than the sides may differ.
    loss = next(line["loss_last"] for line in lines if line["kind"] == "peer")
    assert abs(loss - 0.693147) > 10 * beside_trl.BOUNDS["cpu"]["loss"]


def test_rehearsal_in_rounds(long_tests):
    assert_rehearsed(rehearse("small", 3, timeout=3600), 3)


def log(**changed):
    first = {"logps/chosen": -50.0, "logps/rejected": -60.0, "grad_norm": 2.0}
    return {"log": [{**first, **changed}, {"loss": 0.69, "num_tokens": 9, **changed}]}


@pytest.fixture
def case(tmp_path):
    class Options:
        device = "cpu"

    return beside_trl.Case(trl_inputs.PROFILES[0], TINY, Options, tmp_path, tmp_path)


class SmallServer:
    """Stands in for TRL's process where `most` pairs fit into memory at once."""

    def __init__(self, most):
        self.most, self.asked = most, []

    def run(self, *arguments):
        batch, parts = (arguments[arguments.index(name) + 1] for name in ("--batch", "--accumulate"))
        self.asked.append((batch, parts))
        if batch > self.most:
            return {"error": "no memory", "out_of_memory": True}
        return {"timed_s": 2.0, "setup_s": 1.0, "peak_mib": 100.0, **log()}


def test_an_update_is_taken_in_parts_where_memory_is_short(case):
    server = SmallServer(most=2)
    assert case.trl(server, "default")["parts"] == 4
    assert server.asked == [(8, 1), (4, 2), (2, 4)]
    assert case.trl(SmallServer(most=0), "default")["error"] == "no memory"


def test_a_failure_of_trl_is_a_finding(case, monkeypatch):
    ours = {"seconds": 1.0, "setup": 1.0, "memory": 1.0, **log()}
    monkeypatch.setattr(case, "pref", lambda: ours)
    lines = list(case.turns(SmallServer(most=0), 1))
    assert [line["kind"] for line in lines] == ["bench", "skipped", "skipped"]
    assert lines[1]["reason"] == "no memory" and lines[1]["name"].endswith("TRL default")
    lines = list(case.turns(SmallServer(most=8), 1))
    assert [line["of"] for line in lines if line["kind"] == "peer"] == ["TRL default", "TRL tuned"]
    assert lines[1]["ms"] == pytest.approx(2e3 / TINY.timed)


def test_an_end_of_trls_process_is_a_finding(tmp_path):
    server = beside_trl.Trl(tmp_path / "trl.log")
    server.process.kill()
    server.process.wait()
    (tmp_path / "trl.log").write_text("first\nImportError: last\n")
    for _ in range(2):
        assert server.run("--help")["error"] == "trl_run.py ended: ImportError: last"
    server.close()


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, []),
        ({"num_tokens": 10}, ["tokens"]),
        ({"logps/rejected": -60.01}, ["log-probs"]),
        ({"grad_norm": 2.1}, ["gradient norm"]),
        ({"grad_norm": float("nan")}, ["gradient norm"]),
        ({"loss": 0.695}, ["loss"]),
    ],
)
def test_other_work_is_noticed(case, changed, wrong):
    checks = list(case.same_work(log(), log(**changed), "default"))
    assert [line["name"].split(": ")[1] for line in checks if not line["ok"]] == wrong


def test_what_is_missing_is_named(monkeypatch):
    assert beside_trl.missing() == ""
    monkeypatch.setattr(beside_trl, "PACKAGES", ("json", "no_such_package"))
    assert beside_trl.missing() == f"{sys.executable} has no no_such_package"
    # Without a card, a run that was to be on one.
    command = [sys.executable, "-B", str(ROOT / "tests" / "gpu" / "beside_trl.py"), "--pref", PROGRAM]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 77
    assert json.loads(done.stdout) == {"kind": "skipped", "name": "beside TRL", "reason": "no device"}


@pytest.mark.parametrize("size", [640, 2048, 128256])
def test_a_word_is_a_token(tmp_path, size):
    pieces, merges = trl_inputs.vocabulary(size)
    assert len(pieces) == len(set(pieces)) == size - 1 and len(merges) == size - 1 - 256
    known = trl_inputs.words(size)
    trl_inputs.write_tokenizer(tmp_path, size)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == size and tokenizer.eos_token_id == size - 1
    ids = [*known][:: max(1, len(known) // 500)]
    text = "".join(known[id] for id in ids)
    assert tokenizer.encode(text, add_special_tokens=False) == ids


@pytest.mark.parametrize("shape", trl_inputs.SHAPES.values(), ids=trl_inputs.SHAPES)
@pytest.mark.parametrize("profile", trl_inputs.PROFILES, ids=lambda profile: profile.name)
def test_rows(shape, profile):
    rows = trl_inputs.rows(profile, shape)
    lengths = [tuple(map(len, row.values())) for row in rows]
    assert len(rows) == shape.updates * trl_inputs.BATCH and rows == trl_inputs.rows(profile, shape)
    spans = [*map(trl_inputs.span, lengths)]
    assert max(spans) <= trl_inputs.LONGEST // shape.shrink
    first = shape.warm * trl_inputs.BATCH
    assert max(spans[: trl_inputs.BATCH]) == max(spans[first:]), "memory grows before it is timed"
    timed = sorted(lengths[first:])
    middle = timed[len(timed) // 2][0]
    assert middle == pytest.approx(profile.prompt / shape.shrink, rel=0.1)
    responses = sorted(chosen for _, chosen, _ in timed)
    assert responses[len(timed) // 2] == pytest.approx(profile.response / shape.shrink, rel=0.15, abs=1)
    end = shape.config["vocab_size"] - 1
    for row in rows:
        for side in ("chosen_ids", "rejected_ids"):
            assert row[side][-1] == end and end not in row[side][:-1]
    ordered = trl_inputs.by_length(rows, shape)
    assert ordered[:first] == rows[:first]
    assert sorted(map(str, ordered)) == sorted(map(str, rows))
    spans = [trl_inputs.span([*map(len, row.values())]) for row in ordered[first:]]
    assert spans == sorted(spans, reverse=True)
