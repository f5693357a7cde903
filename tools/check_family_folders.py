#!/usr/bin/env python3
"""Opens the folders that Millrace writes with transformers and compares its logits.

Each golden of tests/golden/families that transformers has a causal class for, or of which its text part is
one, is written as a folder by `millrace convert` and opened: no tensor may be missing or left over,
and the logits must be the golden's. Needs torch and transformers.

usage: tools/check_family_folders.py PROGRAM [NAME…]
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from make_family_goldens import first_of_same

GOLDENS = pathlib.Path(__file__).parent.parent / "tests/golden/families"
# Of what transformers has no causal class, none by the model_type alone, or one of fewer options.
OTHERS = ("bert", "roberta", "xlm", "ernie", "t5", "mt5", "umt5", "switch_transformers", "glm_blank", "chatglm",
          "chatglm_1", "pangu_alpha", "baichuan", "baichuan2", "zhinao", "internlm", "internlm2", "internlm3",
          "qwen", "minimax_m3", "step3p7", "minicpm", "minimax-m1")
# Buffers that the class computes.
COMPUTED = (".diagonal_decay", ".key_decay", ".query_decay", ".slope_rate")
TOLERANCE = 1e-4


def is_other(name):
    return name in OTHERS or name.split("-")[0] in OTHERS


def written(program, name, folder):
    """The golden as Millrace writes it, with a vocabulary as convert wants one."""
    source, out = folder / "source", folder / "out"
    shutil.copytree(GOLDENS / name, source)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"t{i}" for i in range(67)]
    (source / "vocab.txt").write_text("\n".join(words) + "\n")
    done = subprocess.run([program, "convert", source, "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def check(program, name):
    golden = json.loads((GOLDENS / name / "golden.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            written(program, name, pathlib.Path(folder)), dtype=torch.float32, output_loading_info=True,
            attn_implementation="eager")
        with torch.no_grad():
            logits = model.eval()(torch.tensor([golden["ids"]])).logits[0]
    expected = torch.tensor(golden["logits"])
    distance = (logits[golden["rows"]] - expected).abs().max().item()
    wrong = {k: [n for n in info[k] if not n.endswith(COMPUTED)]
             for k in ("missing_keys", "unexpected_keys")}
    wrong = {k: sorted(v)[:4] for k, v in wrong.items() if v}
    assert not wrong and distance <= TOLERANCE, f"{wrong} logits differ by {distance:.2g}"
    print(f"{name}: {type(model).__name__}, {distance:.1g}")


def main():
    torch.set_num_threads(1)
    torch.Tensor.topk = first_of_same
    transformers.logging.set_verbosity_error()
    program, *names = sys.argv[1:]
    failed = 0
    for name in names or sorted(p.name for p in GOLDENS.iterdir()):
        if not names and is_other(name):
            continue
        try:
            check(program, name)
        except Exception as error:
            failed += 1
            print(f"{name}: {error}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
