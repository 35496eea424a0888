# SPDX-License-Identifier: Apache-2.0
"""Single-thread speed of our tokenizers beside the packages tokenizers and tiktoken, in MB of text a second.

    .venv-tests/bin/python tests/python/benchmark_tokenizers.py [--rounds 5] [--megabytes 10] [--build build/release]

English answers from ../shared/data where present, otherwise generated text; one string a row, as data sets are
encoded. Vocabularies: the real Llama-3 ranks for tiktoken where present, and ones trained here on the text itself
for tokenizer.json. Processor time of one
thread; rounds of the implementations alternate, and the best of each counts. The numbers of ids must be equal."""

import argparse
import base64
import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tiktoken  # noqa: E402
from tokenizers import Tokenizer, trainers  # noqa: E402

import tokenizer_kinds as kinds  # noqa: E402
from pref_command import ROOT  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"


def read_texts(megabytes):
    path = SHARED / "preference" / "alpaca_eval_train.jsonl.gz"
    if path.exists():
        with gzip.open(path, "rt") as lines:
            rows = [json.loads(line) for line in lines]
        texts = [m["content"] for row in rows for side in ("chosen", "rejected") for m in row[side]]
        source = path.name
    else:
        texts = kinds.training_text(lines=100_000)
        source = "generated text"
    out, size = [], 0
    while size < megabytes * 1e6:
        for text in texts:
            out.append(text)
            size += len(text.encode())
            if size >= megabytes * 1e6:
                break
    return out, size, source


def retrained(make, texts, vocab_size=32_000):
    """The pipeline of a kind with a vocabulary of realistic size, trained on the text."""
    shape = make()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=kinds.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[t.content for t in shape.get_added_tokens_decoder().values()],
        show_progress=False,
    )
    shape.train_from_iterator(texts, trainer)
    trained = json.loads(shape.to_str())  # its added tokens still have the ids of the old vocabulary
    for token in trained["added_tokens"]:
        token["id"] = trained["model"]["vocab"][token["content"]]
    return Tokenizer.from_str(json.dumps(trained))


def time_ours(program, path, texts):
    """Seconds and ids of one round of ours."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run(
        [str(program), str(path), "--time", "2"], input=lines, capture_output=True, text=True, check=True
    )
    last = json.loads(done.stdout.splitlines()[-1])  # the first round fills the caches
    return last["seconds"], last["ids"]


def timed(encode, texts):
    start = time.process_time()
    count = sum(len(encode(text)) for text in texts)
    return time.process_time() - start, count


def compare(name, size, rounds, runners):
    best, ids = {}, {}
    for _ in range(rounds):
        for label, run in runners.items():
            seconds, ids[label] = run()
            best[label] = min(best.get(label, seconds), seconds)
    assert len(set(ids.values())) == 1, f"{name}: numbers of ids differ: {ids}"
    ours = best["ours"]
    for label, seconds in best.items():
        note = "" if label == "ours" else f"   ours is {seconds / ours:.1f} times as fast"
        print(f"{name:22} {label:11} {size / seconds / 1e6:8.1f} MB/s{note}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    options = parser.parse_args()
    program = options.build / "bin" / "encode_text"
    texts, size, source = read_texts(options.megabytes)
    print(f"{size / 1e6:.1f} MB, {len(texts)} strings from {source}; one thread", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for make in (kinds.gpt2, kinds.llama3, kinds.qwen2, kinds.mistral_nemo):
            path = pathlib.Path(folder) / "tokenizer.json"
            retrained(make, texts[:2000]).save(str(path))
            theirs = Tokenizer.from_file(str(path))
            runners = {
                "ours": lambda: time_ours(program, path, texts),
                "tokenizers": lambda: timed(lambda t: theirs.encode(t, add_special_tokens=False), texts),
            }
            compare(make.__name__, size, options.rounds, runners)
        kinds.llama2().save(str(path))
        theirs = Tokenizer.from_file(str(path))
        compare("llama2, small vocab", size, options.rounds, runners)
        ranks_path = SHARED / "tokenizers" / "llama3_tiktoken.model"
        if ranks_path.exists():
            rows = (line.split() for line in ranks_path.read_bytes().splitlines())
            ranks = {base64.b64decode(token): int(rank) for token, rank in rows}
            name = "Llama 3, real ranks"
        else:
            ranks_path = pathlib.Path(folder) / "tokenizer.model"
            ranks = kinds.write_ranks(ranks_path, retrained(kinds.llama3, texts[:2000]))
            name = "llama3 ranks"
        encoding = tiktoken.Encoding(
            "llama3",
            pat_str=kinds.LLAMA3,
            mergeable_ranks=ranks,
            special_tokens={t: len(ranks) + n for t, n in kinds.LLAMA3_SPECIAL.items()},
        )
        encode = lambda t: encoding.encode(t, allowed_special="all", disallowed_special=())  # noqa: E731
        compare(
            name,
            size,
            options.rounds,
            {
                "ours": lambda: time_ours(program, ranks_path, texts),
                "tiktoken": lambda: timed(encode, texts),
            },
        )


if __name__ == "__main__":
    main()
