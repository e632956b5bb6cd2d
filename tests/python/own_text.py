#!/usr/bin/env python3
"""Has `new` look at texts of many kinds and sizes, and tries what it writes.

    cargo build -p xtask
    python3 tests/python/own_text.py target/debug/xtask [--text FILE]

Twenty, 200 and 20,000 lines of FILE (one sentence a line; without it, sentences made here), 2,000 names, Chinese poems, and
a table with labels: for each, `new` and `pipeline --quick` must end in a report within 90 seconds. Prints how long each took
and what `new` said.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time

LIMIT = 90
# Of Li Bai, Wang Zhihuan, Meng Haoran, Wang Wei, Liu Zongyuan, Du Fu, Jia Dao and Li Shen (eighth and ninth century).
POEMS = """床前明月光 疑是地上霜 举头望明月 低头思故乡
白日依山尽 黄河入海流 欲穷千里目 更上一层楼
春眠不觉晓 处处闻啼鸟 夜来风雨声 花落知多少
空山不见人 但闻人语响 返景入深林 复照青苔上
千山鸟飞绝 万径人踪灭 孤舟蓑笠翁 独钓寒江雪
红豆生南国 春来发几枝 愿君多采撷 此物最相思
江碧鸟逾白 山青花欲燃 今春看又过 何日是归年
松下问童子 言师采药去 只在此山中 云深不知处
锄禾日当午 汗滴禾下土 谁知盘中餐 粒粒皆辛苦
独坐幽篁里 弹琴复长啸 深林人不知 明月来相照"""


def sentences(count, stream):
    people = ["the old man", "a tall woman", "the minister", "her brother", "a small child", "the driver"]
    deeds = ["said", "asked whether", "hoped that", "denied that", "wrote that", "did not know whether"]
    things = ["the house", "a new law", "the train", "his letter", "the weather", "an old song"]
    ends = ["would come back", "was lost", "had been sold", "could wait", "was on the table", "made sense"]
    pick = stream.choice
    return [f"{pick(people)} {pick(deeds)} {pick(things)} {pick(ends)} ." for _ in range(count)]


def names(count, stream):
    syllables = ["ka", "ri", "mo", "len", "ta", "vi", "no", "sha", "el", "dor", "mi", "ra", "ju", "bel", "an"]
    return ["".join(stream.choices(syllables, k=stream.randint(2, 4))).capitalize() for _ in range(count)]


def poems(stream):
    """Lines of the poems, put together anew: so many that there is something to hold out."""
    lines = [line for poem in POEMS.splitlines() for line in poem.split()]
    return [",".join(stream.sample(lines, 4)) + "。" for _ in range(400)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("xtask", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, help="sentences, one a line")
    options = parser.parse_args()
    xtask, stream = options.xtask.resolve(), random.Random(1)
    text = options.text.read_text().splitlines() if options.text else sentences(20_000, stream)
    rows = [f'{i},"{line}",{stream.choice(["good", "bad"])}' for i, line in enumerate(sentences(500, stream))]
    corpora = {
        "twenty.txt": text[:20],
        "hundreds.txt": text[:200],
        "thousands.txt": text[:20_000],
        "names.txt": names(2_000, stream),
        "poems.txt": poems(stream),
        "reviews.csv": ["id,review,class", *rows],
    }
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, lines in corpora.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines))
            config = f"{pathlib.Path(name).stem}.toml"
            began, said = time.monotonic(), []
            for command in (["new", config, "--from", name], ["pipeline", "--config", config, "--quick", "-q"]):
                done = subprocess.run([xtask, *command], cwd=folder, capture_output=True, text=True)
                said.append(done)
            seconds = time.monotonic() - began
            report = folder / "runs" / f"{pathlib.Path(name).stem}-quick" / "report" / "report.html"
            fine = all(done.returncode == 0 for done in said) and report.is_file() and seconds <= LIMIT
            bad += not fine
            print(f"{name:14} {len(lines):6} lines  {seconds:5.1f} s  {'a report' if fine else 'FAILED'}")
            for line in said[0].stderr.splitlines()[: None if fine else 20]:
                if not line.startswith(("wrote", "  cargo")):
                    print(f"    {line}")
            if not fine:
                print(said[-1].stderr[-2000:])
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
