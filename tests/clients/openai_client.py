"""OpenAI's own client for Python."""

import json
import math

import openai
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, QUESTION, TOOL, WEATHER, check, check_weather

client = openai.OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0, timeout=60)


def plain():
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, max_completion_tokens=8, seed=1, n=2,
                                            logprobs=True, top_logprobs=2)
    check(len(answer.choices) == 2, answer)
    check(answer.choices[0].finish_reason in ("stop", "length"), answer)
    check(isinstance(answer.choices[0].message.content, str), answer)
    check(answer.choices[0].logprobs.content[0].logprob <= 0, answer)
    check(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage)
    check(answer._request_id, answer)
    text = client.completions.create(model=MODEL, prompt="Once", max_tokens=4, echo=True, logprobs=1)
    check(text.choices[0].text.startswith("Once"), text)
    check(text.choices[0].logprobs.token_logprobs[0] is None, text)


def streamed():
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, seed=1, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    check(chunks[0].choices[0].delta.role == "assistant", chunks[0])
    check([c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length"), chunks)
    check(chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0, chunks[-1])
    check(all(c.usage is None for c in chunks[:-1]), chunks)
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, seed=1)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    check(text == whole.choices[0].message.content, text, whole)
    for event in client.completions.create(model=MODEL, prompt="a", max_tokens=2, stream=True):
        check(event.object == "text_completion", event)
    # Leaving early must not disturb the next request.
    with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as early:
        next(iter(early))
    check(client.models.list().data[0].id, "the list of models")


def tools():
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice=choice,
                                                max_tokens=200, parallel_tool_calls=False)
        calls = answer.choices[0].message.tool_calls
        check(len(calls) == 1 and calls[0].function.name == "weather" and calls[0].id, answer)
        check(answer.choices[0].finish_reason == ("tool_calls" if choice == "required" else "stop"), answer)
        check_weather(json.loads(calls[0].function.arguments))
    # The call and its result go back.
    history = QUESTION + [answer.choices[0].message, {"role": "tool", "tool_call_id": calls[0].id, "content": "sun"}]
    client.chat.completions.create(model=MODEL, messages=history, tools=[TOOL], max_tokens=4)

    with client.chat.completions.stream(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice="required",
                                        max_tokens=200, parallel_tool_calls=False) as stream:
        for event in stream:
            pass
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    check(len(calls) == 1 and calls[0].function.name == "weather", final)
    check_weather(json.loads(calls[0].function.arguments))


class Weather(BaseModel):
    sunny: bool
    windy: bool


def structured():
    answer = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Weather, max_tokens=200)
    check(isinstance(answer.choices[0].message.parsed, Weather), answer)
    schema = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, response_format=schema, max_tokens=200)
    check_weather(json.loads(answer.choices[0].message.content))


def embeddings():
    vectors = client.embeddings.create(model=MODEL, input=["water", "fire"])  # in base64 unless told otherwise
    floats = client.embeddings.create(model=MODEL, input="water", encoding_format="float")
    check(len(vectors.data) == 2, vectors)
    check(vectors.data[0].embedding == floats.data[0].embedding or
          all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(vectors.data[0].embedding, floats.data[0].embedding)),
          "base64 and float differ")
    short = client.embeddings.create(model=MODEL, input="water", dimensions=4)
    check(len(short.data[0].embedding) == 4, short)


def responses():
    answer = client.responses.create(model=MODEL, input="hi", max_output_tokens=8)
    check(answer.status in ("completed", "incomplete") and isinstance(answer.output_text, str), answer)
    with client.responses.stream(model=MODEL, input="hi", max_output_tokens=8) as stream:
        kinds = [event.type for event in stream]
    check(kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete"), kinds)
    tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
    answer = client.responses.create(model=MODEL, input="hi", tools=[tool], tool_choice="required",
                                     parallel_tool_calls=False, max_output_tokens=200)
    call = [item for item in answer.output if item.type == "function_call"][0]
    check_weather(json.loads(call.arguments))
    answer = client.responses.parse(model=MODEL, input="hi", text_format=Weather, max_output_tokens=200)
    check(isinstance(answer.output_parsed, Weather), answer)


def errors():
    for error, call in (
        (openai.NotFoundError, lambda: client.chat.completions.create(model="nobody", messages=QUESTION)),
        (openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=[])),
        (openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=9)),
        (openai.AuthenticationError, lambda: client.with_options(api_key="wrong").models.list()),
    ):
        try:
            call()
            check(False, "no", error)
        except error as caught:
            check(caught.body["message"] and caught.request_id, caught)


for part in (plain, streamed, embeddings, errors, tools, structured, responses):
    print("openai:", part.__name__, flush=True)
    part()
