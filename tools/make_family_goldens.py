#!/usr/bin/env python3
"""Makes tests/golden/families/: a tiny random model of each family with transformers' numbers.

Needs torch and transformers. Each folder holds config.json, model.safetensors and golden.json: the
ids of a prompt, the logits of some of its rows, the loss and samples of its gradients. Weights are
scaled so that logits have a standard deviation of at least 3; norms and biases are random; sizes are
small, window, epsilon and theta such that each has its part in the logits.

usage: tools/make_family_goldens.py [NAME…]
"""
import json
import pathlib
import shutil
import sys

import safetensors.torch
import torch
import transformers
from paper_models import ChatGlm1, GlmBlank, PanGuAlpha, with_normalized_head
from transformers.core_model_loading import revert_weight_conversion

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/families"
SIZES = dict(vocab_size=72, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, intermediate_size=48, max_position_embeddings=256,
             rms_norm_eps=0.02, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
             pad_token_id=0)
WINDOW = ["sliding_attention", "full_attention"]


def rope(**fields):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, **fields}}


WIDE = {"head_dim": 12}
EXPERTS = {"num_local_experts": 5, "num_experts_per_tok": 2}
GROUPED = {"n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
           "n_group": 3, "topk_group": 2, "routed_scaling_factor": 1.5, "first_k_dense_replace": 1,
           "norm_topk_prob": True}
LATENT = {"num_key_value_heads": 4, "kv_lora_rank": 20, "q_lora_rank": 18, "qk_nope_head_dim": 10,
          "qk_rope_head_dim": 12, "v_head_dim": 7}
YARN = rope(rope_type="yarn", rope_theta=50.0, factor=4.0, beta_fast=4.0, beta_slow=0.5, mscale=1.3,
            mscale_all_dim=1.3, original_max_position_embeddings=64)
MINIMAX = {**SIZES, **WIDE, **EXPERTS, "num_hidden_layers": 3, "sliding_window": 40,
           "layer_types": ["linear_attention", "full_attention", "linear_attention"],
           "block_size": 32, "full_attn_alpha_factor": 1.5, "full_attn_beta_factor": 0.75,
           "linear_attn_alpha_factor": 0.5, "linear_attn_beta_factor": 1.25,
           "mlp_alpha_factor": 2.0, "mlp_beta_factor": 1.25}
# What MiniMax' own code, that of M1 and Text-01, calls the fields of transformers' class.
MINIMAX_M1 = {**{n: None for n in (*(f for f in MINIMAX if f.endswith("factor")), "block_size",
                                   "layer_types", "rope_parameters")},
              "model_type": "minimax_m1", "attn_type_list": [0, 1, 0], "postnorm": True,
              "rope_theta": 500.0, "rotary_dim": 12, "shared_intermediate_size": 0,
              "layernorm_full_attention_alpha": 1.5, "layernorm_full_attention_beta": 0.75,
              "layernorm_linear_attention_alpha": 0.5, "layernorm_linear_attention_beta": 1.25,
              "layernorm_mlp_alpha": 2.0, "layernorm_mlp_beta": 1.25}
INDEXER = {"index_n_heads": 3, "index_head_dim": 16, "index_topk": 24, "n_routed_experts": 9}
DELTA = {**WIDE, "num_hidden_layers": 3, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
         "linear_key_head_dim": 6, "linear_value_head_dim": 10, "linear_conv_kernel_dim": 3,
         "layer_types": ["linear_attention", "full_attention", "linear_attention"]}
SHARED = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
          "shared_expert_intermediate_size": 24}
KIMI = {**SIZES, **LATENT, "q_lora_rank": None, "num_hidden_layers": 3, "linear_num_heads": 3,
        "linear_head_dim": 6, "linear_conv_kernel_dim": 3, "layer_types": DELTA["layer_types"],
        "mlp_layer_types": ["dense", "sparse", "sparse"], "num_local_experts": 6,
        "num_experts_per_tok": 2, "n_shared_experts": 2, "moe_intermediate_size": 20, "n_group": 3,
        "topk_group": 2, "routed_scaling_factor": 1.5, "norm_topk_prob": True}
# What Moonshot's own code calls the fields that transformers' class has another form of.
KIMI_PUBLISHED = {**{n: None for n in ("layer_types", "mlp_layer_types", "linear_num_heads",
                                       "linear_head_dim", "linear_conv_kernel_dim")},
                  "head_dim": 8, "first_k_dense_replace": 1, "mla_use_nope": True,
                  "moe_layer_freq": 1, "moe_router_activation_func": "sigmoid",
                  "linear_attn_config": {"num_heads": 3, "head_dim": 6, "short_conv_kernel_size": 3,
                                         "full_attn_layers": [2], "kda_layers": [1, 3]}}
ENCODER = dict(vocab_size=72, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
               intermediate_size=48, max_position_embeddings=128, layer_norm_eps=0.02,
               type_vocab_size=2, pad_token_id=0)
LABELS = {"id2label": dict(enumerate("abcdefgh"))}
T5 = dict(vocab_size=72, d_model=32, d_kv=12, d_ff=48, num_layers=2, num_decoder_layers=3, num_heads=4,
          relative_attention_num_buckets=12, layer_norm_epsilon=0.02, decoder_start_token_id=0)
GPT = dict(vocab_size=72, n_embd=32, n_layer=2, n_head=4, n_positions=128, layer_norm_epsilon=0.02)


def with_its_streams(model):
    """Its own beginnings: gates of streams differ by little from one another else."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.endswith(("hc.scale", "hc_scale", "sinks", "hc.base", "hc_base")):
                p.copy_((0.5 + torch.randn(p.shape, generator=generator)).bfloat16().float())


def packed(tensors, out, parts, groups):
    """Joins the rows of `parts` under the name `out`, by `groups` groups of each."""
    result = {}
    for name, tensor in tensors.items():
        part = next((p for p in parts if f".{p}." in name), None)
        if part is None:
            result[name] = tensor
        elif part == parts[0]:
            pieces = [tensors[name.replace(part, p)] for p in parts]
            pieces = [p.reshape(groups, -1, *p.shape[1:]) for p in pieces]
            result[name.replace(part, out)] = torch.cat(pieces, 1).flatten(0, 1)
    return result


def renamed(tensors, *pairs):
    for old, new in pairs:
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return tensors


QKV = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]


def internlm2(tensors):
    return renamed(packed(tensors, "attention.wqkv", QKV, 2), ("self_attn.o_proj", "attention.wo"),
                   ("input_layernorm", "attention_norm"), ("post_attention_layernorm", "ffn_norm"),
                   ("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"),
                   ("mlp.down_proj", "feed_forward.w2"), ("embed_tokens", "tok_embeddings"),
                   ("lm_head", "output"))


def baichuan(tensors):
    return packed(tensors, "self_attn.W_pack", QKV, 1)


def chatglm(tensors):
    return renamed(packed(tensors, "self_attention.query_key_value", QKV, 1),
                   ("self_attn.o_proj", "self_attention.dense"), ("lm_head", "transformer.output_layer"),
                   ("mlp.gate_up_proj", "mlp.dense_h_to_4h"), ("mlp.down_proj", "mlp.dense_4h_to_h"),
                   ("model.embed_tokens", "transformer.embedding.word_embeddings"),
                   ("model.norm", "transformer.encoder.final_layernorm"),
                   ("model.layers", "transformer.encoder.layers"))


def zhinao(tensors):
    return packed(tensors, "self_attn.qkv_proj", QKV, 1)


def qwen(tensors):
    return renamed(packed(tensors, "attn.c_attn", QKV, 1), ("self_attn.o_proj", "attn.c_proj"),
                   ("input_layernorm", "ln_1"), ("post_attention_layernorm", "ln_2"),
                   ("mlp.gate_proj", "mlp.w2"), ("mlp.up_proj", "mlp.w1"),
                   ("mlp.down_proj", "mlp.c_proj"), ("model.norm", "transformer.ln_f"),
                   ("model.embed_tokens", "transformer.wte"), ("model.layers", "transformer.h"))


def kimi_linear(tensors):
    """The MLP of the layer without experts, which transformers writes as those with experts."""
    return renamed(tensors, (".layers.0.block_sparse_moe.", ".layers.0.mlp."))


def one_by_one(tensors):
    """Stacked experts as the matrices that they are."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            stack, matrix = name.rsplit(".", 1)
            for i, one in enumerate(tensor):
                parts = dict(zip(("gate_proj", "up_proj"), one.chunk(2))) \
                    if matrix == "gate_up_proj" else {matrix: one}
                result |= {f"{stack}.{i}.{n}.weight": p for n, p in parts.items()}
        else:
            result[name] = tensor
    return result


def alibi(heads, length):
    """The arguments that make a Llama one of ALiBi: rope that turns nothing, biased scores."""
    distance = torch.arange(length)[:, None] - torch.arange(length)
    slopes = torch.tensor([2.0 ** (-8 * (h + 1) / heads) for h in range(heads)])
    mask = torch.where(distance >= 0, -slopes[:, None, None] * distance, -torch.inf)
    return {"attention_mask": mask[None], "position_ids": torch.zeros(1, length, dtype=torch.long)}


def scaled(module, factor):
    with torch.no_grad():
        module.weight.mul_(factor)


BAICHUAN = {"model_type": "baichuan", "attention_bias": None, "mlp_bias": None, "head_dim": None,
            "num_key_value_heads": None}

# Gemma 4's layers, of which the last three read the keys of the second and third.
GEMMA4 = {**SIZES, **WIDE, "tie_word_embeddings": True, "sliding_window": 24, "rope_parameters": {
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    "full_attention": {"rope_type": "proportional", "rope_theta": 500.0,
                       "partial_rotary_factor": 0.5}}}
GEMMA4_SMALL = {**GEMMA4, "num_hidden_layers": 6, "layer_types": [*WINDOW[:1], *WINDOW] * 2,
                "global_head_dim": 16, "num_kv_shared_layers": 3, "use_double_wide_mlp": True,
                "hidden_size_per_layer_input": 10, "vocab_size_per_layer_input": 72,
                "final_logit_softcapping": 12.0}

# Name: the class's name before "Config" and "ForCausalLM", or a class of paper_models, and the
# fields of its configuration; for a family that transformers has no class of, then how its files
# differ from that class's: fields of config.json (None: none), a function of the tensors, arguments
# of the forward function, what is changed in the model.
CASES = {
    "llama": ("Llama", {**SIZES, **rope(), "mlp_bias": True, "attention_bias": True}),
    "qwen2": ("Qwen2", {**SIZES, **rope(), "use_sliding_window": True, "sliding_window": 24,
                        "max_window_layers": 1, "layer_types": WINDOW}),
    "qwen3": ("Qwen3", {**SIZES, **rope(), **WIDE, "use_sliding_window": True, "sliding_window": 40,
                        "max_window_layers": 1, "layer_types": WINDOW[::-1]}),
    "ministral3": ("Ministral3", {**SIZES, **WIDE, **rope(
        rope_type="yarn", rope_theta=50.0, factor=4.0, beta_fast=4.0, beta_slow=0.5, mscale=1.0,
        mscale_all_dim=1.0, original_max_position_embeddings=64, llama_4_scaling_beta=0.3)}),
    "mistral": ("Mistral", {**SIZES, **rope(), "sliding_window": 24, "head_dim": 8}),
    "internlm": ("Llama", {**SIZES, **rope(), "attention_bias": True},
                 {"model_type": "internlm", "bias": True, "attention_bias": None,
                  "mlp_bias": None, "head_dim": None}),
    "internlm2": ("Llama", {**SIZES, **rope()},
                  {"model_type": "internlm2", "bias": False, "attention_bias": None,
                   "mlp_bias": None, "head_dim": None}, internlm2),
    "internlm3": ("SeedOss", {**SIZES, **rope(), **WIDE, "attention_bias": True,
                              "attention_out_bias": False, "mlp_bias": False},
                  {"model_type": "internlm3", "bias": False, "qkv_bias": True,
                   "attention_bias": None, "attention_out_bias": None, "mlp_bias": None}),
    "seed_oss": ("SeedOss", {**SIZES, **rope(), **WIDE, "attention_bias": True,
                             "attention_out_bias": False, "mlp_bias": False}),
    "hunyuan_v1_dense": ("HunYuanDenseV1", {**SIZES, **WIDE, "rope_parameters": {
        "rope_type": "dynamic", "alpha": 50.0, "factor": 1.0, "rope_theta": 500.0}}),
    "ernie4_5": ("Ernie4_5", {**SIZES, **rope(), **WIDE, "use_bias": False}),
    "glm": ("Glm", {**SIZES, **rope(partial_rotary_factor=0.5), "head_dim": 8}),
    "glm4": ("Glm4", {**SIZES, **rope(partial_rotary_factor=0.5), **WIDE, "attention_bias": False}),
    "chatglm": ("Glm", {**SIZES, **rope(partial_rotary_factor=0.5), "head_dim": 8,
                        "attention_bias": True},
                {"model_type": "chatglm", "num_hidden_layers": None, "num_layers": 2,
                 "head_dim": None, "kv_channels": 8, "num_key_value_heads": None,
                 "multi_query_attention": True, "multi_query_group_num": 2,
                 "intermediate_size": None, "ffn_hidden_size": 48, "rope_parameters": None,
                 "rope_ratio": 0.05, "max_position_embeddings": None, "seq_length": 256,
                 "rms_norm_eps": None, "layernorm_epsilon": 0.02, "vocab_size": None,
                 "padded_vocab_size": 72, "attention_bias": None, "add_qkv_bias": True,
                 "hidden_act": None}, chatglm),
    "gemma": ("Gemma", {**SIZES, **rope(), **WIDE, "num_key_value_heads": 1,
                        "tie_word_embeddings": True, "hidden_act": "gelu_pytorch_tanh"}),
    "gemma2": ("Gemma2", {**SIZES, **rope(), **WIDE, "tie_word_embeddings": True,
                          "query_pre_attn_scalar": 12, "sliding_window": 24, "layer_types": WINDOW,
                          "attn_logit_softcapping": 2.0, "final_logit_softcapping": 12.0}),
    "gemma3": ("Gemma3", {**SIZES, **WIDE, "tie_word_embeddings": True,
                          "query_pre_attn_scalar": 12, "sliding_window": 24, "layer_types": WINDOW,
                          "rope_parameters": {
                              "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
                              "full_attention": {"rope_type": "linear", "rope_theta": 500.0,
                                                 "factor": 4.0}}}),
    # Tokens that the table of per-layer inputs does not have read its row 0, which has a gradient
    # where it is not that of padding.
    "gemma3n": ("Gemma3n", {**SIZES, **WIDE, "tie_word_embeddings": True, "pad_token_id": 2,
                            "num_hidden_layers": 6, "layer_types": [*WINDOW[:1], *WINDOW] * 2,
                            "intermediate_size": [48, 48, 40, 48, 56, 48], "sliding_window": 24,
                            "num_kv_shared_layers": 3, "hidden_size_per_layer_input": 10,
                            "vocab_size_per_layer_input": 64, "altup_num_inputs": 3,
                            "altup_active_idx": 1, "laurel_rank": 6,
                            "final_logit_softcapping": 12.0,
                            "activation_sparsity_pattern": [0.6, 0.3, 0.0, 0.5, 0.0, 0.0],
                            "rope_parameters": {
                                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
                                "full_attention": {"rope_type": "linear", "rope_theta": 500.0,
                                                   "factor": 4.0}}}),
    "gemma4": ("Gemma4", GEMMA4_SMALL),
    "gemma4-moe": ("Gemma4", {**GEMMA4, "layer_types": WINDOW, "global_head_dim": 20,
                              "attention_k_eq_v": True, "num_global_key_value_heads": 1,
                              "attention_bias": True, "hidden_size_per_layer_input": 0,
                              "enable_moe_block": True, "num_experts": 5, "top_k_experts": 2,
                              "moe_intermediate_size": 20}),
    "gpt_neox": ("GPTNeoX", dict(vocab_size=72, hidden_size=32, num_hidden_layers=2,
                                 num_attention_heads=4, intermediate_size=48,
                                 max_position_embeddings=256, layer_norm_eps=0.02,
                                 **rope(partial_rotary_factor=0.5))),
    "gpt_neox-serial": ("GPTNeoX", dict(vocab_size=72, hidden_size=32, num_hidden_layers=2,
                                        num_attention_heads=4, intermediate_size=48,
                                        max_position_embeddings=256, layer_norm_eps=0.02,
                                        use_parallel_residual=False, attention_bias=False,
                                        **rope(partial_rotary_factor=1.0))),
    "gptj": ("GPTJ", {**GPT, "rotary_dim": 4, "n_inner": 48}),
    "opt-350m": ("OPT", dict(vocab_size=72, hidden_size=32, num_hidden_layers=2,
                             num_attention_heads=4, ffn_dim=48, max_position_embeddings=128,
                             word_embed_proj_dim=20, do_layer_norm_before=False)),
    "opt": ("OPT", dict(vocab_size=72, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        ffn_dim=48, max_position_embeddings=128, word_embed_proj_dim=32)),
    "bloom": ("Bloom", dict(vocab_size=72, hidden_size=36, n_layer=2, n_head=6,
                            layer_norm_epsilon=0.02)),
    "openai-gpt": ("OpenAIGPT", GPT),
    "zhinao": ("Qwen2", {**SIZES, **rope()},
               {"model_type": "zhinao", "use_sliding_window": None, "sliding_window": None,
                "max_window_layers": None, "layer_types": None, "bias": False}, zhinao),
    "baichuan": ("Llama", {**SIZES, "num_key_value_heads": 4, **rope()},
                 BAICHUAN, baichuan),
    "baichuan2": ("Llama", {**SIZES, "num_key_value_heads": 4, **rope()},
                  {**BAICHUAN, "normalized_head": True}, baichuan, {}, with_normalized_head),
    "baichuan-alibi": ("Llama", {**SIZES, "num_key_value_heads": 4, **rope()},
                       {**BAICHUAN, "rope_parameters": None, "max_position_embeddings": None,
                        "model_max_length": 256}, baichuan, alibi(4, 100)),
    "qwen": ("Qwen2", {**SIZES, "num_key_value_heads": 4, **rope()},
             {"model_type": "qwen", "intermediate_size": 96, "seq_length": 256, "kv_channels": 8,
              "layer_norm_epsilon": 0.02, "rotary_emb_base": 500.0, "rotary_pct": 1.0,
              "no_bias": True, "scale_attn_weights": True, "use_dynamic_ntk": True,
              "use_logn_attn": True,
              **{n: None for n in ("rms_norm_eps", "rope_parameters", "num_key_value_heads",
                                   "layer_types", "max_window_layers", "sliding_window",
                                   "use_sliding_window", "hidden_act")}}, qwen),
    # The prompt of 100 tokens is twice what these were trained on, or longer.
    "llama-dynamic": ("Llama", {**SIZES, **rope(rope_type="dynamic", factor=3.0),
                                "max_position_embeddings": 50}),
    "llama-longrope": ("Llama", {**SIZES, **rope(
        rope_type="longrope", original_max_position_embeddings=64,
        short_factor=[1.0, 1.1, 1.3, 1.9], long_factor=[1.2, 1.7, 2.9, 4.5])}),
    "pangu_alpha": (PanGuAlpha, {}),
    "mixtral": ("Mixtral", {**SIZES, **rope(), **WIDE, **EXPERTS, "sliding_window": 24}),
    "qwen3_moe": ("Qwen3Moe", {**SIZES, **rope(), **WIDE, **EXPERTS, "use_sliding_window": True,
                               "sliding_window": 40, "norm_topk_prob": True,
                               "moe_intermediate_size": 20}),
    "qwen2_moe": ("Qwen2Moe", {**SIZES, **rope(), "num_experts": 5, "num_experts_per_tok": 2,
                               "moe_intermediate_size": 20, "num_hidden_layers": 4,
                               "shared_expert_intermediate_size": 24, "decoder_sparse_step": 2,
                               "mlp_only_layers": [3], "use_sliding_window": True,
                               "sliding_window": 24, "max_window_layers": 1,
                               "layer_types": WINDOW * 2}),
    "gpt_oss": ("GptOss", {**SIZES, **WIDE, "num_local_experts": 5, "num_experts_per_tok": 2,
                           "sliding_window": 24, "swiglu_limit": 2.5, "rope_parameters": {
                               "rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0,
                               "beta_fast": 4.0, "beta_slow": 0.5, "truncate": False,
                               "original_max_position_embeddings": 64}}),
    "glm4_moe": ("Glm4Moe", {**SIZES, **rope(partial_rotary_factor=0.5), "head_dim": 8, **GROUPED,
                             "n_shared_experts": 2, "use_qk_norm": True}),
    "ernie4_5_moe": ("Ernie4_5_Moe", {**SIZES, **rope(), "num_hidden_layers": 3, "moe_k": 2,
                                      "moe_num_experts": 5, "moe_intermediate_size": 20,
                                      "moe_norm_min": 0.6}),
    "hunyuan_v1_moe": ("HunYuanMoEV1", {**SIZES, **WIDE, "num_experts": 5, "moe_topk": 2,
                                        "rope_parameters": {
                                            "rope_type": "dynamic", "alpha": 50.0, "factor": 1.0,
                                            "rope_theta": 500.0}}),
    "deepseek_v3": ("DeepseekV3", {**SIZES, **LATENT, **GROUPED, **YARN, "n_shared_experts": 1}),
    "deepseek_v3-plain": ("DeepseekV3", {**SIZES, **LATENT, **GROUPED, **rope(),
                                         "n_shared_experts": 2, "q_lora_rank": None, "topk_group": 1,
                                         "rope_interleave": False, "norm_topk_prob": False}),
    "deepseek_v2": ("DeepseekV2", {**SIZES, **LATENT, **GROUPED, **YARN, "n_shared_experts": 2,
                                   "norm_topk_prob": False, "num_experts_per_tok": 3,
                                   "topk_method": "group_limited_greedy"}),
    "minicpm": ("Granite", {**SIZES, **rope(), "embedding_multiplier": 2.5, "logits_scaling": 4.0,
                            "residual_multiplier": 0.75, "attention_multiplier": 8 ** -0.5},
                {"model_type": "minicpm", "scale_emb": 2.5, "scale_depth": 0.75 * 2 ** 0.5,
                 "dim_model_base": 8, "attention_bias": None, "mlp_bias": None,
                 **{n: None for n in ("embedding_multiplier", "logits_scaling",
                                      "residual_multiplier", "attention_multiplier")}},
                dict, {}, lambda model: scaled(model.model.norm, 4)),
    "minicpm3": ("MiniCPM3", {**SIZES, **LATENT, "tie_word_embeddings": True, **rope(
        rope_type="longrope", short_factor=[1.0, 1.25, 1.5, 2.0, 3.0, 4.0],
        long_factor=[1.0, 2.0, 3.0, 5.0, 8.0, 12.0], original_max_position_embeddings=128)},
                 {}, dict, {}, lambda model: scaled(model.model.embed_tokens, 1 / 8)),
    "glm4_moe_lite": ("Glm4MoeLite", {**SIZES, **LATENT, **rope(), **{
        k: v for k, v in GROUPED.items() if k != "first_k_dense_replace"}, "n_shared_experts": 1,
        "num_hidden_layers": 3, "mlp_layer_types": ["dense", "sparse", "sparse"]}),
    "youtu": ("Youtu", {**SIZES, **LATENT, **YARN, "tie_word_embeddings": True}),
    "hy_v3": ("HYV3", {**SIZES, **rope(), **WIDE, "num_experts": 5, "num_experts_per_tok": 2,
                       "moe_intermediate_size": 20, "num_shared_experts": 2, "router_scaling_factor": 1.5,
                       "num_hidden_layers": 3, "mlp_layer_types": ["dense", "sparse", "sparse"]}),
    "deepseek_v32": ("DeepseekV32", {**SIZES, **LATENT, **GROUPED, **YARN, "n_shared_experts": 1,
                                     **INDEXER, "index_topk": 40}),
    "glm_moe_dsa": ("GlmMoeDsa", {**SIZES, **LATENT, **GROUPED, **rope(), "n_shared_experts": 1,
                                  **INDEXER}),
    "glm_moe_dsa-shared": ("GlmMoeDsa", {**SIZES, **LATENT, **GROUPED, **rope(), "n_shared_experts": 1,
                                  **INDEXER, "num_hidden_layers": 3, "moe_intermediate_size": 24,
                                  "indexer_types": ["full", "shared", "full"],
                                  "mlp_layer_types": ["dense", "sparse", "sparse"]}),
    "hy_v4": ("HYV4", {
        **SIZES, **LATENT, **YARN, **INDEXER, "num_experts_per_tok": 2, "num_hidden_layers": 3,
        "moe_intermediate_size": 20, "n_shared_experts": 2, "routed_scaling_factor": 1.5,
        "norm_topk_prob": True, "mlp_layer_types": ["dense", "sparse", "sparse"],
        "indexer_types": ["full", "shared", "full"], "hc_mult": 3, "hc_magnitude": 1.5,
        "hc_eps": 0.05, "swiglu_limit": 0.75}, {"model_type": "hy_v4"},
        lambda tensors: renamed(tensors, ("mlp.linear_gate", "mlp.gate_proj"),
                                ("experts.linear_gate", "experts.gate_proj")),
        {}, with_its_streams),
    "minimax": ("MiniMax", {**MINIMAX, **rope()}),
    "minimax-m1": ("MiniMax", {**MINIMAX, **rope()}, MINIMAX_M1),
    "qwen3_next": ("Qwen3Next", {**SIZES, **DELTA, **SHARED, **rope(partial_rotary_factor=0.5),
                                 "attention_bias": True, "mlp_only_layers": [1]}),
    "qwen3_5": ("Qwen3_5", {**SIZES, **DELTA, **rope(partial_rotary_factor=0.5)}),
    "qwen3_5_moe": ("Qwen3_5Moe", {**{n: v for n, v in SIZES.items() if n != "intermediate_size"},
                                   **DELTA, **SHARED, **rope(partial_rotary_factor=0.5)}),
    "kimi_linear": ("KimiLinear", KIMI, {}, kimi_linear),
    "kimi_linear-published": ("KimiLinear", KIMI, KIMI_PUBLISHED, kimi_linear),
    "minimax_m2": ("MiniMaxM2", {**SIZES, **rope(partial_rotary_factor=0.5), **WIDE, **EXPERTS}),
}
# The same with whole names of classes: encoders, whose golden has the types of its tokens and what
# the loss asks for.
ENCODERS = {
    "bert": ("BertForMaskedLM", {**ENCODER, "tie_word_embeddings": False}),
    "bert-classifier": ("BertForSequenceClassification", {**ENCODER, **LABELS}),
    "roberta": ("RobertaForMaskedLM", {**ENCODER, "type_vocab_size": 1, "pad_token_id": 1}),
    "xlm-roberta-classifier": ("XLMRobertaForSequenceClassification",
                               {**ENCODER, **LABELS, "type_vocab_size": 1, "pad_token_id": 1}),
    "ernie": ("ErnieForMaskedLM", {**ENCODER, "use_task_id": True}),
}
# Encoder-decoders: the class before "ForConditionalGeneration", and the fields. The golden's ids are
# those that the encoder reads, as many as its "prefix", then those that the decoder does; "greedy" are
# the ids that the model itself then chooses.
SEQ2SEQ = {
    "t5": ("T5", {**T5}),
    "mt5": ("MT5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "umt5": ("UMT5", {**T5, "feed_forward_proj": "gated-gelu"}),
    "switch_transformers": ("SwitchTransformers", {**T5, "num_experts": 4,
                                                   "num_sparse_encoder_layers": 1,
                                                   "num_sparse_decoder_layers": 1}),
}
# Models of images whose text part is a family: the class before "ForConditionalGeneration", the fields
# of the text model and of what reads images.
IMAGES = dict(hidden_size=8, intermediate_size=8, patch_size=4)
SIGLIP = {**IMAGES, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8}
PATCHES = {**IMAGES, "depth": 1, "num_heads": 2, "out_hidden_size": 32}
NESTED = {
    "gemma3-images": ("Gemma3", CASES["gemma3"][1], SIGLIP),
    "gemma4-images": ("Gemma4", {**GEMMA4_SMALL, "num_kv_shared_layers": 2}, {
        **IMAGES, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 4, "position_embedding_size": 16}),
    "mistral3": ("Mistral3", {**CASES["mistral"][1], "model_type": "mistral"},
                 {**SIGLIP, "model_type": "pixtral"}),
    "qwen2_5_vl": ("Qwen2_5_VL", {**CASES["qwen2"][1], **rope(mrope_section=[1, 1, 2])}, PATCHES),
    "qwen3_vl": ("Qwen3VL", {**SIZES, **WIDE, **rope(mrope_section=[2, 2, 2])},
                 {**PATCHES, "deepstack_visual_indexes": [0]}),
    "qwen3_vl_moe": ("Qwen3VLMoe", {**SIZES, **WIDE, **EXPERTS, **rope(mrope_section=[2, 2, 2]),
                                    "moe_intermediate_size": 20},
                     {**PATCHES, "deepstack_visual_indexes": [0]}),
    "hunyuan_vl": ("HunYuanVL", {**SIZES, **WIDE, **rope(rope_type="dynamic", alpha=50.0, factor=1.0,
                                                         mrope_section=[1, 2, 2, 1])},
                   {**IMAGES, "num_hidden_layers": 1, "num_attention_heads": 2, "max_image_size": 16,
                    "out_hidden_size": 32, "max_vit_seq_len": 4}),
    "ernie4_5_vl_moe": ("Ernie4_5_VLMoe", {
        **SIZES, **rope(mrope_section=[1, 1, 2]), "num_hidden_layers": 3, "moe_k": 2,
        "moe_num_experts": 5, "moe_intermediate_size": [20, 8], "moe_norm_min": 0.6,
        "mlp_layer_types": ["dense", "sparse", "sparse"]}, {**PATCHES, "num_hidden_layers": 1}),
    "minimax_m3": ("MiniMaxM3Sparse", {
        **SIZES, **WIDE, **EXPERTS, **rope(partial_rotary_factor=0.5), "rotary_dim": 6,
        "dense_intermediate_size": 40, "intermediate_size": 20, "shared_intermediate_size": 24,
        "routed_scaling_factor": 1.5, "swiglu_limit": 2.5, "num_hidden_layers": 3,
        "mlp_layer_types": ["dense", "sparse", "sparse"], "index_n_heads": 2, "index_head_dim": 8,
        "index_block_size": 8, "index_topk_blocks": 4, "index_local_blocks": 1,
        "layer_types": ["minimax_m3_sparse", "full_attention", "minimax_m3_sparse"]},
        {**IMAGES, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8},
        {"projector_hidden_size": 8, "merged_hidden_size": 32}),
    "step3p7": ("Step3p7", {
        **SIZES, **WIDE, "rope_parameters": {
            "full_attention": {"rope_type": "yarn", "rope_theta": 8.0, "factor": 4.0,
                               "partial_rotary_factor": 0.5, "beta_fast": 4.0, "beta_slow": 0.5,
                               "original_max_position_embeddings": 64},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}},
        "n_routed_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
        "share_expert_dim": 24, "moe_router_scaling_factor": 1.5, "num_hidden_layers": 3,
        "mlp_layer_types": ["dense", "sparse", "sparse"], "sliding_window": 24,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        "num_sliding_attention_heads": 6, "swiglu_limits": [None, 0.5, 0.0],
        "swiglu_limits_shared": [0.5, 0.0, 0.75]}, SIGLIP),
    "qwen3_5-images": ("Qwen3_5", {**CASES["qwen3_5"][1], "full_attention_interval": 4, **rope(
        partial_rotary_factor=0.5, mrope_section=[1, 1, 1], mrope_interleaved=True)}, PATCHES),
    "qwen3_5_moe-images": ("Qwen3_5Moe", {**CASES["qwen3_5_moe"][1], **rope(
        partial_rotary_factor=0.5, mrope_section=[1, 1, 1], mrope_interleaved=True)}, PATCHES),
    "glm4v": ("Glm4v", {**SIZES, **rope(partial_rotary_factor=0.5, mrope_section=[1, 1, 0]),
                        "head_dim": 8}, PATCHES),
    "glm4v_moe": ("Glm4vMoe", {**SIZES, **rope(partial_rotary_factor=0.5, mrope_section=[1, 1, 0]),
                               "head_dim": 8, **GROUPED, "n_shared_experts": 2}, PATCHES),
}
# Of these: the kind, and what config.json has beside the kind's own fields.
BLANKS = {
    "glm_blank": (GlmBlank, {"architectures": ["GLMForConditionalGeneration"],
                             "block_position_encoding": True}),
    "chatglm_1": (ChatGlm1, {"architectures": ["ChatGLMModel"], "model_type": "chatglm",
                             "position_encoding_2d": True, "inner_hidden_size": 128}),
}
# Parameters that files have under another name.
IN_FILES = {("GPTNeoXForCausalLM", "lm_head.weight"): "embed_out.weight"}
ROWS = [0, 1, 2, 63, 64, 65, 99]
SAMPLES = 6


def saved_buffers(model):
    return ((n, b) for n, b in model.named_buffers()
            if n.endswith(("e_score_correction_bias", "layer_scalar")))


def randomise(model, generator, about_zero):
    for name, p in (*model.named_parameters(), *saved_buffers(model)):
        noise = torch.randn(p.shape, generator=generator)
        with torch.no_grad():
            if "bias" in name:
                p.copy_(0.2 * noise)
            elif p.dim() == 1:  # a norm's weight, or A_log
                about_one = not about_zero or name.endswith("linear_attn.norm.weight")
                p.copy_(0.2 * noise + (1 if about_one else 0))
            elif any(part in name for part in ("embed", "wte", "wpe", "lm_head", "embeddings")):
                p.copy_(0.7 * noise)
            else:
                conv = type(model.get_submodule(name.rpartition(".")[0])).__name__ == "Conv1D"
                stacked = p.dim() == 3  # the experts'
                p.copy_(noise * 1.2 / p.shape[2 if stacked else 0 if conv else 1] ** 0.5)
            p.copy_(p.bfloat16().float())  # halves the file


def gradient_samples(gradient, generator):
    at = torch.randint(0, gradient.numel(), (SAMPLES,), generator=generator).tolist()
    # Rows of an embedding that no token names have none.
    at[0] = int(gradient.abs().flatten().argmax())
    return {"norm": float(f"{gradient.norm().item():.7g}"), "at": at,
            "values": [float(f"{gradient.flatten()[i].item():.6g}") for i in at]}


def as_published(model, tensors):
    """Experts one by one, as files have them."""
    has_experts = any(".experts." in name for name in tensors)
    return revert_weight_conversion(model, tensors) if has_experts else tensors


def write(name, model, golden, changes={}, convert=dict):
    print(f"{name}: std of logits {golden['std']}, loss {golden['loss']:.3f}")
    assert golden["std"] >= 3
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.bfloat16().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    saved = json.loads((folder / "config.json").read_text())
    saved["dtype"] = "float32"
    saved.get("text_config", {}).pop("dtype", None)
    if changes:
        saved = {k: v for k, v in {**saved, **changes}.items() if v is not None}
        weights = convert(as_published(model, {
            n: p.detach() for n, p in (*model.named_parameters(), *saved_buffers(model))}))
        safetensors.torch.save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(saved, indent=2) + "\n")
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


def first_of_same(x, k, dim=-1, **_):
    """topk that takes the first of equals: scores that a ReLU made 0 are many."""
    values, indices = x.sort(dim=dim, descending=True, stable=True)
    return torch.return_types.topk((values.narrow(dim, 0, k), indices.narrow(dim, 0, k)))


def rounded(logits, rows):
    return [[round(v, 5) for v in logits[r].tolist()] for r in rows]


def make_encoder(name, kind, fields):
    generator = torch.Generator().manual_seed(sum(name.encode()))
    kind = getattr(transformers, kind)
    config = kind.config_class(**fields)
    config._attn_implementation = "eager"
    model = kind(config).float().eval()
    randomise(model, generator, False)
    with torch.no_grad():  # heads read numbers of about 1
        for n, p in model.named_parameters():
            if n in ("cls.predictions.decoder.weight", "classifier.weight",
                     "classifier.out_proj.weight"):
                p.copy_((5 * p).bfloat16().float())
    ids = torch.randint(3, config.vocab_size, (1, 100), generator=generator)
    types = torch.arange(100)[None] // 60 % config.type_vocab_size
    classifies = name.endswith("classifier")
    if classifies:
        labels = model(ids, token_type_ids=types).logits[0].argmin()[None]
    else:
        labels = torch.where(torch.rand(ids.shape, generator=generator) < 0.3, ids, -100)
    result = model(ids, token_type_ids=types, labels=labels)
    result.loss.backward()
    rows = [0] if classifies else ROWS
    logits = result.logits if classifies else result.logits[0]
    write(name, model, {
        "ids": ids[0].tolist(),
        "types": types[0].tolist(),
        "targets": [t if t >= 0 else -1 for t in labels.flatten().tolist()],
        "rows": rows,
        "logits": rounded(logits, rows),
        "loss": result.loss.item(),
        "std": round(logits.std().item(), 3),
        "gradients": {n: gradient_samples(p.grad, generator)
                      for n, p in model.named_parameters() if p.grad is not None},
    })


def make_seq2seq(name, prefix, fields):
    generator = torch.Generator().manual_seed(sum(name.encode()))
    config = getattr(transformers, prefix + "Config")(**fields)
    config._attn_implementation = "eager"
    model = getattr(transformers, prefix + "ForConditionalGeneration")(config).float().eval()
    tied = fields.get("tie_word_embeddings", True)
    if not tied:  # as published; the class ties whatever the configuration says
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    randomise(model, generator, False)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n == "shared.weight" and tied:  # else the model repeats itself
                p.copy_((0.2 * p).bfloat16().float())
            if n == "decoder.final_layer_norm.weight" and tied:  # then it is scaled down
                p.copy_((90 * p).bfloat16().float())
            if n.endswith(".q.weight"):  # scores are not scaled
                p.copy_((0.3 * p).bfloat16().float())
            if "relative_attention_bias" in n:
                p.copy_((10 * p).bfloat16().float())
    source = torch.randint(3, config.vocab_size, (1, 60), generator=generator)
    target = torch.randint(3, config.vocab_size, (1, 40), generator=generator)
    result = model(source, labels=target)
    result.loss.backward()
    rows = [0, 1, 2, 20, 39]
    shifted = [config.decoder_start_token_id, *target[0, :-1].tolist()]
    greedy = torch.tensor([[config.decoder_start_token_id]])
    with torch.no_grad():
        for _ in range(20):
            last = model(source, decoder_input_ids=greedy).logits[0, -1]
            best = last.topk(2).values
            assert best[0] - best[1] > 1e-3
            greedy = torch.cat([greedy, last.argmax()[None, None]], 1)
    write(name, model, {
        "ids": source[0].tolist() + shifted,
        "prefix": 60,
        "greedy": greedy[0, 1:].tolist(),
        "targets": [-1] * 60 + target[0].tolist(),
        "rows": [60 + r for r in rows],
        "logits": rounded(result.logits[0], rows),
        "loss": result.loss.item(),
        "std": round(result.logits.std().item(), 3),
        "gradients": {n: gradient_samples(p.grad, generator)
                      for n, p in model.named_parameters() if p.grad is not None},
    }, {"tie_word_embeddings": tied})


def make_blank(name, kind, changes):
    """A text of 60 tokens with two masks, the second of which is filled first."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    mask, start, prefix, places, lengths = 3, 4, 60, (41, 20), (25, 15)
    model = kind(kind.config_class()).float().eval()
    randomise(model, generator, False)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if name == "glm_blank" and n.endswith("word_embeddings.weight"):  # else it repeats itself
                p.copy_((0.2 * p).bfloat16().float())
            if name == "glm_blank" and n.endswith("final_layernorm.weight"):
                p.copy_((6 * p).bfloat16().float())
    ids = torch.randint(5, model.config.vocab_size, (1, prefix + sum(lengths)), generator=generator)
    targets = torch.full((prefix + sum(lengths),), -100)
    text, block = torch.arange(prefix), torch.zeros(prefix, dtype=torch.long)
    begin = prefix
    for place, length in zip(places, lengths):
        ids[0, place] = mask
        targets[begin:begin + length - 1] = ids[0, begin + 1:begin + length]
        targets[begin + length - 1] = 2
        ids[0, begin] = start
        text = torch.cat([text, torch.full((length,), place)])
        block = torch.cat([block, torch.arange(length) + 1])
        begin += length
    logits = model(ids, text[None], block[None], prefix)
    loss = torch.nn.functional.cross_entropy(logits[0], targets)
    loss.backward()
    greedy = torch.cat([ids[:, :prefix], torch.tensor([[start]])], 1)
    with torch.no_grad():
        for i in range(12):
            where = [torch.cat([x[:prefix], y])[None] for x, y in (
                (text, torch.full((i + 1,), places[1])), (block, torch.arange(i + 1) + 1))]
            last = model(greedy, *where, prefix)[0, -1]
            best = last.topk(2).values
            assert best[0] - best[1] > 1e-3
            greedy = torch.cat([greedy, last.argmax()[None, None]], 1)
    write(name, model, {
        "ids": ids[0].tolist(), "prefix": prefix,
        "text_positions": text.tolist(), "block_positions": block.tolist(),
        "blank": places[1], "greedy": greedy[0, prefix + 1:].tolist(),
        "targets": [t if t >= 0 else -1 for t in targets.tolist()],
        "rows": ROWS,
        "logits": rounded(logits[0], ROWS),
        "loss": loss.item(),
        "std": round(logits.std().item(), 3),
        "gradients": {n: gradient_samples(p.grad, generator)
                      for n, p in model.named_parameters() if p.grad is not None},
    }, changes)


def class_of(prefix):
    names = (prefix + suffix for suffix in ("ForCausalLM", "LMHeadModel"))
    return next(kind for kind in (getattr(transformers, n, None) for n in names) if kind)


def make(name, prefix, fields, changes={}, convert=dict, arguments={}, change=lambda model: None):
    kind = class_of(prefix) if isinstance(prefix, str) else prefix
    make_causal(name, kind, kind.config_class(**fields), changes, convert, arguments, change)


def make_nested(name, prefix, text, images, whole={}):
    kind = getattr(transformers, prefix + "ForConditionalGeneration")
    config = kind.config_class(text_config=text, vision_config=images, **whole,
                               tie_word_embeddings=text["tie_word_embeddings"])
    make_causal(name, kind, config, {}, lambda tensors: one_by_one(
        renamed(tensors, ("model.language_model.", "model."), ("language_model.model.", "model."),
                ("language_model.lm_head", "lm_head"))) if name != "ernie4_5_vl_moe" else
        {n: t.T if n.endswith("mlp.gate.weight") else t for n, t in tensors.items()})


def make_causal(name, kind, config, changes={}, convert=dict, arguments={}, change=lambda model: None):
    generator = torch.Generator().manual_seed(sum(name.encode()))
    config._attn_implementation = "eager"
    model = kind(config).float().eval()
    gemma = name in ("gemma", "gemma2", "gemma3", "gemma3-images")
    randomise(model, generator, gemma or name.startswith((
        "minimax_m3", "step", "qwen3_next", "qwen3_5")))
    change(model)
    # Of the padding token's embedding transformers gives no gradient.
    ids = torch.randint(3, config.get_text_config().vocab_size, (1, 100), generator=generator)
    result = model(ids, labels=ids, **arguments)
    result.loss.backward()
    for n, p in model.named_parameters():
        if "vision_moe" in n:  # files have these experts in one list with those of texts
            p.grad = torch.zeros_like(p)
    golden = {
        "ids": ids[0].tolist(),
        "rows": ROWS,
        "logits": rounded(result.logits[0], ROWS),
        "loss": result.loss.item(),
        "std": round(result.logits.std().item(), 3),
        "gradients": {n: gradient_samples(g, generator) for n, g in convert(
            as_published(model, {IN_FILES.get((kind.__name__, n), n): p.grad
                                 for n, p in model.named_parameters()
                                 if p.grad is not None})).items() if g.any()},
    }
    write(name, model, golden, changes, convert)


def main():
    torch.set_num_threads(1)
    torch.Tensor.topk = first_of_same
    for name in sys.argv[1:] or [*CASES, *ENCODERS, *SEQ2SEQ, *NESTED, *BLANKS]:
        if name in ENCODERS:
            make_encoder(name, *ENCODERS[name])
        elif name in NESTED:
            make_nested(name, *NESTED[name])
        elif name in SEQ2SEQ:
            make_seq2seq(name, *SEQ2SEQ[name])
        elif name in BLANKS:
            make_blank(name, *BLANKS[name])
        else:
            make(name, *CASES[name])


if __name__ == "__main__":
    main()
