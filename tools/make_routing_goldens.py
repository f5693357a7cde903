#!/usr/bin/env python3
"""Makes tests/golden/routing.json: choices, weights, losses and gradients of transformers' routers.

Needs torch and transformers. Of M6's prototypes and GShard's capacity it has no class: those two are
written here from the papers (Yang et al. 2021; Lepikhin et al. 2020).

usage: tools/make_routing_goldens.py
"""
import json
import pathlib

import torch
import torch.nn.functional as F
from transformers import (DeepseekV2Config, DeepseekV3Config, Ernie4_5_MoeConfig, MixtralConfig,
                          Qwen2MoeConfig, SwitchTransformersConfig)
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter
from transformers.models.ernie4_5_moe.modeling_ernie4_5_moe import Ernie4_5_MoeTopKRouter
from transformers.models.mixtral.modeling_mixtral import (MixtralTopKRouter,
                                                          load_balancing_loss_func)
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeTopKRouter
from transformers.models.switch_transformers.modeling_switch_transformers import (
    SwitchTransformersTop1Router, router_z_loss_func)

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/routing.json"
ROWS, EXPERTS = 40, 12
SEQUENCES = [0, 25, 40]
DEEPSEEK = dict(hidden_size=EXPERTS, num_attention_heads=1, n_routed_experts=EXPERTS,
                num_experts_per_tok=3, n_group=4, routed_scaling_factor=2.5)


def with_identity(router, weight="weight"):
    """The router's logits are then its input."""
    getattr(router, weight).data = torch.eye(EXPERTS)
    return router


def with_bias(router, owner):
    owner.e_score_correction_bias.data = BIAS.reshape(owner.e_score_correction_bias.shape).clone()
    return router


def transformers_router(router):
    def route(logits):
        _, weights, chosen = router(logits)
        return chosen, weights
    return route


def switch(logits):
    config = SwitchTransformersConfig(hidden_size=EXPERTS, num_experts=EXPERTS, expert_capacity=3)
    router = SwitchTransformersTop1Router(config).eval()
    router.classifier.weight.data = torch.eye(EXPERTS)
    chosen, weights = [], []
    for begin, end in zip(SEQUENCES, SEQUENCES[1:]):
        mask, probabilities, _ = router(logits[None, begin:end])
        kept = mask[0].sum(-1, keepdim=True)
        chosen.append(logits[begin:end].argmax(-1, keepdim=True))
        weights.append(probabilities[0] * kept)
    return torch.cat(chosen), torch.cat(weights)


def gshard(logits):
    """Top 2, normalised; of each sequence an expert takes 4, all first choices before the second."""
    weights, chosen = torch.topk(F.softmax(logits, -1), 2)
    weights = weights / weights.sum(-1, keepdim=True)
    kept = torch.zeros_like(weights)
    for begin, end in zip(SEQUENCES, SEQUENCES[1:]):
        taken = [0] * EXPERTS
        for rank in range(2):
            for row in range(begin, end):
                expert = int(chosen[row, rank])
                kept[row, rank] = taken[expert] < 4
                taken[expert] += 1
    return chosen, weights * kept


def prototypes(logits):
    """Four prototypes of three experts: the best of each by a softmax of its own."""
    probabilities = F.softmax(logits.reshape(ROWS, 4, 3), -1)
    weights, chosen = probabilities.max(-1)
    return chosen + 3 * torch.arange(4), weights


def cases():
    mixtral = MixtralConfig(hidden_size=EXPERTS, num_local_experts=EXPERTS, num_experts_per_tok=2)
    qwen = Qwen2MoeConfig(hidden_size=EXPERTS, num_experts=EXPERTS, num_experts_per_tok=3)
    ernie = Ernie4_5_MoeConfig(hidden_size=EXPERTS, moe_num_experts=EXPERTS, moe_k=3,
                               moe_norm_min=0.2)
    v2 = DeepseekV2Config(**DEEPSEEK, topk_group=2, topk_method="group_limited_greedy")
    v3 = DeepseekV3Config(**DEEPSEEK, topk_group=2)
    yield "mixtral", dict(top_k=2, normalized=True), transformers_router(
        with_identity(MixtralTopKRouter(mixtral)))
    yield "qwen2_moe", dict(top_k=3), transformers_router(with_identity(Qwen2MoeTopKRouter(qwen)))
    router = with_identity(Ernie4_5_MoeTopKRouter(ernie))
    yield "ernie4_5_moe", dict(top_k=3, normalized=True, least_sum=0.2, biased=True), (
        transformers_router(with_bias(router, router.moe_statics)))
    yield "deepseek_v2", dict(top_k=3, groups=4, top_groups=2, group_best=1, scale=2.5), (
        transformers_router(with_identity(DeepseekV2TopkRouter(v2))))
    router = with_identity(DeepseekV3TopkRouter(v3))
    yield "deepseek_v3", dict(top_k=3, groups=4, top_groups=2, scale=2.5, sigmoid=True,
                              normalized=True, biased=True), (
        transformers_router(with_bias(router, router)))
    yield "switch", dict(top_k=1, capacity=3), switch
    yield "gshard", dict(top_k=2, normalized=True, capacity=4), gshard
    yield "prototypes", dict(top_k=1, prototypes=4), prototypes


def rounded(tensor):
    return [float(f"{x:.7g}") for x in tensor.flatten().tolist()]


def main():
    global BIAS
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3)
    BIAS = 0.3 * torch.randn(EXPERTS, generator=generator)
    # Uneven, so that capacities overflow.
    logits = torch.randn(ROWS, EXPERTS, generator=generator) + torch.linspace(0.5, -0.5, EXPERTS)
    golden = {"rows": ROWS, "experts": EXPERTS, "sequences": SEQUENCES, "bias": rounded(BIAS),
              "logits": rounded(logits), "cases": []}
    for name, how, route in cases():
        x = logits.clone().requires_grad_()
        chosen, weights = route(x)
        # Ranks are in the order of scores here; torch may have them in any.
        order = chosen.argsort(-1)
        chosen, weights = chosen.gather(1, order), weights.gather(1, order)
        dweights = torch.randn(weights.shape, generator=generator)
        weights.backward(dweights * (weights != 0))
        golden["cases"].append({"name": name, "how": how, "chosen": chosen.flatten().tolist(),
                                "weights": rounded(weights), "dweights": rounded(dweights),
                                "dlogits": rounded(x.grad)})
    layers = [logits.clone().requires_grad_(), logits.roll(1, 0).roll(2, 1).requires_grad_()]
    balance = load_balancing_loss_func(tuple(layers), EXPERTS, 2)
    z = router_z_loss_func(torch.stack(layers).reshape(1, 2 * ROWS, EXPERTS))
    (0.3 * balance + 0.2 * z).backward()
    golden["losses"] = {"second": rounded(layers[1]), "balance": balance.item(), "z": z.item(),
                        "dfirst": rounded(layers[0].grad), "dsecond": rounded(layers[1].grad)}
    OUT.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
