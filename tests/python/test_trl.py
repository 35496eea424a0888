# SPDX-License-Identifier: Apache-2.0
"""The same pairs, as the same ids, from the same weights through TRL's DPOTrainer and `pref train`: step by step the
same losses, rewards and metrics. A short form on a tiny model; the long form is the reference profile on real pairs.
"""

import collections

import models
import pref_command
import pytest
import transformers
import trl_process

# Absolute, except grad_norm's, which is relative. A log-prob is a reward divided by beta (0.1).
REWARD = 2e-4
ALLOWED = {
    "loss": 1e-4,
    "rewards": REWARD,
    "logps": REWARD / 0.1,
    "logits": 1e-4,
    "entropy": 1e-3,
    "mean_token_accuracy": 2e-3,
    "grad_norm": 2e-3,
    "learning_rate": 1e-12,
    "num_tokens": 0,
    "epoch": 1e-6,
}


def compare(trl, ours):
    """All of TRL's metrics of every step against ours; returns the largest difference by name."""
    assert len(ours) == len(trl)
    largest = collections.defaultdict(float)
    for step, (theirs, line) in enumerate(zip(trl, ours, strict=True), 1):
        assert line["step"] == step
        names = set(theirs) - {"step"}
        assert names <= set(line), f"metrics.jsonl lacks TRL's {sorted(names - set(line))}"
        for name in sorted(names):
            difference = abs(theirs[name] - line[name])
            if name == "grad_norm":
                difference /= theirs[name]
            largest[name] = max(largest[name], difference)
            allowed = ALLOWED[name.split("/")[0]]
            if name.startswith("logps/"):
                allowed += 1e-6 * abs(theirs[name])  # TRL sums thousands of tokens in f32
            assert (
                difference <= allowed
            ), f"step {step}: {name}: TRL {theirs[name]!r}, libpref {line[name]!r}, allowed {allowed}"
    return dict(largest)


def test_short(tiny_model, tmp_path):
    model = tiny_model("llama")
    rows = models.pairs(16, seed=3, conversational=True)
    data = pref_command.write_jsonl(tmp_path / "pairs.jsonl", rows)
    ids = pref_command.write_jsonl(tmp_path / "ids.jsonl", pref_command.logps(model, data))
    rate = 2e-3
    trl = trl_process.run_trl(model, ids, steps=4, learning_rate=rate)["log"]
    options = pref_command.dpo_options(model, data, steps=4, learning_rate=rate)
    compare(trl, pref_command.train(tmp_path, options).metrics())
    # The run is no standstill: later losses depend on the updates.
    assert abs(trl[-1]["loss"] - trl[0]["loss"]) > 100 * ALLOWED["loss"]


def test_comparison_notices_a_difference():
    line = {"step": 1, "loss": 0.5, "rewards/margins": 0.1, "grad_norm": 2.0, "epoch": 0.1}
    compare([line], [dict(line)])
    for name, value in {
        "loss": 0.5002,
        "rewards/margins": 0.1005,
        "grad_norm": 2.1,
        "epoch": 0.2,
    }.items():
        with pytest.raises(AssertionError):
            compare([line], [{**line, name: value}])
    with pytest.raises(AssertionError, match="lacks"):
        compare([line], [{key: line[key] for key in ("step", "loss", "epoch")}])


def test_long_reference_profile(long_tests, shared_data, tmp_path):
    """Minutes. The first 40 pairs of the real training file, batch 4, 10 steps, a 56-million-parameter model, at a
    learning rate that moves the mean margin by at least 1 nat."""
    model = models.save_reference_model(tmp_path / "model", shared_data)
    rows = models.reference_pairs(shared_data)
    data = pref_command.write_jsonl(tmp_path / "pairs.jsonl", rows)
    ids = pref_command.logps(model, data, "--set", "max_length=1024")  # pref train's default

    # Where TRL would have tokenized a row otherwise: known reasons only. libpref's side is right in all: Mistral's
    # models expect one BOS, nothing that comes after EOS is ever generated, and the model file is sentencepiece's.
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    reasons = collections.Counter()
    for row, line in zip(rows, ids, strict=True):
        longest = len(line["prompt_ids"]) + max(len(line["chosen_ids"]), len(line["rejected_ids"]))
        for reason in trl_process.differences(line, trl_process.trl_ids(row, tokenizer), tokenizer):
            if reason.startswith("other ") and models.has_runs_of_spaces(row):
                reason = "TRL's tokenizer, converted from the sentencepiece model, differs on runs of spaces"
            # TRL cuts later, in its collator, at the same length.
            if not (longest >= 1024 and reason == "cut at another length"):
                reasons[reason] += 1
    print(dict(reasons))
    assert all(reason.startswith("TRL") for reason in reasons), reasons

    path = pref_command.write_jsonl(tmp_path / "ids.jsonl", ids)
    rate = models.REFERENCE_LEARNING_RATE
    # Tuned: without the recomputation of checkpointing, which changes no number.
    trl = trl_process.run_trl(model, path, steps=10, learning_rate=rate, mode="tuned")["log"]
    options = pref_command.dpo_options(model, data, steps=10, learning_rate=rate)
    print(compare(trl, pref_command.train(tmp_path, options, threads=None).metrics()))
    margins = [entry["rewards/margins"] for entry in trl]
    assert max(margins) - margins[0] >= 1
