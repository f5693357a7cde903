#!/usr/bin/env python3
"""Makes tests/golden/export: a tiny model that Millrace trained, and what others make of it.

`millrace train` teaches a model of some 90,000 weights the text of tests/golden/real/english.txt;
its folder is kept, with greedy continuations by transformers (of the folder, in f32) and by
llama.cpp (of the GGUF that `millrace convert --type f32` makes of it, of which a hash is kept; in f32
nothing is rounded that could make the two differ). Run it again when Millrace writes other bytes.
Needs llama-cpp-python, torch, transformers and jinja2:

    python tools/make_export_goldens.py
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from reference_models import LlamaCpp, Transformers, continuation

ROOT = pathlib.Path(__file__).parent.parent
EXPORT = ROOT / "tests" / "golden" / "export"
PROGRAM = os.environ.get("MILLRACE", "build/millrace")
NEW_TOKENS = 64

RECIPE = """
name: export
precision: bf16
model: {hidden_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 1, intermediate_size: 96,
        max_position_embeddings: 256, rope_theta: 5000}
tokenizer: {vocab_size: 384}
data: {train: [%s], sequence_length: 128, batch_tokens: 2048, micro_batch_tokens: 2048}
optimizer: {name: muon, lr: 0.01, matrix_lr: 0.05, weight_decay: 0}
schedule: {name: wsd, steps: 500, warmup_steps: 20, decay_fraction: 0.5, min_lr_ratio: 0.02}
"""

PROMPTS = [
    {"chat": False, "text": "Catherine"},
    {"chat": False, "text": "The progress of the friendship between"},
    {"chat": False, "text": "Mrs. Allen was"},
    {"chat": False, "text": "“And are you altogether pleased with Bath?”"},
    {"chat": True, "text": "Who is Mr. Tilney?"},
]


def millrace(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments)], check=True)


def fnv1a(data):
    """The 64-bit hash of Fowler, Noll and Vo."""
    result = 0xcbf29ce484222325
    for byte in data:
        result = (result ^ byte) * 0x100000001b3 % (1 << 64)
    return f"{result:016x}"


def continuations(model):
    return [{**p, **continuation(model, model.prompt_ids(p), NEW_TOKENS)} for p in PROMPTS]


def main():
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        recipe = scratch / "recipe.yaml"
        recipe.write_text(RECIPE % (ROOT / "tests" / "golden" / "real" / "english.txt"))
        millrace("train", recipe, "--out", scratch / "run")
        shutil.rmtree(EXPORT, ignore_errors=True)
        shutil.copytree(scratch / "run" / "model", EXPORT / "model")
        gguf = scratch / "model.gguf"
        millrace("convert", EXPORT / "model", "--type", "f32", "--out", gguf)
        golden = {"gguf_fnv1a": fnv1a(gguf.read_bytes()),
                  "transformers": continuations(Transformers(EXPORT / "model")),
                  "llama_cpp": continuations(LlamaCpp(gguf, context=256))}
    lines = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    for cut in ('{"chat":', '"transformers":', '"llama_cpp":'):
        lines = lines.replace(cut, "\n" + cut)
    (EXPORT / "continuations.json").write_text(lines + "\n")
    for one in golden["transformers"] + golden["llama_cpp"]:
        print(one["text"], "->", sorted(one["gaps"])[:4])
    (EXPORT / "README.md").write_text("# A model that Millrace trained, as others run it\n\n"
                                      "Made by `tools/make_export_goldens.py`, which says how.\n")


if __name__ == "__main__":
    main()
