"""What the Python clients ask for, alike."""

import sys

BASE, MODEL = sys.argv[1], sys.argv[2]
KEY = "a-key"

# Small enough for a model of random weights to finish.
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "enum": [1, 7]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": WEATHER}}
QUESTION = [{"role": "user", "content": "How is the weather in Rome?"}]


def check(holds, *what):
    if not holds:
        raise SystemExit(f"wrong: {what}")


def check_weather(arguments):
    check(set(arguments) == {"city", "days"}, arguments)
    check(arguments["city"] in ("Oslo", "Rome") and arguments["days"] in (1, 7), arguments)
