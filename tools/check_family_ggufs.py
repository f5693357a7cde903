#!/usr/bin/env python3
"""Shows llama.cpp the GGUF files that Millrace writes of tests/golden/families, and compares logits.

Needs llama-cpp-python and numpy. usage: tools/check_family_ggufs.py build/tests/test_families
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy

GOLDENS = pathlib.Path(__file__).parent.parent / "tests/golden/families"


@llama_cpp.llama_log_callback
def report_errors(level, text, _):
    if level == 4:
        print(text.decode(), end="", file=sys.stderr)


def one_sequence(ids):
    batch = llama_cpp.llama_batch_init(128, 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
        batch.seq_id[i][0], batch.logits[i] = 0, True
    return batch


def logits(path, ids, prefix):
    model = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params())
    if not model:
        return None
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 128
    params.n_threads = params.n_threads_batch = 1
    params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
    params.swa_full = True
    context = llama_cpp.llama_init_from_model(model, params)
    if prefix > 0:
        assert llama_cpp.llama_encode(context, one_sequence(ids[:prefix])) == 0
    ids = ids[prefix:]
    assert llama_cpp.llama_decode(context, one_sequence(ids)) == 0
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    rows = llama_cpp.llama_get_logits(context)
    return numpy.ctypeslib.as_array(rows, shape=(len(ids), vocab)).copy()


def main():
    llama_cpp.llama_log_set(report_errors, None)
    llama_cpp.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--gtest_filter=*AGgufFile*"], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "MILLRACE_KEEP_GGUF": folder})
        for path in sorted(pathlib.Path(folder).glob("*.gguf")):
            golden = json.loads((GOLDENS / path.stem / "golden.json").read_text())
            if "types" in golden:
                continue  # an encoder, whose tokens have types; llama.cpp gives them none
            prefix = golden.get("prefix", 0)
            got = logits(path, golden["ids"], prefix)
            if got is None:
                print(f"{path.stem}: llama.cpp does not open it")
                continue
            rows = [row - prefix for row in golden["rows"]]
            distances = numpy.abs(got[rows] - numpy.array(golden["logits"])).max(1)
            # Of Mistral's and Qwen's windows llama.cpp knows nothing.
            print(f"{path.stem}: logits differ by {distances.max():.1e} at most, by "
                  f"{distances[:3].max():.1e} in the first rows")


if __name__ == "__main__":
    main()
