"""Reads the npm package `chinese-poetry` and turns its texts into clean simplified Chinese.

Shared by make_tones.py and make_corpus.py. Needs the PyPI package opencc-python-reimplemented
(0.1.7 was used for the files in data/).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import opencc

# Variant and Japanese forms that OpenCC's t2s table leaves as they are, with the common
# simplified form. Two characters an entry: the variant, then what it becomes.
_VARIANTS = """
隠隐 疎疏 踈疏 簷檐 鴈雁 遶绕 鶑莺 鸎莺 頼赖 髪发 徧遍 粧妆 鬰郁 浄净 慙惭 谿溪 嵠溪 鬭斗 鬬斗 蘂蕊 媿愧 僊仙 劒剑 猨猿 臯皋 賸剩 巵卮 髙高 嬾懒 馿驴 鼇鳌 珮佩
煖暖 櫂棹 牋笺 閙闹 罇樽 隣邻 妬妒 椀碗 盌碗 餠饼 寛宽 隄堤 鉏锄 槃盘 慇殷 懃勤 臞癯 怱匆 堦阶 撚捻 毬球 彊强 懽欢 驩欢 秪只 秖只 缾瓶 鳯凤 畧略 虀齑 袴裤 覩睹
邉边 鏁锁 鎻锁 檝楫 犂犁 穉稚 拏拿 遯遁 峩峨 悮误 笻筇 燄焰 潄漱 磵涧 廻回 囘回 櫺棂 畬畲 麤粗 欵款 俛俯 崄险 栢柏 羮羹 幙幕 朶朵 逈迥 幷并 竝并 歳岁 揺摇 飜翻
碁棋 覊羁 羇羁 擡抬 旛幡 桮杯 蔕蒂 醆盏 琖盏 暎映 珪圭 壻婿 薫薰 牓榜 嚬颦 鼈鳖 顇悴 顦憔 槩概 臙胭 様样 蕚萼 烱炯 毎每 鵶鸦 蠧蠹 邨村 憇憩 螘蚁 緜绵 呌叫 讐仇
迺乃 敧欹 姪侄 貍狸 氊毡 頳赪 啣衔 纒缠 觧解 諠喧 棃梨 濶阔 搆构 躭耽 穏稳 瑯琅 闗关 逺远 翺翱 斵斫 斲斫 瓈璃 塲场 徴征 戯戏 窻窗 牕窗 皷鼓 艶艳 趂趁 澁涩 閴阒
渇渴 殽肴 荅答 藂丛 鎗枪 凖准 鞵鞋 毘毗 寜宁 甯宁 椶棕 籖签 廐厩 筭算 賖赊 葅菹 厓崖 醤酱 逰游 倐倏 鐡铁 呪咒 寃冤 輙辄 髩鬓 朞期 巌岩 嚢囊 勅敕 箒帚 蜨蝶 輭软
瓌瑰 効效 轝舆 覔觅 勲勋 帬裙 霶滂 斾旆 迳径 锺钟 飚飙 嗁啼 鑪炉 罏炉 牀床 羣群 峯峰 裏里 葢盖 歎叹 淒凄 妝妆 犇奔 襃褒 攷考 菴庵 筯箸 栁柳 繋系 懐怀 鶏鸡 観观
帰归 対对 気气 黒黑 桜樱 恵惠 仏佛 沢泽 択择 駅驿 弾弹 単单 厳严 経经 軽轻 継继 県县 験验 広广 鉄铁 蔵藏 覚觉 楽乐 読读 続续 霊灵 暦历 歴历 労劳 鬚须 蹔暂 蹤踪
疉叠 曡叠 叅参 㕘参 亷廉 刦劫 卭邛 厰厂 呉吴 哶咩 嘷嗥 囓啮 埜野 塜冢 壷壶 姙妊 姸妍 宼寇 尅克 屛屏 峽峡 崐昆 崘仑 嶋岛 庻庶 廵巡 徃往 徤健 忩匆 恡吝 悤匆 愼慎
抂枉 挿插 擕携 攜携 敍叙 旣既 昬昏 晣晰 晩晚 曽曾 朢望 柹柿 栰筏 桒桑 椉乘 楳梅 欝郁 歩步 毀毁 氷冰 汚污 泝溯 涙泪 涼凉 渉涉 渓溪 溫温 滛淫 灋法 炤照 煗暖 燿耀
牎窗 犲豺 玅妙 瑠琉 畊耕 皃貌 皐皋 盇盍 眞真 眎视 睂眉 硏研 祕秘 禍祸 稺稚 竒奇 筍笋 箇个 簑蓑 絃弦 絶绝 緑绿 縚绦 繍绣 罸罚 脩修 腸肠 臈腊 舘馆 艣橹 苐第 荘庄
蒭刍 蔴麻 薑姜 虗虚 虵蛇 蛍萤 蝋蜡 蠏蟹 衂衄 褏袖 覇霸 託托 詶酬 谉审 豔艳 賛赞 赱走 跥跺 軄职 辤辞 迯逃 遅迟 鄕乡 醻酬 釼剑 鋤锄 鎭镇 閒闲 閑闲 阯址 陁陀 隂阴
雑杂 雞鸡 靣面 鞦秋 頋顾 顋腮 颷飙 飈飙 飡餐 餧喂 騐验 髥髯 鬂鬓 魲鲈 鳬凫 鳧凫 鴬莺 鵞鹅 麄粗 麪面 鼔鼓 齢龄 窓窗 鍳鉴 𬘬綖 㸃点 釡釜 飬养 倣仿 傚仿 脇胁 碪砧
黙默 刼劫 痩瘦 撃击 専专 鷰燕 菓果 貎貌 掲揭 璚琼 覧览 喣煦 眀明 帯带 昻昂 颕颖 嵓岩 嵒岩 聨联 劔剑 僣僭 塼砖 甎砖 韈袜 蝱虻 畆亩 頬颊 煑煮 胷胸 冩写 戸户 籐藤
凴凭 壊坏 砲炮 爼俎 韮韭 荳豆 崕崖 飇飙 蓺艺 鑛矿 曵曳 揜掩 繖伞 瞇眯 噉啖 啗啖 廼乃 髣仿 髴佛 俻备 蝡蠕 煇辉 睠眷 搥捶 餽馈 甿氓 歛敛 穽阱 筦管 劄札 欬咳 衞卫
鶵雏 纎纤 蜋螂 扞捍 攅攒 槖橐 粃秕 柂舵 澣浣 厖庞 濬浚 駮驳 讙欢 甖罂 鼃蛙 蹏蹄 艸草
"""
VARIANTS = {pair[0]: pair[1] for pair in _VARIANTS.split()}

MARKS = "，。？！；：、"
_MARK_FORMS = str.maketrans({",": "，", ".": "。", "．": "。", "?": "？", "!": "！", ";": "；",
                             ":": "：", "﹐": "，", "︰": "：", "\u3000": None, " ": None,
                             "「": None, "」": None, "『": None, "』": None, "“": None, "”": None,
                             "‘": None, "’": None, "\n": None, "\t": None, "\r": None})

_converter = opencc.OpenCC("t2s")


@dataclass
class Poem:
    source: str  # the part of the package: tang300, tang, song, ci
    title: str
    author: str
    text: str  # the paragraphs joined, simplified, with MARKS only where it is clean


def simplify(texts):
    """Converts a list of texts to simplified characters, variants included."""
    result = []
    for start in range(0, len(texts), 4096):
        block = [text.replace("\n", " ") for text in texts[start:start + 4096]]
        result += _converter.convert("\n".join(block)).split("\n")
    table = str.maketrans(VARIANTS)
    # 祇 is 只 (only), but stays a god of the earth in 神祇 and 地祇.
    return [re.sub("(?<![神地灵])祇", "只", text).translate(table) for text in result]


def clauses(text):
    """The runs between punctuation marks."""
    return [clause for clause in re.split(f"[{MARKS}]", text) if clause]


def package_version(folder):
    return json.loads((folder / "package.json").read_text("utf-8"))["version"]


def numbered_files(folder, pattern):
    """Files such as poet.tang.12000.json in the order of their number."""
    return sorted(folder.glob(pattern), key=lambda path: int(path.name.split(".")[2]))


def read_tang300(dist):
    """《唐诗三百首》 in its popular wording; notes in brackets say 一作 (reads elsewhere)."""
    book = json.loads((dist / "mengxue/tangshisanbaishou.json").read_text("utf-8"))
    for chapter in book["content"]:
        for poem in chapter["content"]:
            text = re.sub(r"[(（][^)）]*[)）]", "", "".join(poem["paragraphs"]))
            yield "tang300", poem["chapter"].split("/")[0], poem["author"], text


def read_files(dist, source, pattern, title_field="title"):
    for path in numbered_files(dist, pattern):
        for poem in json.loads(path.read_text("utf-8")):
            yield source, poem[title_field], poem["author"], "".join(poem["paragraphs"])


def read_poems(folder, with_ci=False):
    """All poems of the package in a fixed order, simplified."""
    dist = Path(folder) / "dist"
    raw = list(read_tang300(dist))
    raw += read_files(dist, "tang", "quantangshi/poet.tang.*.json")
    raw += read_files(dist, "song", "quantangshi/poet.song.*.json")
    if with_ci:
        raw += read_files(dist, "ci", "songci/ci.song.*000.json", "rhythmic")
        raw += read_files(dist, "ci", "songci/ci.song.0.json", "rhythmic")
    titles = simplify([title for _, title, _, _ in raw])
    authors = simplify([author for _, _, author, _ in raw])
    texts = simplify([text.translate(_MARK_FORMS) for _, _, _, text in raw])
    return [Poem(entry[0], title.strip(), author.strip(), text)
            for entry, title, author, text in zip(raw, titles, authors, texts)]
