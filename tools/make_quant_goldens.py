#!/usr/bin/env python3
"""Makes tests/golden/quantize: blocks of every quantised type with their values, and how well
llama.cpp quantises.

    pip install gguf llama-cpp-python numpy
    tools/make_quant_goldens.py tests/golden/quantize

<type>.bin holds blocks (random bits, then blocks that ggml quantised) and, behind them, their
values in f32 as gguf.quants computes them. errors.json holds the mean squared error of ggml's
quantiser on numbers that tests/tensor/quantize_test.cpp draws too.
"""
import ctypes
import json
import math
import pathlib
import sys

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

TYPES = "q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4".split()
# Where each type keeps its f16 factors: random bits there would mostly be absurd scales.
FACTORS = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82],
           "q3_k": [108], "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0],
           "iq4_xs": [0], "mxfp4": []}
MASK = (1 << 64) - 1


def mix_bits(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


class Random:
    """millrace/base/random.h."""

    def __init__(self, seed):
        self.seed, self.position = seed, 0

    def uniform(self):
        value = mix_bits(mix_bits(self.seed) ^ mix_bits(~self.position & MASK))
        self.position += 1
        return (value >> 11) * 2.0**-53

    def normal(self):
        u = 1.0 - self.uniform()
        return math.sqrt(-2 * math.log(u)) * math.cos(6.283185307179586 * self.uniform())


def normal_values(count):
    random = Random(1)
    return np.array([random.normal() for _ in range(count)], np.float32)


def heavy_tailed_values(count):
    """Student's t with 3 degrees of freedom: like weights with outliers."""
    random = Random(2)
    values = []
    for _ in range(count):
        chi2 = sum(random.normal() ** 2 for _ in range(3))
        values.append(random.normal() / math.sqrt(chi2 / 3))
    return np.array(values, np.float32)


def load_ggml():
    import llama_cpp

    folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    ggml = ctypes.CDLL(str(folder / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                         ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                         ctypes.c_void_p]
    return ggml


def ggml_quantize(ggml, dtype, values):
    block, size = GGML_QUANT_SIZES[dtype]
    out = np.zeros(len(values) // block * size, np.uint8)
    ggml.ggml_quantize_chunk(dtype.value, values.ctypes.data, out.ctypes.data, 0,
                             len(values) // 256, 256, None)
    return out


def random_blocks(name, size, count, generator):
    blocks = generator.integers(0, 256, (count, size), np.uint8)
    for at in FACTORS[name]:
        factor = generator.normal(0, 0.1, count).astype(np.float16)
        blocks[:, at:at + 2] = factor.view(np.uint8).reshape(count, 2)
    if name == "mxfp4":  # the byte of an exponent, the two that give subnormal numbers among them
        blocks[:, 0] = generator.choice([0, 1, 2, 110, 124, 127, 130, 240], count)
    return blocks.reshape(-1)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    ggml = load_ggml()
    generator = np.random.default_rng(0)
    data = {"normal": normal_values(1 << 14), "heavy_tailed": heavy_tailed_values(1 << 14)}
    errors = {}
    for name in TYPES:
        dtype = GGMLQuantizationType[name.upper()]
        block, size = GGML_QUANT_SIZES[dtype]
        errors[name] = {}
        for kind, values in data.items():
            rest = dequantize(ggml_quantize(ggml, dtype, values), dtype) - values
            errors[name][kind] = float(np.mean(rest.astype(np.float64) ** 2))
        blocks = np.concatenate([random_blocks(name, size, 1024 // block, generator),
                                 ggml_quantize(ggml, dtype, data["heavy_tailed"][:512])])
        values = dequantize(blocks, dtype)
        (folder / f"{name}.bin").write_bytes(blocks.tobytes() + values.tobytes())
    (folder / "errors.json").write_text(json.dumps(errors, indent=1) + "\n")


if __name__ == "__main__":
    main()
