#!/usr/bin/env python3
"""Makes tests/golden/pytorch: small files written by torch.save, some of which a reader must refuse,
and seeds of fuzz/pytorch.cpp and
fuzz/pickle.cpp.

Needs torch and safetensors. Bytes follow the rule of make_format_goldens.py: byte i of a tensor whose name has n
characters is (37 * i + 11 * n) % 251, and its lowest bit for bool.

    python tools/make_pytorch_goldens.py
"""

import collections
import json
import os
import shutil
import zipfile

import safetensors.torch
import torch
from make_format_goldens import CORPUS, ROOT, TORCH_DTYPES, torch_tensor

GOLDEN = ROOT / "tests" / "golden" / "pytorch"


def make_plain():
    tensors = {f"{name}.weight": torch_tensor(f"{name}.weight", dtype, (3, 5))
               for name, dtype in TORCH_DTYPES.items()}
    tensors["scalar"] = torch_tensor("scalar", torch.float32, ())
    tensors["empty"] = torch.empty(0, 4)
    tensors["four"] = torch_tensor("four", torch.bfloat16, (2, 1, 3, 2))
    # Row-major bytes that follow the rule, stored by columns.
    tensors["turned"] = torch_tensor("turned", torch.float32, (4, 6)).t().contiguous().t()
    tensors["rows"] = torch.cat([torch.zeros(2, 3), torch_tensor("rows", torch.float32, (2, 3))])[2:]
    tensors["parameter"] = torch.nn.Parameter(torch_tensor("parameter", torch.float32, (2, 2)))
    tensors["tied"] = torch_tensor("same", torch.float32, (2, 2))
    tensors["same"] = tensors["tied"]
    return tensors


def make_module():
    """As a model's state is saved: an OrderedDict with attributes."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    state = module.state_dict()
    assert isinstance(state, collections.OrderedDict) and state._metadata
    for name, value in state.items():
        value.copy_(torch_tensor(name, torch.float32, value.shape))
    return state


def make_shards():
    folder = GOLDEN / "sharded"
    folder.mkdir()
    weight_map = {}
    for shard in range(2):
        file = f"pytorch_model-{shard + 1:05}-of-00002.bin"
        names = [f"layers.{2 * shard + i}.weight" for i in range(2)]
        torch.save({name: torch_tensor(name, torch.float32, (4, 8)) for name in names}, folder / file)
        weight_map |= {name: file for name in names}
    (folder / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map}, indent=1) + "\n")


def make_model():
    """The weights of tests/golden/export/model as PyTorch's file."""
    weights = safetensors.torch.load_file(
        ROOT / "tests" / "golden" / "export" / "model" / "model.safetensors")
    torch.save(collections.OrderedDict(weights), GOLDEN / "exported_model.bin")


class Caller:
    """What a hostile pickle does: any function with any arguments."""

    def __reduce__(self):
        return os.system, ("touch /tmp/millrace-was-executed",)


def main():
    torch.manual_seed(0)
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir(parents=True)
    torch.save(make_plain(), GOLDEN / "plain.bin")
    torch.save(make_plain(), GOLDEN / "protocol4.bin", pickle_protocol=4)
    torch.save(make_module(), GOLDEN / "module.pt")
    make_shards()
    make_model()
    value = torch.zeros(2, 3)
    torch.save({"a": value, "evil": Caller()}, GOLDEN / "evil.bin")
    torch.save({"a": value, "epoch": 7}, GOLDEN / "epoch.bin")
    torch.save([value], GOLDEN / "list.bin")
    torch.save({"a": torch.zeros(1, 3).expand(4, 3)}, GOLDEN / "overlap.bin")
    torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, GOLDEN / "complex.bin")
    torch.save({"a": torch.nn.Linear(1, 1)}, GOLDEN / "whole_module.bin")
    torch.save({"a": value}, GOLDEN / "legacy.bin", _use_new_zipfile_serialization=False)

    seeds = CORPUS / "pytorch"
    shutil.rmtree(seeds, ignore_errors=True)
    seeds.mkdir()
    torch.save({"a": value, "b": value.t()}, seeds / "two.bin")
    torch.save({"p": torch.nn.Parameter(value)}, seeds / "protocol4.bin", pickle_protocol=4)
    pickles = CORPUS / "pickle"
    shutil.rmtree(pickles, ignore_errors=True)
    pickles.mkdir()
    for file in seeds.iterdir():
        with zipfile.ZipFile(file) as archive:
            (pickles / f"{file.stem}.pkl").write_bytes(archive.read(f"{file.stem}/data.pkl"))


if __name__ == "__main__":
    main()
