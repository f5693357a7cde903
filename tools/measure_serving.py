#!/usr/bin/env python3
"""Millrace's server beside llama.cpp's: tokens a second over HTTP on the same GGUF file.

    python tools/measure_serving.py [--peer llama.cpp=LLAMA_SERVER] [--streams 1 4 16 64] model.gguf

LLAMA_SERVER is the peer's program, built on this machine. Millrace's is $MILLRACE, or build/millrace,
and the load comes from $SERVE_LOAD, or build/bench/bench/serve_load (docs/measurements.md says how to
build it). Both servers run from beginning to end, with the same threads and room for as many
sequences as there are streams, and take turns: at each number of streams, in each round, one after the
other answers the same requests. The table has medians over the rounds: tokens a second over all
streams, the ratio with its spread, the median times to the first token and between two.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import time
import urllib.error
import urllib.request



def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(name, program, model, streams, threads, room):
    """A running server's process and URL, once it is ready."""
    port = free_port()
    if name == "Millrace":
        command = [program, "serve", f"model={model}", "--port", str(port), "--threads", str(threads),
                   "--max-sequences", str(streams)]
    else:
        command = [program, "-m", model, "--port", str(port), "-t", str(threads), "-np", str(streams),
                   "-c", str(room * streams), "--no-webui"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url + "/health") as answer:
                if answer.status == 200:
                    return process, url
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise SystemExit(f"{' '.join(command)}: not ready after a minute")


def load(url, streams, seed, words, tokens):
    program = os.environ.get("SERVE_LOAD", "build/bench/bench/serve_load")
    requests = max(2 * streams, 4)
    out = subprocess.run([program, "--url", url, "--streams", str(streams), "--requests",
                          str(requests), "--prompt", str(words), "--tokens", str(tokens),
                          "--seed", str(seed), "--json"], stdout=subprocess.PIPE, text=True)
    if out.returncode != 0:
        raise SystemExit(f"{url}: the load went wrong: {out.stdout}")
    seen = json.loads(out.stdout)
    if seen["tokens"] != requests * tokens:
        raise SystemExit(f"{url}: {seen['tokens']} tokens for {requests} requests of {tokens}")
    return seen


def row(model, streams, engines, samples):
    def median(name, field):
        return statistics.median(seen[field] for seen in samples[name, streams])
    speed = "tokens_per_second"
    cells = [pathlib.Path(model).stem, str(streams), *(f"{median(n, speed):.0f}" for n in engines)]
    for name in engines[1:]:
        ratios = sorted(a[speed] / b[speed] for a, b in
                        zip(samples["Millrace", streams], samples[name, streams]))
        cells.append(f"{median('Millrace', speed) / median(name, speed):.2f} "
                     f"({ratios[0]:.2f} to {ratios[-1]:.2f})")
    cells += [f"{median(name, 'first_token_ms_p50'):.0f}" for name in engines]
    cells += [f"{median(name, 'between_tokens_ms_p50'):.1f}" for name in engines]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=LLAMA_SERVER")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--words", type=int, default=64, help="of a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    programs = {"Millrace": os.environ.get("MILLRACE", "build/millrace"),
                **dict(re.split("=", peer, maxsplit=1) for peer in arguments.peer)}
    engines, running, samples = list(programs), {}, {}
    size = (arguments.words, arguments.tokens)
    room = 128 + 2 * sum(size)  # tokens a stream: template, prompt and answer
    try:
        for name, program in programs.items():
            running[name] = start(name, program, arguments.model, max(arguments.streams),
                                  arguments.threads, room)
            load(running[name][1], 1, 0, *size)  # pages of the file, heaps, tables
        for round_ in range(arguments.rounds):
            for streams in arguments.streams:
                for name in engines:
                    seen = load(running[name][1], streams, 100 * round_ + streams, *size)
                    samples.setdefault((name, streams), []).append(seen)
    finally:
        for process, _ in running.values():
            process.kill()
    peers = engines[1:]
    header = ["model", "streams", *(f"{name}, tokens/s" for name in engines),
              *(f"ratio to {name}" for name in peers),
              *(f"first token, ms: {name}" for name in engines),
              *(f"between tokens, ms: {name}" for name in engines)]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for streams in arguments.streams:
        print(row(arguments.model, streams, engines, samples))


if __name__ == "__main__":
    main()
