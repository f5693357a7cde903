#!/usr/bin/env python3
"""Makes tests/golden/text/families.json: what the reference libraries make of two corpora.

The mixed corpus is that of make_tokenizer_goldens.py; the Chinese one is poems of
data/poems-train.jsonl.zst, about 1 MB. Only hashes of the ids are kept. Vocabularies are real ones
in the folder of test data (MILLRACE_TEST_DATA, default ../shared/data), and small ones that
SentencePiece and Hugging Face's tokenizers learn here, which are written to
tests/golden/text/models/.

Needs sentencepiece, protobuf, tokenizers, tiktoken and gguf, and the program zstd:

    python tools/make_family_tokenizer_goldens.py [models] [goldens]
"""

import base64
import collections
import io
import json
import pathlib
import subprocess
import sys
import unicodedata

import gguf
import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from make_tokenizer_goldens import (
    DATA, DOCUMENTS, GOLDEN, LLAMA3, QWEN2, document, fnv1a, load, symbols_to_bytes
)

MODELS = GOLDEN / "models"
POEMS = GOLDEN.parent.parent.parent / "data" / "poems-train.jsonl.zst"
PER_HASH = 64
SPACE = "\u2581"


def chinese_documents():
    """A hundred poems each: a title, then its lines."""
    documents, lines, poems, size = [], [], 0, 0
    data = subprocess.run(["zstd", "-dc", POEMS], check=True, capture_output=True).stdout
    for row in data.decode("utf-8").splitlines():
        poem = json.loads(row)
        lines += [poem["title"], *poem["lines"], ""]
        poems += 1
        if poems % 100 == 0:
            documents.append("\n".join(lines))
            size += len(documents[-1].encode("utf-8"))
            lines = []
            if size >= 1_000_000:
                return documents


def hashes(encoded):
    def one(chunk):
        return f"{fnv1a([i for ids in chunk for i in [len(ids)] + ids]):016x}"

    return [one(encoded[at : at + PER_HASH]) for at in range(0, len(encoded), PER_HASH)]


def text_hash(texts):
    value = 0xCBF29CE484222325
    for text in texts:
        for byte in text.encode("utf-8") + b"\0":
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def vocabulary(name):
    fields = gguf.GGUFReader(DATA / "vocab" / f"ggml-vocab-{name}.gguf").fields
    return {key.removeprefix("tokenizer.ggml."): fields[key].contents() for key in fields}


# SentencePiece -------------------------------------------------------------------------------


def sentencepiece_of(name, unigram):
    """A real vocabulary as SentencePiece's own file."""
    v = vocabulary(name)
    proto = sentencepiece_model_pb2.ModelProto()
    for piece, score, kind in zip(v["tokens"], v["scores"], v["token_type"]):
        # Some files call more than one piece unknown.
        if kind == 2 and piece != "<unk>":
            kind = 3
        if kind == 3 and piece == "<unk>":
            kind = 2
        proto.pieces.add(piece=piece, score=score, type=kind)
    proto.trainer_spec.model_type = 1 if unigram else 2
    proto.trainer_spec.byte_fallback = 6 in v["token_type"]
    spec = proto.normalizer_spec
    spec.add_dummy_prefix = True
    spec.remove_extra_whitespaces = unigram
    if unigram:
        spec.precompiled_charsmap = bytes(b & 0xFF for b in v["precompiled_charsmap"])
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


RULES = """41\t61
C4\t61 308
FB01\t66 69
2460\t31
3000\t20
9\t20
A\t20
65 301\tE9
5B57 7B26\t5B57
200B\t
"""
TRAININGS = {
    "bpe": dict(model_type="bpe", vocab_size=900, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False),
    "bpe_symbols": dict(model_type="bpe", vocab_size=700, rules=True, user_defined_symbols=["the", "abc", "\u2581def", "ing ", "<|im_start|>", "123"]),
    "bpe_suffix": dict(model_type="bpe", vocab_size=700, treat_whitespace_as_suffix=True, normalization_rule_name="identity"),
    "unigram": dict(model_type="unigram", vocab_size=900, rules=True),
    "unigram_bytes": dict(model_type="unigram", vocab_size=1000, byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False, user_defined_symbols=["the", "abc", "<sep>", "    "]),
}


def train_sentencepiece(texts):
    lines = [line[:200] for text in texts for line in text.splitlines() if line]
    # So few characters that a small vocabulary has room for pieces.
    common = {c for c, _ in collections.Counter("".join(lines)).most_common(350)}
    lines = [line for line in lines if set(line) <= common]
    print(len(lines), "lines to train on")
    rules = MODELS / "rules.tsv"
    rules.write_text(RULES, encoding="utf-8")
    for name, options in TRAININGS.items():
        options = dict(options)
        if options.pop("rules", False):
            options["normalization_rule_tsv"] = str(rules)
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=file, hard_vocab_limit=False,
            character_coverage=1.0, num_threads=1, minloglevel=2, **options,
        )
        proto = sentencepiece_model_pb2.ModelProto.FromString(file.getvalue())
        # Paths of this machine, and what it was trained on, are nobody's business.
        proto.trainer_spec.ClearField("input")
        proto.normalizer_spec.ClearField("normalization_rule_tsv")
        (MODELS / f"{name}.model").write_bytes(proto.SerializeToString())
    rules.unlink()


def known(sp):
    """Decodes what is not unknown, for which we write nothing."""
    return lambda ids: sp.decode([i for i in ids if i != sp.unk_id()])


# Hugging Face ----------------------------------------------------------------------------------


def merges_by_score(tokens, scores, types):
    """All pairs that make a token, the one with the highest score first."""
    ids = {token: i for i, token in enumerate(tokens) if types[i] == 1}
    order = sorted(ids.values(), key=lambda i: -scores[i])
    return [
        [tokens[i][:at], tokens[i][at:]]
        for i in order
        for at in range(1, len(tokens[i]))
        if tokens[i][:at] in ids and tokens[i][at:] in ids
    ]


def base_json(name):
    """The tokenizer.json that Millrace writes for a GGUF file, as far as its model and added tokens go."""
    v = vocabulary(name)
    tokens, types = v["tokens"], v["token_type"]
    added = [
        dict(id=i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=types[i] != 4)
        for i, t in enumerate(tokens)
        if types[i] in (2, 3, 4) and t
    ]
    if v["model"] == "llama":
        model = dict(
            type="BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix=None,
            fuse_unk=True, byte_fallback=True, ignore_merges=False,
            vocab={t: i for i, t in enumerate(tokens)},
            merges=merges_by_score(tokens, v["scores"], types),
        )
    elif v["model"] == "t5":
        vocab = [[t, float(s)] for t, s in zip(tokens, v["scores"])]
        model = dict(type="Unigram", unk_id=v["unknown_token_id"], vocab=vocab, byte_fallback=False)
    else:
        def piece(i):
            t = tokens[i]
            if types[i] != 1 or (t.startswith("[") and t.endswith("]")):
                return t
            return t[1:] if t.startswith(SPACE) else "##" + t

        model = dict(
            type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100,
            vocab={piece(i): i for i in range(len(tokens))},
        )
    return dict(version="1.0", added_tokens=added, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, model=model)


def steps(*list_):
    return dict(type="Sequence", normalizers=list(list_))


def pre_steps(*list_):
    return dict(type="Sequence", pretokenizers=list(list_))


def replace(pattern, content, kind="String"):
    return dict(type="Replace", pattern={kind: pattern}, content=content)


def metaspace(scheme, split):
    return dict(type="Metaspace", replacement=SPACE, prepend_scheme=scheme, split=split)


def decoder(*extra):
    list_ = [replace(SPACE, " "), dict(type="ByteFallback"), dict(type="Fuse"), *extra]
    return dict(type="Sequence", decoders=list_)


STRIP = dict(type="Strip", content=" ", start=1, stop=0)
WORDPIECE = dict(type="WordPiece", prefix="##", cleanup=True)


def bert(**options):
    flags = dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    return dict(type="BertNormalizer", **{**flags, **options})


def bert_case(normalizer, **more):
    return dict(normalizer=normalizer, pre_tokenizer=dict(type="BertPreTokenizer"), decoder=WORDPIECE, **more)


# Vocabulary and what replaces parts of its JSON. "MAP" stands for the file's own character map.
PRECOMPILED = dict(type="Precompiled", precompiled_charsmap="MAP")
PATCHES = {
    "llama": ("llama-spm", dict(normalizer=steps(dict(type="Prepend", prepend=SPACE), replace(" ", SPACE)), decoder=decoder(STRIP))),
    "llama, later": ("llama-spm", dict(pre_tokenizer=metaspace("first", False), decoder=decoder(STRIP))),
    "gemma": ("llama-spm", dict(normalizer=replace(" ", SPACE), decoder=decoder(),
        pre_tokenizer=dict(type="Split", pattern=dict(String=" "), behavior="MergedWithPrevious", invert=False))),
    "metaspace and digits": ("llama-spm", dict(pre_tokenizer=pre_steps(metaspace("always", True), dict(type="Digits", individual_digits=True)),
        decoder=dict(type="Metaspace", replacement=SPACE, prepend_scheme="always", split=True))),
    "t5": ("nomic-bert-moe", dict(normalizer=PRECOMPILED, pre_tokenizer=pre_steps(dict(type="WhitespaceSplit"), metaspace("always", True)),
        decoder=dict(type="Metaspace", replacement=SPACE, prepend_scheme="always", split=True))),
    "xlm-roberta": ("nomic-bert-moe", dict(normalizer=steps(PRECOMPILED, dict(type="Strip", strip_left=False, strip_right=True), replace(" {2,}", SPACE, "Regex")),
        pre_tokenizer=metaspace("always", True), decoder=dict(type="Metaspace", replacement=SPACE, prepend_scheme="always", split=True))),
    "albert": ("nomic-bert-moe", dict(normalizer=steps(replace("``", '"'), replace("''", '"'), dict(type="NFKD"), dict(type="StripAccents"), dict(type="Lowercase"), PRECOMPILED),
        pre_tokenizer=pre_steps(dict(type="WhitespaceSplit"), metaspace("always", True)), decoder=dict(type="Metaspace", replacement=SPACE, prepend_scheme="always", split=True))),
    "bert": ("bert-bge", bert_case(bert())),
    "bert, cased": ("bert-bge", bert_case(bert(lowercase=False, strip_accents=False))),
    "bert, accents": ("bert-bge", bert_case(bert(strip_accents=False))),
    "bert, only split": ("bert-bge", bert_case(bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
        model=dict(max_input_chars_per_word=12))),
    "whitespace": ("bert-bge", dict(normalizer=dict(type="Lowercase"), pre_tokenizer=dict(type="Whitespace"), decoder=None)),
}


# Byte-level families: vocabulary, llama.cpp's name of the pre-tokenizer, normalizer.
BYTE_LEVEL = [
    ("llama-bpe", "llama-bpe", None),
    ("qwen2", "qwen2", "NFC"),
    ("gpt-2", "gpt-4o", None),
]


def merge_patch(target, patch):
    result = dict(target)
    for key, value in patch.items():
        result[key] = merge_patch(result[key], value) if key == "model" else value
    return result


def with_map(value, blob):
    if isinstance(value, dict):
        return {k: with_map(v, blob) for k, v in value.items()}
    if isinstance(value, list):
        return [with_map(v, blob) for v in value]
    return blob if value == "MAP" else value


def openai_gpt():
    """GPT-1's kind, learned here: characters, and ends of words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    from tokenizers import decoders

    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return tokenizer, trainers.BpeTrainer(vocab_size=1200, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False)


# tiktoken ----------------------------------------------------------------------------------------

KIMI = "|".join(
    [
        r"[\p{Han}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def tiktoken_of(pattern):
    """Qwen's ranks, as its second version has them in a GGUF file."""
    v = vocabulary("qwen2")
    ranks = {symbols_to_bytes(t): i for i, (t, kind) in enumerate(zip(v["tokens"], v["token_type"])) if kind == 1}
    return tiktoken.Encoding("qwen", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def main(wanted):
    corpus = json.loads((GOLDEN / "corpus.json").read_text(encoding="utf-8"))
    mixed = [document(corpus, i).decode("utf-8", errors="replace") for i in range(DOCUMENTS)]
    chinese = chinese_documents()
    MODELS.mkdir(exist_ok=True)
    if "models" in wanted:
        train_sentencepiece(mixed + chinese[:8])
        tokenizer, trainer = openai_gpt()
        tokenizer.train_from_iterator(mixed[::4], trainer)
        (MODELS / "openai_gpt.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
    golden = {"mixed": len(mixed), "chinese": len(chinese), "chinese_bytes": sum(len(t.encode("utf-8")) for t in chinese), "documents_per_hash": PER_HASH, "tokenizers": []}

    def add(entry, encode, decode=None):
        ids = {"mixed": [encode(t) for t in mixed], "chinese": [encode(t) for t in chinese]}
        for name, encoded in ids.items():
            entry[name + "_hashes"] = hashes(encoded)
            entry[name + "_ids"] = sum(map(len, encoded))
            if decode:
                entry[name + "_texts"] = text_hash(map(decode, encoded))
        golden["tokenizers"].append(entry)
        print(entry["name"], entry["mixed_ids"], entry["chinese_ids"], flush=True)

    for name, unigram in [("llama-spm", False), ("baichuan", False), ("nomic-bert-moe", True)]:
        sp = sentencepiece_of(name, unigram)
        add(dict(name=f"sentencepiece {name}", gguf=name), sp.encode, known(sp))
    for name in TRAININGS:
        sp = sentencepiece.SentencePieceProcessor(model_file=str(MODELS / f"{name}.model"))
        add(dict(name=f"sentencepiece {name}", model=f"{name}.model"), sp.encode, known(sp))
    for name, (file, patch) in PATCHES.items():
        charsmap = vocabulary(file).get("precompiled_charsmap", [])
        blob = base64.b64encode(bytes(b & 0xFF for b in charsmap)).decode()
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(base_json(file), with_map(patch, blob))))
        add(
            dict(name=f"tokenizers {name}", gguf=file, patch=patch),
            lambda t: tokenizer.encode(t, add_special_tokens=False).ids,
            lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
        )
    tokenizer = Tokenizer.from_file(str(MODELS / "openai_gpt.json"))
    add(dict(name="tokenizers openai_gpt", model="openai_gpt.json"), lambda t: tokenizer.encode(t).ids, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    for file, pre, normalizer in BYTE_LEVEL:
        tokenizer = load(DATA / "vocab" / f"ggml-vocab-{file}.gguf", pre, normalizer)
        add(
            dict(name=f"tokenizers {pre}", gguf=file, pre=pre, normalizer=normalizer),
            lambda t: tokenizer.encode(t, add_special_tokens=False).ids,
            lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
        )
    for name, pattern in [("qwen.tiktoken", QWEN2), ("tokenizer.model", LLAMA3), ("tiktoken.model", KIMI)]:
        encoding = tiktoken_of(pattern)
        form = "NFC" if name == "qwen.tiktoken" else None  # tokenization_qwen.py's own
        prepare = lambda t: unicodedata.normalize(form, t) if form else t
        add(dict(name=f"tiktoken {name}", ranks=name), lambda t: encoding.encode_ordinary(prepare(t)), None)
    path = GOLDEN / "families.json"
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(path.stat().st_size, "bytes of", path)


if __name__ == "__main__":
    main(sys.argv[1:] or ["models", "goldens"])
