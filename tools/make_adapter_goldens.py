#!/usr/bin/env python3
"""Makes tests/golden/adapters/: PEFT's adapters of models in tests/golden/families, whose targets
are modules that Millrace holds in parts, and the logits that PEFT has with them.

Needs torch, transformers and peft. usage: tools/make_adapter_goldens.py [NAME…]
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers
from peft import LoraConfig, get_peft_model

GOLDEN = pathlib.Path(__file__).parent.parent / "tests/golden"
ROWS = [0, 1, 63, 99]
# The family's golden, and the fields of PEFT's configuration.
CASES = {
    "glm4": dict(target_modules=["gate_up_proj", "q_proj", "down_proj"],
                 rank_pattern={"gate_up_proj": 5}, alpha_pattern={"layers.1.mlp.gate_up_proj": 11}),
    "gpt_neox": dict(target_modules=["query_key_value", "dense_h_to_4h"], use_rslora=True),
    "bloom": dict(target_modules=["query_key_value"]),
    "openai-gpt": dict(target_modules=["c_attn"], fan_in_fan_out=True),
    "deepseek_v3": dict(target_modules=["q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]),
}


def make(name, fields):
    generator = torch.Generator().manual_seed(sum(name.encode()))
    base = transformers.AutoModelForCausalLM.from_pretrained(
        GOLDEN / "families" / name, dtype=torch.float32, attn_implementation="eager").eval()
    model = get_peft_model(base, LoraConfig(r=3, lora_alpha=6, task_type="CAUSAL_LM", **fields))
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name:
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(noise.bfloat16().float())
    ids = json.loads((GOLDEN / "families" / name / "golden.json").read_text())["ids"]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        with model.disable_adapter():
            moved = (logits - model(torch.tensor([ids])).logits[0]).abs().max().item()
    print(f"{name}: moves logits by {moved:.3f}")
    assert moved > 0.5
    folder = GOLDEN / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = name
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    golden = {"rows": ROWS, "logits": [[round(v, 5) for v in logits[r].tolist()] for r in ROWS]}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        make(case, CASES[case])
