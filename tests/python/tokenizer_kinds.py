# SPDX-License-Identifier: Apache-2.0
"""Tokenizer files in the shapes of published models, trained here on generated text, and adversarial strings.

Nothing is downloaded: the vocabularies are small, the pipelines around them are those of the models that the
kinds are named after."""

import base64
import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
NEMO = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPACE = "\u2581"
LLAMA3_SPECIAL = {
    "<|begin_of_text|>": 0,
    "<|end_of_text|>": 1,
    "<|start_header_id|>": 6,
    "<|end_header_id|>": 7,
    "<|eot_id|>": 9,
}


def training_text(seed=5, lines=3000):
    """Lines of words that repeat as in language, with numbers, punctuation, code and other scripts between."""
    rng = random.Random(seed)
    parts = ["st", "tr", "pl", "th", "b", "k", "m", "n", "l", "s", "qu", "é", "ü"]
    ends = ["a", "e", "i", "o", "u", "ing", "er", "ed", "tion", "ous", "ly", "en"]
    words = ["".join(rng.choice(parts) + rng.choice(ends) for _ in range(rng.randint(1, 3))) for _ in range(900)]
    words += ["the", "of", "and", "don't", "we'll", "it's", "you've", "he'd", "I'm", "THE", "Hello", "print(x)"]
    words += ["日本語", "中文", "привет", "мир", "नमस्ते", "مرحبا", "한국어", "😀", "👩‍👩‍👧", "naïve", "42", "1984", "3.14"]
    words += ["==", "!=", "->", "</p>", "\n", "\n\n", "\t", "    ", "...", "C++", "e\u0301", "\u00a0"]
    weights = [1 / (i % 300 + 2) for i in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=rng.randint(3, 20))) for _ in range(lines)]


def _bpe(pre_tokenizer, normalizer=None, vocab_size=1500, special=(), alphabet=None, unk=None):
    tokenizer = Tokenizer(models.BPE(unk_token=unk))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def _model(tokenizer, **changes):
    data = json.loads(tokenizer.to_str())
    data["model"].update(changes)
    return Tokenizer.from_str(json.dumps(data))


def gpt2():
    t = _bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), special=["<|endoftext|>"])
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def gpt2_prefix_space():
    t = _bpe(pre_tokenizers.ByteLevel(add_prefix_space=True), special=["<|endoftext|>"])
    t.decoder = decoders.ByteLevel()
    return t


def _split_bytes(*patterns):
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3():
    t = _model(_bpe(_split_bytes(LLAMA3), vocab_size=2000), ignore_merges=True)
    t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>"])
    t.decoder = decoders.ByteLevel()
    bos = t.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair=None, special_tokens=[("<|begin_of_text|>", bos)]
    )
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template])
    return t


def qwen2():
    t = _bpe(_split_bytes(QWEN2), normalizers.NFC())
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    t.decoder = decoders.ByteLevel()
    return t


def mistral_nemo():
    t = _model(_bpe(_split_bytes(NEMO)), ignore_merges=True)
    t.add_special_tokens(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])
    t.decoder = decoders.ByteLevel()
    return t


def deepseek():
    t = _bpe(_split_bytes(r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK))
    t.add_tokens([AddedToken("<｜begin▁of▁sentence｜>", normalized=False, special=True)])
    t.add_tokens([AddedToken("<think>", normalized=False)])
    t.decoder = decoders.ByteLevel()
    return t


def falcon():
    steps = [
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
    ]
    t = _bpe(pre_tokenizers.Sequence(steps), special=["<|endoftext|>", ">>TITLE<<"])
    t.decoder = decoders.ByteLevel()
    return t


def _fallback_bpe(across_spaces=False, **model):
    """A BPE model with byte fallback, as sentencepiece models are converted. `across_spaces`: with tokens that span
    a word's end."""
    t = _bpe(pre_tokenizers.Metaspace(prepend_scheme="always"), vocab_size=1600, alphabet=[])
    data = json.loads(t.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    pieces += sorted(data["vocab"], key=data["vocab"].get)
    merges = [tuple(m) for m in data["merges"]]
    # Runs of spaces, as Llama's vocabulary has them.
    for n in (2, 4, 8):
        merges.append((SPACE * (n // 2), SPACE * (n // 2)))
        pieces.append(SPACE * n)
    if across_spaces:
        merges += [(".", SPACE), ("a", SPACE + "the"), ("a", SPACE)]
        pieces += ["." + SPACE, "a" + SPACE + "the", "a" + SPACE]
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, **model}
    return Tokenizer(models.BPE({p: i for i, p in enumerate(dict.fromkeys(pieces))}, merges, **options))


def _llama_decoder():
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    return decoders.Sequence(steps)


def llama2():
    t = _fallback_bpe()
    t.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    t.decoder = _llama_decoder()
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair=None, special_tokens=[("<s>", 1)])
    return t


def mistral_metaspace():
    t = _fallback_bpe()
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = _llama_decoder()
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    t.add_tokens([AddedToken("<|end|>", rstrip=True, normalized=False), AddedToken("<|user|>", lstrip=True)])
    return t


def gemma():
    t = _fallback_bpe(across_spaces=True)
    t.normalizer = normalizers.Replace(" ", SPACE)
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    t.add_special_tokens(["<unk>", "<s>", "</s>", "<start_of_turn>"])
    t.add_tokens([AddedToken(x, normalized=False) for x in ("\n\n", "\n\n\n", SPACE * 16, "<h1>")])
    return t


def _unigram(normalizer, pre_tokenizer, **trainer):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizer
    trainer = trainers.UnigramTrainer(
        vocab_size=1200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False, **trainer
    )
    t.train_from_iterator(training_text(), trainer)
    # The tokenizers package reads some scores one unit in the last place off, which decides between paths that are
    # almost equal. Multiples of 1/1024 are read and added up exactly.
    data = json.loads(t.to_str())
    data["model"]["vocab"] = [[text, round(score * 1024) / 1024] for text, score in data["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(data))


def t5():
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=False, right=True)]
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    t = _unigram(normalizers.Sequence(steps), split)
    t.decoder = decoders.Metaspace(prepend_scheme="always")
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair=None, special_tokens=[("</s>", 1)])
    return t


def unigram_bytes():
    t = _unigram(normalizers.NFKD(), pre_tokenizers.Metaspace(prepend_scheme="first"))
    data = json.loads(t.to_str())
    lowest = min(score for _, score in data["model"]["vocab"])
    data["model"]["vocab"] += [[f"<0x{b:02X}>", lowest - 1] for b in range(256)]
    data["model"]["byte_fallback"] = True
    t = Tokenizer.from_str(json.dumps(data))
    t.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Metaspace(prepend_scheme="first")]
    )
    return t


def lower_case():
    """The parts that no model above uses: accents, words, unknown characters, added tokens of every sort."""
    normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    t = _bpe(pre_tokenizers.Whitespace(), normalizer, vocab_size=900, special=["[UNK]"], alphabet=[], unk="[UNK]")
    t.add_tokens(
        [
            AddedToken("Stand", single_word=True, normalized=True),
            AddedToken("standing", normalized=True),
            AddedToken("LEFT", lstrip=True, normalized=False),
            AddedToken("RIGHT", rstrip=True, normalized=False, single_word=True),
            AddedToken("  ", normalized=False, rstrip=True),
        ]
    )
    return t


def split_behaviors():
    """Every behaviour of Split, by strings and patterns, inverted and not."""
    split, steps = pre_tokenizers.Split, []
    steps += [split(",", "merged_with_previous"), split(Regex(r"[.!?]+"), "merged_with_next")]
    steps += [split(Regex(r"[a-z]"), "contiguous"), split("-", "removed"), split(Regex(r"\d"), "isolated")]
    steps += [split(Regex(r"\w+|\s"), "removed", invert=True), split("the", "isolated", invert=True)]
    steps += [pre_tokenizers.Digits(individual_digits=True)]
    return _bpe(pre_tokenizers.Sequence(steps), vocab_size=600, alphabet=[], unk=None)


KINDS = [gpt2, gpt2_prefix_space, llama3, qwen2, mistral_nemo, deepseek, falcon, llama2, mistral_metaspace, gemma]
KINDS += [t5, unigram_bytes, lower_case, split_behaviors]


def write_ranks(path, tokenizer):
    """A rank file of a byte-level vocabulary, in the order of its ids. Returns {token bytes: rank}."""
    decode = {c: b for b, c in _byte_characters().items()}
    tokens = [t for t in sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])]
    ranks = {}
    for text, _ in tokens:
        if all(c in decode for c in text):
            ranks[bytes(decode[c] for c in text)] = len(ranks)
    path.write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % r for t, r in ranks.items()))
    return ranks


def _byte_characters():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(plain))
    return table


def adversarial(count, seed, special=()):
    """`count` strings that tokenizers disagree about. All valid UTF-8."""
    rng = random.Random(seed)
    words = " ".join(training_text(seed=seed + 1, lines=60)).split(" ")
    spaces = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2003", "\u3000", "\u180e", "\u200b", "\x0b", "\x1c", "\x85"]
    contractions = ["'s", "'S", "'ll", "'LL", "'Ve", "\u2019s", "'\u017f", "'d", "'re", "'", "''", "n't", "'M"]
    emoji = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "1️⃣", "©", "™", "\ufe0f", "\u200d"]
    marks = ["e\u0301", "o\u0308\u0323", "\u0300", "क\u094d", "\u1e9b\u0323", "ﬁ", "Å", "\u212b", "각", "\u1100\u1161", "İ", "ß", "ſ"]
    digits = ["0", "7", "12", "123", "1234", "٣٤", "Ⅷ", "½", "²", "१२", "1,000.50", "0x1F"]
    odd = ["\ufffd", "\ufeff", "\x00", "\x7f", "\u0080", "<0x41>", "<0xE2>", "<unk>", "▁", "▁▁", "Ġ", "Ċ", "Ã©", "<", "<|", "|>"]
    cjk = ["日本", "中文字", "カタカナ", "ひらがな", "한국", "\U00031350", "\U0002ebf0", "𝒳", "𐐀𐐨", "\u1c89"]
    marks_of_text = ["...", "!?", "--", "//", "/", "\\n", "()", "_x_", ",", ".", "-", "#", "the", "standing", "Stand", "LEFT", "RIGHT"]

    def any_character():
        while True:
            c = rng.choice([rng.randrange(0x300), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x110000)])
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    def piece():
        kind = rng.randrange(12)
        if kind == 0:
            return "".join(any_character() for _ in range(rng.randint(1, 4)))
        if kind == 1:
            return "".join(rng.choice(spaces) for _ in range(rng.choice([1, 1, 2, 3, 9])))
        if kind in (2, 3):
            return rng.choice(words) + rng.choice(contractions)
        if kind == 4:
            word = rng.choice(words)
            return rng.choice([word.upper(), word.title(), word + rng.choice(words), word * 3])
        if kind == 5 and special:
            return rng.choice(special)
        return rng.choice(rng.choice([words, words, spaces, emoji, marks, digits, odd, cjk, marks_of_text]))

    strings = [""]
    while len(strings) < count - 8:
        text = "".join(piece() + rng.choice(["", " ", " "]) for _ in range(rng.randint(1, 14)))
        strings.append(text)
    letters = "".join(rng.choice("abcdefgh") for _ in range(20000))
    strings += [letters, "a" * 20000, " " * 5000, "\n" * 3000 + "x", "é" * 4000, "9" * 5000, "日" * 4000]
    strings.append("".join(any_character() for _ in range(4000)))
    return strings
