#!/usr/bin/env python3
"""Writes tests/golden/kernels.json: inputs, outputs and gradients of the kernels' operators as
PyTorch computes them in f32. Needs torch; run from the root of the repository."""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(20240521)
goldens = {}


def leaf(*shape, spread=1.0):
    return (spread * torch.randn(*shape)).requires_grad_()


def record(name, y, inputs, **extra):
    """Records inputs, y, a random gradient of y, and the gradients of the inputs."""
    dy = torch.randn_like(y)
    y.backward(dy)
    case = {"y": y, "dy": dy, **extra}
    for key, x in inputs.items():
        case[key] = x
        case["d" + key] = x.grad
    goldens[name] = {
        key: [float(f"{v:.9g}") for v in value.detach().flatten().tolist()]
        if isinstance(value, torch.Tensor) else value for key, value in case.items()}


rows, width = 3, 37
x, weight, bias = leaf(rows, width), leaf(width), leaf(width)
record("rms_norm", F.rms_norm(x, (width,), weight, eps=1e-5), {"x": x, "weight": weight},
       rows=rows, width=width)
x, weight = leaf(rows, width), leaf(width)
record("layer_norm", F.layer_norm(x, (width,), weight, bias, eps=1e-5),
       {"x": x, "weight": weight, "bias": bias}, rows=rows, width=width)

for name, function in {"relu": F.relu, "silu": F.silu, "gelu": F.gelu,
                       "gelu_tanh": lambda v: F.gelu(v, approximate="tanh")}.items():
    x = leaf(41, spread=2.5)
    record(name, function(x), {"x": x})
gate, up = leaf(rows, width, spread=2.0), leaf(rows, width)
record("swiglu", F.silu(gate) * up, {"gate": gate, "up": up}, rows=rows, width=width)

vocab = 29
logits, targets = leaf(4, vocab, spread=3.0), torch.tensor([3, -1, 0, 28])
losses = F.cross_entropy(logits, targets, ignore_index=-1, reduction="none")
record("cross_entropy", losses, {"logits": logits}, targets=targets.tolist(), vocab=vocab)

table, ids = leaf(7, 5), torch.tensor([2, 6, 2, 0, 2])
record("embedding", F.embedding(ids, table), {"table": table}, ids=ids.tolist(), width=5)

# Two ragged sequences, two query heads on one key-value head, causal.
heads, kv_heads, dim, lengths = 2, 1, 8, [3, 66]
total = sum(lengths)
q, k, v = leaf(total, heads, dim), leaf(total, kv_heads, dim), leaf(total, kv_heads, dim)
outs, begin = [], 0
for length in lengths:
    part = [t[begin:begin + length].transpose(0, 1)[None] for t in (q, k, v)]
    outs.append(F.scaled_dot_product_attention(*part, is_causal=True, enable_gqa=True)[0]
                .transpose(0, 1))
    begin += length
record("attention", torch.cat(outs), {"q": q, "k": k, "v": v}, heads=heads, kv_heads=kv_heads,
       dim=dim, lengths=lengths)

param = torch.nn.Parameter(torch.randn(11))
optimizer = torch.optim.AdamW([param], lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
start, grads = param.detach().clone(), torch.randn(10, 11)
for grad in grads:
    param.grad = grad.clone()
    optimizer.step()
goldens["adamw"] = {"start": start.tolist(), "grads": grads.flatten().tolist(), "steps": 10,
                    "end": param.detach().tolist(), "learning_rate": 3e-3, "weight_decay": 0.1}

def rotate(x, positions, interleaved):
    """Rotary embedding as its paper writes it: pairs of values as complex numbers."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * 10000.0 ** (-torch.arange(half) / half)
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]
    pairs = x.unflatten(-1, (half, 2)) if interleaved else x.unflatten(-1, (2, half)).transpose(-1, -2)
    turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turn)
    return turned.flatten(-2) if interleaved else turned.transpose(-1, -2).flatten(-2)


positions = torch.tensor([0, 5, 1, 13])
for name, interleaved in (("rope_half_split", False), ("rope_interleaved", True)):
    x = leaf(4, 3, 16)
    record(name, rotate(x, positions, interleaved), {"x": x}, positions=positions.tolist(), heads=3,
           dim=16)

x, weight, bias = leaf(21, 37), leaf(19, 37), leaf(19)
record("linear", F.linear(x, weight, bias), {"x": x, "weight": weight, "bias": bias}, rows=21)

with open("tests/golden/kernels.json", "w") as file:
    json.dump(goldens, file)
    file.write("\n")
