#!/usr/bin/env python3
"""Makes tests/golden/published_weights/: a weight stored in each way that few bits are published in.

    pip install torch transformers safetensors compressed-tensors loguru
    pip install --no-deps auto-gptq autoawq
    tools/make_published_weight_goldens.py

Each folder holds config.json, stored.safetensors (random bits where any bits are a weight) and
expected.safetensors, the same weight in f32 as the libraries that write such files unpack it.
"""
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types

import safetensors.torch
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/published_weights"
ROWS, COLS, GROUP = 64, 96, 32
generator = torch.Generator().manual_seed(7)


def random_words(*shape):
    return torch.randint(-2**31, 2**31, shape, generator=generator).to(torch.int32)


def random_scales(*shape):
    return (0.01 + 0.02 * torch.rand(shape, generator=generator)).half()


def module_of(package, name):
    """A module of a package whose __init__ wants more than the module does."""
    root = pathlib.Path(importlib.metadata.distribution(package).locate_file(name.split(".")[0]))
    parts = name.split(".")
    for i in range(1, len(parts)):
        parent = types.ModuleType(".".join(parts[:i]))
        parent.__path__ = [str(root.joinpath(*parts[1:i]))]
        sys.modules.setdefault(parent.__name__, parent)
    return importlib.import_module(name)


def gptq(bits, act_order=False):
    layer = module_of("auto-gptq", "auto_gptq.nn_modules.qlinear.qlinear_cuda").QuantLinear(
        bits, GROUP, COLS, ROWS, bias=False)
    layer.qweight = random_words(*layer.qweight.shape)
    # No zero of all ones: tools disagree on what one more is.
    layer.qzeros = random_words(*layer.qzeros.shape) & random_words(*layer.qzeros.shape)
    if bits == 8:
        layer.qzeros = torch.full_like(layer.qzeros, 0x7f7f7f7f)
    if act_order:
        layer.g_idx = layer.g_idx[torch.randperm(COLS, generator=generator)]
    layer.scales = random_scales(*layer.scales.shape)
    stored = {name: getattr(layer, name).clone() for name in ("qweight", "qzeros", "scales", "g_idx")}
    layer.scales = layer.scales.float()
    with torch.no_grad():
        expected = layer(torch.eye(COLS)).T
    return ({"quant_method": "gptq", "bits": bits, "group_size": GROUP, "desc_act": act_order},
            {f"layer.{name}": tensor for name, tensor in stored.items()}, expected)


def gptq_symmetric():
    """As most are: every zero is 8, less one as stored."""
    config, stored, _ = gptq(4)
    stored["layer.qzeros"].fill_(0x77777777)
    words = stored["layer.qweight"].T.unsqueeze(2) >> torch.arange(0, 32, 4)
    codes = (words & 15).reshape(ROWS, COLS).float()
    expected = (codes - 8) * stored["layer.scales"].float().T.repeat_interleave(GROUP, 1)
    return config, stored, expected


def awq():
    unpack = module_of("autoawq", "awq.utils.packing_utils")
    qweight, qzeros = random_words(COLS, ROWS // 8), random_words(COLS // GROUP, ROWS // 8)
    scales = random_scales(COLS // GROUP, ROWS)
    expected = unpack.dequantize_gemm(qweight, qzeros, scales.float(), 4, GROUP).T
    return ({"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"},
            {"layer.qweight": qweight, "layer.qzeros": qzeros, "layer.scales": scales}, expected)


def compressed(bits, symmetric):
    arguments = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group",
                                 group_size=GROUP)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    weight = torch.randn(ROWS, COLS, generator=generator)
    state = {"weight": weight, "weight_scale": random_scales(ROWS, COLS // GROUP).bfloat16() * 8}
    if not symmetric:
        zeros = torch.randint(-2**(bits - 1), 2**(bits - 1), (ROWS, COLS // GROUP),
                              generator=generator)
        state["weight_zero_point"] = zeros.to(torch.int8)
    stored = {k: v.clone() for k, v in PackedQuantizationCompressor.compress(state, scheme).items()}
    wide = {k: v.float() if k == "weight_scale" else v.clone() for k, v in stored.items()}
    expected = PackedQuantizationCompressor.decompress(wide, scheme)["weight"]
    return ({"quant_method": "compressed-tensors", "format": "pack-quantized"},
            {f"layer.{name}": tensor for name, tensor in stored.items()}, expected)


def fp8(block, rows=ROWS, cols=COLS, dtype=torch.float8_e4m3fn):
    weight = (100 * torch.randn(rows, cols, generator=generator)).to(dtype)
    scales = random_scales(-(-rows // block[0]), -(-cols // block[1])).float()
    expected = _dequantize_fp8_weight(weight, scales, block, torch.float32)
    return ({"quant_method": "fp8", "weight_block_size": block},
            {"layer.weight": weight, "layer.weight_scale_inv": scales}, expected)


def fp8_by_rows():
    weight = (100 * torch.randn(ROWS, COLS, generator=generator)).to(torch.float8_e4m3fn)
    scales = random_scales(ROWS, 1).bfloat16()
    return ({"quant_method": "compressed-tensors", "format": "float-quantized"},
            {"layer.weight": weight, "layer.weight_scale": scales,
             "layer.input_scale": torch.ones(1)}, weight.float() * scales.float())


def fp8_bits():
    """Every byte but NaN."""
    bits = torch.tensor([i for i in range(256) if i % 128 != 127], dtype=torch.uint8)
    weight = bits.view(torch.float8_e4m3fn).reshape(2, 127)
    scales = torch.tensor([2.0**-3], dtype=torch.float32).to(torch.float8_e8m0fnu)
    return ({"quant_method": "fp8"}, {"layer.weight": weight, "layer.weight_scale_inv": scales},
            weight.float() * scales.float())


def mxfp4():
    blocks = torch.randint(0, 256, (2, 32, 3, 16), generator=generator, dtype=torch.uint8)
    scales = torch.randint(115, 130, (2, 32, 3), generator=generator, dtype=torch.uint8)
    expected = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2)
    return ({"quant_method": "mxfp4"}, {"layer.weight_blocks": blocks, "layer.weight_scales": scales},
            expected)


CASES = {"gptq-2": lambda: gptq(2), "gptq-3": lambda: gptq(3), "gptq-4": lambda: gptq(4),
         "gptq-8": lambda: gptq(8), "gptq-act-order": lambda: gptq(4, True),
         "gptq-symmetric": gptq_symmetric, "awq": awq,
         "compressed-4": lambda: compressed(4, True), "compressed-8": lambda: compressed(8, True),
         "compressed-zeros": lambda: compressed(4, False), "compressed-3": lambda: compressed(3, True),
         "fp8-blocks": lambda: fp8([32, 16]), "fp8-rest": lambda: fp8([32, 32], 80, 72),
         "fp8-e5m2": lambda: fp8([64, 96], dtype=torch.float8_e5m2), "fp8-rows": fp8_by_rows,
         "fp8-bits": fp8_bits, "mxfp4": mxfp4}


def main():
    for name, make in CASES.items():
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        config, stored, expected = make()
        (folder / "config.json").write_text(json.dumps({"quantization_config": config}) + "\n")
        safetensors.torch.save_file({k: v.contiguous() for k, v in stored.items()},
                                    folder / "stored.safetensors")
        safetensors.torch.save_file({"layer.weight": expected.float().contiguous()},
                                    folder / "expected.safetensors")


if __name__ == "__main__":
    main()
