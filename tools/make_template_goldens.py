#!/usr/bin/env python3
"""Makes tests/golden/text/chat_templates.json: what transformers renders of real chat templates.

Usage: make_template_goldens.py FOLDER_OF_JINJA_FILES
Needs transformers and tokenizers. Prints how many renderings raised, by template.

The file holds the conversations, and for each template the 64-bit FNV-1a hash of each rendering
(null where the template raises), with a few renderings in full.
"""

import datetime
import json
import pathlib
import sys

import tokenizers
import transformers
from transformers.utils import chat_template_utils

OUTPUT = pathlib.Path(__file__).parent.parent / "tests/golden/text/chat_templates.json"
NOW = datetime.datetime(2024, 7, 4, 9, 5, 3)
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
IN_FULL = [
    ("meta-llama-Llama-3.1-8B-Instruct", "tool call and result"),
    ("Qwen-Qwen3-0.6B", "reasoning"),
    ("openai-gpt-oss-120b", "tools"),
    ("deepseek-ai-DeepSeek-V3.1", "quotes and markup"),
    ("meetkai-functionary-medium-v3.1", "tools"),
]


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def call(name, arguments, id="abcdef123"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, name="get_weather", id="abcdef123"):
    return {"role": "tool", "content": content, "name": name, "tool_call_id": id}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, now & \"soon\" <i>if</i> it's known.",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "City, e.g. 北京"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "description": "How many days", "minimum": 1},
            },
            "required": ["location"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search\nthe notes",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": ["string", "null"], "description": "Words", "nullable": True},
                "filters": {
                    "type": "object",
                    "description": "Bounds",
                    "properties": {
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "score": {"type": "number", "default": 0.5},
                        "exact": {"type": "boolean", "default": True},
                    },
                    "required": ["tags"],
                },
                "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "pairs": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                "anything": {},
            },
            "required": ["query", "filters"],
        },
        "return": {"type": "string", "description": "What was found"},
    },
}
NOTHING = {
    "type": "function",
    "function": {"name": "nothing", "description": "", "parameters": {"type": "object", "properties": {}}},
}
TOOLS = [WEATHER, SEARCH, NOTHING]
NOTES = {
    "type": "function",
    "function": {
        "name": "notes",
        "description": "Notes",
        "parameters": {
            "type": "object",
            "properties": {
                "tags": {"type": "array", "items": {"type": "string"}, "description": "Any of"},
                "limit": {"type": "number", "description": "At most"},
                "exact": {"type": "boolean", "description": "Words as they are"},
            },
            "required": [],
        },
        "return": {"type": "string", "description": "What was found"},
    },
}
PLAIN_TOOLS = [WEATHER, NOTES]

TWO_TURNS = [user("Hello there"), assistant("Hi! How can I help?"), user("Tell me a joke.\n")]
LONG = [
    system("You are a helpful assistant."),
    user("  What is 2+2?  "),
    assistant("\n4\n"),
    user("And 3+3?"),
    assistant("6"),
    user("Thank you"),
]
QUOTES = [
    system("Say \"it's\" & <b>mean</b> it: {{ 1 + 1 }} {% raw %} \\n \\\\ \t tab"),
    user("a < b && c > 'd' \"e\" <|im_end|> </s> <|eot_id|> [INST]"),
    assistant("<p class=\"x\">&amp;</p>"),
    user("done?"),
]
CHINESE = [
    system("你是一个有帮助的助手。"),
    user("以《春望》为题写一首五言律诗　"),
    assistant("国破山河在，城春草木深。🌸👩‍👩‍👧"),
    user("再写一首 ¿sí? ﷺ"),
]
CALLED = [
    user("Weather in 北京?"),
    assistant("", tool_calls=[call("get_weather", {"location": "北京", "unit": "celsius", "days": 2})]),
    result('{"temperature": 22.5, "sky": "clear"}'),
]
TWICE = [
    system("Use tools."),
    user("Weather and notes?"),
    assistant(
        "Let me look.",
        tool_calls=[
            call("get_weather", {"location": "Köln", "days": 1}, "aaaaaaaa1"),
            call("search", {"query": "it's", "filters": {"tags": ["a", "b"], "score": 1.0, "exact": None}}, "aaaaaaaa2"),
        ],
    ),
    result("22", "get_weather", "aaaaaaaa1"),
    result("nothing \"found\"", "search", "aaaaaaaa2"),
    assistant("It is 22 degrees."),
    user("And now?"),
]
THOUGHT = [
    user("Is 97 prime?"),
    assistant("Yes.", reasoning_content="Try 2, 3, 5, 7."),
    user("And 91?"),
    assistant("No.", reasoning_content="7 * 13"),
]
THOUGHT_IN_TEXT = [
    user("Is 97 prime?"),
    assistant("<think>\nTry 2, 3, 5, 7.\n</think>\n\nYes."),
    user("Sure?"),
]
THOUGHT_AND_CALLED = [
    user("Weather?"),
    assistant(None, reasoning="I need the tool.", tool_calls=[call("get_weather", {"location": "Oslo"})]),
    result("{'sky': 'grey'}"),
    assistant("Grey.", thinking="The tool said so."),
    user("Thanks"),
]
PARTS = [
    system([{"type": "text", "text": "Be brief."}]),
    user([{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]),
    assistant([{"type": "text", "text": "A question."}]),
    user([{"type": "text", "text": "Right."}]),
]
IMAGE = [user([{"type": "image"}, {"type": "text", "text": "Describe it"}])]


def case(name, messages, tools=None, prompt=True, documents=None, **variables):
    return {
        "name": name,
        "messages": messages,
        "tools": tools,
        "documents": documents,
        "add_generation_prompt": prompt,
        "variables": variables,
    }


CASES = [
    case("one turn", [user("Hi")]),
    case("two turns", TWO_TURNS),
    case("two turns without prompt", TWO_TURNS, prompt=False),
    case("ends with assistant", LONG[:-1], prompt=False),
    case("ends with assistant, prompted", LONG[:-1]),
    case("long", LONG),
    case("quotes and markup", QUOTES),
    case("Chinese and emoji", CHINESE),
    case("tools", LONG, TOOLS),
    case("one tool", [user("Hi")], [WEATHER]),
    case("bare tool", [user("Hi")], [WEATHER["function"]]),
    case("empty tools", TWO_TURNS, []),
    case("tools and Chinese", CHINESE, [WEATHER]),
    case("tool call and result", CALLED, [WEATHER]),
    case("tool call without prompt", CALLED[:2], [WEATHER], prompt=False),
    case("tool calls", TWICE, TOOLS),
    case("tool calls without tools", TWICE),
    case(
        "tool call with string arguments",
        [CALLED[0], assistant("", tool_calls=[call("get_weather", '{"location": "北京"}')]), CALLED[2]],
        [WEATHER],
    ),
    case("reasoning", THOUGHT, prompt=False),
    case("reasoning, then a question", THOUGHT + [user("And 89?")]),
    case("reasoning in the text", THOUGHT_IN_TEXT),
    case("reasoning and tools", THOUGHT_AND_CALLED, [WEATHER]),
    case("thinking off", THOUGHT_IN_TEXT, enable_thinking=False),
    case("thinking on", THOUGHT_IN_TEXT, enable_thinking=True, thinking=True),
    case("other switches", LONG, reasoning_effort="high", reasoning=True, thinking_budget=512, preserve_thinking=True),
    case("given system prompt", LONG[1:], system_message="Given.", model_identity="You are M.", date_string="1 May 2025"),
    case("builtin tools", LONG, TOOLS, builtin_tools=["browser", "python", "wolfram_alpha"]),
    case("parts", PARTS),
    case("image part", IMAGE),
    case("system first, then assistant", [system("S"), assistant("A")], prompt=False),
    case("two systems", [system("S"), system("T"), user("U")]),
    case("two users", [user("U"), user("V")]),
    case("developer", [{"role": "developer", "content": "D"}, user("U")], [WEATHER]),
    case("unknown role", [{"role": "critic", "content": "C"}, user("U")]),
    case("null content", [user("U"), assistant(None), user("V")]),
    case("no content", [user("U"), {"role": "assistant"}, user("V")]),
    case("empty content", [user(""), assistant(""), user("V")]),
    case("documents", LONG, documents=[{"title": "T", "text": "Some text"}, {"title": "标题", "text": "<x>"}]),
    case("long without system", LONG[1:]),
    case("quotes without system", QUOTES[1:]),
    case("Chinese without system", CHINESE[1:], prompt=False),
    case("plain tools", LONG, PLAIN_TOOLS),
    case("plain tools and quotes", QUOTES, PLAIN_TOOLS),
    case("plain tools called", TWICE, PLAIN_TOOLS),
    case("functions", QUOTES, functions="[1]", datetime="now"),
    case("functions and Chinese", CHINESE, functions="[1]", datetime="now"),
    case("functions called", TWICE, functions="[1]", datetime="now"),
    case("for functionary and firefunction", LONG, TOOLS, functions="F", datetime="now", tools_in_user_message=False),
]


def make_tokenizer():
    model = tokenizers.models.WordLevel({"<unk>": 0}, unk_token="<unk>")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(model), **SPECIAL_TOKENS
    )


def render(tokenizer, source, case):
    try:
        return tokenizer.apply_chat_template(
            case["messages"],
            tools=case["tools"],
            documents=case["documents"],
            chat_template=source,
            add_generation_prompt=case["add_generation_prompt"],
            tokenize=False,
            **case["variables"],
        )
    except Exception as error:  # whatever a template raises, Python's own errors included
        return error


def main():
    chat_template_utils.datetime = FixedDatetime
    tokenizer = make_tokenizer()
    hashes, texts = {}, {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
        renderings = [render(tokenizer, path.read_text(), each) for each in CASES]
        raised = sum(isinstance(each, Exception) for each in renderings)
        hashes[path.stem] = [None if isinstance(each, Exception) else fnv1a(each) for each in renderings]
        for each, text in zip(CASES, renderings):
            if (path.stem, each["name"]) in IN_FULL:
                texts[f"{path.stem}/{each['name']}"] = text
        print(f"{path.stem}: {raised} of {len(CASES)} raise")
        if "-v" in sys.argv:
            for each, text in zip(CASES, renderings):
                if isinstance(text, Exception):
                    print(f"    {each['name']}: {type(text).__name__}: {text}")
    golden = {
        "made_with": f"transformers {transformers.__version__}",
        "special_tokens": SPECIAL_TOKENS,
        "cases": CASES,
        "hashes": hashes,
        "texts": texts,
    }
    lines = json.dumps(golden, ensure_ascii=False, indent=None, separators=(",", ":"))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(lines.replace(',"hashes"', ',\n"hashes"').replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    main()
