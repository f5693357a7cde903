#!/usr/bin/env python3
"""Training speed and memory, Millrace against PyTorch, on the same shapes, side by side.

    python tools/measure_pytorch.py [--rounds 3] [--steps 8] [--shape demo|gpt2] [--precision f32|bf16]

Each round runs one process of Millrace and one of PyTorch for every shape and precision, so that
whatever else the machine does hits both. A process takes its steps on full sequences of 256 tokens
and forgets the first two; printed are medians over all steps of all rounds. PyTorch runs the
textbook loop: the model of tools/pytorch_models.py, scaled_dot_product_attention, fused AdamW,
clipping, autocast for bf16 with f32 master weights; eager, and compiled where torch.compile works.
Needs build/millrace, and torch unless it runs --only millrace.
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

SHAPES = {
    # Llama of the demo: 16 sequences a step.
    "demo": {"family": "llama", "vocab_size": 4946, "hidden_size": 256, "num_layers": 5,
             "num_heads": 4, "intermediate_size": 704, "sequences": 16},
    "gpt2": {"family": "gpt2", "vocab_size": 50257, "hidden_size": 768, "num_layers": 12,
             "num_heads": 12, "intermediate_size": 3072, "sequences": 4},
}
LENGTH = 256
FORGOTTEN = 2


def pytorch_child(shape, precision, steps, threads, compiled):
    import torch

    sys.path.insert(0, str(ROOT / "tools"))
    from pytorch_models import make_model

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = make_model(**{k: v for k, v in shape.items() if k != "sequences"})
    parameters = sum(p.numel() for p in model.parameters())
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids = torch.randint(0, shape["vocab_size"], (shape["sequences"], LENGTH + 1))
    rates = []
    for _ in range(steps + FORGOTTEN):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = run(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        rates.append(shape["sequences"] * LENGTH / (time.perf_counter() - start))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rates": rates[FORGOTTEN:], "memory": memory, "parameters": parameters}))


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
    for name, shape in SHAPES.items():
        subprocess.run([MILLRACE, "tokenizer", "train", folder / "data/pretrain.jsonl", "--vocab-size",
                        str(shape["vocab_size"]), "--out", folder / f"tokenizer-{name}"], **quiet)


def run_millrace(name, precision, args, folder):
    shape = SHAPES[name]
    recipe = {
        "name": name, "task": "pretrain", "precision": precision, "log_every": 1,
        "model": {k: v for k, v in shape.items() if k not in ("vocab_size", "sequences")},
        "tokenizer": {"path": str(folder / f"tokenizer-{name}")},
        "data": {"train": [str(folder / "text.jsonl")], "sequence_length": LENGTH,
                 "batch_tokens": shape["sequences"] * LENGTH,
                 "micro_batch_tokens": shape["sequences"] * LENGTH},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"steps": args.steps + FORGOTTEN, "warmup_steps": 0},
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
    full = shape["sequences"] * LENGTH
    assert all(0.99 * full * (i + 1) <= line["tokens"] for i, line in enumerate(steps)), steps
    return {"rates": [line["tokens_per_second"] for line in steps[FORGOTTEN:]],
            "memory": steps[-1]["memory_bytes"], "parameters": log[0]["parameters"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--precision", choices=["f32", "bf16"])
    parser.add_argument("--only", choices=["millrace"], help="leave PyTorch out")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return pytorch_child(SHAPES[args.child], args.precision, args.steps, args.threads, args.compiled)

    engines = {"millrace": run_millrace}
    if not args.only:
        engines["PyTorch"] = lambda name, precision, args, _: run_pytorch(name, precision, args, False)
        engines["compiled"] = lambda name, precision, args, _: run_pytorch(name, precision, args, True)
    cases = [(name, precision) for name in ([args.shape] if args.shape else SHAPES)
             for precision in ([args.precision] if args.precision else ["f32", "bf16"])]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare(folder)
        for _ in range(args.rounds):
            for case in cases:
                for engine, run in engines.items():
                    result = run(*case, args, folder)
                    if result:
                        found.setdefault(case, {}).setdefault(engine, []).append(result)
                    print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    report(found)


def report(found):
    print("| shape | parameters | type | engine | tokens/s | best to worst | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    for (name, precision), engines in found.items():
        for engine, results in engines.items():
            rates = [rate for result in results for rate in result["rates"]]
            memory = max(result["memory"] for result in results) / 1e6
            print(f"| {name} | {results[0]['parameters'] / 1e6:.1f} M | {precision} | {engine} | "
                  f"{statistics.median(rates):.0f} | {max(rates):.0f} to {min(rates):.0f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
