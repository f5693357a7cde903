#!/usr/bin/env python3
"""Speed of Millrace's tokenizers beside Hugging Face's tokenizers and OpenAI's tiktoken.

    python tools/measure_tokenizers.py [--rounds 5] [--text NAME=FILE ...] vocabulary.gguf ...
    python tools/measure_tokenizers.py --train [--vocab-size 16000] [--rounds 5]

Encoding: documents of 4,000 characters of English (Python's own documentation), code (Python's
standard library) and Chinese (data/poems-train.jsonl.zst), or of the files given, on one core. In
each round each engine encodes each text three times after once to warm up, one engine after the
other; the figures are medians over the rounds of each round's median. Hugging Face's side is
encode_batch_fast, tiktoken's encode_ordinary with the ranks of the same vocabulary. Stops where the
numbers of ids differ (tests/text compares the ids themselves).

Training: the same texts, vocabulary size and pre-tokenizer (qwen2), two threads.

`--only millrace` needs no packages; else tokenizers, tiktoken and gguf. The program is $MILLRACE,
or build/millrace.
"""

import argparse
import json
import os
import pathlib
import pydoc_data.topics
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
PROGRAM = os.environ.get("MILLRACE", str(ROOT / "build" / "millrace"))
DOCUMENT = 4000  # characters
MOST = 3_000_000  # bytes of a text
REPEATS = 3


def python_library():
    text, size = [], 0
    for path in sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text.append(path.read_text(encoding="utf-8", errors="replace"))
        size += len(text[-1].encode())
        if size > MOST:
            break
    return "".join(text)


def poems():
    packed = ROOT / "data" / "poems-train.jsonl.zst"
    lines = subprocess.run(["zstd", "-dcq", packed], check=True, stdout=subprocess.PIPE).stdout
    every = map(json.loads, lines.decode().splitlines())
    text = "".join("\n".join([poem["title"], *poem["lines"], "\n"]) for poem in every)
    return text.encode()[:MOST].decode(errors="ignore")


def read_texts(given):
    if given:
        named = (item.split("=", 1) for item in given)
        texts = {name: pathlib.Path(path).read_text(encoding="utf-8") for name, path in named}
    else:
        english = "".join(pydoc_data.topics.topics.values())
        texts = {"English": english, "code": python_library(), "Chinese": poems()}
    return {
        name: [text[i : i + DOCUMENT] for i in range(0, len(text), DOCUMENT)]
        for name, text in texts.items()
    }


def timed(function):
    seconds = []
    for i in range(REPEATS + 1):
        begin = time.perf_counter()
        result = function()
        if i > 0:
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), result


def read_vocabulary(path):
    import gguf

    fields = gguf.GGUFReader(path).fields

    def field(name):
        return fields["tokenizer.ggml." + name].contents()

    return field("tokens"), field("token_type"), field("pre")


class HuggingFace:
    name = "tokenizers"

    def __init__(self, path):
        import make_tokenizer_goldens

        pre_tokenizer = read_vocabulary(path)[2]
        self.tokenizer = make_tokenizer_goldens.load(path, pre_tokenizer, None)

    def encode(self, documents):
        encode = self.tokenizer.encode_batch_fast
        seconds, encoded = timed(lambda: encode(documents, add_special_tokens=False))
        return seconds, sum(len(one.ids) for one in encoded)


class Tiktoken:
    name = "tiktoken"

    def __init__(self, path):
        import tiktoken

        from make_tokenizer_goldens import EXPRESSIONS, symbols_to_bytes

        tokens, types, pre_tokenizer = read_vocabulary(path)
        ranks = {symbols_to_bytes(t): i for i, t in enumerate(tokens) if types[i] == 1}
        self.encoding = tiktoken.Encoding(
            "gguf", pat_str=EXPRESSIONS[pre_tokenizer], mergeable_ranks=ranks, special_tokens={}
        )

    def encode(self, documents):
        encode = self.encoding.encode_ordinary
        seconds, encoded = timed(lambda: [encode(document) for document in documents])
        return seconds, sum(map(len, encoded))


class Millrace:
    name = "Millrace"

    def __init__(self, path):
        self.path = path

    def encode(self, documents):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": document}) + "\n" for document in documents)
            file.flush()
            command = ["tokenizer", "bench", self.path, file.name, "--repeat", str(REPEATS), "--json"]
            result = json.loads(subprocess.check_output([PROGRAM, *command]))
        return statistics.median(result["seconds"]), result["tokens"]


def print_table(header, rows):
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def measure_encoding(arguments, texts):
    kinds = [Millrace] if arguments.only else [Millrace, HuggingFace, Tiktoken]
    rows = []
    for path in arguments.vocabularies:
        engines = []
        for kind in kinds:
            try:
                engines.append(kind(path))
            except KeyError as key:
                print(f"{kind.name} cannot run {path}: no {key}", file=sys.stderr)
        for name, documents in texts.items():
            size = sum(len(document.encode()) for document in documents) / 1e6
            speeds = {engine.name: [] for engine in engines}
            for _ in range(arguments.rounds):
                counts = {}
                for engine in engines:
                    seconds, counts[engine.name] = engine.encode(documents)
                    speeds[engine.name].append(size / seconds)
                assert len(set(counts.values())) == 1, f"{path}, {name}: {counts}"
            row = [pathlib.Path(path).stem.removeprefix("ggml-vocab-"), name]
            row += [spread(speeds[kind.name]) if kind.name in speeds else "" for kind in kinds]
            for kind in kinds[1:]:
                ratios = [a / b for a, b in zip(speeds["Millrace"], speeds.get(kind.name, []))]
                row.append(f"{statistics.median(ratios):.1f}" if ratios else "")
            rows.append(row)
    header = ["vocabulary", "text"] + [kind.name + ", MB/s" for kind in kinds]
    print_table(header + ["to " + kind.name for kind in kinds[1:]], rows)


def train_millrace(path, folder, vocab_size):
    command = ["tokenizer", "train", path, "--vocab-size", str(vocab_size), "--out", folder, "--json"]
    environment = {**os.environ, "MILLRACE_THREADS": "2"}
    return json.loads(subprocess.check_output([PROGRAM, *command], env=environment))["seconds"]


def train_hugging_face(path, vocab_size):
    from make_tokenizer_goldens import PRE_TOKENIZERS
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    begin = time.perf_counter()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRE_TOKENIZERS["qwen2"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    with open(path, encoding="utf-8") as file:
        tokenizer.train_from_iterator((json.loads(line)["text"] for line in file), trainer)
    return time.perf_counter() - begin


def measure_training(arguments, texts):
    rows = []
    for name, documents in [*texts.items(), ("all three", sum(texts.values(), []))]:
        seconds = {"Millrace": [], "tokenizers": []}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "text.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": document}) + "\n" for document in documents)
            for i in range(arguments.rounds):
                out = os.path.join(folder, str(i))
                seconds["Millrace"].append(train_millrace(path, out, arguments.vocab_size))
                if not arguments.only:
                    seconds["tokenizers"].append(train_hugging_face(path, arguments.vocab_size))
        row = [name, f"{sum(len(document.encode()) for document in documents) / 1e6:.1f}"]
        for values in filter(None, seconds.values()):
            row.append(f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})")
        ratios = [b / a for a, b in zip(*seconds.values())]
        rows.append(row + ([f"{statistics.median(ratios):.1f}"] if ratios else []))
    header = ["text", "MB", "Millrace, s", "tokenizers, s", "ratio"]
    print_table(header[: len(rows[0])], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("vocabularies", nargs="*", help="GGUF files with byte-level BPE vocabularies")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text", action="append", metavar="NAME=FILE")
    parser.add_argument("--only", choices=["millrace"])
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--vocab-size", type=int, default=16000)
    arguments = parser.parse_args()
    texts = read_texts(arguments.text)
    threads = 2 if arguments.train else 1
    # Both before the peers' libraries start their threads.
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    if not arguments.train:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    (measure_training if arguments.train else measure_encoding)(arguments, texts)


if __name__ == "__main__":
    main()
