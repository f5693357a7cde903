"""The tools that Millrace is compared with, as one needs them for that: llama.cpp and transformers.

Both have `ids(text)`, `prompt_ids(prompt)` for {"chat": bool, "text": str}, and `decode(ids,
position)`, the logits after the last of the ids. `continuation` is greedy decoding with any of them.
"""

import ctypes
import re

import jinja2
import llama_cpp
import numpy

NEAR_TIE = 0.05


class LlamaCpp:
    """llama.cpp with its default options but for the context's size and threads."""

    def __init__(self, path, context=512, threads=1, flash_attention=True):
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params())
        assert self.model, f"llama.cpp cannot read {path}"
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = context
        params.n_threads = params.n_threads_batch = threads
        if not flash_attention:
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.batch = llama_cpp.llama_batch_init(context, 0, 1)

    def metadata(self, key):
        buffer = ctypes.create_string_buffer(1 << 16)
        llama_cpp.llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode()

    def ids(self, text, parse_special=True):
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(
            self.vocab, data, len(data), ids, len(ids), True, parse_special)
        return list(ids[:count])

    def piece(self, token):
        return "" if token < 0 else llama_cpp.llama_vocab_get_text(self.vocab, token).decode()

    def prompt_ids(self, prompt):
        if not prompt["chat"]:
            return self.ids(prompt["text"])
        template = self.metadata("tokenizer.chat_template")
        # transformers' tag around what the assistant says, which plain Jinja does not know.
        for tag, known in (("generation", "if true"), ("endgeneration", "endif")):
            template = re.sub(rf"(\{{%-?\s*){tag}(\s*-?%\}})", rf"\g<1>{known}\g<2>", template)
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        return self.ids(environment.from_string(template).render(
            messages=[{"role": "user", "content": prompt["text"]}], add_generation_prompt=True,
            bos_token=self.piece(llama_cpp.llama_vocab_bos(self.vocab)),
            eos_token=self.piece(llama_cpp.llama_vocab_eos(self.vocab))))

    def is_end(self, token):
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, ids, position, all_logits=False):
        """Logits [vocab] after the last of the ids, or [tokens, vocab] after each."""
        if position == 0:
            self.clear()
        self.batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            self.batch.token[i] = token
            self.batch.pos[i] = position + i
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = 0
            self.batch.logits[i] = all_logits or i + 1 == len(ids)
        assert llama_cpp.llama_decode(self.context, self.batch) == 0
        rows = len(ids) if all_logits else 1
        logits = llama_cpp.llama_get_logits(self.context)
        logits = numpy.ctypeslib.as_array(logits, shape=(rows, self.vocab_size)).copy()
        return logits if all_logits else logits[0]


class Transformers:
    """A Hugging Face folder in f32, with a PEFT adapter or without."""

    def __init__(self, folder, adapter=None):
        import torch
        import transformers
        torch.set_num_threads(1)
        self.torch = torch
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if adapter:
            import peft
            self.model = peft.PeftModel.from_pretrained(self.model, adapter)
        self.model.eval()
        ends = self.model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends]) | {self.tokenizer.eos_token_id}

    def ids(self, text):
        return self.tokenizer(text)["input_ids"]

    def prompt_ids(self, prompt):
        if not prompt["chat"]:
            return self.ids(prompt["text"])
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt["text"]}], add_generation_prompt=True,
            tokenize=False)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def is_end(self, token):
        return token in self.ends

    def decode(self, ids, position):
        """Logits [vocab] after the last of the ids."""
        with self.torch.no_grad():
            out = self.model(self.torch.tensor([ids]), use_cache=True,
                             past_key_values=self.cache if position else None)
        self.cache = out.past_key_values
        return out.logits[0, -1].float().numpy()


def continuation(model, ids, tokens, stop_at_end=False):
    """The greedy tokens, the second best of each step, and how far below the best its logit is."""
    logits = model.decode(ids, 0)
    result = {"ids": ids, "greedy": [], "second": [], "gaps": []}
    for step in range(tokens):
        first, second = (int(i) for i in numpy.argsort(-logits, kind="stable")[:2])
        result["greedy"].append(first)
        result["second"].append(second)
        result["gaps"].append(round(float(logits[first] - logits[second]), 4))
        if stop_at_end and model.is_end(first):
            break
        if step + 1 < tokens:
            logits = model.decode([first], len(ids) + step)
    return result


def window_losses(llama, ids, context):
    """Mean nats a token of each whole window, as llama.cpp's perplexity tool scores it: a window
    starts afresh, with the beginning-of-text token in the place of its first where the model wants
    one, and the tokens after its first half are scored."""
    add_bos = llama_cpp.llama_vocab_get_add_bos(llama.vocab)
    losses = []
    for begin in range(0, len(ids) - context + 1, context):
        window = ids[begin:begin + context]
        inputs = list(window)
        if add_bos:
            inputs[0] = llama_cpp.llama_vocab_bos(llama.vocab)
        logits = llama.decode(inputs, 0, all_logits=True).astype(numpy.float64)
        half = context // 2
        rows = logits[half:context - 1]
        top = rows.max(axis=1)
        log_sum = top + numpy.log(numpy.exp(rows - top[:, None]).sum(axis=1))
        scored = numpy.array(window[half + 1:])
        losses.append(float((log_sum - rows[numpy.arange(len(scored)), scored]).mean()))
    return losses
