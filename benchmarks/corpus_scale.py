"""The corpus stage by number of rows: wall and CPU seconds, peak memory of this process and of its helpers.

    python benchmarks/corpus_scale.py [--rows 20000 100000] [--kinds templated names copies prose]
    [--processes 2]

Each kind and size runs in a process of its own. `templated`: one question with other numbers in each row;
`names`: with other names alone; `copies`: ten wordings of each question; `prose`: random words. The rows are
JSONL with a demonstration; near-duplicate search, decontamination and validation_share are at their defaults,
and a BPE vocabulary is trained.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
KINDS = ("templated", "names", "copies", "prose")
SYLLABLES = [
    "ba",
    "ke",
    "lo",
    "mi",
    "nu",
    "ra",
    "se",
    "ti",
    "vo",
    "zu",
    "chan",
    "der",
    "fil",
    "gor",
    "hex",
    "jun",
]
ENDINGS = ["please", "thanks", "kindly", "then", "now", "here", "again", "dear", "indeed", "anyway"]


def word(rng: Random, parts: int = 3) -> str:
    return "".join(rng.choice(SYLLABLES) for _ in range(parts))


NUMBERS = (
    "Ann has {a} glass marbles in a box. Then she finds {b} more of them in the garden of her aunt and gives "
    "{c} of all to Ben. "
    "How many glass marbles does Ann have at the end of the day?"
)
NAMES = (
    "Today {who} has {a} glass marbles in a box. Then there are {b} more of them in the garden of an aunt, "
    "and {c} of all go to {other}. "
    "How many glass marbles does {who} have at the end?"
)
WORDINGS = (
    "Ann has {a} glass marbles in a box of wood that her aunt gave to her when she was a small child in the "
    "old house by the river, {end}. "
    "How many marbles does she have?"
)
WORKING = "At first there are {a}. With {b} more it is {more}.\nWithout {c} it is {left}.\n#### {left}"


def rows(kind: str, number: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """`number` rows of a kind, the same in every run."""
    rng = Random(f"{kind}:{seed}")
    for n in range(number):
        a, b, c = {"names": (12, 30, 4), "copies": (n // 10, 7, 3)}.get(kind) or (
            rng.randrange(10, 10**6),
            rng.randrange(10, 10**6),
            9,
        )
        if kind == "prose":
            question = " ".join(word(rng, rng.randrange(1, 4)) for _ in range(rng.randrange(25, 60))) + "?"
        else:
            form = {"templated": NUMBERS, "names": NAMES, "copies": WORDINGS}[kind]
            who, other = word(rng).capitalize(), word(rng).capitalize()
            question = form.format(a=a, b=b, c=c, who=who, other=other, end=ENDINGS[n % 10])
        left = a + b - c
        yield {
            "question": question,
            "answer": str(left),
            "solution": WORKING.format(a=a, b=b, c=c, more=a + b, left=left),
        }


def one(kind: str, number: int, processes: int | None) -> dict[str, object]:
    """One run in this process."""
    from pipelines.corpora.build import build
    from pipelines.corpora.corpus_params import CorpusParams

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, found in (("train", rows(kind, number)), ("heldout", rows("prose", 1000, 1))):
            with open(folder / f"{file}.jsonl", "w", encoding="utf-8") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in found)
        source = {
            "reader": "table",
            "splits": {"train": "train.jsonl", "heldout": "heldout.jsonl"},
            "columns": {"solution": "solution"},
        }
        params = CorpusParams.model_validate({"raw": "raw", "sources": {"made": source}})
        began = time.monotonic()
        made = build("scale", params, folder, 0, folder / "records", processes=processes)
        wall = time.monotonic() - began
    mine, helpers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "kind": kind,
        "rows": number,
        "kept": made.metrics["rows"]["kept"],
        "wall_s": round(wall, 1),
        "cpu_s": round(sum(use.ru_utime + use.ru_stime for use in (mine, helpers)), 1),
        "peak_mib": mine.ru_maxrss // 1024,
        "peak_helper_mib": helpers.ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument(
        "--one", action="store_true", help="run the first kind and size here and print a JSON line"
    )
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.kinds[0], asked.rows[0], asked.processes)))
        return
    print("kind           rows     kept   wall s    CPU s peak MiB of a helper")
    for kind in asked.kinds:
        for number in asked.rows:
            more = [] if asked.processes is None else ["--processes", str(asked.processes)]
            command = [sys.executable, __file__, "--one", "--kinds", kind, "--rows", str(number), *more]
            made = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            figures = (
                made[key] for key in ("rows", "kept", "wall_s", "cpu_s", "peak_mib", "peak_helper_mib")
            )
            print(f"{kind:<10}" + "".join(f"{figure:>9}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
