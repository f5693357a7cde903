#!/usr/bin/env python3
"""Writes tests/golden/rope.json: what transformers' modeling_rope_utils computes for every kind of
rope scaling. Needs transformers (5.x) and torch; run from the root of the repository."""
import json

import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HEAD_DIM = 32
POSITIONS = [0, 1, 63, 1000, 8191]
HALF = HEAD_DIM // 2

CASES = [
    ("default", {"rope_type": "default", "rope_theta": 10000.0}, 0),
    ("default, theta of Llama 3", {"rope_type": "default", "rope_theta": 500000.0}, 0),
    ("linear", {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}, 0),
    ("dynamic, short", {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}, 100),
    ("dynamic, long", {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}, 5000),
    ("yarn", {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0,
              "original_max_position_embeddings": 2048}, 0),
    ("yarn, betas", {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "beta_fast": 20,
                     "beta_slow": 2, "original_max_position_embeddings": 1024,
                     "attention_factor": 1.25}, 0),
    ("yarn of DeepSeek", {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0,
                          "mscale": 0.707, "mscale_all_dim": 1.0, "truncate": False,
                          "original_max_position_embeddings": 4096}, 0),
    ("longrope, short", {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 8.0,
                         "original_max_position_embeddings": 1024,
                         "short_factor": [1 + 0.05 * i for i in range(HALF)],
                         "long_factor": [1 + 0.9 * i for i in range(HALF)]}, 1024),
    ("longrope, long", {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 8.0,
                        "original_max_position_embeddings": 1024,
                        "short_factor": [1 + 0.05 * i for i in range(HALF)],
                        "long_factor": [1 + 0.9 * i for i in range(HALF)]}, 1025),
    ("llama3", {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 1024}, 0),
]
MAX_POSITIONS = 2048


def golden(name, parameters, sequence_length):
    config = LlamaConfig(hidden_size=4 * HEAD_DIM, num_attention_heads=4,
                         max_position_embeddings=MAX_POSITIONS, rope_parameters=dict(parameters))
    kind = parameters["rope_type"]
    if kind == "default":
        inverse, attention = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
    else:
        inverse, attention = ROPE_INIT_FUNCTIONS[kind](config, None, sequence_length or None)
    angles = torch.tensor(POSITIONS, dtype=torch.float32)[:, None] * inverse[None, :]
    return {"name": name, "parameters": parameters, "sequence_length": sequence_length,
            "inverse": inverse.tolist(), "attention_factor": float(attention),
            "cos": (angles.cos() * attention).flatten().tolist(),
            "sin": (angles.sin() * attention).flatten().tolist()}


goldens = {"rotary_dim": HEAD_DIM, "max_position_embeddings": MAX_POSITIONS,
           "positions": POSITIONS, "cases": [golden(*case) for case in CASES]}
with open("tests/golden/rope.json", "w") as file:
    json.dump(goldens, file)
    file.write("\n")
