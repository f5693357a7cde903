"""Anthropic's own client for Python."""

import anthropic

from cases import BASE, KEY, MODEL, QUESTION, WEATHER, check, check_weather

client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0, timeout=60)
TOOL = {"name": "weather", "description": "The weather of a city.", "input_schema": WEATHER}


def plain():
    message = client.messages.create(model=MODEL, max_tokens=8, system="Be brief.", messages=QUESTION)
    check(message.role == "assistant" and message.stop_reason in ("end_turn", "max_tokens"), message)
    check(message.usage.output_tokens > 0, message)
    count = client.messages.count_tokens(model=MODEL, system="Be brief.", messages=QUESTION)
    check(count.input_tokens == message.usage.input_tokens + message.usage.cache_read_input_tokens, count, message)


def streamed():
    with client.messages.stream(model=MODEL, max_tokens=8, messages=QUESTION) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    check("".join(block.text for block in final.content) == text, final)
    check(final.stop_reason in ("end_turn", "max_tokens"), final)


def tools():
    for choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "weather"}):
        message = client.messages.create(model=MODEL, max_tokens=200, messages=QUESTION, tools=[TOOL], tool_choice=choice)
        check(message.stop_reason == "tool_use", message)
        call = [block for block in message.content if block.type == "tool_use"][0]
        check_weather(call.input)
    with client.messages.stream(model=MODEL, max_tokens=200, messages=QUESTION, tools=[TOOL],
                                tool_choice={"type": "any", "disable_parallel_tool_use": True}) as stream:
        for event in stream:
            pass
        final = stream.get_final_message()
    call = [block for block in final.content if block.type == "tool_use"][0]
    check_weather(call.input)
    history = QUESTION + [{"role": "assistant", "content": final.content},
                          {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"}]}]
    client.messages.create(model=MODEL, max_tokens=4, messages=history, tools=[TOOL])


def structured():
    """By a tool that must be called, as is usual with this API."""
    message = client.messages.create(model=MODEL, max_tokens=200, messages=QUESTION, tools=[TOOL],
                                     tool_choice={"type": "tool", "name": "weather"})
    check_weather(message.content[-1].input)


def errors():
    for error, call in (
        (anthropic.NotFoundError, lambda: client.messages.create(model="nobody", max_tokens=1, messages=QUESTION)),
        (anthropic.BadRequestError, lambda: client.messages.create(model=MODEL, max_tokens=1, messages=[])),
        (anthropic.AuthenticationError,
         lambda: client.with_options(api_key="wrong").messages.create(model=MODEL, max_tokens=1, messages=QUESTION)),
    ):
        try:
            call()
            check(False, "no", error)
        except error as caught:
            check(caught.body["error"]["message"], caught)


for part in (plain, streamed, errors, tools, structured):
    print("anthropic:", part.__name__, flush=True)
    part()
