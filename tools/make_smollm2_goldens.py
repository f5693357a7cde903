#!/usr/bin/env python3
"""Makes tests/golden/real/smollm2.json: what llama.cpp makes of SmolLM2-135M-Instruct.

The model is the one that tools/fetch-models fetches. Kept are: the ids of a few texts, greedy
continuations with the runner-up of each step and the distance of its logit, and the perplexity of
english.txt as llama.cpp's perplexity tool computes it.

With 4-bit weights the activations are rounded to 8 bits before every product. Any other order of a
sum somewhere then leads, a few layers on, to other roundings everywhere: logits move by some 0.14
(root mean square), and llama.cpp with flash attention and without choose differently in several of
a hundred steps. So continuations are of two kinds: FIRM ones, in which the best token leads by so
much (FIRM_GAP, but for near-ties) that every right implementation must choose it, and OPEN ones,
for which it is counted how often llama.cpp parts from itself.

Needs llama-cpp-python, jinja2 and numpy:

    tools/fetch-models && python tools/make_smollm2_goldens.py
"""

import json
import os
import pathlib

import llama_cpp
import numpy

from reference_models import NEAR_TIE, LlamaCpp, continuation, window_losses

REAL = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "real"
CACHE = pathlib.Path(os.environ.get("MILLRACE_CACHE") or pathlib.Path.home() / ".cache/millrace")
MODEL = CACHE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT = 512
NEW_TOKENS = 64

FIRM_GAP = 0.3

FIRM = [
    {"chat": False, "text": "10, 20, 30, 40, 50, 60,"},
    {"chat": False, "text": "The old miller had three sons: the eldest was strong, the second was "
     "clever, and the youngest was kind.\n\nThe old miller had three sons: the eldest was strong, "
     "the second was clever, and the youngest was kind.\n\nThe old"},
    {"chat": False, "text": "Dear Anna, thank you for the book; it came on Monday and I read it in a "
     "day. Yours, Ben\n\nDear Anna, thank you for the book; it came on Monday and I read it in a "
     "day. Yours, Ben\n\nDear Anna,"},
    {"chat": True, "text": "Count to 30."},
    {"chat": True, "text": "Count from 1 to 20."},
]

OPEN = [
    {"chat": False, "text": "The history of the steam engine begins"},
    {"chat": False, "text": "def fibonacci(n):\n"},
    {"chat": False, "text": "Once upon a time, in a village by the sea, there lived an old woman who"},
    {"chat": True, "text": "Explain in a short paragraph why the sky is blue."},
    {"chat": True, "text": "Write a letter to a friend about a walk in the mountains."},
]

TEXTS = [
    "Hello, world!",
    "  Two  spaces,\ttabs\r\nand\n\n\nlines 1234567890 3.14159",
    "It's they'll WE'RE I'd've",
    "for (int i = 0; i < n; ++i) { sum += x[i] * y[i]; }  // dot",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少？",
    "Größe, naïve, façade; Привет, мир! مرحبا بالعالم",
    "👩‍🚀🚀 e\u0301 \u200b\ufeff ½ ²³",
    "<|im_start|>user\nAm I special?<|im_end|>",
]


def greedy(llama, prompt):
    return {**prompt, **continuation(llama, llama.prompt_ids(prompt), NEW_TOKENS)}


def firm(llama, prompt):
    result = greedy(llama, prompt)
    leads = sorted(gap for gap in result["gaps"] if gap > NEAR_TIE)
    assert leads[0] >= FIRM_GAP, f"{prompt['text']!r}: the best leads by {leads[0]} only"
    return result


def disagreements(llama, given):
    """In how many steps the most likely token is another one than in the given continuation."""
    logits = llama.decode(given["ids"], 0)
    count = 0
    for step, token in enumerate(given["greedy"]):
        count += int(logits.argmax()) != token
        logits = llama.decode([token], len(given["ids"]) + step)
    return count


def main():
    llama = LlamaCpp(MODEL, CONTEXT)
    other = LlamaCpp(MODEL, CONTEXT, flash_attention=False)
    continuations = [greedy(llama, p) for p in OPEN]
    text = (REAL / "english.txt").read_text()
    ids = llama.ids(text, parse_special=False)
    losses = window_losses(llama, ids, CONTEXT)
    golden = {
        "llama_cpp_python": llama_cpp.__version__,
        "texts": [{"text": t, "plain": llama.ids(t, False), "special": llama.ids(t, True)}
                  for t in TEXTS],
        "firm": [firm(llama, p) for p in FIRM],
        "open": continuations,
        "open_disagreements": sum(disagreements(other, c) for c in continuations),
        "english": {
            "context": CONTEXT,
            "text_tokens": len(ids),
            "window_nll": [round(x, 6) for x in losses],
            "perplexity": round(float(numpy.exp(numpy.mean(losses))), 4),
        },
    }
    lines = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    for cut in ('{"text":', '{"chat":', '"texts":', '"firm":', '"open":', '"open_disagreements":',
                '"english":'):
        lines = lines.replace(cut, "\n" + cut)
    (REAL / "smollm2.json").write_text(lines + "\n")
    for p in golden["firm"] + golden["open"]:
        print(repr(p["text"]), "->", "".join(llama.piece(t) for t in p["greedy"]))
        print("  closest:", sorted(p["gaps"])[:4])
    print("differences from itself:", golden["open_disagreements"])
    print(golden["english"])


if __name__ == "__main__":
    main()
