# SPDX-License-Identifier: Apache-2.0
"""What libpref and TRL both train on in beside_trl.py, made where it runs: a llama with random weights, a tokenizer
whose words are one token each, and pairs of given lengths, as text (which `pref train` reads) and as the ids of it.
"""

import dataclasses
import json
import random

from peers import log_normal

BATCH = 8  # pairs of an update; the default of both sides
LONGEST = 1024  # tokens of prompt and response, max_length's default on both sides
END = "<|end|>"
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxz", "aeiou"


@dataclasses.dataclass(frozen=True)
class Profile:
    """Median lengths of a data set's prompts and responses, in tokens."""

    name: str
    prompt: int
    response: int


PROFILES = (Profile("UltraFeedback", 121, 288), Profile("TLDR, prompt-heavy", 382, 34))


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model, and updates: the first ones are not timed, and a line is logged every `warm` updates."""

    name: str
    config: dict
    dtype: str  # of the folder's weights
    shrink: int  # lengths are divided by this
    learning_rate: float
    warm: int
    timed: int

    @property
    def updates(self):
        return self.warm + self.timed


def llama(hidden, inner, layers, heads, key_heads, vocabulary):
    return dict(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        head_dim=hidden // heads,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        rope_theta=500000.0,
        tie_word_embeddings=True,
    )


SHAPES = {
    # Llama 3.2 1B's.
    "1b": Shape(
        "1B llama", llama(2048, 8192, 16, 32, 8, 128256), "bfloat16", 1, 1e-6, warm=4, timed=12
    ),
    # For a rehearsal on a CPU; a learning rate that moves the loss within the few updates.
    "tiny": Shape("tiny llama", llama(64, 128, 2, 4, 2, 640), "float32", 8, 2e-3, warm=2, timed=4),
    # The same, longer.
    "small": Shape(
        "small llama", llama(128, 344, 4, 4, 2, 2048), "float32", 8, 1e-3, warm=2, timed=8
    ),
}


# --- A tokenizer that can be read backwards -----------------------------------------------------------------------


def byte_characters():
    """The 256 characters that stand for bytes in byte-level vocabularies, in byte order: printable Latin-1 stands for
    itself, the others for the characters from 256 on."""
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    other = iter(range(256, 512))
    return [chr(byte if byte in own else next(other)) for byte in range(256)]


def vocabulary(size):
    """(pieces in the order of their ids, merges): bytes, syllables of a consonant and a vowel, and words, which are a
    space and syllables, each made of a shorter word and one syllable more. No merge but these: a word is one token."""
    pieces = byte_characters()
    space = pieces[ord(" ")]
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS]
    merges = [tuple(syllable) for syllable in syllables]
    stems = [space]
    while 256 + len(merges) < size - 1:
        more = [(stem, syllable) for stem in stems for syllable in syllables]
        merges += more[: size - 1 - 256 - len(merges)]
        stems = [stem + syllable for stem, syllable in more]
    return pieces + ["".join(merge) for merge in merges], merges


def words(size):
    """{id: text} of the tokens that are whole words."""
    pieces, _ = vocabulary(size)
    space = byte_characters()[ord(" ")]
    first = 256 + len(CONSONANTS) * len(VOWELS)
    return {id: pieces[id].replace(space, " ") for id in range(first, len(pieces))}


def write_tokenizer(folder, size):
    pieces, merges = vocabulary(size)
    end = dict(id=size - 1, content=END, single_word=False, lstrip=False, rstrip=False)
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**end, "normalized": False, "special": True}],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {piece: id for id, piece in enumerate(pieces)},
            "merges": [" ".join(merge) for merge in merges],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = dict(tokenizer_class="PreTrainedTokenizerFast", eos_token=END, pad_token=END)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_model(folder, shape, device):
    """A model folder; the weights are drawn on the device, which takes seconds."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    transformers.utils.logging.disable_progress_bar()
    config = transformers.LlamaConfig(
        **shape.config,
        bos_token_id=None,
        eos_token_id=shape.config["vocab_size"] - 1,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, shape.dtype)
        )
    model.save_pretrained(folder)
    write_tokenizer(folder, shape.config["vocab_size"])


# --- Pairs --------------------------------------------------------------------------------------------------------


def lengths(profile, count, shrink):
    """`count` lengths (prompt, chosen, rejected) around the profile's medians, the responses' end tokens counted."""
    sides = [
        log_normal(max(2, median / shrink), spread, count, stride)
        for median, spread, stride in (
            (profile.prompt, 0.5, 5),
            (profile.response, 0.4, 7),
            (profile.response, 0.4, 11),
        )
    ]
    longest = LONGEST // shrink
    found = []
    for prompt, chosen, rejected in zip(*sides):
        prompt = min(prompt, longest // 2)
        # A word and the end token at least.
        found.append((prompt, *(max(2, min(side, longest - prompt)) for side in (chosen, rejected))))
    return found


def span(pair):
    """Tokens of the longer sequence of a pair, which decides what a batch is padded to."""
    prompt, chosen, rejected = pair
    return prompt + max(chosen, rejected)


def row_lengths(profile, shape):
    """Lengths of all rows. The first update is as long as any that is timed: memory has grown by then."""
    timed = lengths(profile, shape.timed * BATCH, shape.shrink)
    longest = sorted(timed, key=span, reverse=True)[:BATCH]
    return longest + lengths(profile, (shape.warm - 1) * BATCH, shape.shrink) + timed


def rows(profile, shape, seed=1):
    """[{"prompt_ids", "chosen_ids", "rejected_ids"}] of random words, each response ending with the end token."""
    size = shape.config["vocab_size"]
    known = list(words(size))
    draw = random.Random(f"{seed} {profile.name}")
    return [
        {
            "prompt_ids": draw.choices(known, k=prompt),
            "chosen_ids": [*draw.choices(known, k=chosen - 1), size - 1],
            "rejected_ids": [*draw.choices(known, k=rejected - 1), size - 1],
        }
        for prompt, chosen, rejected in row_lengths(profile, shape)
    ]


def as_text(rows, size):
    """The rows as `pref train` reads them; it appends the end token itself."""
    known = words(size)
    return [
        {
            "id": str(number),
            **{
                side: "".join(known[id] for id in row[f"{side}_ids"] if id in known)
                for side in ("prompt", "chosen", "rejected")
            },
        }
        for number, row in enumerate(rows)
    ]


def by_length(rows, shape):
    """The same rows for a trainer that pads: what is timed in order of length, the longest first."""
    first = shape.warm * BATCH
    return rows[:first] + sorted(
        rows[first:], key=lambda row: span([*map(len, row.values())]), reverse=True
    )
