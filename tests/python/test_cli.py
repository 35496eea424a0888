# SPDX-License-Identifier: Apache-2.0
"""The machine contracts of the command line: what stands on standard output, which exit code, and that a run which
stopped and went on ends where the run that never stopped ends, bit for bit."""

import json
import math

import models
import pref_command
import pytest
import sentencepiece
import transformers
from pref_command import DATA, NO_INPUT, ROOT, USAGE


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model("llama")


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return pref_command.write_jsonl(folder / "pairs.jsonl", models.pairs(10, seed=5))


def jsonl(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


# --- tokenize -------------------------------------------------------------------------------------


def tokenize(model, stdin, *options, check=0):
    done = pref_command.run("tokenize", "--model", model, *options, stdin=stdin, check=check)
    return pref_command.read_jsonl(done.stdout)


def test_tokenize(model):
    # The oracle is sentencepiece itself: transformers 5 converts the model and differs from it on runs of spaces.
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(model / "tokenizer.model"))
    texts = ["The river walks slowly.", "日本 naïve 123\n\ttab", "  two spaces", ""]
    expected = [tokenizer.encode(text) for text in texts]
    assert tokenize(model, jsonl(texts[0], *({"text": text} for text in texts[1:]))) == expected
    assert tokenize(model, jsonl(texts[0]), "--add-special-tokens") == [
        [tokenizer.bos_id(), *tokenizer.encode(texts[0])]
    ]


def test_tokenize_conversation(model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    lines = [
        {"messages": messages, "add_generation_prompt": False},
        {"messages": messages[:1], "add_generation_prompt": True},
    ]
    for line, ids in zip(lines, tokenize(model, jsonl(*lines)), strict=True):
        text = tokenizer.apply_chat_template(
            line["messages"], tokenize=False, add_generation_prompt=line["add_generation_prompt"]
        )
        assert ids == tokenizer.encode(text, add_special_tokens=False)


def test_tokenize_reports_a_bad_line_and_goes_on(model):
    out = tokenize(model, '"good"\n{"text": \n"also good"\n{"other": 1}\n', check=DATA)
    assert [isinstance(line, list) for line in out] == [True, False, True, False]
    assert all(isinstance(line["error"], str) and line["error"] for line in (out[1], out[3]))


# --- loss -----------------------------------------------------------------------------------------


def sums(**changes):
    row = {
        "logps/chosen": -41.5,
        "logps/rejected": -50.25,
        "ref_logps/chosen": -42.0,
        "ref_logps/rejected": -49.0,
        "num_tokens/chosen": 12,
        "num_tokens/rejected": 20,
    }
    return {**row, **changes}


def dpo(row, beta=0.1, smoothing=0.0):
    """By hand: loss, slope by log-prob of chosen, rewards."""
    rewards = [
        beta * (row[f"logps/{side}"] - row[f"ref_logps/{side}"]) for side in ("chosen", "rejected")
    ]
    margin = rewards[0] - rewards[1]
    loss = (1 - smoothing) * math.log1p(math.exp(-margin)) + smoothing * math.log1p(
        math.exp(margin)
    )
    slope = beta * (1 / (1 + math.exp(-margin)) - (1 - smoothing))
    return loss, slope, rewards


@pytest.mark.parametrize(("beta", "smoothing"), [(0.1, 0.0), (0.5, 0.0), (0.1, 0.2)])
def test_loss(beta, smoothing):
    rows = [sums(), sums(**{"logps/chosen": -20.0}), sums(**{"logps/rejected": -30.0})]
    options = ["--set", f"beta={beta}", "--set", f"label_smoothing={smoothing}"]
    out = pref_command.run("loss", "--objective", "dpo", *options, stdin=jsonl(*rows)).stdout
    for row, line in zip(rows, pref_command.read_jsonl(out), strict=True):
        loss, slope, rewards = dpo(row, beta, smoothing)
        assert line["loss"] == pytest.approx(loss, rel=1e-12)
        assert line["grad/chosen"] == pytest.approx(slope, rel=1e-12)
        assert line["grad/rejected"] == pytest.approx(-slope, rel=1e-12)
        assert [line["rewards/chosen"], line["rewards/rejected"]] == pytest.approx(
            rewards, rel=1e-12
        )


def test_loss_reports_a_missing_field():
    row = sums()
    del row["ref_logps/chosen"]
    done = pref_command.run("loss", "--objective", "dpo", stdin=jsonl(row, sums()), check=DATA)
    first, second = pref_command.read_jsonl(done.stdout)
    assert "ref_logps/chosen" in first["error"]
    assert second["loss"] == pytest.approx(dpo(sums())[0], rel=1e-12)


# --- logps ----------------------------------------------------------------------------------------


def test_logps_lines(model, pairs_file):
    done = pref_command.run("logps", "--model", model, "--data", pairs_file)
    without = pref_command.read_jsonl(done.stdout)
    assert [line["id"] for line in without] == [f"row-{index}" for index in range(10)]
    for line, longer in zip(without, pref_command.logps(model, pairs_file), strict=True):
        assert set(longer) - set(line) == {"prompt_ids", "chosen_ids", "rejected_ids"}
        assert line == {key: longer[key] for key in line}
        assert (
            line["logps/chosen"] < 0 and line["entropy/chosen"] > 0 and line["collision/chosen"] < 0
        )


# --- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("logps",), ("tokenize", "--no-such-option")]
)
def test_exit_64_for_the_command_line(arguments):
    done = pref_command.run(*arguments, check=USAGE)
    assert done.stdout == "" and done.stderr != ""


def train_options(model, data, **changes):
    return {**pref_command.dpo_options(model, data, steps=1, learning_rate=1e-3), **changes}


def fails(tmp_path, options, code):
    options = {"output_dir": str(tmp_path / "run"), **options}
    done = pref_command.run(
        "train", pref_command.write_config(tmp_path / "train.yaml", options), check=code
    )
    assert done.stdout == ""
    return done.stderr


def test_exit_64_for_an_unknown_key(model, pairs_file, tmp_path):
    message = fails(tmp_path, train_options(model, pairs_file, betta=0.2), USAGE)
    assert "betta" in message and '"beta"' in message


def test_exit_64_for_a_value_out_of_range(model, pairs_file, tmp_path):
    assert "beta" in fails(tmp_path, train_options(model, pairs_file, beta=-1), USAGE)


def test_exit_65_for_a_bad_row(model, tmp_path):
    rows = models.pairs(3)
    del rows[1]["rejected"]
    data = pref_command.write_jsonl(tmp_path / "rows.jsonl", rows)
    message = fails(tmp_path, train_options(model, data), DATA)
    assert "rows.jsonl:2" in message and "rejected" in message


def test_exit_65_for_a_broken_model(model, pairs_file, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in model.iterdir():
        content = path.read_bytes()
        cut = len(content) // 2 if path.suffix == ".safetensors" else len(content)
        (folder / path.name).write_bytes(content[:cut])
    assert "model.safetensors" in fails(tmp_path, train_options(folder, pairs_file), DATA)


@pytest.mark.parametrize("key", ["model_name_or_path", "dataset_name"])
def test_exit_66_for_what_is_not_there(key, model, pairs_file, tmp_path):
    options = train_options(model, pairs_file, **{key: str(tmp_path / "absent")})
    assert "absent" in fails(tmp_path, options, NO_INPUT)


def test_exit_66_for_a_configuration_that_is_not_there(tmp_path):
    assert (
        "absent.yaml" in pref_command.run("train", tmp_path / "absent.yaml", check=NO_INPUT).stderr
    )


# --- resume ---------------------------------------------------------------------------------------


def test_resume_is_bit_for_bit(model, pairs_file, tmp_path):
    """Steps 1 to 3, stop, steps 4 to 7, across the end of an epoch with another order, against 7 steps at once."""
    options = train_options(
        model, pairs_file, shuffle=True, seed=9, save_strategy="steps", save_steps=3
    )
    runs = []
    for name, stops in {"whole": [7], "parts": [3, 7]}.items():
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            resume = "never" if stop == stops[0] else "auto"
            run = pref_command.train(
                folder, options, f"max_steps={stop}", f"resume_from_checkpoint={resume}"
            )
        runs.append(run)
    whole, parts = runs
    assert [line["step"] for line in parts.metrics()] == list(range(1, 8))
    for a, b in zip(whole.metrics(), parts.metrics(), strict=True):
        assert pref_command.without_timings(a) == pref_command.without_timings(b)
    weights = [[path.read_bytes() for path in run.final_weights()] for run in runs]
    assert weights[0] == weights[1]
    assert weights[0] != [path.read_bytes() for path in sorted(model.glob("model*.safetensors"))]


def test_verify_checkpoint(model, pairs_file, tmp_path):
    options = train_options(model, pairs_file, save_strategy="steps", save_steps=1)
    checkpoint = pref_command.train(tmp_path, options).folder / "checkpoint-1"
    pref_command.run("verify", checkpoint)
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    victim = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    assert victim.name in pref_command.run("verify", checkpoint, check=77).stderr


@pytest.mark.parametrize(
    "config", sorted((ROOT / "examples" / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_example_configurations_run(config, tiny_model, tmp_path):
    """One update of every published recipe, on a tiny model."""
    rows = models.pairs(4, seed=5)
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        row["reference_response"] = other["chosen"]
    data = pref_command.write_jsonl(tmp_path / "pairs.jsonl", rows)
    pref_command.run(
        "train",
        config,
        f"model_name_or_path={tiny_model('llama')}",
        f"dataset_name={data}",
        f"output_dir={tmp_path / 'run'}",
        "max_steps=1",
        "gradient_accumulation_steps=1",
    )
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
