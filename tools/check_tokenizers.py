#!/usr/bin/env python3
"""Compares the ids of `millrace tokenize` with those of the reference libraries, and reopens what
`millrace tokenizer convert` writes with Hugging Face's tokenizers.

Each FILE is a tokenizer.json (reference: tokenizers), a SentencePiece .model (sentencepiece) or a
*.tiktoken (tiktoken, with Qwen's expression). The texts are the mixed corpus of
make_tokenizer_goldens.py and 1 MB of Chinese poems, each whole, and some of their documents alone.
Prints one line a file; the exit status is 1 where anything differs.

    python tools/check_tokenizers.py build/millrace FILE...
"""

import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import unicodedata

import sentencepiece
import tiktoken
from tokenizers import Tokenizer

from make_family_tokenizer_goldens import chinese_documents
from make_tokenizer_goldens import GOLDEN, QWEN2, document

ALONE = 6  # documents of each corpus


def texts():
    corpus = json.loads((GOLDEN / "corpus.json").read_text(encoding="utf-8"))
    mixed = [document(corpus, i).decode("utf-8", errors="replace") for i in range(640)]
    chinese = chinese_documents()
    return ["\n".join(mixed), "\n".join(chinese), *mixed[:ALONE], *chinese[:ALONE], " a", "a ", "  "]


def reference(path):
    if path.suffix == ".json":
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    if path.suffix == ".model":
        return sentencepiece.SentencePieceProcessor(model_file=str(path)).encode
    lines = path.read_text().splitlines()
    ranks = {base64.b64decode(b): int(r) for b, r in (line.split() for line in lines if line)}
    encoding = tiktoken.Encoding("qwen", pat_str=QWEN2, mergeable_ranks=ranks, special_tokens={})
    return lambda text: encoding.encode_ordinary(unicodedata.normalize("NFC", text))


def first_difference(ids, expected):
    for i, (a, b) in enumerate(zip(ids, expected)):
        if a != b:
            return f"id {i}: {ids[i - 3:i + 3]} instead of {expected[i - 3:i + 3]}"
    return f"{len(ids)} ids instead of {len(expected)}"


def main(program, *files):
    def millrace(*arguments):
        run = subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)
        return run.stdout

    def encode(model, file):
        return json.loads(millrace("tokenize", model, "--plain", "--json", "--file", file))["ids"]

    all_texts = texts()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for i, text in enumerate(all_texts):
            names.append(pathlib.Path(folder) / f"{i}.txt")
            names[-1].write_bytes(text.encode())
        for path in map(pathlib.Path, files):
            ids = [encode(path, name) for name in names]
            expect = reference(path)
            millrace("tokenizer", "convert", path, "--out", f"{folder}/saved")
            reopened = reference(pathlib.Path(folder) / "saved" / "tokenizer.json")
            differences = []
            for i, text in enumerate(all_texts):
                for name, other in (("reference", expect), ("reopened", reopened)):
                    expected = other(text)
                    if ids[i] != expected:
                        differences.append(f"  text {i}, {name}: {first_difference(ids[i], expected)}")
            print(f"{path}: {sum(map(len, ids))} ids, {len(differences) or 'no'} differences", flush=True)
            print("\n".join(differences[:6]), end="\n" if differences else "")
            failed |= bool(differences)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
