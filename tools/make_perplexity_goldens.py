#!/usr/bin/env python3
"""Makes tests/golden/perplexity: a small model of our own in every type with blocks of 256, as
llama.cpp quantises it, and the perplexity that llama.cpp finds.

SmolLM2's hidden size is no multiple of 256, so llama.cpp gives it no K-quants. This model has two
layers of 256 values and a vocabulary of 512 tokens, learned in about a minute from the poems of the
demo. Every matrix of a file has the file's type (llama.cpp's "pure"), the embedding with them.
heldout.txt holds poems that it has not seen.

Needs llama-cpp-python, jinja2 and numpy, and the program (MILLRACE, or build/millrace):

    python tools/make_perplexity_goldens.py
"""

import json
import os
import pathlib
import subprocess
import tempfile

import llama_cpp
import numpy

from reference_models import LlamaCpp, window_losses

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "golden" / "perplexity"
MILLRACE = os.environ.get("MILLRACE") or str(ROOT / "build" / "millrace")
CONTEXT = 256
HELDOUT_CHARACTERS = 12000
TYPES = {"q2_k": "Q2_K", "q3_k": "Q3_K_M", "q4_k": "Q4_K_M", "q5_k": "Q5_K_M", "q6_k": "Q6_K",
         "iq4_xs": "IQ4_XS"}


def millrace(*arguments):
    subprocess.run([MILLRACE, *map(str, arguments)], check=True)


def train(folder):
    """The model in BF16 as a GGUF file, and the held-out text."""
    data = folder / "data"
    millrace("data", "prepare", "--poems", ROOT / "data" / "poems-train.jsonl.zst", "--heldout",
             ROOT / "data" / "poems-heldout.jsonl.zst", "--out", data)
    millrace("tokenizer", "train", data / "pretrain.jsonl", "--vocab-size", 512, "--out",
             folder / "tokenizer")
    millrace("train", ROOT / "recipes" / "demo-pretrain.yaml", "--out", folder / "run",
             f"tokenizer.path={folder / 'tokenizer'}", f"data.train=[{data / 'pretrain.jsonl'}]",
             f"data.heldout=[{data / 'heldout.jsonl'}]", "model.num_layers=2",
             "model.num_kv_heads=2", "model.intermediate_size=256",
             "model.tie_embeddings=true", "schedule.steps=300", "samples.prompts=[]")
    millrace("convert", folder / "run" / "model", "--out", folder / "bf16.gguf", "--type", "bf16")
    with open(data / "heldout.jsonl") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return folder / "bf16.gguf", "\n".join(texts)[:HELDOUT_CHARACTERS] + "\n"


def quantize(source, path, name):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    params.pure = True
    params.nthread = 1
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(path).encode(), params) == 0


def main():
    GOLDENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source, text = train(pathlib.Path(folder))
        (GOLDENS / "heldout.txt").write_text(text)
        golden = {"llama_cpp_python": llama_cpp.__version__, "context": CONTEXT, "types": {}}
        for dtype, name in TYPES.items():
            path = GOLDENS / f"{dtype}.gguf"
            quantize(source, path, name)
            llama = LlamaCpp(path, CONTEXT)
            ids = llama.ids(text, parse_special=False)
            losses = window_losses(llama, ids, CONTEXT)
            golden["text_tokens"] = len(ids)
            golden["types"][dtype] = round(float(numpy.exp(numpy.mean(losses))), 6)
            print(dtype, path.stat().st_size, golden["types"][dtype])
    (GOLDENS / "perplexity.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
