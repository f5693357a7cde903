"""A Llama and a GPT-2 in plain PyTorch, as textbooks write them, for tools/measure_pytorch.py."""

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, num_heads, bias, rotary):
        super().__init__()
        self.num_heads = num_heads
        self.rotary = rotary
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x, cos, sin):
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.num_heads, -1).transpose(1, 2)
                   for part in self.qkv(x).split(width, dim=-1))
        if self.rotary:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


class GatedMlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Mlp(nn.Sequential):
    def __init__(self, width, inner):
        super().__init__(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))


class Block(nn.Module):
    def __init__(self, family, width, num_heads, inner):
        super().__init__()
        llama = family == "llama"
        norm = nn.RMSNorm if llama else nn.LayerNorm
        self.attention_norm, self.mlp_norm = norm(width, eps=1e-5), norm(width, eps=1e-5)
        self.attention = Attention(width, num_heads, bias=not llama, rotary=llama)
        self.mlp = GatedMlp(width, inner) if llama else Mlp(width, inner)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nn.Module):
    """Tied embeddings; forward returns the mean loss of predicting `targets`."""

    def __init__(self, family, vocab_size, width, num_layers, num_heads, inner, length=1024):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.positions = nn.Embedding(length, width) if family == "gpt2" else None
        self.blocks = nn.ModuleList(Block(family, width, num_heads, inner) for _ in range(num_layers))
        self.norm = (nn.RMSNorm if family == "llama" else nn.LayerNorm)(width, eps=1e-5)
        half = width // num_heads // 2
        angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids, targets):
        length = ids.shape[1]
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions(torch.arange(length))
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def make_model(family, vocab_size, hidden_size, num_layers, num_heads, intermediate_size):
    return Decoder(family, vocab_size, hidden_size, num_layers, num_heads, intermediate_size)
