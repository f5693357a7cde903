"""Models of which transformers has no class, written from their papers: what make_family_goldens.py
takes as reference. The names of their tensors are those of published files.
"""
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import CausalLMOutput


def next_token_loss(logits, labels):
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


class PanGuConfig(PretrainedConfig):
    model_type = "gpt_pangu"

    def __init__(self, vocab_size=72, max_position_embeddings=128, hidden_size=32,
                 intermediate_size=48, num_layers=3, num_heads=4, activation_function="gelu",
                 layer_norm_epsilon=0.02, scale_attn_weights=True, initializer_range=0.02, **others):
        self.vocab_size, self.max_position_embeddings = vocab_size, max_position_embeddings
        self.hidden_size, self.intermediate_size = hidden_size, intermediate_size
        self.num_layers, self.num_heads = num_layers, num_heads
        self.activation_function = activation_function
        self.layer_norm_epsilon = layer_norm_epsilon
        self.scale_attn_weights, self.initializer_range = scale_attn_weights, initializer_range
        super().__init__(**others)


class PanGuAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_heads
        for name in ("q_proj", "k_proj", "v_proj", "c_proj"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size))

    def forward(self, states, query):
        """query: what queries are projections of; in all layers but the query layer the states."""
        split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731
        q, k, v = (split(project(x)) for project, x in
                   ((self.q_proj, query), (self.k_proj, states), (self.v_proj, states)))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        behind = torch.ones(scores.shape[-2:]).triu(1).bool()
        seen = scores.masked_fill(behind, -torch.inf).softmax(-1) @ v
        return self.c_proj(seen.transpose(1, 2).flatten(2))


class PanGuLayer(nn.Module):
    """A GPT-2 layer: norms before attention and MLP (section 2.2 of the paper)."""

    def __init__(self, config):
        super().__init__()
        norm = lambda: nn.LayerNorm(config.hidden_size, config.layer_norm_epsilon)  # noqa: E731
        self.ln_1, self.ln_2 = norm(), norm()
        self.attn = PanGuAttention(config)
        self.mlp = nn.ModuleDict({
            "c_fc": nn.Linear(config.hidden_size, config.intermediate_size),
            "c_proj": nn.Linear(config.intermediate_size, config.hidden_size)})
        self.activation = ACT2FN[config.activation_function]

    def forward(self, x, query=None):
        h = self.ln_1(x)
        x = x + self.attn(h, h if query is None else query)
        return x + self.mlp["c_proj"](self.activation(self.mlp["c_fc"](self.ln_2(x))))


class PanGuAlpha(PreTrainedModel):
    """PanGu-α (Zeng et al. 2021): decoder layers, a norm, and the query layer (section 2.3), whose
    query is the embedding p_n of the position to predict; the published code gives the position of
    the n-th token the n-th row of that table. Logits are products with the words' embeddings."""
    config_class = PanGuConfig

    def __init__(self, config):
        super().__init__(config)
        embedding = lambda n: nn.Embedding(n, config.hidden_size)  # noqa: E731
        self.transformer = nn.ModuleDict({
            "wte": embedding(config.vocab_size), "wpe": embedding(config.max_position_embeddings),
            "wqe": embedding(config.max_position_embeddings),
            "h": nn.ModuleList(PanGuLayer(config) for _ in range(config.num_layers)),
            "ln_f": nn.LayerNorm(config.hidden_size, config.layer_norm_epsilon)})
        self.post_init()

    def forward(self, ids, labels):
        t = self.transformer
        positions = torch.arange(ids.shape[1])[None]
        x = t["wte"](ids) + t["wpe"](positions)
        for layer in t["h"][:-1]:
            x = layer(x)
        x = t["h"][-1](t["ln_f"](x), query=t["wqe"](positions))
        logits = x @ t["wte"].weight.T
        return CausalLMOutput(next_token_loss(logits, labels), logits)


def with_normalized_head(model):
    """Baichuan 2's NormHead: rows of the head at length 1, and hidden states that make up for it."""
    head = model.lm_head
    head.forward = lambda h: nn.functional.linear(h, nn.functional.normalize(head.weight))
    with torch.no_grad():
        model.model.norm.weight.mul_(4)
