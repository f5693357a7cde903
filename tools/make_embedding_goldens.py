#!/usr/bin/env python3
"""Makes tests/golden/real/minilm.json: what transformers makes of texts with all-MiniLM-L6-v2.

The model is the one that tools/fetch-models fetches. Vectors are pooled by hand as the model's own
sentence-transformers files say: texts are cut to 256 tokens, hidden states averaged, brought to
length 1. Needs torch and transformers:

    tools/fetch-models && python tools/make_embedding_goldens.py
"""
import json
import os
import pathlib

import torch
import transformers

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/real/minilm.json"
CACHE = pathlib.Path(os.environ.get("MILLRACE_CACHE") or pathlib.Path.home() / ".cache/millrace")
MODEL = CACHE / "models/all-MiniLM-L6-v2"
TEXTS = [
    "The miller grinds corn between two stones.",
    "A mill race is the channel that leads water to a wheel.",
    "Café crème, s'il vous plaît! — naïve coöperation",
    "春眠不覺曉，處處聞啼鳥。",
    "水车靠河水的力量把稻谷磨成米。",
    "3.14159 and other numbers: 42, 1e-9, 10%",
    " ".join(f"word{i}" for i in range(300)),
]


def main():
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    model = transformers.AutoModel.from_pretrained(MODEL).float().eval()
    limit = json.loads((MODEL / "sentence_bert_config.json").read_text())["max_seq_length"]
    pooling = json.loads((MODEL / "1_Pooling/config.json").read_text())
    assert pooling["pooling_mode_mean_tokens"] and not pooling["pooling_mode_cls_token"]
    cases = []
    for text in TEXTS:
        ids = tokenizer(text, truncation=True, max_length=limit, padding=False)["input_ids"]
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        vector = torch.nn.functional.normalize(states.mean(0), dim=0)
        cases.append({"text": text, "ids": ids,
                      "embedding": [float(f"{x:.5g}") for x in vector.tolist()]})
    OUT.write_text(json.dumps({"texts": cases}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
