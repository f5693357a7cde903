#!/usr/bin/env python3
"""Checks that what Millrace writes opens in the libraries of others and holds the same.

A tiny random Llama goes from transformers through Millrace's readers and writers (single files and
shards) back into safetensors, transformers, gguf and llama.cpp; tensors must be equal to the bit
and logits to those of the original. Needs torch, transformers, safetensors, gguf, llama-cpp-python
and a configured build folder:

    python tools/check_formats.py build
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
import safetensors
import torch
import transformers

ROOT = pathlib.Path(__file__).parent.parent


def build_rewriter(build):
    subprocess.run(["cmake", "--build", build, "--target", "rewrite_weights"], check=True)
    program = build / "tests" / "rewrite_weights"
    return lambda *arguments: subprocess.run([program, *map(str, arguments)], check=True)


def make_model(folder):
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model


def logits_of(model):
    with torch.no_grad():
        return model(torch.tensor([[1, 5, 9, 250, 7]])).logits[0]


def check_safetensors(rewrite, original, folder):
    reference = logits_of(make_model(original))
    for name, max_bytes in [("single", 1 << 40), ("sharded", 100_000)]:
        copy = folder / name
        copy.mkdir()
        rewrite(original, copy, max_bytes)
        shutil.copy(original / "config.json", copy)
        stored = {}
        for path in sorted(copy.glob("*.safetensors")):
            with safetensors.safe_open(path, "pt") as file:
                assert file.metadata()["format"] == "pt"
                stored.update((key, file.get_tensor(key)) for key in file.keys())
        with safetensors.safe_open(original / "model.safetensors", "pt") as file:
            assert set(stored) == set(file.keys())
            for key in file.keys():
                assert torch.equal(stored[key], file.get_tensor(key)), key
        model = transformers.AutoModelForCausalLM.from_pretrained(copy).eval()
        assert torch.equal(logits_of(model), reference)
        print(f"safetensors {name}: {len(list(copy.glob('*.safetensors')))} files, "
              "equal in safetensors and transformers")


def make_gguf(original, path):
    """The model in GGUF by the Python library: F32 norms, Q8_0 matrices, a byte vocabulary."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(300)
    writer.add_tokenizer_model("llama")
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    tokens += [f"word{i}" for i in range(300 - len(tokens))]
    types = [2, 3, 3] + [6] * 256 + [1] * (300 - 259)
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(300)])
    writer.add_token_types(types)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
             "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    with safetensors.safe_open(original / "model.safetensors", "np") as file:
        for key in file.keys():
            name = key.replace("model.embed_tokens", "token_embd").replace("lm_head", "output")
            name = name.replace("model.norm", "output_norm").replace("model.layers.", "blk.")
            for hf_name, gguf_name in names.items():
                name = name.replace(hf_name, gguf_name)
            data = file.get_tensor(key)
            if data.ndim == 2:
                quantized = gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0)
                writer.add_tensor(name, quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            else:
                writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp_logits(path):
    model = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, n_threads=1, verbose=False)
    model.eval([1, 5, 9, 250, 7])
    return np.array(model.scores[:5])


def fields_of(reader):
    """Keys and values but those about the file itself."""
    return {key: (field.types, field.contents()) for key, field in reader.fields.items()
            if not key.startswith(("GGUF.", "split."))}


def check_gguf(rewrite, original, folder):
    made = folder / "made.gguf"
    make_gguf(original, made)
    reference = gguf.GGUFReader(made)
    logits = llama_cpp_logits(made)
    for name, max_bytes in [("single", 0), ("split", 30_000)]:
        rewrite(made, folder / f"{name}.gguf", max_bytes)
        parts = sorted(folder.glob(f"{name}*.gguf"))
        readers = [gguf.GGUFReader(part) for part in parts]
        assert fields_of(readers[0]) == fields_of(reference)
        tensors = [tensor for reader in readers for tensor in reader.tensors]
        assert [tensor.name for tensor in tensors] == [tensor.name for tensor in reference.tensors]
        for ours, theirs in zip(tensors, reference.tensors):
            assert ours.tensor_type == theirs.tensor_type
            assert np.array_equal(ours.data, theirs.data), ours.name
        assert np.array_equal(llama_cpp_logits(parts[0]), logits)
        print(f"GGUF {name}: {len(parts)} files, equal in gguf and llama.cpp")


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rewrite = build_rewriter(build)
        original = folder / "original"
        check_safetensors(rewrite, original, folder)
        check_gguf(rewrite, original, folder)


if __name__ == "__main__":
    main()
