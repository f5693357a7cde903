#!/usr/bin/env python3
"""Tokens a second and peak memory of Millrace and of llama.cpp on the same GGUF files.

    python tools/measure_llama_cpp.py [--rounds 5] [--threads 2] model.gguf ...

In each round each file is measured by both in turn, each time in a process of its own: a prompt of
512 tokens in one batch, then 128 tokens one by one, after one such pass to warm up (`millrace bench
MODEL --prefill 512 --decode 128 --repeat 1`; llama.cpp through the C functions of llama-cpp-python,
flash attention and all else as its defaults are). Prints medians as a Markdown table. Peak memory is
the largest resident set, which of llama.cpp includes the mapped file. Needs llama-cpp-python.
"""

import argparse
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import time

PREFILL, DECODE = 512, 128


def measure_llama(path, threads):
    """Runs in a process of its own."""
    import llama_cpp
    from reference_models import LlamaCpp
    begin = time.perf_counter()
    model = LlamaCpp(path, context=1024, threads=threads)
    load = time.perf_counter() - begin

    def decode(tokens, position):
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)  # the batch only refers to them
        batch = llama_cpp.llama_batch_get_one(ids, len(tokens))
        assert llama_cpp.llama_decode(model.context, batch) == 0
        llama_cpp.llama_synchronize(model.context)

    def once(seed):
        model.clear()
        tokens = [random.Random(seed).randrange(model.vocab_size) for _ in range(PREFILL)]
        start = time.perf_counter()
        decode(tokens, 0)
        middle = time.perf_counter()
        for i in range(DECODE):
            decode([tokens[i]], PREFILL + i)
        return PREFILL / (middle - start), DECODE / (time.perf_counter() - middle)

    once(0)
    prefill, decoded = once(1)
    return {"prefill": prefill, "decode": decoded, "load": load,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "system": llama_cpp.llama_print_system_info().decode()}


def llama(path, threads):
    out = subprocess.run([sys.executable, __file__, "--llama", path, "--threads", str(threads)],
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(out.stdout.splitlines()[-1])


def millrace(path, threads):
    program = os.environ.get("MILLRACE", "build/millrace")
    out = subprocess.run([program, "bench", path, "--prefill", str(PREFILL), "--decode", str(DECODE),
                          "--threads", str(threads), "--repeat", "1", "--json"],
                         check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(out.stdout)
    return {"prefill": result["prefill_tokens_per_second"]["median"],
            "decode": result["decode_tokens_per_second"]["median"],
            "load": result["load_seconds"], "memory": result["peak_memory_mb"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.llama:
        print(json.dumps(measure_llama(arguments.llama, arguments.threads)))
        return
    ours = {path: [] for path in arguments.models}
    theirs = {path: [] for path in arguments.models}
    for _ in range(arguments.rounds):
        for path in arguments.models:
            ours[path].append(millrace(path, arguments.threads))
            theirs[path].append(llama(path, arguments.threads))
    print("llama.cpp's build:", theirs[arguments.models[0]][0]["system"])
    print("\n| file | prefill: Millrace | llama.cpp | ratio | decode: Millrace | llama.cpp | ratio "
          "| peak MB: Millrace | llama.cpp |\n|---|---|---|---|---|---|---|---|---|")
    for path in arguments.models:
        def median(of, key):
            return statistics.median(one[key] for one in of[path])
        cells = [pathlib.Path(path).name]
        for key in ("prefill", "decode"):
            a, b = median(ours, key), median(theirs, key)
            cells += [f"{a:.0f}", f"{b:.0f}", f"{a / b:.2f}"]
        cells += [f"{median(of, 'memory'):.0f}" for of in (ours, theirs)]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
