"""Ollama's own client for Python."""

import json

import ollama

from cases import BASE, KEY, MODEL, QUESTION, TOOL, WEATHER, check, check_weather

client = ollama.Client(host=BASE, headers={"Authorization": "Bearer " + KEY}, timeout=60)
SHORT = {"num_predict": 8, "seed": 1}


def plain():
    answer = client.chat(model=MODEL, messages=QUESTION, options=SHORT)
    check(answer.done and answer.done_reason in ("stop", "length") and answer.message.role == "assistant", answer)
    check(answer.eval_count > 0 and answer.total_duration > 0, answer)
    text = client.generate(model=MODEL, prompt="Once", options=SHORT)
    check(text.done and isinstance(text.response, str), text)


def streamed():
    parts = list(client.chat(model=MODEL, messages=QUESTION, options=SHORT, stream=True))
    check(parts[-1].done and not any(part.done for part in parts[:-1]), parts)
    whole = client.chat(model=MODEL, messages=QUESTION, options=SHORT)
    check("".join(part.message.content or "" for part in parts) == whole.message.content, parts, whole)


def tools():
    """There is no way to demand a call here: the tools are only offered."""
    answer = client.chat(model=MODEL, messages=QUESTION, tools=[TOOL], options=SHORT)
    check(answer.done, answer)


def structured():
    answer = client.chat(model=MODEL, messages=QUESTION, format=WEATHER, options={"num_predict": 200})
    check_weather(json.loads(answer.message.content))


def models():
    names = [model.model for model in client.list().models]
    check(MODEL in names, names)
    check("completion" in client.show(MODEL).capabilities, "show")
    check(client.ps().models, "ps")
    vectors = client.embed(model=MODEL, input=["water", "fire"])
    check(len(vectors.embeddings) == 2, vectors)
    try:
        client.chat(model="nobody", messages=QUESTION)
        check(False, "no error")
    except ollama.ResponseError as error:
        check(error.status_code == 404, error)


for part in (plain, streamed, models, tools, structured):
    print("ollama:", part.__name__, flush=True)
    part()
