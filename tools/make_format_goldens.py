#!/usr/bin/env python3
"""Makes tests/golden/formats: small model files written by the Python libraries of each format,
and smaller ones yet in fuzz/corpus, the seeds of the fuzz targets.

Needs numpy, torch, safetensors, huggingface_hub and gguf. The bytes of every tensor follow one
rule, which tests/formats/golden_test.cpp knows too: byte i of a tensor whose name has n characters
is (37 * i + 11 * n) % 251, and its lowest bit for bool.

    python tools/make_format_goldens.py
"""

import pathlib
import shutil
import sys

import gguf
import huggingface_hub
import numpy as np
import safetensors.torch
import torch

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden" / "formats"
CORPUS = ROOT / "fuzz" / "corpus"

TORCH_DTYPES = {
    "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
    "i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8,
    "u8": torch.uint8, "bool": torch.bool,
}

GGML_TYPES = [
    "F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
    "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
]


def pattern(name, size):
    return ((37 * np.arange(size) + 11 * len(name)) % 251).astype(np.uint8)


def torch_tensor(name, dtype, shape):
    size = int(np.prod(shape)) * dtype.itemsize
    data = pattern(name, size)
    if dtype == torch.bool:
        data = data & 1
    return torch.from_numpy(data).view(dtype).reshape(shape)


def make_safetensors():
    tensors = {f"{name}.weight": torch_tensor(f"{name}.weight", dtype, (3, 5))
               for name, dtype in TORCH_DTYPES.items()}
    tensors["scalar"] = torch_tensor("scalar", torch.float32, ())
    tensors["empty"] = torch.empty(0, 4)
    tensors["four"] = torch_tensor("four", torch.bfloat16, (2, 1, 3, 2))
    safetensors.torch.save_file(tensors, GOLDEN / "plain.safetensors",
                                {"format": "pt", "note": "春眠 \"不觉晓\"\n"})

    safetensors.torch.save_file({"odd": torch.zeros(4, dtype=torch.complex64)},
                                GOLDEN / "complex.safetensors")

    layers = {f"layers.{i}.weight": torch_tensor(f"layers.{i}.weight", torch.float32, (4, 8))
              for i in range(7)}
    (GOLDEN / "sharded").mkdir()
    huggingface_hub.save_torch_state_dict(layers, GOLDEN / "sharded", max_shard_size=300)


def ggml_tensor(writer, name, type_name, rows):
    ggml_type = gguf.GGMLQuantizationType[type_name]
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[ggml_type]
    row_bytes = block_bytes if block_size > 1 else 3 * block_bytes
    data = pattern(name, rows * row_bytes).reshape(rows, row_bytes)
    writer.add_tensor(name, data, raw_dtype=ggml_type)


def add_metadata(writer):
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_float32("test.f32", 1.5)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "春眠不觉晓")
    writer.add_uint64("test.u64", 1 << 63)
    writer.add_int64("test.i64", -(1 << 62))
    writer.add_float64("test.f64", 0.1)
    writer.add_array("test.strings", ["a", "", "春眠", "\u0000b"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -2.0])
    writer.add_array("test.bools", [True, False, True])


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_gguf():
    def plain(name, endianess=gguf.GGUFEndian.LITTLE, alignment=None):
        writer = gguf.GGUFWriter(GOLDEN / name, "llama", endianess=endianess)
        if alignment:
            writer.add_custom_alignment(alignment)
        add_metadata(writer)
        for type_name in GGML_TYPES:
            ggml_tensor(writer, f"blk.{type_name}", type_name, rows=2)
        write(writer)

    plain("plain.gguf")
    plain("aligned.gguf", alignment=256)

    # Version 2 differs from 3 in nothing but the number and the possibility of big-endian files.
    data = bytearray((GOLDEN / "plain.gguf").read_bytes())
    data[4] = 2
    (GOLDEN / "version2.gguf").write_bytes(data)

    writer = gguf.GGUFWriter(GOLDEN / "big_endian.gguf", "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_tensor("weight", np.arange(4, dtype=np.float32))
    write(writer)

    writer = gguf.GGUFWriter(GOLDEN / "unknown_type.gguf", "llama")
    ggml_tensor(writer, "odd", "IQ2_XXS", rows=1)
    write(writer)

    writer = gguf.GGUFWriter(GOLDEN / "split.gguf", "llama", split_max_tensors=2)
    add_metadata(writer)
    for i in range(5):
        ggml_tensor(writer, f"blk.{i}.weight", "F32", rows=4)
    write(writer)


def make_seeds():
    for target in ["safetensors", "safetensors_index", "gguf"]:
        shutil.rmtree(CORPUS / target, ignore_errors=True)
        (CORPUS / target).mkdir(parents=True)

    tensors = {"a": torch_tensor("a", torch.float32, (2, 3)),
               "b": torch_tensor("b", torch.uint8, (5,))}
    safetensors.torch.save_file(tensors, CORPUS / "safetensors" / "two.safetensors", {"k": "v"})
    shutil.copy(GOLDEN / "sharded" / "model.safetensors.index.json",
                CORPUS / "safetensors_index" / "four.json")

    writer = gguf.GGUFWriter(CORPUS / "gguf" / "two.gguf", "llama")
    add_metadata(writer)
    ggml_tensor(writer, "a", "F32", rows=2)
    ggml_tensor(writer, "b", "Q4_1", rows=2)
    write(writer)


def main():
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir(parents=True)
    make_safetensors()
    make_gguf()
    make_seeds()
    for folder in [GOLDEN, CORPUS]:
        for path in folder.rglob("*.safetensors"):
            path.chmod(0o644)  # the library writes them for their owner only
    total = sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file())
    print(f"{total} bytes in {GOLDEN}", file=sys.stderr)


if __name__ == "__main__":
    main()
