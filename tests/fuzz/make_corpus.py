# SPDX-License-Identifier: Apache-2.0
"""Writes the seed inputs and dictionaries of the fuzz targets: small valid files, and some that are valid but for one
place. `python3 make_corpus.py FOLDER` makes FOLDER/<target>/ and FOLDER/<target>.dict.
"""

import base64
import gzip
import json
import pathlib
import struct
import sys


def byte_alphabet():
    """The characters that byte-level tokenizers write bytes 0..255 as."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def tokenizer_json(model, **parts):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model, **parts}


def tokenizers():
    letters = {c: i for i, c in enumerate("abcdefgh Ġ▁l'")}
    vocab = {**letters, "ab": 20, "▁a": 21, "Ġa": 22, "abc": 23}
    merges = ["a b", "▁ a", ["Ġ", "a"], ["ab", "c"]]
    bpe = {"type": "BPE", "vocab": vocab, "merges": merges}
    special = {"id": 30, "content": "<s>", "special": True, "lstrip": False, "rstrip": True, "single_word": False,
               "normalized": False}
    split = {"type": "Split", "pattern": {"Regex": r"(?i:'s|'ll)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+"},
             "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    yield tokenizer_json({**bpe, "vocab": {c: i for i, c in enumerate(byte_alphabet())}, "merges": []},
                         pre_tokenizer=byte_level, decoder={"type": "ByteLevel"})
    yield tokenizer_json(bpe, added_tokens=[special], decoder={"type": "ByteLevel"},
                         pre_tokenizer={"type": "Sequence", "pretokenizers": [
                             split, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]})
    yield tokenizer_json(
        {**bpe, "unk_token": "a", "fuse_unk": True, "byte_fallback": True, "ignore_merges": True},
        normalizer={"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    yield tokenizer_json(
        {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
         "vocab": [["<unk>", 0.0], ["▁", -1.5], ["a", -2], ["▁ab", -3.25], ["b", -4]]},
        normalizer={"type": "NFKC"}, added_tokens=[special],
        pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
        decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        post_processor={"type": "TemplateProcessing",
                        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [30], "tokens": ["<s>"]}}})
    yield tokenizer_json(bpe, normalizer={"type": "Sequence", "normalizers": [
        {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "NFD"}]},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "MergedWithNext"},
            {"type": "WhitespaceSplit"}, {"type": "Whitespace"},
            {"type": "Split", "pattern": {"String": "a"}, "behavior": "Contiguous", "invert": True}]},
        post_processor={"type": "RobertaProcessing", "sep": ["b", 1], "cls": ["a", 0]})


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def integer(number, value):
    return varint(number << 3) + varint(value)


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def piece(text, score, kind):
    return field(1, field(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + integer(3, kind))


def charsmap(units, strings):
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + strings


def sentencepiece_models():
    head = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3)
    fallback = b"".join(piece(f"<0x{b:02X}>", 0, 6) for b in range(256))
    words = b"".join(piece(t, -i, 1) for i, t in enumerate(["▁a", "ab", "▁ab", "▁", "a", "b", "l", "日", "'ll"]))
    user = piece("<|end|>", 0, 4) + piece("\n\t", 0, 4)
    table = [0x80000000] * 256
    table[0] = 1 << 10
    normal = field(1, b"identity") + integer(3, 1) + integer(4, 0) + integer(5, 1)
    for model_type in (1, 2, 3, 4):
        yield head + words + user + field(2, integer(3, model_type)) + field(3, normal)
    yield head + fallback + words + field(2, integer(3, 2) + integer(35, 1)) + field(3, normal)
    yield head + words + field(2, integer(3, 1)) + field(
        3, field(2, charsmap(table, b"\0\0")) + integer(3, 0)) + field(4, field(1, field(1, b"a") + field(2, b"a")))


def rows():
    talk = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}]
    other = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}]
    hh = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    yield {"prompt": "p", "chosen": "c", "rejected": "r", "score_chosen": 2, "score_rejected": 1.5, "id": "x"}
    yield {"prompt": talk[:1], "chosen": talk[1:], "rejected": other[1:], "weight": 0.5, "margin": -1}
    yield {"chosen": "a common d", "rejected": "a common e", "reference_response": "f"}
    yield {"chosen": talk, "rejected": other}
    yield {"prompt": "p", "chosen": talk, "rejected": other}
    yield {"chosen": hh + " d", "rejected": hh + " e"}
    yield {"prompt": "p", "completion": "c"}
    yield {"messages": talk, "extra": [1, None, True, {"a": {}}]}
    yield {"prompt": "\u00e9\u0000", "chosen": "\ud83d\ude00", "rejected": "r"}


def templates():
    yield ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + "
           "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
    yield ("{%- set ns = namespace(found=false, n=0) -%}{%- for m in messages if m.role != 'system' -%}"
           "{%- if loop.first and not ns.found -%}{%- set ns.found = true -%}{{ bos_token }}{%- endif -%}"
           "{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('alternate ' ~ m.role) }}"
           "{%- endif -%}{{ m.content[:2] | upper | replace('H', 'x') }}{{ loop.index }}/{{ loop.length }}{%- endfor -%}")
    yield ("{% macro show(a, b=1, *c, **d) %}{{ a|tojson(indent=2) }}{{ b }}{% endmacro %}{{ show(tools[0], b=[1, 2.5, none]) }}"
           "{% call(x) show(1) %}{{ caller }}{% endcall %}")
    yield ("{% set x %}a{% endset %}{% with y = x ~ 'b' %}{{ y|default('z', true)|length }}{% endwith %}"
           "{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join(', ') }}"
           "{{ range(3)|list|sum }}{{ {'a': 1, 'b': [2]}.items()|list }}{{ strftime_now('%Y-%m-%d') }}")
    yield ("{# note #}{% raw %}{{ x }}{% endraw %}{% filter upper %}a{% endfilter %}{% generation %}g{% endgeneration %}"
           "{{ 'a b'.split(' ')[-1] }}{{ '%s-%03d' % ('a', 7) }}{{ '{:>5}'.format('é') }}{{ 7 // 2 ** 2 - -1 }}"
           "{{ 1 if x is defined and x is not none else 'n' }}{% break %}")


def safetensors(header, data):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + data


def config(kind, **fields):
    return {"model_type": kind, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 512, **fields}


def inputs():
    """Yields (target, bytes)."""
    for value in tokenizers():
        yield "tokenizer_json", json.dumps(value, ensure_ascii=False).encode()
    for value in sentencepiece_models():
        yield "sentencepiece", value
    for text in ("ab a<|end|>b é日😀\n\t  x", "<s></s><|begin_of_text|>", "▁a b", "a" * 100, "\u0301\ufdfa\u2028"):
        yield "text", text.encode()
    yield "text", b"\xff\xc3"
    for row in rows():
        yield "jsonl", json.dumps(row).encode() + b"\r\n\n"
    everything = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows()).encode("utf-8", "surrogatepass")
    yield "jsonl", b"\xef\xbb\xbf" + everything
    yield "jsonl", gzip.compress(everything, mtime=0) + gzip.compress(b"{}", mtime=0)
    for text in templates():
        yield "chat_template", text.encode()
    entry = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}
    yield "safetensors", safetensors({"a": entry}, bytes(8))
    yield "safetensors", safetensors({"__metadata__": {"format": "pt"}, "a": entry, "b": {
        "dtype": "BF16", "shape": [], "data_offsets": [8, 10]}}, bytes(10))
    yield "safetensors", safetensors(b'  {"z":{"dtype":"I8","shape":[0,9],"data_offsets":[0,0]}} \n', b"")
    yield "index", json.dumps({"metadata": {"total_size": 12.0}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}).encode()
    yield "index", json.dumps({
        "bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None, "add_bos_token": True, "legacy": False,
        "additional_special_tokens": ["<x>", {"content": "<y>"}],
        "added_tokens_decoder": {"7": {"content": "<s>", "special": True, "lstrip": False, "normalized": False}},
        "chat_template": [{"name": "default", "template": "{{ x }}"}]}).encode()
    yield "config", json.dumps(config("llama", rope_theta=5e5, rope_scaling={
        "rope_type": "llama3", "factor": 8, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128}, eos_token_id=[7, 2], pad_token_id=-1)).encode()
    yield "config", json.dumps(config("qwen2", use_sliding_window=True, sliding_window=32, max_window_layers=1,
                                      tie_word_embeddings=True, torch_dtype="bfloat16")).encode()
    yield "config", json.dumps(config("qwen3", head_dim=16, attention_bias=True, layer_types=["full_attention"] * 2,
                                      rope_parameters={"rope_theta": 1e6, "rope_type": "default"})).encode()
    yield "config", json.dumps(config("mistral", sliding_window=None, rope_scaling={"type": "linear", "factor": 2})).encode()
    ranks = [b"ab", b"abc", " é".encode(), b"\xff\xfe"]
    yield "tiktoken", b"".join(base64.b64encode(t) + b" %d\n" % (256 + i) for i, t in enumerate(ranks))
    yield "tiktoken", b"YWI= 256\r\n\nYWJj 300"
    yield "yaml", b"dataset_name: [a.jsonl, 'b c', \"d\\n\"]\nmax_length: 512\nmax_rows: null\nstrict_turns: true\n"
    yield "yaml", b"# note\ndataset_name:\n  - a\n  - |\n    text\neos_policy: keep_tail\nmax_prompt_length: ~\n"


JSON_WORDS = ['"', "{", "}", "[", "]", ":", ",", "null", "true", "-1", "1e999", "18446744073709551616", "\\u0000", "\\ud800"]
WORDS = {
    "tokenizer_json": JSON_WORDS + [f'"{w}"' for w in (
        "type", "model", "vocab", "merges", "Regex", "String", "content", "Replace", "Sequence", "Metaspace", "ByteLevel",
        "Split", "Prepend", "Unigram", "ByteFallback", "unk_token", "unk_id", "id", "behavior", "NFKC", "Strip")] + [
        "(?i:", "\\\\p{L}", "(?!\\\\S)", "[^\\\\s]", "{1,3}", "++"],
    "config": JSON_WORDS + [f'"{w}"' for w in (
        "model_type", "llama", "head_dim", "rope_theta", "rope_scaling", "factor", "layer_types", "sliding_window")],
    "index": JSON_WORDS + ['"weight_map"', '"metadata"', '"total_size"', ".safetensors", "../", '"chat_template"'],
    "safetensors": JSON_WORDS + ['"dtype"', '"shape"', '"data_offsets"', '"F32"', '"BF16"', '"__metadata__"'],
    "jsonl": JSON_WORDS + ['"prompt"', '"chosen"', '"rejected"', '"messages"', '"role"', '"content"', '"assistant"',
                           "\\n\\nHuman:", "\\n\\nAssistant:", "\r\n", "\x1f"],
    "chat_template": ["{%", "%}", "{{", "}}", "{#", "#}", "-%}", "for ", " in ", "if ", "elif ", "else", "endif", "endfor",
                      "set ", "endset", "macro ", "endmacro", "namespace(", "loop.", "messages", "|", "is ", "not ", "and ",
                      "range(", "**", "//", "~", "'%s'", ".format(", "|tojson", "|map(", "|join", "|select", "[::-1]",
                      ".split(", "raise_exception(", "|batch(", "|slice(", "|indent", "|replace(", "recursive", "loop("],
    "yaml": ["dataset_name", "max_length", "dialect", "null", "!!", "&a", "*a", "- ", ": ", "|\n", ">", "[", "]", "{", "}", "'",
             '"', "---\n", "...\n", "%YAML", "\\x"],
    "text": ["<|end|>", "</s>", "▁", "\u0301", "é", "<0x0A>"],
}


def escaped(word):
    return "".join(c if 0x20 < ord(c) < 0x7F and c not in '"\\' else "".join(f"\\x{b:02x}" for b in c.encode()) for c in word)


def main():
    folder = pathlib.Path(sys.argv[1])
    counts = {}
    for target, data in inputs():
        (folder / target).mkdir(parents=True, exist_ok=True)
        counts[target] = counts.get(target, 0) + 1
        (folder / target / f"seed-{counts[target]:02d}").write_bytes(data)
    for target, words in WORDS.items():
        (folder / f"{target}.dict").write_text("".join(f'"{escaped(word)}"\n' for word in words))


if __name__ == "__main__":
    main()
