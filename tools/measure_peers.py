#!/usr/bin/env python3
"""Millrace beside llama.cpp and its kin: speed, time to ready and memory on the same GGUF files.

    python tools/measure_peers.py [--peer llama.cpp=BIN ...] [--rounds 5] [--cases ...] model.gguf ...

BIN is the folder with a peer's own `llama-bench` and `llama-batched-bench`, built on this machine
(`cmake -DGGML_NATIVE=ON`, Release); more than one --peer may be given, ik_llama.cpp for one. Without
any only Millrace is measured: the program is $MILLRACE, or build/millrace.

Cases: prefill (512 tokens in one batch), decode (64 tokens one by one), depth (512 tokens after 2,048
others), streams (16 sequences write 32 tokens each after a prompt of 64), ready (wall time of a
process that reads one token, files warm) and memory (its largest resident set after 512 + 64 tokens,
which counts mapped files). In each round every engine does every case of every file in a process of
its own, one after the other. Tables have medians, the ratio of medians, the spread of the ratio over
the rounds, and what part of the limit Millrace's figure is: of the read bandwidth for decode, of
the peak of the products' arithmetic for prefill, both measured in the same minute by
`millrace bench`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

CASES = ("prefill", "decode", "depth", "streams", "ready", "memory")
PREFILL, DECODE, DEPTH, STREAMS, SHORT, WRITTEN = 512, 64, 2048, 16, 64, 32


def run(command, env=None):
    """Output, seconds and peak memory in MB of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env={**os.environ, **(env or {})})
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: failed")
    return out, time.perf_counter() - start, usage.ru_maxrss / 1024


class Millrace:
    def __init__(self, threads, isa):
        self.program = os.environ.get("MILLRACE", "build/millrace")
        self.threads = str(threads)
        self.env = {"MILLRACE_ISA": isa} if isa else {}

    def bench(self, path, prefill, decode, *more):
        out, seconds, memory = run(
            [self.program, "bench", path, "--threads", self.threads, "--repeat", "1", "--json",
             "--prefill", str(prefill), "--decode", str(decode), *more], self.env)
        return json.loads(out), seconds, memory

    def measure(self, path, case):
        if case == "ready":
            return run([self.program, "run", path, "--prompt", "a", "--max-tokens", "1", "--threads",
                        self.threads], self.env)[1]
        if case == "memory":  # before the limits are measured, which takes memory too
            return self.bench(path, PREFILL, DECODE)[0]["peak_memory_mb"]
        if case == "depth":
            report = self.bench(path, PREFILL, 1, "--depth", str(DEPTH))[0]
            return report["prefill_tokens_per_second"]["median"]
        if case == "streams":
            report = self.bench(path, SHORT, WRITTEN, "--streams", str(STREAMS))[0]
            return report["decode_tokens_per_second"]["median"]
        report = self.bench(path, PREFILL, DECODE)[0]
        self.limit = report.get("of_limit", {})
        return report[f"{case}_tokens_per_second"]["median"]


class Peer:
    def __init__(self, folder, threads):
        self.folder = pathlib.Path(folder)
        self.threads = str(threads)

    def bench(self, path, *more):
        out, seconds, memory = run([str(self.folder / "llama-bench"), "-m", path, "-t", self.threads,
                                    "-r", "1", "-o", "json", *more])
        return json.loads(out), seconds, memory

    def measure(self, path, case):
        if case == "ready":
            return self.bench(path, "-p", "1", "-n", "0", "--no-warmup")[1]
        if case == "memory":
            return self.bench(path, "-p", str(PREFILL), "-n", str(DECODE))[2]
        if case == "depth":
            return self.bench(path, "-p", str(PREFILL), "-n", "0", "-d", str(DEPTH))[0][0]["avg_ts"]
        if case == "streams":
            context = STREAMS * (SHORT + WRITTEN)
            out = run([str(self.folder / "llama-batched-bench"), "-m", path, "-t", self.threads,
                       "-c", str(context), "-npp", str(SHORT), "-ntg", str(WRITTEN),
                       "-npl", str(STREAMS), "--output-format", "jsonl"])[0]
            return [json.loads(line) for line in out.splitlines()
                    if line.startswith("{")][-1]["speed_tg"]
        prefill = case == "prefill"
        return self.bench(path, "-p", str(PREFILL if prefill else 0),
                          "-n", str(0 if prefill else DECODE))[0][0]["avg_ts"]


def row(path, case, engines, samples, limit):
    """One line: every engine's median, each peer's ratio and its spread."""
    def median(name):
        return statistics.median(samples[name, path, case])
    digits = 2 if case == "ready" else 0 if median("Millrace") >= 100 else 1
    cells = [pathlib.Path(path).stem, case] + [f"{median(name):.{digits}f}" for name in engines]
    better = -1 if case in ("ready", "memory") else 1
    for name in engines:
        if name == "Millrace":
            continue
        ratios = sorted((a / b)**better for a, b in
                        zip(samples["Millrace", path, case], samples[name, path, case]))
        cells.append(f"{(median('Millrace') / median(name))**better:.2f} "
                     f"({ratios[0]:.2f} to {ratios[-1]:.2f})")
    cells.append(f"{100 * limit:.0f} %" if limit else "")
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BIN")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--isa", help="Millrace's instruction-set level, such as avx2")
    arguments = parser.parse_args()
    millrace = Millrace(arguments.threads, arguments.isa)
    engines = {"Millrace": millrace}
    for peer in arguments.peer:
        name, _, folder = peer.partition("=")
        engines[name] = Peer(folder, arguments.threads)
    samples, limits = {}, {}
    for _ in range(arguments.rounds):
        for path in arguments.models:
            for case in arguments.cases:
                for name, engine in engines.items():
                    samples.setdefault((name, path, case), []).append(engine.measure(path, case))
                limit = getattr(millrace, "limit", {}).get(case)
                if limit:
                    limits.setdefault((path, case), []).append(limit)
    peers = [name for name in engines if name != "Millrace"]
    header = ["model", "case", *engines, *(f"ratio to {name}" for name in peers), "of the limit"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for path in arguments.models:
        for case in arguments.cases:
            seen = limits.get((path, case))
            print(row(path, case, engines, samples, statistics.median(seen) if seen else None))


if __name__ == "__main__":
    main()
