#!/usr/bin/env python3
"""Does PEFT make of an adapter what Millrace makes of it?

    python tools/check_lora.py BASE ADAPTER --chat "What is the capital of Syria?" ...

BASE, a folder or GGUF file, is written as an f32 folder, alone and with the adapter merged. The
greedy answers of Millrace with --adapter, Millrace merged, transformers with PEFT and transformers
merged must be the same, near-ties apart; the answers and where they differ are printed. Exit status
1 when some differ. Needs torch, transformers, peft.
"""

import argparse
import os
import pathlib
import sys
import tempfile

from check_export import millrace, millrace_ids, verdict
from reference_models import Transformers, continuation


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("adapter", type=pathlib.Path)
    parser.add_argument("--chat", action="append", required=True, help="a user's message to answer")
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    program = os.environ.get("MILLRACE", "build/millrace")
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        base, merged = pathlib.Path(scratch) / "base", pathlib.Path(scratch) / "merged"
        adapter = ["--adapter", arguments.adapter]
        millrace(program, "convert", arguments.base, "--type", "f32", "--out", base)
        millrace(program, "convert", arguments.base, *adapter, "--type", "f32", "--out", merged)
        references = {"PEFT": Transformers(base, arguments.adapter),
                      "transformers, merged": Transformers(merged)}
        for text in arguments.chat:
            prompt = {"chat": True, "text": text}
            ours = {"Millrace --adapter": millrace_ids(program, base, prompt, arguments.tokens,
                                                       *adapter),
                    "Millrace, merged": millrace_ids(program, merged, prompt, arguments.tokens)}
            print(f"== {text}")
            for name, model in references.items():
                reference = continuation(model, model.prompt_ids(prompt), arguments.tokens,
                                         stop_at_end=True)
                print(f"{name}: {model.tokenizer.decode(reference['greedy'])}")
                for own, ids in ours.items():
                    right, how = verdict(ids, reference, model.is_end)
                    good &= right
                    print(f"    {own}: {how}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
