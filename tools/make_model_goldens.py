#!/usr/bin/env python3
"""Makes tests/golden/models/: tiny random Llama and GPT-2 folders with transformers' logits.

Needs torch and transformers. Each folder holds config.json, model.safetensors and golden.json with
the ids of a prompt, the logits of some of its rows and the loss. Weights are scaled so that logits
spread widely; norms and biases are random.

usage: tools/make_model_goldens.py [OUT]
"""
import json
import pathlib
import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

LLAMA = dict(vocab_size=96, hidden_size=48, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=2, intermediate_size=80, max_position_embeddings=256,
             rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
CASES = {
    "llama": (LlamaConfig, LLAMA),
    "llama-tied": (LlamaConfig, {**LLAMA, "tie_word_embeddings": True, "num_key_value_heads": 6,
                                 "rope_theta": 500000.0}),
    "llama-linear": (LlamaConfig, {**LLAMA, "num_key_value_heads": 1, "rope_scaling": {
        "rope_type": "linear", "factor": 4.0}}),
    "llama-llama3": (LlamaConfig, {**LLAMA, "head_dim": 16, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}),
    "llama-yarn": (LlamaConfig, {**LLAMA, "attention_bias": True, "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}),
    "gpt2": (GPT2Config, dict(vocab_size=96, n_embd=48, n_layer=2, n_head=4, n_positions=160,
                              bos_token_id=0, eos_token_id=0)),
    "gpt2-wide": (GPT2Config, dict(vocab_size=70, n_embd=32, n_layer=3, n_head=2, n_positions=128,
                                   n_inner=72, activation_function="gelu", bos_token_id=0,
                                   eos_token_id=0)),
}
ROWS = [0, 1, 2, 63, 64, 65, 99]


def randomise(model, generator):
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        with torch.no_grad():
            if "bias" in name:
                p.copy_(0.1 * noise)
            elif "norm" in name or "ln_" in name:
                p.copy_(1 + 0.2 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name or "lm_head" in name:
                p.copy_(0.6 * noise)
            else:
                p.copy_(noise * 1.2 / p.shape[-1] ** 0.5)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/models")
    for i, (name, (config_class, fields)) in enumerate(CASES.items()):
        generator = torch.Generator().manual_seed(100 + i)
        config = config_class(**fields)
        model = (LlamaForCausalLM if config_class is LlamaConfig else GPT2LMHeadModel)(config)
        model = model.float().eval()
        randomise(model, generator)
        # Weights that bf16 holds exactly halve the files and serve both types.
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(p.bfloat16().float())
        ids = torch.randint(0, config.vocab_size, (1, 100), generator=generator)
        with torch.no_grad():
            result = model(ids, labels=ids)
            bf16 = model.bfloat16()(ids).logits[0].float()
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        config_path = folder / "config.json"
        saved = json.loads(config_path.read_text())
        saved["dtype"] = "float32"
        config_path.write_text(json.dumps(saved, indent=2) + "\n")
        (folder / "generation_config.json").unlink(missing_ok=True)
        golden = {
            "ids": ids[0].tolist(),
            "rows": ROWS,
            "logits": [[round(v, 6) for v in result.logits[0, r].tolist()] for r in ROWS],
            "bf16_logits": [[round(v, 4) for v in bf16[r].tolist()] for r in ROWS],
            "loss": result.loss.item(),
            "std": result.logits.std().item(),
        }
        (folder / "golden.json").write_text(json.dumps(golden) + "\n")
        print(name, "std of logits", round(golden["std"], 2), "loss", round(golden["loss"], 3))


if __name__ == "__main__":
    main()
