#!/usr/bin/env python3
"""Does a Millrace model say the same in transformers and in llama.cpp?

    python tools/check_export.py runs/demo/model [--gguf model.gguf] [--prompt TEXT | --chat TEXT] ...

MODEL is a folder that Millrace wrote; its GGUF is made with `millrace convert` unless one is given.
Five prompts are continued greedily for 64 tokens by Millrace (`run --json`, the folder and the
GGUF), transformers (the folder, in f32) and llama.cpp (the GGUF). Two continuations agree when they
are equal, or part where the reference's best two logits lie within 0.05 and Millrace took the
second. Prints a table; exit status 1 when some disagree. Needs llama-cpp-python, torch,
transformers and jinja2.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from reference_models import NEAR_TIE, LlamaCpp, Transformers, continuation

PROMPTS = [
    {"chat": False, "text": "五言绝句《"},
    {"chat": False, "text": "春江"},
    {"chat": True, "text": "以《春望》为题写一首五言绝句"},
    {"chat": True, "text": "以《月夜》为题写一首七言绝句"},
    {"chat": True, "text": "写一首五言律诗，题目是《山居》"},
]


def millrace(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True,
                          text=True).stdout


def millrace_ids(program, model, prompt, tokens, *more):
    chat = ["--chat"] if prompt["chat"] else []
    out = millrace(program, "run", model, "--prompt", prompt["text"], *chat, "--temperature", 0,
                   "--max-tokens", tokens, "--json", *more)
    return json.loads(out)["ids"]


def verdict(ids, reference, is_end):
    """Whether Millrace's ids, which lack the token that ended them, are the reference's, and how."""
    greedy = [token for token in reference["greedy"] if not is_end(token)]
    if ids == greedy:
        return True, f"equal, {len(ids)} tokens"
    at = next((i for i, (a, b) in enumerate(zip(ids, greedy)) if a != b), min(len(ids), len(greedy)))
    gap, second = reference["gaps"][at], reference["second"][at]
    took_second = ids[at] == second if at < len(ids) else is_end(second)
    if took_second and gap <= NEAR_TIE:
        return True, f"near-tie at {at} ({gap:.3f})"
    return False, f"PARTS at {at} ({gap:.3f})"


def check(program, folder, gguf, prompts, tokens):
    transformers, llama = Transformers(folder), LlamaCpp(gguf, context=1024)
    good = True
    print(f"{'prompt':24}  {'folder: transformers':28}  {'GGUF: llama.cpp':28}")
    for prompt in prompts:
        cells = []
        for model, path in ((transformers, folder), (llama, gguf)):
            reference = continuation(model, model.prompt_ids(prompt), tokens, stop_at_end=True)
            ids = millrace_ids(program, path, prompt, tokens)
            right, text = verdict(ids, reference, model.is_end)
            good &= right
            cells.append(text)
        name = ("chat " if prompt["chat"] else "") + prompt["text"].replace("\n", "\\n")
        print(f"{name[:24]:24}  {cells[0]:28}  {cells[1]:28}")
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--prompt", action="append", default=[], help="a text to continue")
    parser.add_argument("--chat", action="append", default=[], help="a user's message to answer")
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    program = os.environ.get("MILLRACE", "build/millrace")
    prompts = [{"chat": False, "text": t} for t in arguments.prompt]
    prompts += [{"chat": True, "text": t} for t in arguments.chat]
    with tempfile.TemporaryDirectory() as scratch:
        gguf = arguments.gguf
        if gguf is None:
            gguf = pathlib.Path(scratch) / "model.gguf"
            millrace(program, "convert", arguments.model, "--out", gguf)
        good = check(program, arguments.model, gguf, prompts or PROMPTS, arguments.tokens)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
