#!/usr/bin/env python3
"""Makes tests/golden/train/: loss curves of 30 optimiser steps in PyTorch, and a Muon update.

Needs torch, transformers and tests/golden/models (tools/make_model_goldens.py), whose weights the
runs start from. Each curve NAME.json holds the documents, which of their tokens are scored, the
documents of each step, the recipe's numbers, and the loss and gradient norm of every step. Each
document goes through the model alone; losses are summed and divided by the step's scored tokens.

usage: tools/make_train_goldens.py [OUT]
"""
import json
import math
import pathlib
import random
import sys

import torch
from transformers import AutoModelForCausalLM

POLAR_EXPRESS = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
]
STEPS = 30
CURVES = {  # model, optimiser, learning rates, weight decay, schedule, part of tokens scored
    "llama-adamw": ("llama", "adamw", 0.003, 0.0, 0.1, "cosine", 1.0),
    "llama-tied-adamw": ("llama-tied", "adamw", 0.003, 0.0, 0.1, "wsd", 0.5),
    "llama-muon": ("llama", "muon", 0.003, 0.02, 0.05, "wsd", 1.0),
    "gpt2-adamw": ("gpt2", "adamw", 0.002, 0.0, 0.1, "cosine", 0.7),
}
WARMUP, DECAY_FRACTION, FLOOR, CLIP, BETAS, EPS, MOMENTUM = 5, 0.5, 0.1, 1.0, (0.9, 0.95), 1e-8, 0.95


def lr_factor(schedule, step):
    if step < WARMUP:
        return (step + 1) / WARMUP
    if schedule == "cosine":
        t = (step - WARMUP) / (STEPS - WARMUP)
        return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * t)) / 2
    t = max(0.0, (step - STEPS * (1 - DECAY_FRACTION)) / (STEPS * DECAY_FRACTION))
    return FLOOR + (1 - FLOOR) * (1 - math.sqrt(t))


def orthogonalized(g):
    x = g / (g.norm() * 1.02 + 1e-6)
    if g.size(0) > g.size(1):
        x = x.T
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if g.size(0) > g.size(1) else x


def muon_step(p, buffer, lr, weight_decay):
    buffer.lerp_(p.grad, 1 - MOMENTUM)
    update = orthogonalized(p.grad.lerp(buffer, MOMENTUM))
    p.mul_(1 - lr * weight_decay)
    p.sub_(update, alpha=lr * max(1, p.size(0) / p.size(1)) ** 0.5)


def make_documents(vocab, scored_part, rng):
    documents, scored = [], []
    for _ in range(20):
        length = rng.randint(2, 40)
        ids = [rng.randrange(vocab)]
        while len(ids) < length:  # mostly a rule, so that there is something to learn
            ids.append((3 * ids[-1] + 7) % vocab if rng.random() < 0.8 else rng.randrange(vocab))
        documents.append(ids)
        scored.append([int(rng.random() < scored_part) for _ in ids])
        scored[-1][-1] = 1
    return documents, scored


def run_curve(folder, optimiser, lr, matrix_lr, weight_decay, schedule, scored_part, seed):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                 attn_implementation="eager")
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rng = random.Random(seed)
    documents, scored = make_documents(model.config.vocab_size, scored_part, rng)
    by_muon = lambda name, p: optimiser == "muon" and p.dim() == 2 and ".layers." in name
    muon = [p for name, p in model.named_parameters() if by_muon(name, p)]
    rest = [p for name, p in model.named_parameters() if not by_muon(name, p)]
    adamw = torch.optim.AdamW([
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ], lr=lr, betas=BETAS, eps=EPS)
    buffers = [torch.zeros_like(p) for p in muon]
    steps, losses, norms = [], [], []
    for step in range(STEPS):
        chosen = rng.sample(range(len(documents)), 6)
        total = torch.zeros((), dtype=torch.float64)
        count = sum(sum(scored[d][1:]) for d in chosen)
        for d in chosen:
            ids = torch.tensor(documents[d])
            logits = model(ids[None, :-1]).logits[0]
            nll = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
            nll = (nll * torch.tensor(scored[d][1:])).sum()
            (nll / count).backward()
            total += nll.detach().double()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        factor = lr_factor(schedule, step)
        for group in adamw.param_groups:
            group["lr"] = lr * factor
        adamw.step()
        with torch.no_grad():
            for p, buffer in zip(muon, buffers):
                muon_step(p, buffer, matrix_lr * factor, weight_decay)
        model.zero_grad()
        steps.append(chosen)
        losses.append(total.item() / count)
        norms.append(norm.item())
    return {"model": folder.name, "optimizer": optimiser, "lr": lr, "matrix_lr": matrix_lr,
            "weight_decay": weight_decay, "schedule": schedule, "warmup_steps": WARMUP,
            "decay_fraction": DECAY_FRACTION, "min_lr_ratio": FLOOR, "clip": CLIP, "betas": BETAS,
            "eps": EPS, "momentum": MOMENTUM, "documents": documents, "scored": scored,
            "steps": steps, "losses": losses, "norms": norms}


def muon_golden():
    """Two steps on a wide and a tall matrix."""
    generator = torch.Generator().manual_seed(5)
    cases = []
    for shape in [(6, 10), (10, 6), (7, 7)]:
        p = torch.randn(shape, generator=generator)
        start = p.clone()
        buffer, grads = torch.zeros(shape), []
        for _ in range(2):
            p.grad = torch.randn(shape, generator=generator)
            grads.append(p.grad.flatten().tolist())
            muon_step(p, buffer, 0.02, 0.1)
        cases.append({"shape": shape, "start": start.flatten().tolist(), "grads": grads,
                      "lr": 0.02, "weight_decay": 0.1, "end": p.flatten().tolist()})
    return cases


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


def main():
    torch.set_num_threads(1)
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/train")
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, (model, *settings)) in enumerate(CURVES.items()):
        golden = run_curve(pathlib.Path("tests/golden/models") / model, *settings, seed)
        print(name, golden["losses"][0], golden["losses"][-1])
        (out / f"{name}.json").write_text(json.dumps(rounded(golden)) + "\n")
    (out / "muon.json").write_text(json.dumps(rounded(muon_golden())) + "\n")


if __name__ == "__main__":
    main()
