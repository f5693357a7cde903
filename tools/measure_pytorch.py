#!/usr/bin/env python3
"""Training speed and memory, Millrace against PyTorch, on the same shapes, side by side.

    python tools/measure_pytorch.py [--rounds 3] [--steps 8] [--shape gpt2-64] [--precision bf16]
                                    [--results FILE]

Each round runs one process of Millrace and one of PyTorch for every shape and precision, so that
whatever else the machine does hits both. A process takes its steps on full sequences and forgets
the first two (of gpt2-16k the first); printed are medians over all steps of all rounds, their share of the rate at which
this processor's multiply-add instructions run (millrace measures it in the same minute), and the
peak memory without the 16 bytes a parameter of weights, gradients and moments in f32. Shapes are
demo, gpt2 (4 sequences of 256 tokens a step), gpt2-64 (4 of 64) and gpt2-16k (16 micro-batches of 4
sequences of 256). With --results, rounds are added to those of earlier calls. PyTorch runs the
textbook loop: the model of tools/pytorch_models.py, scaled_dot_product_attention, fused AdamW,
clipping, autocast for bf16 with f32 master weights; eager, and compiled where torch.compile works.
Needs build/millrace, and torch unless it runs --only millrace. --only one engine at a time, with
--results, cuts a round of long steps into calls.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
MILLRACE = os.environ.get("MILLRACE", str(ROOT / "build/millrace"))

DEMO = {"family": "llama", "vocab_size": 4946, "hidden_size": 256, "num_layers": 5,
        "num_heads": 4, "intermediate_size": 704}
GPT2 = {"family": "gpt2", "vocab_size": 50257, "hidden_size": 768, "num_layers": 12,
        "num_heads": 12, "intermediate_size": 3072}
# Model, sequences of a micro-batch, tokens of a sequence, micro-batches of a step.
SHAPES = {
    "demo": (DEMO, 16, 256, 1),
    "gpt2-64": (GPT2, 4, 64, 1),
    "gpt2": (GPT2, 4, 256, 1),
    "gpt2-16k": (GPT2, 4, 256, 16),
}

def step_tokens(shape):
    _, sequences, length, micro_batches = SHAPES[shape]
    return sequences * length * micro_batches


def forgotten(shape):
    return 1 if SHAPES[shape][3] > 1 else 2


def pytorch_child(name, precision, steps, threads, compiled):
    import torch

    sys.path.insert(0, str(ROOT / "tools"))
    from pytorch_models import make_model

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shape, sequences, length, micro_batches = SHAPES[name]
    model = make_model(**shape)
    parameters = sum(p.numel() for p in model.parameters())
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids = torch.randint(0, shape["vocab_size"], (micro_batches, sequences, length + 1))
    rates = []
    for _ in range(steps + forgotten(name)):
        start = time.perf_counter()
        for part in ids:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = run(part[:, :-1], part[:, 1:]) / micro_batches
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        rates.append(step_tokens(name) / (time.perf_counter() - start))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rates": rates[forgotten(name):], "memory": memory, "parameters": parameters}))


def run_pytorch(name, precision, args, compiled):
    command = [sys.executable, __file__, "--child", name, "--precision", precision, "--steps",
               str(args.steps), "--threads", str(args.threads)] + (["--compiled"] if compiled else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def prepare(folder):
    """One long text, so that every sequence is full, and a tokenizer for each vocabulary."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    data = ROOT / "data"
    subprocess.run([MILLRACE, "data", "prepare", "--poems", data / "poems-train.jsonl.zst", "--heldout",
                    data / "poems-heldout.jsonl.zst", "--out", folder / "data"], **quiet)
    with open(folder / "data/pretrain.jsonl", encoding="utf-8") as pages:
        text = "\n".join(json.loads(line)["text"] for line in pages)
    (folder / "text.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    for name, shape in (("llama", DEMO), ("gpt2", GPT2)):
        subprocess.run([MILLRACE, "tokenizer", "train", folder / "data/pretrain.jsonl", "--vocab-size",
                        str(shape["vocab_size"]), "--out", folder / f"tokenizer-{name}"], **quiet)


def run_millrace(name, precision, args, folder):
    shape, sequences, length, _ = SHAPES[name]
    recipe = {
        "name": name, "task": "pretrain", "precision": precision, "log_every": 1,
        "model": {k: v for k, v in shape.items() if k != "vocab_size"},
        "tokenizer": {"path": str(folder / f"tokenizer-{shape['family']}")},
        "data": {"train": [str(folder / "text.jsonl")], "sequence_length": length,
                 "batch_tokens": step_tokens(name), "micro_batch_tokens": sequences * length},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"steps": args.steps + forgotten(name), "warmup_steps": 0},
        "checkpoint": {"every": 0},
    }
    with tempfile.TemporaryDirectory(dir=folder) as run:
        file = pathlib.Path(run) / "recipe.yaml"
        file.write_text(json.dumps(recipe))  # JSON is YAML
        out = pathlib.Path(run) / "run"
        subprocess.run([MILLRACE, "train", file, "--out", out, "--threads", str(args.threads)],
                       check=True, stdout=subprocess.DEVNULL)
        log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [line for line in log if "tokens_per_second" in line]
    # A long document is cut into pieces of nearly the same length, some of one token less.
    full = step_tokens(name)
    assert all(0.98 * full * (i + 1) <= line["tokens"] for i, line in enumerate(steps)), steps
    return {"rates": [line["tokens_per_second"] for line in steps[forgotten(name):]],
            "shares": [line["mfu"] for line in steps[forgotten(name):]],
            "memory": steps[-1]["memory_bytes"], "parameters": log[0]["parameters"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--precision", choices=["f32", "bf16"])
    parser.add_argument("--only", choices=["millrace", "PyTorch", "compiled"], help="one engine")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--results", type=pathlib.Path, help="file that keeps what was measured")
    args = parser.parse_args()
    if args.child:
        return pytorch_child(args.child, args.precision, args.steps, args.threads, args.compiled)

    engines = {
        "millrace": run_millrace,
        "PyTorch": lambda name, precision, args, _: run_pytorch(name, precision, args, False),
        "compiled": lambda name, precision, args, _: run_pytorch(name, precision, args, True),
    }
    if args.only:
        engines = {args.only: engines[args.only]}
    cases = [(name, precision) for name in ([args.shape] if args.shape else SHAPES)
             for precision in ([args.precision] if args.precision else ["f32", "bf16"])]
    found = json.loads(args.results.read_text()) if args.results and args.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if "millrace" in engines:
            prepare(folder)
        for _ in range(args.rounds):
            for case in cases:
                for engine, run in engines.items():
                    result = run(*case, args, folder)
                    if result:
                        found.setdefault(" ".join(case), {}).setdefault(engine, []).append(result)
                    print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if args.results:
        args.results.write_text(json.dumps(found))
    report(found)


def report(found):
    print("| shape | type | engine | tokens/s | best to worst | of Millrace | of the peak "
          "| MB above 16 bytes a parameter |")
    print("|---|---|---|---|---|---|---|---|")
    for case, engines in found.items():
        if "millrace" not in engines:
            continue
        rates = {name: [rate for result in results for rate in result["rates"]]
                 for name, results in engines.items()}
        ours = statistics.median(rates["millrace"])
        share = statistics.median(s for result in engines["millrace"] for s in result["shares"])
        for engine, results in engines.items():
            middle = statistics.median(rates[engine])
            memory = max(result["memory"] for result in results) - 16 * results[0]["parameters"]
            print(f"| {case.replace(' ', ' | ')} | {engine} | {middle:.0f} | "
                  f"{max(rates[engine]):.0f} to {min(rates[engine]):.0f} | {middle / ours:.2f} | "
                  f"{100 * share * middle / ours:.0f} % | {memory / 1e6:.0f} |")


if __name__ == "__main__":
    main()
