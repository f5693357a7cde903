#!/usr/bin/env python3
"""Makes the poetry corpus from the npm package `chinese-poetry`.

    make_corpus.py PACKAGE_FOLDER OUTPUT_FOLDER          the curated corpus that data/ ships
    make_corpus.py PACKAGE_FOLDER OUTPUT_FOLDER --all    every poem that is clean

Writes poems-train.jsonl.zst and poems-heldout.jsonl.zst (poems-all-... with --all): one poem a
line with title, author, dynasty, form and lines. The same package and OpenCC version give the same
JSON lines; the same zstd gives the same compressed bytes. Needs opencc-python-reimplemented and the
program `zstd`; reads data/tones.tsv (made by make_tones.py) to tell regulated verse from old style.
"""

import argparse
import hashlib
import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from poetry_package import MARKS, clauses, package_version, read_poems

FORMS = {(4, 5): "五言绝句", (4, 7): "七言绝句", (8, 5): "五言律诗", (8, 7): "七言律诗"}
HELDOUT_PER_MILLE = 16
MAX_TITLE = 12         # characters; longer titles teach a small model little about verse
MIN_OCCURRENCES = 10   # a poem with a character rarer than this is left out
MIN_TONE_MATCH = {4: 0.7, 8: 0.85}  # by number of lines: how regulated the verse must be

# Poets of the Song whose verse is taken; all of the Tang's are. 绝句 come whole, at most
# MAX_QUATRAINS a poet, 律诗 at most MAX_OCTAVES, so that no prolific poet drowns the others.
SONG_POETS = """
苏轼 陆游 杨万里 范成大 王安石 黄庭坚 欧阳修 梅尧臣 苏舜钦 苏辙 秦观 张耒 晁补之 陈师道 陈与义 曾几 吕本中
朱熹 刘克庄 戴复古 姜夔 徐玑 徐照 翁卷 赵师秀 叶绍翁 方岳 文天祥 汪元量 林景熙 谢翱 谢枋得 郑思肖 林逋 王禹偁
寇准 魏野 潘阆 晏殊 宋祁 宋庠 范仲淹 韩琦 司马光 曾巩 王令 文同 郑獬 刘攽 刘敞 蔡襄 贺铸 释道潜 释德洪 唐庚
韩驹 晁冲之 李之仪 孔平仲 孔武仲 张舜民 郭祥正 李纲 刘子翚 周紫芝 汪藻 张孝祥 周必大 尤袤 楼钥 张栻 张镃 韩淲
赵蕃 陈造 朱淑真 李清照 高翥 葛天民 洪咨夔 裘万顷 周密 仇远 戴表元 真山民 乐雷发 武衍 严羽 刘过 周弼 许棐 张弋
俞桂 王镃 萧立之 舒岳祥 黄庚 白玉蟾 程颢 徐铉 王珪 王琪 李觏 石延年 杜耒 雷震 卢梅坡 林升 释志南 邵雍 王十朋
李弥逊 韩维 彭汝砺 强至 张咏 杨亿 胡宿 赵抃 王洋 释文珦 释居简 张炎 陈允平 薛嵎 胡仲弓 苏泂 刘宰 徐积 毛滂 沈辽
""".split()
MAX_QUATRAINS = 700
MAX_OCTAVES = 110

NO_POETS = {"不详", "无名氏", "佚名", "阙名", "未知", "不著撰人", "吕岩"}
# Titles that say nothing of the poem: placeholders, "another one", "again to the same rhymes".
NO_TITLES = set("""
句 断句 残句 联句 诗 偈 颂 偈颂 颂古 失题 阙题 佚题 缺题 存目 题阙 题缺 无名诗 诗句 逸句 佚句 偈语 诗偈 证道歌
辞世颂 辞世偈 遗偈 赞 又 又和 又次韵 又用韵 再和 再次韵 再用韵 再用前韵 再赋 再吟 再题 再作 次韵 和韵 前韵 用前韵
次前韵 和前韵 前题 同前 同题 其后 和 和诗 次韵和 又一首 又一绝 绝四 代作
""".split())
NO_TITLE_PATTERN = "第.*[一二三四五六七八九十]|.*(?:皇帝|皇后|太后|太妃|贵妃|夫人|娘子)[阁合].*|.*帖子.*"
AUTHOR_NAMES = {"太宗皇帝": "李世民", "明皇帝": "李隆基", "玄宗皇帝": "李隆基", "德宗皇帝": "李适",
                "章怀太子": "李贤", "则天皇后": "武则天", "李後主": "李煜"}
NUMERAL = "[一二三四五六七八九十百千廿卅○〇]"
# What titles of cycles end in: 其三, 十首, 绝句四十有二, 并序 (with a preface), …
SERIAL = (f"(?:[其之]{NUMERAL}+|{NUMERAL}+(?:首|绝句|绝|章|律|诗|篇|韵|咏)"
          f"|(?:绝句)?{NUMERAL}+有{NUMERAL}|并序|并引)$")


@dataclass
class Record:
    poem: dict
    lines: tuple  # the clauses, without punctuation
    key: str      # hash of the content: decides what is held out


def is_han(text):
    return all("\u4e00" <= character <= "\u9fff" for character in text)


def clean_title(title):
    """The title without notes, serial numbers and the name of its cycle."""
    title = re.sub("[（(〔\\[【〖].*?[）)〕\\]】〗]", "", title)
    title = re.sub("[《》〈〉「」“”]", "", title).replace("·", " ").replace("・", " ")
    parts = [part for part in re.split("[\\s，。、：；？！/]+", title)
             if part and not re.fullmatch(f"其?之?{NUMERAL}+|[上中下]", part)]
    if not parts:
        return ""
    name = re.sub(f"^其{NUMERAL}+曰?", "", parts[-1])
    before = None
    while before != name:
        before = name
        name = re.sub(SERIAL, "", name)
    return name


def clean_author(author):
    author = re.sub("[（(].*?[）)]", "", author)
    return AUTHOR_NAMES.get(author, author)


def form_of(lines):
    lengths = {len(line) for line in lines}
    if len(lengths) != 1:
        return "杂言"
    length = lengths.pop()
    if (len(lines), length) in FORMS:
        return FORMS[(len(lines), length)]
    return {5: "五言古诗", 7: "七言古诗"}.get(length, "古诗")


def layout(text, form):
    """Lines of text as they are printed: a couplet a line for regular forms, else a sentence."""
    pieces = re.findall(f"[^{MARKS}]+[{MARKS}]*", text)
    if form not in FORMS.values():
        sentences = re.findall("[^。？！；]+[。？！；]?", text)
        return [sentence for sentence in sentences if sentence.strip(MARKS)]
    result = []
    for first, second in zip(pieces[::2], pieces[1::2]):
        size = len(first.rstrip(MARKS))
        middle = first[size:size + 1]
        end = second[size:size + 1]
        result.append(first[:size] + (middle if middle and middle in "，？！；：、" else "，")
                      + second[:size] + (end if end and end in "。？！；" else "。"))
    return result


def make_record(poem):
    """The cleaned record, or None for text that is damaged or has notes in it."""
    lines = tuple(clauses(poem.text))
    author = clean_author(poem.author)
    title = clean_title(poem.title)
    if len(lines) < 2 or not title or not is_han("".join(lines) + title + author):
        return None
    form = "词" if poem.source == "ci" else form_of(lines)
    dynasty = "唐" if poem.source.startswith("tang") else "宋"
    return Record({"title": title, "author": author, "dynasty": dynasty, "form": form,
                   "lines": layout(poem.text, form)}, lines,
                  hashlib.sha256("/".join(lines).encode()).hexdigest())


class Prosody:
    """Tones and rhyme groups of characters, from data/tones.tsv."""

    def __init__(self, path):
        self.tones, self.groups = {}, {}
        for row in path.read_text("utf-8").splitlines():
            character, tone, groups = row.split("\t")
            self.tones[character] = tone
            self.groups[character] = set(groups.split())

    def rhymes(self, lines):
        """Whether all even lines end in one rhyme group."""
        return bool(set.intersection(*(self.groups.get(line[-1], set()) for line in lines[1::2])))

    def tone_match(self, lines):
        """Share of the rules of regulated verse that hold; a character of both tones fits any."""
        def tone(character):
            return self.tones.get(character, "两")

        def fit(a, b, equal):
            return "两" in (a, b) or (a == b) == equal

        checks = []
        for line in lines:  # within a line the second, fourth and sixth alternate
            checks += [fit(tone(line[i]), tone(line[i + 2]), False)
                       for i in range(1, len(line) - 2, 2)]
        for i in range(0, len(lines), 2):
            checks.append(fit(tone(lines[i][1]), tone(lines[i + 1][1]), False))
            checks.append(tone(lines[i + 1][-1]) != "仄")
            if i > 0:
                checks.append(fit(tone(lines[i - 1][1]), tone(lines[i][1]), True))
                checks.append(tone(lines[i][-1]) != "平")
        return sum(checks) / len(checks)


def is_choice(poem, record, prosody):
    """Whether a poem may be in the curated corpus."""
    fields = record.poem
    if fields["form"] not in FORMS.values() or poem.source == "ci":
        return False
    if fields["author"] in NO_POETS or len(fields["author"]) > 4:
        return False
    title = fields["title"]
    if title in NO_TITLES or len(title) > MAX_TITLE or re.fullmatch(NO_TITLE_PATTERN, title):
        return False
    if poem.source == "tang300":
        return True
    if poem.source == "song" and fields["author"] not in SONG_POETS:
        # The shortest form is the rarest: there every poet counts, save monks' doctrine in verse.
        if fields["form"] != "五言绝句" or fields["author"].startswith("释"):
            return False
    return (prosody.rhymes(record.lines)
            and prosody.tone_match(record.lines) >= MIN_TONE_MATCH[len(record.lines)])


def pairs(lines):
    return list(zip(lines, lines[1:]))


def without_repeats(records):
    """Drops each poem that has two consecutive lines, or half of its lines, of an earlier one."""
    seen_pairs, owner, kept = set(), {}, []
    for record in records:
        shared = Counter(owner[line] for line in record.lines if line in owner)
        if any(pair in seen_pairs for pair in pairs(record.lines)):
            continue
        if shared and 2 * max(shared.values()) >= len(record.lines):
            continue
        seen_pairs.update(pairs(record.lines))
        for line in record.lines:
            owner.setdefault(line, len(kept))
        kept.append(record)
    return kept


def limit_song(records):
    """At most so many poems of each Song poet, those with the smallest hash."""
    order = sorted(range(len(records)), key=lambda i: records[i].key)
    counts, taken = Counter(), set()
    for i in order:
        fields = records[i].poem
        kind = "绝" if fields["form"].endswith("绝句") else "律"
        counts[fields["author"], kind] += 1
        limit = MAX_QUATRAINS if kind == "绝" else MAX_OCTAVES
        if fields["dynasty"] == "唐" or counts[fields["author"], kind] <= limit:
            taken.add(i)
    return [record for i, record in enumerate(records) if i in taken]


def without_rare_characters(records):
    """Drops poems with rare characters until none is left: each character is worth learning."""
    while True:
        texts = ["".join(record.lines) + record.poem["title"] for record in records]
        counts = Counter("".join(texts))
        kept = [record for record, text in zip(records, texts)
                if all(counts[character] >= MIN_OCCURRENCES for character in text)]
        if len(kept) == len(records):
            return kept
        records = kept


def four_grams(record):
    text = "".join(record.lines)
    return {text[i:i + 4] for i in range(len(text) - 3)}


def split(records):
    """Training and held-out poems. What is held out depends on a poem's content alone; a training
    poem that is a variant of a held-out one (it has a third of its four-grams) is dropped."""
    chosen = [int(record.key[:8], 16) % 1000 < HELDOUT_PER_MILLE
              and record.poem["form"] in FORMS.values() for record in records]
    heldout = [record for record, held in zip(records, chosen) if held]
    owners = {}
    for i, record in enumerate(heldout):
        for gram in four_grams(record):
            owners.setdefault(gram, []).append(i)

    def is_variant(record):
        shared = Counter(i for gram in four_grams(record) for i in owners.get(gram, ()))
        return any(3 * count >= len(four_grams(heldout[i])) for i, count in shared.items())

    train = [record for record, held in zip(records, chosen)
             if not held and not is_variant(record)]
    trained = {pair for record in train for pair in pairs(record.lines)}
    assert not any(pair in trained for record in heldout for pair in pairs(record.lines))
    return train, heldout


def write(records, path):
    """JSON lines, compressed; returns a line for the report."""
    text = "".join(json.dumps(record.poem, ensure_ascii=False, separators=(",", ":")) + "\n"
                   for record in records).encode()
    done = subprocess.run(["zstd", "-22", "--ultra", "-q", "-c"], input=text, capture_output=True,
                          check=True)
    path.write_bytes(done.stdout)
    characters = [c for record in records for c in "".join(record.lines)]
    forms = Counter(record.poem["form"] for record in records)
    forms_text = ", ".join(f"{form} {count}" for form, count in sorted(forms.items()))
    print(f"{path.name}: {len(records)} poems ({forms_text}), {len(characters)} characters of "
          f"verse, {len(set(characters))} distinct, {len(done.stdout)} bytes, "
          f"sha256 of the JSON lines {hashlib.sha256(text).hexdigest()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("package", type=Path, help="the folder of the package chinese-poetry")
    parser.add_argument("output", type=Path, help="the folder to write into")
    parser.add_argument("--all", action="store_true", help="every clean poem, not the curated ones")
    arguments = parser.parse_args()

    prosody = Prosody(Path(__file__).resolve().parent.parent / "data/tones.tsv")
    curated, others = [], []
    for poem in read_poems(arguments.package, with_ci=arguments.all):
        record = make_record(poem)
        if record is not None:
            (curated if is_choice(poem, record, prosody) else others).append(record)
    # The curated poems come first, so that both corpora hold out the same ones of them.
    records = without_rare_characters(limit_song(without_repeats(curated)))
    name = "poems"
    if arguments.all:
        records = without_repeats(records + curated + others)
        name = "poems-all"
    train, heldout = split(records)
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(f"chinese-poetry {package_version(arguments.package)}")
    write(train, arguments.output / f"{name}-train.jsonl.zst")
    write(heldout, arguments.output / f"{name}-heldout.jsonl.zst")


if __name__ == "__main__":
    main()
