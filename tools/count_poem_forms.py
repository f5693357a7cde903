#!/usr/bin/env python3
"""Counts how many poems have the form that was asked for, without any of Millrace's code.

    count_poem_forms.py [ANSWERS ...] [--requests FILE] [--train FILE] [--json]

ANSWERS (or standard input) holds one JSON object a line, as `millrace run --json` prints it: the
poem is its "text". The form expected of it is its own "form" or, with --requests, the "form" in the
same line of that file (requests.jsonl of `millrace data prepare`). --train names the training poems
(data/poems-train.jsonl.zst; .zst needs the program zstd): then the share of lines that occur in
them is counted as well.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import Counter

FORMS = {"五言绝句": (4, 5), "七言绝句": (4, 7), "五言律诗": (8, 5), "七言律诗": (8, 7)}
HAN = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af〇]"


def poem_lines(text):
    return [line for line in re.split(r"[，。？！；：、\s]+", text) if line]


def has_form(text, form):
    count, length = FORMS[form]
    lines = poem_lines(text)
    return len(lines) == count and all(re.fullmatch(HAN + "{%d}" % length, line) for line in lines)


def read_lines(path):
    if path.endswith(".zst"):
        data = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
        return data.decode().split("\n")
    with open(path, encoding="utf-8") as file:
        return file.read().split("\n")


def read_objects(path):
    return [json.loads(line) for line in read_lines(path) if line.strip()]


def training_lines(path):
    lines = set()
    for record in read_objects(path):
        text = "\n".join(record["lines"]) if "lines" in record else record["text"]
        lines.update(poem_lines(text))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("answers", nargs="*", help="files of answers; none: standard input")
    parser.add_argument("--requests", help="file whose lines give the form of each answer")
    parser.add_argument("--train", help="training poems, to count copied lines")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()

    answers = [json.loads(line) for path in arguments.answers or [None]
               for line in (sys.stdin if path is None else read_lines(path)) if line.strip()]
    forms = [request["form"] for request in read_objects(arguments.requests)] \
        if arguments.requests else [answer.get("form") for answer in answers]
    if len(forms) != len(answers) or not answers:
        sys.exit(f"{len(answers)} answers but {len(forms)} expected forms")
    unknown = set(forms) - set(FORMS)
    if unknown:
        sys.exit(f"unknown or missing forms: {sorted(map(str, unknown))}")

    texts = [answer["text"] for answer in answers]
    right = Counter(form for text, form in zip(texts, forms) if has_form(text, form))
    asked = Counter(forms)
    lines = [line for text in texts for line in poem_lines(text)]
    report = {"poems": len(texts), "form_right": sum(right.values()) / len(texts),
              "by_form": {form: right[form] / asked[form] for form in sorted(asked)},
              "distinct": len({"/".join(poem_lines(text)) for text in texts})}
    if arguments.train:
        known = training_lines(arguments.train)
        report["copied_lines"] = sum(line in known for line in lines) / max(len(lines), 1)
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False))
        return
    print(f"form right: {report['form_right']:.1%} of {len(texts)} poems")
    for form, share in report["by_form"].items():
        print(f"  {form}: {share:.1%} of {asked[form]}")
    print(f"distinct: {report['distinct']} of {len(texts)}")
    if arguments.train:
        print(f"lines found in the training text: {report['copied_lines']:.1%} of {len(lines)}")


if __name__ == "__main__":
    main()
