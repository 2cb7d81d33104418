"""Messy files as users have them, each written on the spot, with what `whetstone new` must make of it."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.corpora.test_messages import message, talk

NUMBERS = range(2, 42)
SUMS = [{"question": f"{n} + {n}?", "answer": str(2 * n)} for n in NUMBERS]
TALKS = [{"messages": talk(f"Is {n} even?", "yes" if n % 2 == 0 else "no")} for n in NUMBERS]
LIKED = [{"prompt": f"Is {n} even?", "chosen": "It is." * n, "rejected": "Why?"} for n in NUMBERS]
PICTURE = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 40).decode()
PAGE = "<div class='q'><p>What is <b>{n}</b> &times; 2?</p><script>alert(1)</script></div>"
Write = Callable[[Path], object]


@dataclass(frozen=True)
class Messy:
    """`write` makes the file or folder. `kept`: rows that the recipe's sets keep; None where it is refused.
    `told`: what must be said of its bad rows, or of why nothing can be made of it (a regular expression).
    """

    file: str
    write: Write
    kept: int | None
    told: str = ""


def lines(rows: Iterable[Any], encoding: str = "utf-8", end: str = "\n") -> Write:
    """JSON Lines; a text among the rows stands as it is."""
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    return content("".join(text + end for text in texts).encode(encoding, "surrogatepass"))


def content(data: bytes) -> Write:
    return lambda path: path.write_bytes(data)


def folder(**files: Write) -> Write:
    """A folder of files; `_` in a name stands for the dot before its suffix, `__` for a folder's slash."""

    def write(path: Path) -> None:
        for name, write_file in files.items():
            file = path / name.replace("__", "/").replace("_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file)
        path.mkdir(exist_ok=True)

    return write


def zipped(rows: Iterable[Any]) -> Write:
    return content(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def table(header: list[str], rows: Iterable[Iterable[Any]], **dialect: Any) -> Write:
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows([header, *rows])
    return content(text.getvalue().encode())


def parquet(columns: Mapping[str, Any]) -> Write:
    def write(path: Path) -> None:
        import pyarrow as arrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(arrow.table(dict(columns)), path)

    return write


def typed() -> Write:
    """Dictionary, decimal, timestamp, binary and struct columns."""

    def write(path: Path) -> None:
        import datetime
        from decimal import Decimal

        import pyarrow as arrow

        parquet(
            {
                "question": arrow.array([row["question"] for row in SUMS]).dictionary_encode(),
                "answer": arrow.array([Decimal(2 * n) for n in NUMBERS], arrow.decimal128(9, 2)),
                "asked": arrow.array([datetime.datetime(2024, 1, 1)] * 40, arrow.timestamp("us", "UTC")),
                "picture": arrow.array([b"\x00\xff"] * 40),
                "extra": arrow.array([{"index": n, "tags": ["a"]} for n in NUMBERS]),
            }
        )(path)

    return write


def saved(**splits: list[dict[str, Any]]) -> Write:
    def write(path: Path) -> None:
        from datasets import Dataset, DatasetDict

        DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(str(path))

    return write


def changed(rows: list[dict[str, Any]], number: int, **values: Any) -> list[Any]:
    """The rows, one of them with other values."""
    return [{**row, **values} if at == number else row for at, row in enumerate(rows)]


def said(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [message(role, text) for role, text in turns]}


def parted(kind: str, value: Any) -> list[Any]:
    """Talks whose first user turn is a list of parts, one of them of another kind."""
    parts = [{"type": "text", "text": "Look:"}, {"type": kind, kind: value}]
    return [said(("user", parts), ("assistant", "A cat.")), *TALKS]


# fmt: off
MESSY: dict[str, Messy] = {
    # encodings
    "bom": Messy("a.jsonl", lines(SUMS, "utf-8-sig"), 40),
    "utf16": Messy("a.jsonl", lines(SUMS, "utf-16"), 40),
    "utf16_csv": Messy("a.csv", content("question,answer\r\n".encode("utf-16") + "".join(f"{n}+{n}?,{2*n}\r\n" for n in NUMBERS).encode("utf-16-le")), 40),
    "latin1": Messy("a.jsonl", lines([*SUMS, {"question": "Café à 3 + 3?", "answer": "6é"}], "latin-1"), 40, "not UTF-8"),
    "latin1_all": Messy("a.jsonl", lines([{"question": f"é{n}", "answer": "1"} for n in NUMBERS], "latin-1"), None, "iconv -f ISO-8859-1"),
    "latin1_csv": Messy("a.csv", content(("question,answer\n" + "".join(f"é{n}?,1\n" for n in NUMBERS)).encode("latin-1")), None, "iconv -f ISO-8859-1"),
    "crlf": Messy("a.jsonl", lines(SUMS, end="\r\n"), 40),
    "old_mac": Messy("a.jsonl", lines(SUMS, end="\r"), None, "not JSON"),
    "null_bytes": Messy("a.jsonl", lines(changed(SUMS, 3, question="3\0+\0 3?")), 40),
    "raw_null_bytes": Messy("a.jsonl", content(b"".join(json.dumps(r).encode() + b"\n" for r in SUMS) + b"\0\0\0\0\n"), 40, "not JSON"),
    "surrogates": Messy("a.jsonl", lines([*SUMS, '{"question": "half \\ud83d of one", "answer": "1"}']), 40, "surrogate"),
    "surrogates_talk": Messy("a.jsonl", lines([*TALKS, '{"messages": [{"role": "user", "content": "half \\ud83d"}, {"role": "assistant", "content": "x"}]}']), 40, "surrogate"),
    "rtl_emoji": Messy("a.jsonl", lines([*SUMS, {"question": "كم 2 + 2؟ 👩‍👩‍👧 \u202eabc", "answer": "4"}]), 41),
    # files
    "gzip": Messy("a.jsonl.gz", zipped(SUMS), 40),
    "gzip_json_array": Messy("a.json.gz", content(gzip.compress(json.dumps(SUMS).encode())), 40),
    "gzip_csv": Messy("a.csv.gz", content(gzip.compress(b"question,answer\n" + b"".join(b"%d+%d?,%d\n" % (n, n, 2 * n) for n in NUMBERS))), 40),
    "gzip_parquet": Messy("a.parquet.gz", content(gzip.compress(b"PAR1xx")), None, "parquet"),
    "gzip_in_name_only": Messy("a.jsonl.gz", lines(SUMS), None, "gzip"),
    "gzip_cut": Messy("a.jsonl.gz", content(gzip.compress(json.dumps(SUMS).encode())[:60]), None, "gzip"),
    "gzip_without_name": Messy("a.jsonl", zipped(SUMS), 40, ""),
    "array_in_json": Messy("a.json", content(json.dumps(SUMS, indent=2).encode()), 40),
    "array_in_jsonl": Messy("a.jsonl", content(json.dumps(SUMS).encode()), None, "mv .*a.json"),
    "array_in_jsonl_lines": Messy("a.jsonl", content(("[\n" + ",\n".join(map(json.dumps, SUMS)) + "\n]\n").encode()), None, "mv .*a.json"),
    "array_cut": Messy("a.json", content(json.dumps(SUMS).encode()[:-20]), None, "JSON"),
    "array_utf16": Messy("a.json", content(json.dumps(SUMS).encode("utf-16")), 40),
    "array_latin1": Messy("a.json", content(json.dumps([{"question": "é", "answer": "1"}], ensure_ascii=False).encode("latin-1")), None, "JSON|UTF-8"),
    "array_of_lists": Messy("a.json", content(json.dumps([[1, 2], [3, 4]]).encode()), None, "not an object"),
    "array_deep": Messy("a.json", content(b"[" * 100000), None, ""),
    "object_of_columns": Messy("a.json", content(json.dumps({"question": [r["question"] for r in SUMS], "answer": [r["answer"] for r in SUMS]}).encode()), None, ""),
    "object_with_data": Messy("a.json", content(json.dumps({"version": 1, "data": SUMS}, indent=1).encode()), None, "jq -c '.data"),
    "object_with_data_flat": Messy("a.json", content(json.dumps({"version": 1, "data": SUMS}).encode()), None, ""),
    "pretty_objects": Messy("a.jsonl", content("\n".join(json.dumps(r, indent=1) for r in SUMS).encode()), None, "jq -c . "),
    "trailing_commas": Messy("a.jsonl", content("".join(json.dumps(r) + ",\n" for r in SUMS).encode()), None, "sed "),
    "trailing_comma_array": Messy("a.json", content(("[" + ",".join(map(json.dumps, SUMS)) + ",]").encode()), None, "JSON"),
    "empty": Messy("a.jsonl", content(b""), None, "holds no row"),
    "empty_json": Messy("a.json", content(b""), None, ""),
    "empty_array": Messy("a.json", content(b"[]"), None, "holds no row"),
    "empty_csv": Messy("a.csv", content(b""), None, "holds no row"),
    "empty_gz": Messy("a.jsonl.gz", content(b""), None, ""),
    "only_blank_lines": Messy("a.jsonl", content(b"\n \n\n"), None, "holds no row"),
    "binary": Messy("a.jsonl", content(bytes(range(256)) * 50), None, "its bytes are no text"),
    "png_as_parquet": Messy("a.parquet", content(b"\x89PNG\r\n" * 50), None, "Parquet"),
    "parquet_as_jsonl": Messy("a.jsonl", parquet({"question": [r["question"] for r in SUMS], "answer": [r["answer"] for r in SUMS]}), None, "mv .*a.parquet"),
    "text_file": Messy("a.txt", content(b"hello"), None, "expected"),
    "no_suffix": Messy("a", lines(SUMS), None, "expected"),
    "upper_suffix": Messy("A.JSONL", lines(SUMS), 40),
    "dotted_name": Messy("my data.v1.2 (final).jsonl", lines(SUMS), 40),
    "tsv": Messy("a.tsv", table(["question", "answer"], ([f"{n}+{n}?", str(2 * n)] for n in NUMBERS), delimiter="\t"), 40),
    "empty_folder": Messy("d", folder(), None, "it has no file of .jsonl"),
    "folder_of_pictures": Messy("d", folder(a_png=content(b"\x89PNG")), None, "it has no file of .jsonl"),
    # numbers
    "nan": Messy("a.jsonl", lines(['{"question": "1 + 1?", "answer": NaN}', '{"question": "1 + 2?", "answer": Infinity}', *SUMS]), 40, ""),
    "nan_kept": Messy("a.jsonl", lines([json.dumps({**row, "score": float("nan")}) for row in SUMS]), 40),
    "ints": Messy("a.jsonl", lines({"id": n, "question": n, "answer": 2 * n} for n in NUMBERS), 40),
    "floats": Messy("a.jsonl", lines({"question": f"half of {n}?", "answer": n / 2} for n in NUMBERS), 40),
    "big_int": Messy("a.jsonl", lines([*SUMS, '{"question": "big?", "answer": ' + "9" * 5000 + "}"]), 40, ""),
    "booleans": Messy("a.jsonl", lines({"question": f"Is {n} even?", "answer": n % 2 == 0} for n in NUMBERS), None, "answer is bool, not text"),
    "list_answers": Messy("a.jsonl", lines({"question": f"{n}+{n}?", "answer": [str(2 * n)]} for n in NUMBERS), None, "list"),
    "dict_answers": Messy("a.jsonl", lines({"question": f"{n}+{n}?", "answer": {"value": 2 * n}} for n in NUMBERS), None, "dict"),
    # rows
    "nulls": Messy("a.jsonl", lines([{"question": None, "answer": None}, {"question": "2?", "answer": None}, None, *SUMS]), 40, "NoneType"),
    "mostly_nulls": Messy("a.jsonl", lines([{"question": f"{n}?", "answer": "1" if n < 12 else None} for n in NUMBERS]), None, ""),
    "empty_answers": Messy("a.jsonl", lines([*SUMS, {"question": "q1?", "answer": ""}, {"question": "q2?", "answer": "  \n"}]), 40, "answer is empty"),
    "third_bad": Messy("a.jsonl", lines([*SUMS, *({"question": f"q{n}?", "answer": ""} for n in range(20))]), 40, "answer is empty"),
    "empty_questions": Messy("a.jsonl", lines([*SUMS, {"question": "", "answer": "1"}]), 40, "question is empty"),
    "duplicate_ids": Messy("a.jsonl", lines({"id": 7, **row} for row in SUMS), 40),
    "all_the_same": Messy("a.jsonl", lines([SUMS[0]] * 3000), None, ""),
    "many_duplicates": Messy("a.jsonl", lines(SUMS * 40), 40),
    "scalars": Messy("a.jsonl", lines(["1", '"text"', "[]", *SUMS]), 40, "not an object"),
    "mixed_layouts": Messy("a.jsonl", lines([*SUMS, *TALKS[:10]]), 40, "no column"),
    "half_and_half": Messy("a.jsonl", lines([*SUMS, *TALKS]), None, "40 of 80 rows cannot be used"),
    "three_layouts": Messy("a.jsonl", lines([*SUMS, *TALKS, *LIKED]), None, ""),
    "huge_row": Messy("a.jsonl", lines([*SUMS, {"question": "x" * 20_000_000, "answer": "1"}]), 40, "line of"),
    "large_row": Messy("a.jsonl", lines([*SUMS, {"question": "word " * 20_000, "answer": "1"}]), 41),
    "html": Messy("a.jsonl", lines({"question": PAGE.format(n=n), "answer": str(2 * n)} for n in NUMBERS), 40),
    "deep_nesting": Messy("a.jsonl", lines([*SUMS, '{"question": ' + "[" * 5000 + "]" * 5000 + ', "answer": 1}']), 40, ""),
    "spaces_and_case": Messy("a.jsonl", lines({"Question ": row["question"], "ANSWER": row["answer"]} for row in SUMS), 40),
    "dotted_columns": Messy("a.jsonl", lines({"data.question": row["question"], "data.answer": row["answer"]} for row in SUMS), None, ""),
    "empty_objects": Messy("a.jsonl", lines([{}] * 10), None, ""),
    "duplicate_keys": Messy("a.jsonl", lines([*SUMS, '{"question": "a?", "question": "b?", "answer": "1"}']), 41),
    # conversations
    "wrong_roles": Messy("a.jsonl", lines([said(("moderator", "hi"), ("assistant", "x")), *TALKS]), 40, "moderator"),
    "roles_upper": Messy("a.jsonl", lines(said(("User", f"{n}?"), ("Assistant", "x" * n)) for n in NUMBERS), 40),
    "roles_model": Messy("a.jsonl", lines(said(("user", f"{n}?"), ("model", "x" * n)) for n in NUMBERS), 40),
    "roles_developer": Messy("a.jsonl", lines(said(("developer", "Be kind."), ("user", f"{n}?"), ("assistant", "x" * n)) for n in NUMBERS), None, "System role not supported"),
    "system_only": Messy("a.jsonl", lines([said(("system", "Be kind.")), *TALKS]), 40, "no turn of the user|ends with"),
    "two_users": Messy("a.jsonl", lines([said(("user", "a"), ("user", "b"), ("assistant", "c")), *TALKS]), 40, "out of order"),
    "assistant_first": Messy("a.jsonl", lines([said(("assistant", "Hi!"), ("user", "a"), ("assistant", "c")), *TALKS]), 40, "out of order"),
    "no_assistant": Messy("a.jsonl", lines([said(("user", "a")), *TALKS]), 40, "ends with"),
    "all_no_assistant": Messy("a.jsonl", lines(said(("user", f"{n}?")) for n in NUMBERS), None, "ends with"),
    "empty_turns": Messy("a.jsonl", lines([said(("user", "a"), ("assistant", "")), said(("user", " "), ("assistant", "b")), *TALKS]), 40, "empty turn"),
    "empty_messages": Messy("a.jsonl", lines([{"messages": []}, {"messages": None}, *TALKS]), 40, ""),
    "first_messages_bad": Messy("a.jsonl", lines([{"messages": "hello"}, *TALKS]), 40, "no list of turns"),
    "null_content": Messy("a.jsonl", lines([said(("user", None), ("assistant", "x")), *TALKS]), 40, "no text"),
    "text_parts": Messy("a.jsonl", lines(said(("user", [{"type": "text", "text": f"{n}?"}]), ("assistant", [{"type": "text", "text": "x" * n}])) for n in NUMBERS), 40),
    "image_parts": Messy("a.jsonl", lines(parted("image_url", {"url": PICTURE})), 40, "part that is no text"),
    "all_image_parts": Messy("a.jsonl", lines(said(("user", [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": f"{n}?"}]), ("assistant", "x")) for n in NUMBERS), None, "part that is no text"),
    "base64_text": Messy("a.jsonl", lines([said(("user", f"![]({PICTURE}) what?"), ("assistant", "A cat.")), *TALKS]), 41),
    "tool_calls": Messy("a.jsonl", lines([said(("user", "weather?"), ("assistant", "One moment.")), {"messages": [message("user", "w?"), message("assistant", None, tool_calls=[{"type": "function", "function": {"name": "w", "arguments": "{}"}}]), message("tool", "sunny"), message("assistant", "Sunny.")]}, *TALKS]), 42),
    "sharegpt": Messy("a.json", content(json.dumps([{"id": f"i{n}", "conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": "x" * n}]} for n in NUMBERS]).encode()), 40),
    "sharegpt_system": Messy("a.jsonl", lines({"system": "Be kind.", "conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": "x" * n}]} for n in NUMBERS), 40),
    "sharegpt_chatgpt": Messy("a.jsonl", lines({"conversations": [{"from": "human", "value": f"{n}?"}, {"from": "chatgpt", "value": "x" * n}]} for n in NUMBERS), 40),
    "messages_as_text": Messy("a.jsonl", lines({"messages": json.dumps(row["messages"])} for row in TALKS), 40),
    "messages_in_csv": Messy("a.csv", table(["messages"], ([json.dumps(row["messages"])] for row in TALKS)), 40),
    "dialog": Messy("a.jsonl", lines({"dialog": row["messages"]} for row in TALKS), None, "Understood are"),
    "bare_lists": Messy("a.jsonl", lines(row["messages"] for row in TALKS), None, "not an object"),
    "odd_roles": Messy("a.jsonl", lines([said((role, "x"), ("assistant", "y")) for role in (["user"], {"a": 1}, 3, None, True)] + TALKS), 40, "not one of"),
    "odd_turns": Messy("a.jsonl", lines([{"messages": turns} for turns in (["hi"], [["user", "x"]], [None], {"role": "user"}, 5, True, "[1, 2]", "[")] + TALKS * 1), 40, "no list of turns|no turn with"),
    "odd_contents": Messy("a.jsonl", lines([said(("user", value), ("assistant", "y")) for value in ({"a": 1}, 5, True, [[]], [None], [1])] + TALKS), 40, "no text"),
    "odd_calls": Messy("a.jsonl", lines([{"messages": [message("user", "a"), message("assistant", None, tool_calls=calls)]} for calls in ("x", [1], {"a": 1}, 5)] + TALKS), 40, "tool_calls"),
    "odd_tools": Messy("a.jsonl", lines([{**TALKS[0], "tools": tools} for tools in ("{", [1], 5, {"a": 1})] + TALKS[1:]), 39, "tools is no list"),
    "special_tokens": Messy("a.jsonl", lines([said(("user", "a <end_of_turn> b"), ("assistant", "c")), *TALKS]), 41),
    # completions
    "alpaca": Messy("a.json", content(json.dumps([{"instruction": f"Add {n}.", "input": "", "output": "x" * n} for n in NUMBERS]).encode()), 40),
    "alpaca_input": Messy("a.json", content(json.dumps([{"instruction": "Add them.", "input": f"{n} and 1" if n % 3 else "", "output": "x" * n} for n in NUMBERS]).encode()), 28, ""),
    "alpaca_few_inputs": Messy("a.jsonl", lines({"instruction": f"Add {n}.", "input": "to 1" if n % 4 == 0 else "", "output": "x" * n} for n in NUMBERS), 40),
    "alpaca_all_input": Messy("a.jsonl", lines({"instruction": f"Add {n}.", "input": f"{n} and 1", "output": "x" * n} for n in NUMBERS), 40),
    "empty_completions": Messy("a.jsonl", lines([{"prompt": f"{n}?", "completion": "x" * n} for n in NUMBERS] + [{"prompt": "a?", "completion": ""}]), 40, "completion is empty"),
    "half_turns": Messy("a.jsonl", lines({"prompt": [message("user", f"{n}?")], "completion": "x" * n} for n in NUMBERS), 40),
    # pairs
    "pairs_same": Messy("a.jsonl", lines([*LIKED, {"prompt": "a?", "chosen": "b", "rejected": "b"}]), 40),
    "pairs_null": Messy("a.jsonl", lines([*LIKED, {"prompt": "a?", "chosen": None, "rejected": "b"}]), 40, ""),
    "pairs_empty": Messy("a.jsonl", lines([*LIKED, {"prompt": "a?", "chosen": "", "rejected": "b"}]), 40),
    "pairs_mixed": Messy("a.jsonl", lines([*LIKED, {"prompt": "a?", "chosen": [message("assistant", "x")], "rejected": "b"}]), 40, "one is text"),
    "pairs_all_same": Messy("a.jsonl", lines({"prompt": f"{n}?", "chosen": "a", "rejected": "a"} for n in NUMBERS), None, ""),
    "pairs_no_common": Messy("a.jsonl", lines({"chosen": f"yes {n}", "rejected": f"{n} no"} for n in NUMBERS), None, ""),
    "labels_int": Messy("a.jsonl", lines({"prompt": f"{n // 2}?", "completion": "x" * n, "label": n % 2} for n in NUMBERS), 20, ""),
    "labels_text": Messy("a.jsonl", lines({"prompt": f"{n // 2}?", "completion": "x" * n, "label": str(n % 2 == 0)} for n in NUMBERS), 20, ""),
    "labels_all_true": Messy("a.jsonl", lines({"prompt": f"{n // 2}?", "completion": "x" * n, "label": True} for n in NUMBERS), None, ""),
    "hh_strings": Messy("a.jsonl", lines({"chosen": f"\n\nHuman: {n}?\n\nAssistant: yes", "rejected": f"\n\nHuman: {n}?\n\nAssistant: no"} for n in NUMBERS), 40),
    "odd_pairs": Messy("a.jsonl", lines([{"prompt": p, "chosen": c, "rejected": r} for p, c, r in ((5, "a", "b"), ({}, "a", "b"), ([], "a", "b"), ("p", {}, "b"), ("p", [1], [2]), ("p", 5, True), ([1], "a", "b"))] + LIKED), 41, "prompt is dict"),
    "pairs_case": Messy("a.jsonl", lines({"Prompt": row["prompt"], "Chosen": row["chosen"], "Rejected": row["rejected"]} for row in LIKED), None, "rename Chosen, Prompt, Rejected"),
    "pairs_prompt_case": Messy("a.jsonl", lines({"Prompt": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]} for row in LIKED), None, "rename Prompt"),
    "labels_odd": Messy("a.jsonl", lines([*({"prompt": f"{n // 2}?", "completion": "x" * n, "label": n % 2 == 0} for n in NUMBERS), {"prompt": "a?", "completion": "b", "label": "yes"}]), 20, "label is 'yes', not true or false"),
    "labels_stars": Messy("a.jsonl", lines({"prompt": f"{n}?", "completion": "x" * n, "label": n % 5} for n in NUMBERS), 40),
    # csv
    "csv_semicolon": Messy("a.csv", table(["question", "answer"], ([f"{n}+{n}?", f"{n},5"] for n in NUMBERS), delimiter=";"), 40),
    "csv_tabs": Messy("a.csv", table(["question", "answer"], ([f"{n}+{n}?", f"{n},5"] for n in NUMBERS), delimiter="\t"), 40),
    "csv_quoted_newlines": Messy("a.csv", table(["question", "answer"], ([f'line "one"\nline {n}, two?', str(n)] for n in NUMBERS)), 40),
    "csv_header_only": Messy("a.csv", content(b"question,answer\n"), None, "holds no row"),
    "csv_no_header": Messy("a.csv", table(["2+2?", "4"], ([f"{n}+{n}?", str(2 * n)] for n in NUMBERS)), None, "Understood are"),
    "csv_ragged": Messy("a.csv", content(b"question,answer\n1+1?,2,3\n1+2?\n" + b"".join(b"%d+%d?,%d\n" % (n, n, 2 * n) for n in NUMBERS)), 40, "fields"),
    "csv_unclosed_quote": Messy("a.csv", content(b"question,answer\n" + b"".join(b"%d+%d?,%d\n" % (n, n, 2 * n) for n in NUMBERS) + b'"open,1\nmore,2\n'), 40, "CSV"),
    "csv_early_quote": Messy("a.csv", content(b"question,answer\n" + b"".join(b"%d+%d?,%d\n" % (n, n, 2 * n) for n in range(2, 20)) + b'"open,1\n' + b"".join(b"%d+%d?,%d\n" % (n, n, 2 * n) for n in range(20, 90))), None, "a quote that opens in line 20 is never closed"),
    "csv_in_two_suffixes": Messy("a.csv.jsonl", lines(SUMS), 40),
    "jsonl_in_two_suffixes": Messy("a.jsonl.csv", table(["question", "answer"], ([f"{n}+{n}?", str(2 * n)] for n in NUMBERS)), 40),
    "csv_case": Messy("a.csv", table([" Question", "Answer "], ([f"{n}+{n}?", str(2 * n)] for n in NUMBERS)), 40),
    "csv_same_column_twice": Messy("a.csv", table(["question", "answer", "answer"], ([f"{n}+{n}?", str(2 * n), "x"] for n in NUMBERS)), None, "names answer twice"),
    "csv_null_bytes": Messy("a.csv", content(b"question,answer\n1+\x001?,2\n" + b"".join(b"%d+%d?,%d\n" % (n, n, 2 * n) for n in NUMBERS)), 41),
    "csv_huge_field": Messy("a.csv", table(["question", "answer"], [["x " * 100_000, "1"], *([f"{n}+{n}?", str(2 * n)] for n in NUMBERS)]), 41),
    "csv_index_column": Messy("a.csv", table(["", "question", "answer"], ([n, f"{n}+{n}?", str(2 * n)] for n in NUMBERS)), 40),
    "csv_no_end": Messy("a.csv", content(b"question,answer\r\n" + b"\r\n".join(b"%d+%d?,%d" % (n, n, 2 * n) for n in NUMBERS)), 40),
    "csv_old_mac": Messy("a.csv", content(b"question,answer\r" + b"\r".join(b"%d+%d?,%d" % (n, n, 2 * n) for n in NUMBERS)), 40),
    "csv_quotes_single": Messy("a.csv", table(["question", "answer"], ([f"it's {n}?", str(n)] for n in NUMBERS), quotechar="'"), 40),
    "csv_alpaca": Messy("a.csv", table(["instruction", "input", "output"], ([f"Say {n}.", "", "x" * n] for n in NUMBERS)), 40),
    # parquet
    "parquet_nested": Messy("a.parquet", parquet({"messages": [r["messages"] for r in TALKS], "meta": [{"source": {"url": "u", "tags": ["a", None]}}] * 40}), 40),
    "parquet_struct_answer": Messy("a.parquet", parquet({"prompt": [[message("user", r["question"])] for r in SUMS], "reward_model": [{"ground_truth": r["answer"], "style": "rule"} for r in SUMS], "extra_info": [{"index": n} for n in NUMBERS]}), 40),
    "parquet_zero": Messy("a.parquet", parquet({"question": [], "answer": []}), None, "holds no row"),
    "parquet_typed": Messy("a.parquet", typed(), 40),
    "parquet_pandas_nan": Messy("a.parquet", parquet({"question": [r["question"] for r in SUMS] + ["?"], "answer": [float(2 * n) for n in NUMBERS] + [float("nan")]}), 40, "answer is nan"),
    "parquet_null_column": Messy("a.parquet", parquet({"question": [r["question"] for r in SUMS], "answer": [None] * 40}), None, ""),
    "parquet_list_answers": Messy("a.parquet", parquet({"question": [r["question"] for r in SUMS], "answer": [[r["answer"]] for r in SUMS]}), None, "list"),
    "parquet_squad": Messy("a.parquet", parquet({"question": [r["question"] for r in SUMS], "answers": [{"text": [r["answer"]], "answer_start": [1]} for r in SUMS]}), None, ""),
    # folders
    "splits_differing": Messy("d", saved(train=SUMS, test=[{"problem": f"{n}?", "solution": str(n)} for n in NUMBERS]), 80),
    "splits_of_kinds": Messy("d", saved(sft=TALKS, train=SUMS, test=SUMS[:5]), 80, ""),
    "splits_empty": Messy("d", saved(train=SUMS, test=[]), None, "test holds no row"),
    "folder_mixed": Messy("d", folder(train_jsonl=lines(SUMS), test_csv=table(["question", "answer"], [["77+1?", "78"], ["78+1?", "79"]]), README_md=content(b"# hi")), 42),
    "folder_with_bad": Messy("d", folder(train_jsonl=lines(SUMS), more_jsonl=content(b"")), None, "more.jsonl holds no row"),
    "folder_nested": Messy("d", folder(data__train_jsonl=lines(SUMS)), 40),
}
# fmt: on
