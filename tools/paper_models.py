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


class GlmConfig(PretrainedConfig):
    model_type = "glm"

    def __init__(self, vocab_size=72, hidden_size=32, num_layers=3, num_attention_heads=4,
                 max_sequence_length=127, layernorm_epsilon=0.02, **others):
        self.vocab_size, self.hidden_size, self.num_layers = vocab_size, hidden_size, num_layers
        self.num_attention_heads, self.max_sequence_length = num_attention_heads, max_sequence_length
        self.layernorm_epsilon = layernorm_epsilon
        super().__init__(**others)


def seen_by_prefix(length, prefix):
    """Part A attends to itself both ways, part B to A and to what is before (section 2.1)."""
    to = torch.arange(length)
    return (to[None] < prefix) | (to[None] <= to[:, None])


class GlmAttention(nn.Module):
    """turn: what is done to queries and keys [batch, heads, length, width]."""

    def __init__(self, config, by_head):
        super().__init__()
        self.heads, self.by_head = config.num_attention_heads, by_head
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x, seen, turn):
        packed = self.query_key_value(x)
        if self.by_head:
            q, k, v = packed.unflatten(-1, (self.heads, -1)).transpose(1, 2).chunk(3, -1)
        else:
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                       for part in packed.chunk(3, -1))
        scores = turn(q) @ turn(k).mT / q.shape[-1] ** 0.5
        out = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v
        return self.dense(out.transpose(1, 2).flatten(2))


class GlmLayer(nn.Module):
    def __init__(self, config, by_head, activation, alpha):
        super().__init__()
        width, norm = config.hidden_size, lambda: nn.LayerNorm(  # noqa: E731
            config.hidden_size, config.layernorm_epsilon)
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        self.attention = GlmAttention(config, by_head)
        self.mlp = nn.ModuleDict({"dense_h_to_4h": nn.Linear(width, 4 * width),
                                  "dense_4h_to_h": nn.Linear(4 * width, width)})
        self.activation, self.alpha = ACT2FN[activation], alpha

    def forward(self, x, seen, turn=lambda x: x):
        h = self.input_layernorm(x)
        seen = self.attention(h, seen, turn)
        x = x + seen if self.alpha is None else self.alpha * h + seen
        h = self.post_attention_layernorm(x)
        out = self.mlp["dense_4h_to_h"](self.activation(self.mlp["dense_h_to_4h"](h)))
        return x + out if self.alpha is None else self.alpha * h + out


class GlmBlank(PreTrainedModel):
    """GLM (Du et al. 2022): two tables of positions, for the text and within a blank (section 2.2),
    in a pre-norm transformer with GELU whose head is the table of words (appendix). The published
    code's tables have max_sequence_length + 1 rows."""
    config_class = GlmConfig

    def __init__(self, config):
        super().__init__(config)
        table = lambda n: nn.Embedding(n, config.hidden_size)  # noqa: E731
        self.glm = nn.ModuleDict({
            "word_embeddings": table(config.vocab_size),
            "transformer": nn.ModuleDict({
                "position_embeddings": table(config.max_sequence_length + 1),
                "block_position_embeddings": table(config.max_sequence_length + 1),
                "layers": nn.ModuleList(GlmLayer(config, False, "gelu", None)
                                        for _ in range(config.num_layers)),
                "final_layernorm": nn.LayerNorm(config.hidden_size, config.layernorm_epsilon)})})
        self.post_init()

    def forward(self, ids, text, block, prefix):
        words, t = self.glm["word_embeddings"], self.glm["transformer"]
        x = words(ids) + t["position_embeddings"](text) + t["block_position_embeddings"](block)
        for layer in t["layers"]:
            x = layer(x, seen_by_prefix(ids.shape[1], prefix))
        return t["final_layernorm"](x) @ words.weight.T


class ChatGlm1(PreTrainedModel):
    """ChatGLM-6B: no paper; after its published description. GLM with rope in the place of tables,
    half of a head by each position, its frequencies in f16; DeepNorm's alpha on the states that
    were normed; GELU by tanh; a head of its own."""
    config_class = GlmConfig

    def __init__(self, config):
        super().__init__(config)
        alpha = (2 * config.num_layers) ** 0.5
        self.transformer = nn.ModuleDict({
            "word_embeddings": nn.Embedding(config.vocab_size, config.hidden_size),
            "layers": nn.ModuleList(GlmLayer(config, True, "gelu_new", alpha)
                                    for _ in range(config.num_layers)),
            "final_layernorm": nn.LayerNorm(config.hidden_size, config.layernorm_epsilon)})
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, ids, text, block, prefix):
        half = self.config.hidden_size // self.config.num_attention_heads // 2
        frequencies = (1 / 10000 ** (torch.arange(0, half, 2) / half)).half().float()

        def turned(x, positions):
            angles = (positions[:, None] * frequencies).repeat(1, 2)
            a, b = x.chunk(2, -1)
            return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()

        def turn(x):
            a, b = x.chunk(2, -1)
            return torch.cat([turned(a, text[0]), turned(b, block[0])], -1)

        x = self.transformer["word_embeddings"](ids)
        for layer in self.transformer["layers"]:
            x = layer(x, seen_by_prefix(ids.shape[1], prefix), turn)
        return self.lm_head(self.transformer["final_layernorm"](x))


def with_normalized_head(model):
    """Baichuan 2's NormHead: rows of the head at length 1, and hidden states that make up for it."""
    head = model.lm_head
    head.forward = lambda h: nn.functional.linear(h, nn.functional.normalize(head.weight))
    with torch.no_grad():
        model.model.norm.weight.mul_(4)
