# SPDX-License-Identifier: Apache-2.0
"""The GPU suite without a GPU: its bookkeeping on programs that stand in for those of a bundle, its tables from
recorded lines, and the formulas of peers.py at tiny sizes against torch in double precision.
"""

import json
import math
import pathlib
import re
import subprocess
import sys

import pytest
import torch
from pref_command import BUILD, ROOT, read_jsonl

sys.path.insert(0, str(ROOT / "tests" / "gpu"))

import beside_trl  # noqa: E402
import peers  # noqa: E402
import suite  # noqa: E402
import table  # noqa: E402
import target  # noqa: E402
import training  # noqa: E402
import trl_inputs  # noqa: E402

FAKE = pathlib.Path(__file__).parent / "fake_gpu_program.py"
DEVICE = {"name": "Fake 1", "memory_gb": 80.0, "sm": 132, "capability": "9.0"}


@pytest.fixture
def run_suite(tmp_path, monkeypatch):
    """run_suite(what is done wrong, ...) -> (exit code, results, outcome of each part, text of each part)."""
    for name in ("bin", "out"):
        (tmp_path / name).mkdir()
    for name in ("pref", "quickstart", "test_gpu", "gpu_bench"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{FAKE}" {name} "$@"\n')
        program.chmod(0o755)

    def run(wrong="", minutes=8.0, parts=tuple(suite.PARTS), device=DEVICE):
        work = tmp_path / "work"
        work.mkdir()
        for name in suite.RESULTS:
            (tmp_path / "out" / name).write_text("of an earlier run")
        monkeypatch.setenv("FAKE", wrong)
        look = {
            "manifest": {"architectures": "80;90a"},
            "versions": {"torch": "2.11.0"},
            "device": device,
            "reason": "" if device else "no device: none",
        }
        monkeypatch.setattr(target, "look", lambda folder: look)
        monkeypatch.setattr(target, "clocks", lambda: {"sm_mhz": 1980.0})
        it = suite.Suite(tmp_path, work, tmp_path / "out", minutes)
        it.peers_program = [sys.executable, "-S", str(FAKE), "peers"]
        it.trl_program = [sys.executable, "-S", str(FAKE), "beside_trl"]
        code = it.everything(list(parts))
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        outcomes = {part["name"]: part["outcome"] for part in results["parts"]}
        return code, results, outcomes, {part["name"]: part["text"] for part in results["parts"]}

    return run


def test_all_right(run_suite, tmp_path):
    code, results, outcomes, _ = run_suite()
    assert code == 0
    assert outcomes == {
        "prepare": "prepared",
        **dict.fromkeys(["doctor", "tests", "train", "bench", "peers", "trl"], "passed"),
    }
    checks = [line for line in results["lines"] if line["kind"] == "check"]
    assert [line["name"] for line in checks if line["name"].startswith(("run", "train"))] == [
        "run to run",
        "train dpo, float32",
        "train dpo, bfloat16",
        "train simpo, bfloat16",
        "train wpo, bfloat16",
        "train selm, bfloat16",
    ]
    assert all(
        line["error"] == pytest.approx(0.01) for line in checks if "bfloat16" in line["name"]
    )
    # Rounds of 11, 12 and 13 ms beside 2 ms of ours.
    ratio, trl = [line for line in results["lines"] if line.get("rounds")]
    assert (ratio["ratio"], ratio["ratio_low"], ratio["ratio_high"], ratio["wanted"]) == (
        6.0,
        5.5,
        6.5,
        5.0,
    )
    assert (trl["goal"], trl["ratio"], trl["wanted"]) == ("G10", 3.775, 3.5)
    page = (tmp_path / "out" / "results.md").read_text()
    assert "3.775x (3.763 to 3.788) beside TRL default; 100 and 25 pairs/s; 20 and 60 GB" in page
    assert "| TRL default | DPO update, UltraFeedback | 1B llama | 5 |" in page
    assert (
        "Fake 1" in page
        and "1980 MHz after" in page
        and "| G3 | logprob |" in page
        and "6x (5.5 to 6.5) beside torch eager" in page
    )


@pytest.mark.parametrize(
    ("wrong", "part", "words"),
    [
        ("check", "doctor", "logprob_statistics: bf16 [4, 9]"),
        ("garbage", "doctor", "no JSON"),
        ("test", "tests", "Gpu.Other"),
        ("skip", "tests", "nothing was tested"),
        ("crash", "tests", "no results (exit code 139)"),
        ("late crash", "tests", "2 passed, 0 failed, 0 skipped, exit code 139"),
        ("weights", "train", "run to run"),
        ("no figures", "bench peers", "no figure"),
        ("float32", "train", "train dpo, float32: 0.003"),
        ("loss", "train", "train wpo"),
        ("nan", "train", "train dpo"),
        ("other work", "trl", "the same work: tokens"),
    ],
)
def test_what_is_wrong_fails_its_part_alone(run_suite, wrong, part, words):
    code, _, outcomes, texts = run_suite(wrong)
    parts = part.split()
    assert code == 1 and words in texts[parts[0]], texts
    assert [name for name, outcome in outcomes.items() if outcome == "failed"] == parts


def test_a_program_that_hangs_is_stopped_and_what_does_not_fit_is_skipped(run_suite, monkeypatch):
    for name, budget in {"prepare": (3, 0), "doctor": (2, 1), "tests": (1, 15)}.items():
        monkeypatch.setitem(suite.PARTS, name, budget)
    code, results, outcomes, texts = run_suite("hang", minutes=0.1, parts=("doctor", "tests"))
    assert code == 1 and "stopped" in texts["doctor"] and results["seconds"] < 60
    assert (
        outcomes["tests"] == "skipped"
        and "needs 15 s" in texts["tests"]
        and outcomes["bench"] == "skipped"
    )
    assert any(line["kind"] == "device" for line in results["lines"]), "what it had printed counts"


def test_without_a_device_nothing_passes(run_suite, tmp_path):
    code, _, outcomes, _ = run_suite(device=None)
    assert code == 77
    assert set(outcomes.values()) == {"prepared", "skipped"}
    assert "not measured: no device" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize(("parts", "exit_code"), [(tuple(suite.PARTS), 0), (("trl",), 77)])
def test_without_trl_its_part_is_skipped(run_suite, tmp_path, parts, exit_code):
    """Nothing passes where it is all that was asked for."""
    code, _, outcomes, texts = run_suite("no trl", parts=parts)
    assert code == exit_code
    assert outcomes["trl"] == "skipped" and texts["trl"] == "python has no trl"
    assert "skipped: beside TRL: python has no trl" in (tmp_path / "out" / "results.md").read_text()


def test_parts_can_be_chosen(run_suite):
    code, _, outcomes, texts = run_suite(parts=("tests",))
    assert code == 0 and outcomes["tests"] == "passed" and "not asked for" in texts["doctor"]


# --- Tables ------------------------------------------------------------------------------------------------------


def bench(goal, **fields):
    return {"kind": "bench", "goal": goal, "name": "x", "case": "c", **fields}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (bench("G1", share=0.93, of="read", wanted=0.92), True),
        (bench("G1", share=0.91, of="read", wanted=0.92), False),
        (bench("G4", ratio=1.07, of="three GEMMs", wanted=1.08), True),
        (bench("G4", ratio=1.09, of="three GEMMs", wanted=1.08), False),
        (bench("G3", ratio=5.2, of="torch eager", wanted=5.0), True),
        (bench("G9", value=18.0, unit="pairs/s", wanted=17.0), True),
        (bench("G9", value=18.0, unit="pairs/s"), None),
    ],
)
def test_whether_a_goal_is_met(line, expected):
    assert table.met(line) is expected
    word = {True: "met", False: "missed", None: ""}[expected]
    assert table.figures_table([line]).rstrip().endswith(f"| {word} |")


def test_goals_in_their_order_each_with_a_figure_or_a_reason():
    text = table.goals_table(
        [
            bench("G12", share=0.95, of="copy", wanted=0.9),
            bench("G2", share=0.5, of="copy", wanted=0.92),
        ]
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert [cells[0] for cells in rows] == [f"G{number}" for number in range(1, 14)]
    assert rows[11][3] == "met" and rows[1][3] == "missed"
    assert rows[0][2] == table.NOT_MEASURED and rows[0][3] == ""


def test_ratios_need_the_same_round_and_case():
    ours = {"kind": "bench", "goal": "G5", "name": "head", "case": "a"}
    theirs = {"kind": "peer", "goal": "G5", "name": "head", "case": "a", "of": "CCE"}
    lines = [
        {**ours, "round": 1, "ms": 10.0},
        {**ours, "round": 2, "ms": 20.0},
        {**ours, "ms": 1.0},
    ]
    lines += [{**theirs, "round": 2, "ms": 30.0}, {**theirs, "round": 3, "ms": 90.0}]
    lines += [{**theirs, "case": "b", "round": 1, "ms": 5.0}]
    (line,) = table.ratios(lines)
    assert (
        line["ratio"] == 1.5
        and line["rounds"] == 1
        and line["wanted"] == 1.2
        and line["peer_ms"] == 30.0
    )


def test_a_recorded_run_as_a_page(tmp_path):
    """tests/gpu/table.py on a small recorded result."""
    lines = [
        {"kind": "ceiling", "name": "read", "value": 4312.5, "unit": "GB/s"},
        {
            "kind": "check",
            "name": "adamw",
            "case": "bf16 [9]",
            "error": 0.5,
            "bound": 0.1,
            "ok": False,
        },
        {"kind": "skipped", "name": "head, CCE", "reason": "No module named 'cut_cross_entropy'"},
        {
            "kind": "run",
            "name": "dpo",
            "case": "50 updates",
            "loss_first": 0.7,
            "loss_last": 0.6,
            "seconds": 1.5,
        },
        {
            "kind": "peer",
            "goal": "G5",
            "name": "head",
            "case": "a",
            "of": "CCE",
            "ms": 30.0,
            "memory_gb": 1.5,
            "round": 1,
        },
        bench("G13", share=0.9, of="copy", wanted=0.85, ms=0.25, ms_p20=0.2, ms_p80=0.3),
    ]
    parts = [{"name": "doctor", "outcome": "failed", "text": "a | b", "seconds": 3.0}]
    page = table.markdown(
        {
            "started": "2026-01-01",
            "seconds": 9.0,
            "versions": {"torch": "2.11"},
            "device": DEVICE,
            "parts": parts,
            "lines": lines,
        }
    )
    for words in [
        "| read | 4312 GB/s |",
        "| G13 | x | c | 0.25 (0.2 to 0.3) | 0.9 of copy | >= 0.85 | met |",
        "0 of 1 checks right",
        "| adamw | bf16 [9] | 0.5 | 0.1 |",
        "0.7 -> 0.6",
        "- skipped: head, CCE: No module",
        "a \\| b",
        "| G5 | CCE | head | a | 30 | 1.5 |",
        "| G1 |",
        "not measured in this run",
    ]:
        assert words in page, f"{words}\n{page}"


def emulated_bench(*arguments):
    """The lines of gpu_bench on an emulated device, at sizes whose times mean nothing."""
    program = BUILD / "bin" / "gpu_bench_emulated"
    assert program.exists(), f"{program} is not built; run cmake/bootstrap.sh"
    done = subprocess.run([program, "--tiny", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return read_jsonl(done.stdout)


def test_gpu_bench_times_what_peers_times():
    """Same goals and names, cases of the same form: else there would be no ratio."""
    ours = emulated_bench("--peers")
    theirs = [case[:3] for case in peers.cases("cpu")]
    assert {(line["goal"], line["name"]) for line in ours} == {case[:2] for case in theirs}
    for line in ours:
        forms = {re.sub(r"\d+", "N", case) for goal, name, case in theirs if name == line["name"]}
        assert forms == {re.sub(r"\d+", "N", line["case"])}
    lines = [{**line, "round": 1} for line in ours]
    lines += [{**line, "kind": "peer", "of": "torch eager", "ms": 2 * line["ms"]} for line in lines]
    assert [line["ratio"] for line in table.ratios(lines)] == [2.0] * len(ours)


def test_what_gpu_bench_reports_as_a_table():
    lines = emulated_bench()
    goals = {line["goal"] for line in lines if line["kind"] == "bench"}
    assert goals >= {"G4", "G6", "G7", "G8", "G9"} and goals <= set(table.GOALS)
    rows = table.figures_table(lines).splitlines()[2:]
    assert len(rows) == sum(line["kind"] == "bench" for line in lines)
    assert all(line.split(" | ")[4].strip() for line in rows), "a figure without its number"
    assert any(" GEMMs | <= 1." in line for line in rows) and any(
        "pairs/s" in line for line in rows
    )


def test_wanted_ratios_are_those_of_cases_that_exist():
    known = {(goal, name, of) for goal, name, _, of, _ in peers.cases("cpu")}
    known |= {
        ("G10", f"DPO update, {profile.name}", f"TRL {mode}")
        for profile in trl_inputs.PROFILES
        for mode in beside_trl.MODES
    }
    assert set(table.WANTED) <= known
    assert {goal for goal, _, _ in known} <= set(table.GOALS)


# --- What peers.py computes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", [peers.statistics_eager, peers.statistics_whole])
def test_statistics_match_double(formula):
    torch.manual_seed(3)
    logits = torch.randn(2, 5, 37, dtype=torch.double)
    labels = torch.randint(37, (2, 5))
    leaf = logits.clone().requires_grad_()
    coefficients = torch.randn(2, 5, dtype=torch.double)
    logp, rest = formula(leaf, labels, wpo=True)
    logp.backward(coefficients.to(logp.dtype))
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    close = {"atol": 2e-6, "rtol": 2e-6, "check_dtype": False}
    torch.testing.assert_close(
        logp.detach(), p.log().gather(-1, labels[..., None])[..., 0], **close
    )
    torch.testing.assert_close(rest["entropy"], -(p * p.log()).sum(-1), **close)
    torch.testing.assert_close(rest["log_sum_p2"], (p**2).sum(-1).log(), **close)
    assert torch.equal(rest["hit"], logits.argmax(-1) == labels)
    gradient = coefficients[..., None] * (torch.nn.functional.one_hot(labels, 37) - p)
    torch.testing.assert_close(leaf.grad, gradient, **close)


def test_the_eager_head_is_dpo_on_the_response_tokens():
    states, weight, labels = peers.head_tensors("cpu", [(2, 3, 1), (1, 2, 4)], 8, 11)
    assert states.shape == (4, 5, 8) and (labels != peers.IGNORED).sum(-1).tolist() == [3, 2, 1, 4]
    reference = torch.tensor([-1.0, -2.0, -3.0, -4.0])
    loss = peers.head_eager(states.double(), weight.double(), labels, reference)
    sums = torch.zeros(4, dtype=torch.double)
    logp = torch.log_softmax(states.double() @ weight.double().T, -1)
    for row, position in (labels != peers.IGNORED).nonzero().tolist():
        sums[row] += logp[row, position, labels[row, position]]
    sums = sums.detach()
    margins = [float((sums[i] - reference[i]) - (sums[i + 2] - reference[i + 2])) for i in (0, 1)]
    expected = sum(math.log1p(math.exp(-peers.BETA * margin)) for margin in margins) / 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_steps_run_and_restore():
    step, restore = peers.logprob_step(peers.statistics_eager, "cpu", 8, 32, True, sequences=2)
    for _ in range(2):
        restore()
        logp, rest = step()
        assert logp.shape == (2, 4) and "log_sum_p2" in rest
    step, restore = peers.head_step(peers.cross_entropy_eager, "cpu", [(1, 2, 3)], 8, 16, flat=True)
    _, hidden, weight = step()
    first = weight.clone()
    restore()
    _, hidden, weight = step()
    assert torch.equal(first, weight) and hidden.shape == (8, 8)


def test_lengths_are_fixed_and_near_their_medians():
    pairs = peers.padded_pairs()
    assert peers.response_rows(pairs) == 15552, "gpu_bench --peers takes this number of rows"
    prompts, chosen, rejected = (sorted(side) for side in zip(*pairs))
    assert chosen == rejected and abs(chosen[12] - 288) < 12 and abs(prompts[12] - 121) < 8
    line = peers.peer_line("G5", "head", "c", "CCE", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.5)
    assert (line["ms"], line["ms_p20"], line["ms_p80"]) == (3.5, 2.0, 5.0)


def test_training_curves():
    assert not training.compare("dpo", [0.5, None], [0.5, 0.5], 2)["ok"]
    assert not training.compare("dpo", [0.5], [0.5, 0.5], 2)["ok"], "a run that stopped early"
    line = training.compare("dpo", [0.5, 0.52], [0.5, 0.5], 2)
    assert line["ok"] and line["error"] == pytest.approx(0.01)
    assert not training.compare("dpo", [0.5, 0.6], [0.5, 0.5], 2)["ok"]
