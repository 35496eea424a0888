# SPDX-License-Identifier: Apache-2.0
"""Our tokenizers beside the packages tokenizers, tiktoken and sentencepiece: the same ids on adversarial strings."""

import base64
import json
import os
import subprocess

import pytest
import tiktoken
from tokenizers import Tokenizer

import tokenizer_kinds as kinds
from pref_command import BUILD

STRINGS = 20_000
SEED = int(os.environ.get("PREF_TEST_SEED", "20260417"))
PROGRAM = BUILD / "bin" / "encode_text"


def run(path, lines, *mode, check=0):
    """The answers of encode_text to JSON lines."""
    assert PROGRAM.exists(), f"{PROGRAM} is not built; run cmake/bootstrap.sh"
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        [str(PROGRAM), str(path), *mode], input=text, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == check, done.stderr[-2000:]
    if check:
        return done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def assert_same(ours, theirs, strings, what):
    assert len(ours) == len(theirs) == len(strings)
    wrong = [i for i in range(len(strings)) if ours[i] != theirs[i]]
    for i in wrong[:5]:
        print(f"string {i}: {strings[i][:200]!r}\n  ours   {ours[i][:60]}\n  theirs {theirs[i][:60]}")
    print(f"{what}: {len(strings) - len(wrong)} of {len(strings)} equal, seed {SEED}")
    assert not wrong, f"{what}: {len(wrong)} of {len(strings)} differ, seed {SEED}"


def special_texts(tokenizer):
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


@pytest.fixture(scope="module", params=kinds.KINDS, ids=lambda make: make.__name__)
def trained(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param.__name__) / "tokenizer.json"
    request.param().save(str(path))
    return path, Tokenizer.from_file(str(path))


def test_ids_equal_tokenizers(trained):
    path, theirs = trained
    strings = kinds.adversarial(STRINGS, SEED, special_texts(theirs))
    expected = [theirs.encode(text, add_special_tokens=False).ids for text in strings]
    assert_same(run(path, strings), expected, strings, path.parent.name)


def test_text_equals_tokenizers(trained):
    """decode, on texts without added tokens: around those ours keeps what it encoded, theirs adds spaces."""
    path, theirs = trained
    added = special_texts(theirs)
    strings = [s for s in kinds.adversarial(3000, SEED + 1) if not any(a in s for a in added)]
    ids = [theirs.encode(text, add_special_tokens=False).ids for text in strings]
    ids = [[i for i in row if theirs.id_to_token(i) not in added] for row in ids]
    expected = [theirs.decode(row, skip_special_tokens=False) for row in ids]
    assert_same(run(path, ids, "--decode"), expected, strings, path.parent.name)


def test_what_the_file_adds(trained):
    """BOS and EOS of the post-processor are known, and not in the ids."""
    path, theirs = trained
    (ours,) = run(path, [], "--describe")
    plain = theirs.encode("a b", add_special_tokens=False).ids
    full = theirs.encode("a b", add_special_tokens=True).ids
    where = full.index(plain[0])
    assert ours["adds_bos"] == (where == 1) and (where == 0 or ours["bos"] == full[0])
    behind = full[where + len(plain) :]
    assert ours["adds_eos"] == (len(behind) == 1) and (not behind or ours["eos"] == behind[0])
    assert ours["vocab_size"] == theirs.get_vocab_size(with_added_tokens=True)


def llama3_encoding(ranks):
    first = max(ranks.values()) + 1
    special = {text: first + n for text, n in kinds.LLAMA3_SPECIAL.items()}
    return tiktoken.Encoding("llama3", pat_str=kinds.LLAMA3, mergeable_ranks=ranks, special_tokens=special)


def tiktoken_ids(encoding, strings):
    return [encoding.encode(text, allowed_special="all", disallowed_special=()) for text in strings]


def test_ids_equal_tiktoken(tmp_path):
    path = tmp_path / "tokenizer.model"
    encoding = llama3_encoding(kinds.write_ranks(path, kinds.llama3()))
    strings = kinds.adversarial(STRINGS, SEED, list(kinds.LLAMA3_SPECIAL))
    assert_same(run(tmp_path, strings), tiktoken_ids(encoding, strings), strings, "tiktoken")


@pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
def test_ids_equal_published_patterns(tmp_path, name, monkeypatch):
    """The patterns and special tokens of the published encodings, over ranks made here."""
    from tiktoken_ext import openai_public

    ranks = kinds.write_ranks(tmp_path / f"{name}.tiktoken", kinds.llama3())
    # The real special tokens stand behind the real ranks; those made here are fewer.
    for reader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
        monkeypatch.setattr(openai_public, reader, lambda *_, **__: ranks)
    options = getattr(openai_public, name)()
    options.pop("explicit_n_vocab", None)
    encoding = tiktoken.Encoding(**options)
    strings = kinds.adversarial(STRINGS, SEED, list(options["special_tokens"]))
    assert_same(run(tmp_path, strings), tiktoken_ids(encoding, strings), strings, name)


def test_ids_equal_tiktoken_on_the_real_ranks(shared_data):
    path = shared_data / "tokenizers" / "llama3_tiktoken.model"
    lines = (line.split() for line in path.read_bytes().splitlines())
    encoding = llama3_encoding({base64.b64decode(token): int(rank) for token, rank in lines})
    strings = kinds.adversarial(STRINGS, SEED, list(kinds.LLAMA3_SPECIAL))
    assert_same(run(path, strings), tiktoken_ids(encoding, strings), strings, "llama3_tiktoken.model")


def test_ids_equal_sentencepiece(shared_data):
    import sentencepiece

    path = shared_data / "tokenizers" / "mistral_v1_sentencepiece.model"
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
    # Control tokens in a text are tokens to us and text to the package.
    plain = (s for s in kinds.adversarial(STRINGS + 3000, SEED) if not any(x in s for x in ("<unk>", "<s>", "</s>", "\0")))
    strings = list(plain)[-STRINGS:]  # the very long ones stand at the end
    assert len(strings) == STRINGS
    assert_same(run(path, strings), theirs.encode(strings), strings, "sentencepiece")


def test_folder_configuration(tmp_path):
    """tokenizer_config.json and special_tokens_map.json beside tokenizer.json."""
    kinds.llama3().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|eot_id|>", "add_bos_token": False, "chat_template": "{{ messages }}"})
    )
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "<|end_of_text|>"}}))
    (ours,) = run(tmp_path, [], "--describe")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert ours["eos"] == theirs.token_to_id("<|eot_id|>") and ours["pad"] == theirs.token_to_id("<|end_of_text|>")
    assert not ours["adds_bos"] and ours["bos"] == theirs.token_to_id("<|begin_of_text|>")
    assert ours["chat_template"] == "{{ messages }}"


def test_a_kind_that_is_not_built_is_named(tmp_path):
    from tokenizers import models

    Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    error = run(tmp_path, [], check=65)
    assert 'the model "WordLevel" is not supported' in error and "tokenizer.model" in error
