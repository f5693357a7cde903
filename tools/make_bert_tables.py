#!/usr/bin/env python3
"""Makes millrace/text/bert_characters.h: what Hugging Face's tokenizers hold characters for.

Their BertNormalizer, BertPreTokenizer and StripAccents know the categories of older versions of
Unicode than their Lowercase does. The sets are asked of the library itself, character by character.

    python tools/make_bert_tables.py
"""

import pathlib

from tokenizers import __version__, normalizers, pre_tokenizers

HEADER = pathlib.Path(__file__).parent.parent / "millrace" / "text" / "bert_characters.h"
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def bert(**options):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**flags, **options})


def ranges(characters):
    result = []
    for c in map(ord, characters):
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def table(name, comment, characters):
    entries = [f"{{0x{low:x}, 0x{high:x}}}" for low, high in ranges(characters)]
    lines, line = [], "   "
    for entry in entries:
        if len(line) + len(entry) > 97:
            lines.append(line)
            line = "   "
        line += f" {entry},"
    lines.append(line)
    body = "\n".join(lines)
    return (
        f"/// {comment}\n"
        f"inline constexpr std::array<CharacterRange, {len(entries)}> {name} = {{{{\n{body}\n}}}};\n"
    )


def main():
    clean, accents, strip = bert(clean_text=True), bert(strip_accents=True), normalizers.StripAccents()
    words = pre_tokenizers.BertPreTokenizer()
    tables = [
        table(
            "kBertControls",
            "Left out of clean text.",
            [c for c in CHARACTERS if clean.normalize_str(f"a{c}b") == "ab"],
        ),
        table(
            "kBertAccents",
            "Nonspacing marks, left out after canonical decomposition.",
            [c for c in CHARACTERS if accents.normalize_str(f"\u4e00{c}\u4e00") == "\u4e00\u4e00"],
        ),
        table(
            "kBertPunctuation",
            "Each of these is a word.",
            [c for c in CHARACTERS if len(words.pre_tokenize_str(f"a{c}b")) == 3],
        ),
        table(
            "kCombiningMarks",
            "What the normalizer StripAccents leaves out.",
            [c for c in CHARACTERS if strip.normalize_str(f"a{c}") == "a"],
        ),
    ]
    HEADER.write_text(
        "// What Hugging Face's tokenizers hold characters for where they do as BERT did. Made by\n"
        f"// tools/make_bert_tables.py from tokenizers {__version__}, whose tables are those of older\n"
        "// versions of Unicode.\n"
        "#pragma once\n\n#include <array>\n#include <cstdint>\n\nnamespace millrace {\n\n"
        "/// Code points, both ends included.\n"
        "struct CharacterRange {\n  uint32_t first, last;\n};\n\n"
        "// clang-format off\n" + "\n".join(tables) + "// clang-format on\n\n}  // namespace millrace\n",
        encoding="utf-8",
    )
    print(HEADER.stat().st_size, "bytes of", HEADER)


if __name__ == "__main__":
    main()
