#!/usr/bin/env python3
"""Makes tests/golden/text/ids.json and cases.json: what Hugging Face's tokenizers make of a corpus.

The corpus is generated from tests/golden/text/corpus.json by a rule that tests/text/corpus.cpp
knows too, so that only hashes of the ids are kept.

ids.json: the vocabularies are real ones, in the folder of test data (MILLRACE_TEST_DATA, default
../shared/data), and the pre-tokenizers are those of the models' own tokenizer.json.

cases.json: the tokenizer.json that Millrace wrote for a tokenizer of its own training
(tests/golden/text/trained.json), as it is and with parts of it replaced.

Needs tokenizers and gguf:

    python tools/make_tokenizer_goldens.py [ids] [cases]
"""

import json
import os
import pathlib
import sys

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden" / "text"
DATA = pathlib.Path(os.environ.get("MILLRACE_TEST_DATA", ROOT / ".." / "shared" / "data"))
DOCUMENTS = 640
DOCUMENTS_PER_HASH = 16
MASK = (1 << 64) - 1


class Random:
    """millrace/base/random.h."""

    def __init__(self, seed):
        self.seed = seed
        self.position = 0

    @staticmethod
    def mix(x):
        x = (x + 0x9E3779B97F4A7C15) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)

    def bits(self):
        value = self.mix(self.mix(self.seed) ^ self.mix(~self.position & MASK))
        self.position += 1
        return value

    def below(self, n):
        return (self.bits() * n) >> 64

    def choice(self, values):
        return values[self.below(len(values))]


def document(corpus, number):
    """Every eighth document is broken: some of its bytes are changed, added or taken out."""
    random = Random(number)
    categories = list(corpus["items"].values())
    focus = random.choice(categories)
    text = ""
    for _ in range(20 + random.below(300)):
        kind = random.below(32)
        if kind < 28:
            text += random.choice(focus if kind < 14 else random.choice(categories))
        elif kind == 28:
            text += random.choice(corpus["separators"]) * (1 + random.below(40))
        elif kind == 29:
            for _ in range(1 + random.below(8)):
                low, high = random.choice(corpus["code_points"])
                text += chr(low + random.below(high - low + 1))
        else:
            text += str(random.bits() >> random.below(60))
        text += random.choice(corpus["separators"])
    data = bytearray(text.encode())
    if number % 8 == 7:
        for _ in range(1 + random.below(40)):
            at = random.below(len(data))
            change = random.below(3)
            if change == 0:
                data[at] = random.below(256)
            elif change == 1:
                data.insert(at, random.below(256))
            else:
                del data[at]
    return bytes(data)


def fnv1a(ids):
    """64-bit FNV-1a of the ids as 32-bit little-endian numbers."""
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


def byte_level(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def sequence(*expressions):
    return pre_tokenizers.Sequence([split(e) for e in expressions] + [byte_level()])


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+{0}|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*{0}|{1}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_LETTERS = (
    # Escaped, since several of these letters do not survive a normalisation of this file.
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
    "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943"
)
LLAMA3 = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES
)
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES
GPT4O = CASED.replace("{0}", CONTRACTIONS + "?").replace("{1}", r"\p{N}{1,3}")
# Pre-tokenizers that are one expression.
EXPRESSIONS = {"gpt-2": GPT2, "llama-bpe": LLAMA3, "qwen2": QWEN2, "gpt-4o": GPT4O}
PRE_TOKENIZERS = {
    "gpt-2": byte_level(use_regex=True),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)]
    ),
    "llama-bpe": sequence(LLAMA3),
    "qwen2": sequence(QWEN2),
    "qwen35": sequence(
        CONTRACTIONS
        + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
        + SPACES
    ),
    "deepseek-llm": pre_tokenizers.Sequence(
        [
            split("[\r\n]"),
            split(rf"\s?[{DEEPSEEK_LETTERS}]+"),
            split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
            split(r"\s+$"),
            split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
            pre_tokenizers.Digits(individual_digits=True),
            byte_level(),
        ]
    ),
    "deepseek-coder": pre_tokenizers.Sequence(
        [
            split("[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
            pre_tokenizers.Digits(individual_digits=True),
            byte_level(),
        ]
    ),
    "deepseek-v3": sequence(
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
        "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ),
    "falcon": sequence(r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    "tekken": sequence(CASED.replace("{0}", "").replace("{1}", r"\p{N}")),
    "gpt-4o": sequence(GPT4O),
    "bloom": sequence(" ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"),
    "bailingmoe": sequence(
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|"
        r"\s*[\r\n]|\s+(?!\S)|\s+"
    ),
}
# Vocabulary, pre-tokenizer, normalizer.
TOKENIZERS = [
    ("gpt-2", "gpt-2", None),
    ("gpt-2", "smollm", None),
    ("gpt-2", "tekken", None),
    ("gpt-2", "gpt-4o", None),
    ("gpt-2", "bloom", None),
    ("gpt-2", "bailingmoe", None),
    ("gpt-2", "qwen35", None),
    ("llama-bpe", "llama-bpe", None),
    ("qwen2", "qwen2", None),
    ("qwen2", "qwen2", "NFC"),
    ("deepseek-llm", "deepseek-llm", None),
    ("deepseek-llm", "deepseek-coder", None),
    ("deepseek-llm", "deepseek-v3", None),
    ("falcon", "falcon", None),
]
CHAT = (
    "<|im_start|>user\nWhat is <|endoftext|>?<|im_end|>\n<|begin_of_text|> <|eot_id|>\n"
    "<｜begin▁of▁sentence｜>User: 你好<｜end▁of▁sentence｜> >>TITLE<<"
)


def symbols_to_bytes(token):
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes are U+0100 and on."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in kept]
    return bytes(ord(c) if ord(c) < 0x100 else others[ord(c) - 0x100] for c in token)


def load(path, pre_tokenizer, normalizer):
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    split_at = [merge.index(" ", 1) for merge in merges]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=[(m[:at], m[at + 1 :]) for m, at in zip(merges, split_at)],
            ignore_merges=pre_tokenizer in ("llama-bpe", "tekken"),
        )
    )
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre_tokenizer]
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer == "NFC":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens(
        [
            AddedToken(token, normalized=False, special=kind != 4)
            for token, kind in zip(tokens, types)
            if kind in (2, 3, 4)
        ]
    )
    return tokenizer


def added(id, content, **flags):
    entry = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": content, **entry, "special": False, **flags}


SPECIAL = [
    added(1197, "<|endoftext|>", special=True),
    added(1198, "<|im_start|>", special=True),
    added(1199, "<|im_end|>", special=True),
]


def json_split(pattern, behavior, invert=False):
    step = {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [step, last]}}


# Replacements (JSON merge patches) of parts of trained.json.
CASES = {
    "as it is": {},
    "NFC": {"normalizer": {"type": "NFC"}},
    "NFD": {"normalizer": {"type": "NFD"}},
    "NFKC": {"normalizer": {"type": "NFKC"}},
    "NFKD": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKD"}]}},
    "ignore merges": {"model": {"ignore_merges": True}},
    "unknown token": {"model": {"unk_token": "<|endoftext|>", "fuse_unk": True}},
    "flags": {
        "added_tokens": SPECIAL
        + [
            added(1200, "<left>", lstrip=True),
            added(1201, "<right>", rstrip=True),
            added(1202, "<both>", lstrip=True, rstrip=True, special=True),
            added(1203, "day", single_word=True),
            added(1204, "daylight"),
            added(1205, "ay"),
        ]
    },
    "normalized": {
        "normalizer": {"type": "NFC"},
        "added_tokens": SPECIAL
        + [
            added(1200, "e\u0301clair", normalized=True),
            added(1201, "\u00e9clat", normalized=True),
            added(1202, "o\u0301", normalized=False),
            added(1203, "clair", normalized=True, single_word=True),
        ],
    },
    "prefix space": {
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "cls": ["<|endoftext|>", 1197],
            "sep": ["<|im_end|>", 1199],
            "trim_offsets": True,
            "add_prefix_space": True,
        },
    },
    "template": {
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
                {
                    "type": "TemplateProcessing",
                    "single": [
                        {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "two", "type_id": 0}},
                    ],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                    "special_tokens": {
                        "<|im_start|>": {"id": "<|im_start|>", "ids": [1198], "tokens": ["<|im_start|>"]},
                        "two": {"id": "two", "ids": [1199, 1197], "tokens": ["a", "b"]},
                    },
                },
            ],
        }
    },
    "removed": json_split({"String": " "}, "Removed"),
    "words": json_split({"Regex": r"\w+"}, "Removed", invert=True),
    "with previous": json_split({"Regex": r"[\s,。，]"}, "MergedWithPrevious"),
    "with next": json_split({"Regex": r"\s"}, "MergedWithNext"),
    "contiguous": json_split({"Regex": r"[\p{P}\p{S}]"}, "Contiguous"),
    "inverted": json_split({"Regex": r"\p{L}{1,2}+"}, "Isolated", invert=True),
    "zero width": json_split({"Regex": r"(?=(\d{3})+(?!\d))"}, "Isolated"),
    "punctuation": {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Punctuation", "behavior": "Contiguous"},
                {"type": "Digits", "individual_digits": False},
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": True,
                },
            ],
        }
    },
}
CASE_TEXTS = [
    "",
    " ",
    "Hello  world, it's a day in the daylight. Today <left> x <right>  y <both>  day",
    "  <both>   <both><left>  <right> \u3000<left>\u00a0<right>\u2003.day.day_day-day 日day日",
    "éclair e\u0301clair \u00e9clat e\u0301clat o\u0301 \u00f3 clair clairs é.clair",
    "<|im_start|>user\n1234567890 and 1234.5678<|im_end|>\n",
    "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
    "ﬁne １２３ ㎏ \u212b \ufb1d ｶﾞ",
]


def merge_patch(target, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def hash_of(encoded):
    return f"{fnv1a([i for ids in encoded for i in [len(ids)] + ids]):016x}"


def make_cases(texts):
    trained = json.loads((GOLDEN / "trained.json").read_text(encoding="utf-8"))
    golden = {"documents": 64, "texts": CASE_TEXTS, "cases": []}
    for name, patch in CASES.items():
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(trained, patch)))
        golden["cases"].append(
            {
                "name": name,
                "patch": patch,
                "ids": [tokenizer.encode(text).ids for text in CASE_TEXTS],
                "hash": hash_of([tokenizer.encode(text).ids for text in texts[:64]]),
            }
        )
    return golden


def make_ids(documents, texts):
    golden = {
        "documents": DOCUMENTS,
        "documents_per_hash": DOCUMENTS_PER_HASH,
        "bytes": sum(map(len, documents)),
        "chat": CHAT,
        "tokenizers": [],
    }
    for vocabulary, pre_tokenizer, normalizer in TOKENIZERS:
        path = DATA / "vocab" / f"ggml-vocab-{vocabulary}.gguf"
        tokenizer = load(path, pre_tokenizer, normalizer)
        encoded = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        golden["tokenizers"].append(
            {
                "vocabulary": vocabulary,
                "pre_tokenizer": pre_tokenizer,
                "normalizer": normalizer,
                "ids": sum(map(len, encoded)),
                "chat_ids": tokenizer.encode(CHAT, add_special_tokens=False).ids,
                "hashes": [
                    hash_of(encoded[begin : begin + DOCUMENTS_PER_HASH])
                    for begin in range(0, DOCUMENTS, DOCUMENTS_PER_HASH)
                ],
            }
        )
        print(vocabulary, pre_tokenizer, normalizer)
    return golden


def write(name, golden):
    path = GOLDEN / name
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    print(path.stat().st_size, "bytes of", path)


def main(wanted):
    corpus = json.loads((GOLDEN / "corpus.json").read_text(encoding="utf-8"))
    documents = [document(corpus, i) for i in range(DOCUMENTS)]
    texts = [data.decode("utf-8", errors="replace") for data in documents]
    if "ids" in wanted:
        write("ids.json", make_ids(documents, texts))
    if "cases" in wanted:
        write("cases.json", make_cases(texts))


if __name__ == "__main__":
    main(sys.argv[1:] or ["ids", "cases"])
