# SPDX-License-Identifier: Apache-2.0
"""Model folders for the tests, made by transformers from a seed: tiny ones of every family, and the reference profile
of the benchmarks. Nothing is downloaded; the tiny tokenizer is trained on generated text.
"""

import gzip
import io
import itertools
import json
import pathlib
import random
import shutil

import sentencepiece
import torch
import transformers

# How a chat becomes text: "<|role|>\n", the content, EOS, newline, as in the Zephyr models; three branches, because a
# folder's format is recognised by these expressions.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    + "".join(
        "{% if message['role'] == 'ROLE' %}"
        "{{ '<|ROLE|>\\n' + message['content'] + eos_token }}"
        "{% endif %}".replace("ROLE", role)
        for role in ("system", "user", "assistant")
    )
    + "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

FAMILIES = ("llama", "llama_rope3", "llama_tied", "mistral", "qwen2", "qwen2_window", "qwen3")

# The profile that speed and agreement with TRL are stated for: 56.4 million parameters.
REFERENCE_SIZES = dict(
    hidden_size=512,
    intermediate_size=1408,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=4,
    vocab_size=32000,
    max_position_embeddings=4096,
    tie_word_embeddings=False,
)

# Moves the mean reward margin of the reference profile by at least 1 nat in 10 steps of 4 pairs.
REFERENCE_LEARNING_RATE = 1e-5

_TINY_SIZES = dict(
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=512,
)

_WORDS = (
    "the a this every river stone garden window letter engine teacher doctor child bird answer question number "
    "colour walks opens writes carries explains forgets remembers counts paints repairs watches follows quickly "
    "slowly often never because although while before after under over between small large bright quiet heavy "
    "honest useful strange"
).split()


def sentence(generator, words):
    """`words` words, capitalised, with punctuation and now and then a number or a non-ASCII word."""
    chosen = [generator.choice(_WORDS) for _ in range(words)]
    if generator.random() < 0.3:
        chosen[generator.randrange(words)] = str(generator.randrange(1000))
    if generator.random() < 0.2:
        chosen[generator.randrange(words)] = generator.choice(["naïve", "Ωmega", "日本", "café"])
    return " ".join(chosen).capitalize() + generator.choice(".?!")


def text(generator, sentences):
    return " ".join(sentence(generator, generator.randint(3, 9)) for _ in range(sentences))


def train_tiny_tokenizer(seed=7, vocab_size=400):
    """A sentencepiece BPE model with byte fallback, as bytes; ids 1 and 2 are BOS and EOS, as in Llama."""
    generator = random.Random(seed)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text(generator, 3) for _ in range(400)]),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        character_coverage=0.9995,
        split_digits=True,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return model.getvalue()


def write_tokenizer(folder, model):
    """The tokenizer files of a Llama-like folder around a sentencepiece model (bytes)."""
    (folder / "tokenizer.model").write_bytes(model)
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
        "legacy": True,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    special = {name: config[name] for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2))


def tiny_config(family, vocab_size):
    ids = dict(bos_token_id=1, eos_token_id=2, pad_token_id=None, vocab_size=vocab_size)
    sizes = {**_TINY_SIZES, **ids, "tie_word_embeddings": family in ("llama_tied", "qwen2")}
    llama3 = dict(
        rope_type="llama3",
        rope_theta=10000.0,
        factor=4.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=64,
    )
    # Layer 0 sees everything, the others 24 keys.
    window = dict(use_sliding_window=True, sliding_window=24, max_window_layers=1)
    make = {
        "llama": lambda: transformers.LlamaConfig(**sizes),
        "llama_rope3": lambda: transformers.LlamaConfig(**sizes, rope_parameters=llama3),
        "llama_tied": lambda: transformers.LlamaConfig(**sizes),
        "mistral": lambda: transformers.MistralConfig(**sizes, sliding_window=24),
        "qwen2": lambda: transformers.Qwen2Config(**sizes),
        "qwen2_window": lambda: transformers.Qwen2Config(**sizes, **window),
        "qwen3": lambda: transformers.Qwen3Config(**sizes),
    }
    return make[family]()


def save_random_model(folder, config, tokenizer_model, seed, spread=None):
    """Random weights of `config` and tokenizer files in `folder`. With `spread`, every parameter (biases and norm
    weights too, which transformers would leave at 0 and 1) gets noise of that size, so that none can be ignored.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if spread is not None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * spread)
    model.save_pretrained(folder)
    write_tokenizer(folder, tokenizer_model)
    return folder


def save_tiny_model(folder, family, tokenizer_model, seed=0):
    vocab_size = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model).vocab_size()
    return save_random_model(
        folder, tiny_config(family, vocab_size), tokenizer_model, seed, spread=0.1
    )


def save_reference_model(folder, shared_data, seed=0):
    """The reference profile, with the Mistral tokenizer. A folder made before from the same seed is kept."""
    folder = pathlib.Path(folder)
    stamp = folder / "seed.json"
    wanted = json.dumps(
        {"seed": seed, "sizes": REFERENCE_SIZES, "transformers": transformers.__version__}
    )
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    config = transformers.LlamaConfig(
        **REFERENCE_SIZES, bos_token_id=1, eos_token_id=2, pad_token_id=None
    )
    tokenizer = shared_data / "tokenizers" / "mistral_v1_sentencepiece.model"
    save_random_model(folder, config, tokenizer.read_bytes(), seed)
    stamp.write_text(wanted)
    return folder


def reference_pairs(shared_data, count=40):
    """The first rows of the real training file: prompt, chosen and rejected conversations."""
    with gzip.open(shared_data / "preference" / "alpaca_eval_train.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in itertools.islice(file, count)]


def has_runs_of_spaces(row):
    """Where transformers 5 converts a sentencepiece model, its tokenizer differs from it on those."""
    return any("  " in message["content"] for side in ("chosen", "rejected") for message in row[side])


def pairs(count, seed=1, conversational=False):
    """`count` generated preference rows with a prompt, chosen and rejected of differing lengths."""
    generator = random.Random(seed)
    rows = []
    for index in range(count):
        prompt = text(generator, generator.randint(1, 3))
        sides = {side: text(generator, generator.randint(1, 4)) for side in ("chosen", "rejected")}
        row = {"id": f"row-{index}", "prompt": prompt}
        for side, answer in sides.items():
            if conversational:
                row[side] = [
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": answer},
                ]
            else:
                row[side] = " " + answer
        rows.append(row)
    return rows
