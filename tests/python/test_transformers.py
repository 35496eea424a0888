# SPDX-License-Identifier: Apache-2.0
"""`pref logps` against transformers' own computation in double precision, on the same folders and the same ids."""

import models
import pref_command
import pytest
import torch
import transformers

# Per completion token, nats: f32 arithmetic of three layers against f64.
PER_TOKEN = 1e-5


class Oracle:
    """Log-probabilities by transformers, eager attention, f64."""

    def __init__(self, folder, config=None):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=torch.float64, attn_implementation="eager"
        ).eval()

    def statistics(self, prompt, completion):
        """Per token: (log p of the token, log sum p^2, entropy), each [completion length]."""
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            logits = self.model(ids).logits[0, len(prompt) - 1 : -1]
        logp = torch.log_softmax(logits, dim=-1)
        token = logp.gather(1, torch.tensor(completion)[:, None])[:, 0]
        return token, torch.logsumexp(2 * logp, dim=-1), -(logp.exp() * logp).sum(-1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    plain = models.pairs(6, seed=11)
    chat = models.pairs(5, seed=12, conversational=True)
    return {
        "plain": (plain, pref_command.write_jsonl(folder / "plain.jsonl", plain)),
        "chat": (chat, pref_command.write_jsonl(folder / "chat.jsonl", chat)),
    }


@pytest.mark.parametrize("layout", ["plain", "chat"])
@pytest.mark.parametrize("family", models.FAMILIES)
def test_logps_match_transformers(family, layout, tiny_model, data):
    folder = tiny_model(family)
    rows, path = data[layout]
    oracle = Oracle(folder)
    out = pref_command.logps(folder, path)
    assert len(out) == len(rows)
    longest = 0
    for line in out:
        for side in ("chosen", "rejected"):
            ids = line[f"{side}_ids"]
            assert line[f"num_tokens/{side}"] == len(ids) > 0
            logp, collision, entropy = oracle.statistics(line["prompt_ids"], ids)
            longest = max(longest, len(line["prompt_ids"]) + len(ids))
            place = f"{family}, row {line['id']}, {side}, {len(ids)} tokens"
            assert abs(line[f"logps/{side}"] - logp.sum().item()) <= PER_TOKEN * len(ids), place
            assert abs(line[f"collision/{side}"] - collision.mean().item()) <= 2 * PER_TOKEN, place
            assert abs(line[f"entropy/{side}"] - entropy.mean().item()) <= 2 * PER_TOKEN, place
    # A sliding window of 24 keys and Llama 3's long wavelengths only show in rows longer than they are.
    assert longest > 72


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("mistral", {"sliding_window": None}),
        (
            "qwen2_window",
            {
                "use_sliding_window": False,
                "sliding_window": None,
                "layer_types": ["full_attention"] * 3,
            },
        ),
        ("llama_rope3", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    ],
)
def test_the_rows_tell_families_apart(family, change, tiny_model, data):
    """The comparison above would notice a window or a rope scaling that is left out: it moves log-probs by far
    more than the tolerance."""
    folder = tiny_model(family)
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in change.items():
        setattr(config, key, value)
    line = max(pref_command.logps(folder, data["plain"][1]), key=lambda row: len(row["chosen_ids"]))
    here, there = (
        oracle.statistics(line["prompt_ids"], line["chosen_ids"])[0].sum().item()
        for oracle in (Oracle(folder), Oracle(folder, config))
    )
    assert abs(here - there) > 20 * PER_TOKEN * len(line["chosen_ids"])


def test_ids_are_the_tokenizers(tiny_model, data):
    """One BOS, the prompt, the response, one EOS; pieces as transformers' tokenizer of the same folder makes them."""
    folder = tiny_model("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows, path = data["chat"]
    for row, line in zip(rows, pref_command.logps(folder, path), strict=True):
        assert line["id"] == row["id"]
        prompt = tokenizer.apply_chat_template(
            row["chosen"][:-1], tokenize=False, add_generation_prompt=True
        )
        expected = [tokenizer.bos_token_id] + tokenizer.encode(prompt, add_special_tokens=False)
        assert line["prompt_ids"] == expected
        for side in ("chosen", "rejected"):
            whole = tokenizer.apply_chat_template(row[side], tokenize=False)
            ids = line[f"{side}_ids"]
            assert ids[-1] == tokenizer.eos_token_id and tokenizer.eos_token_id not in ids[:-1]
            # The template ends in EOS and a newline; the newline is not trained on.
            # (decoded on both sides: this tokenizer's decoder writes a space behind </s> that no text had)
            joint = tokenizer.encode(whole, add_special_tokens=False)
            assert tokenizer.decode(line["prompt_ids"][1:] + ids) == tokenizer.decode(joint).rstrip()


@pytest.mark.parametrize("family", ["llama", "llama_tied", "qwen2", "qwen3", "mistral"])
def test_trained_folder_loads_in_transformers(family, tiny_model, data, tmp_path):
    """The final model of a run is a folder that transformers reads, with the log-probs that libpref reads from it."""
    model, path = tiny_model(family), data["plain"][1]
    options = pref_command.dpo_options(model, path, steps=1, learning_rate=1e-3)
    folder = pref_command.train(tmp_path, options).final_weights()[0].parent
    before, after = pref_command.logps(model, path), pref_command.logps(folder, path)
    oracle = Oracle(folder)
    for old, new in zip(before, after, strict=True):
        logp = oracle.statistics(new["prompt_ids"], new["chosen_ids"])[0].sum().item()
        assert abs(new["logps/chosen"] - logp) <= PER_TOKEN * len(new["chosen_ids"])
        assert abs(new["logps/chosen"] - old["logps/chosen"]) > 1e-2  # one step did move it
