"""What a person sees on a real terminal: no escape sequence of somebody else's, no lines of DVC's lock, the
cause of a failure.
"""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import subprocess
import sys

import pytest

from flows.printable import PrintableConsole
from flows.running.process import _progress
from pipelines.printable import escape, printable
from tests.flows.accident import Scene
from tests.flows.records import prefect_flows
from tests.flows.toy import Project

EVIL = {
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "link": "\x1b]8;;http://evil/\x1b\\text\x1b]8;;\x1b\\",
    "C1": "\x9b31m\x9d0;t\x9c",
    "bidi": "abc\u202edcba\u2066x\u2069\u200f",
    "bell, return, backspace": "\x07right\rwrong\b\b\x7f",
    "tags": "\U000e0041\U000e007f",
    "lone surrogate": "\udc9b31m",
    "separators": "a\u2028b\u0085c\x0bd\x0ce",
    "DCS": "\x1bP1$r\x1b\\",
}


@pytest.mark.parametrize("kind", EVIL)
def test_nothing_of_it_passes(kind: str) -> None:
    shown = printable(EVIL[kind])
    assert all(char.isprintable() or char in "\n\t" for char in shown), shown
    assert printable(shown) == shown
    assert all(char.isprintable() for char in escape(EVIL[kind]))


@pytest.mark.parametrize(
    "text", ["plain\ttext\n", "中文 – “quotes” é ñ", "عربى עברית", "👩‍👩‍👧 🇩🇪", "a\r\nb", "\\x1b"]
)
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text.replace("\r\n", "\n")


def test_a_console_prints_no_foreign_escape_in_any_place(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    evil = "".join(EVIL.values())
    console = PrintableConsole(force_terminal=True, width=400, file=sys.stdout)
    table = Table(evil)
    table.add_row(evil)
    tree = Tree(evil)
    tree.add(evil)
    console.print(evil, style="red", markup=False)
    console.print(table)
    console.print(tree)
    console.print(Text(evil, style="bold"), evil)
    written = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)  # rich's own colours
    assert "owned" in written
    assert not any(char in written for char in "\x1b\x07\x9b\x9d\u202e\r\b")


LOUD = '''"""Prints and raises what commands a terminal."""


def run(stage):
    for text in TEXTS:
        print(text, flush=True)
    print('::progress {"done": 1, "total": 2, "\\\\u001b[2Jloss": 1.0, "text": "\\\\u001b]0;x"}', flush=True)
    print('::progress ["\\\\u001b[2J"]', flush=True)
    raise ValueError("400 rows are bad:\\\\n  a:1" + "".join(TEXTS) + "\\\\n  and 399 more")
'''.replace("\\\\", "\\")


def on_a_terminal(scene: Scene, *words: str) -> tuple[int, str]:
    """`whetstone …` on a pseudo-terminal: exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    command = [scene.python, "-m", "flows", *words]
    process = subprocess.Popen(
        command,
        cwd=scene.folder,
        env={**scene.env, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 120)
        try:
            data = os.read(ours, 1 << 16) if ready else b""
        except OSError:  # the other side is closed
            break
        if not data:
            break
        written += data
    os.close(ours)
    return process.wait(30), written.decode("utf-8", "replace")


def test_a_run_on_a_terminal(scene: Scene) -> None:
    scene.stage(
        "sft",
        LOUD.replace("TEXTS", repr([text for kind, text in EVIL.items() if kind != "lone surrogate"])),
    )
    code, written = on_a_terminal(scene, "run", "sft@sft", "--verbose")
    assert code == 1
    assert "Waiting to acquire lock" not in written
    assert "Collecting files" not in written  # bars of DVC's, which redraw over the run's own
    assert "file/s]" not in written
    assert "owned" in written
    assert "ValueError: 400 rows are bad:" in written
    assert "and 399 more" in written
    assert not any(
        mark in written for mark in ("\x1b]", "\x1b[2J", "\x1b[H", "\x9b", "\x9d", "\x07", "\u202e")
    )
    log = max(scene.folder.glob(".whetstone/logs/*/sft-sft.log"), key=lambda path: path.stat().st_mtime)
    assert b"\x1b]0;owned" in log.read_bytes()  # the log keeps what was written
    assert prefect_flows(scene.folder)[-1] == "FAILED"
    shown = scene.call("status").stdout + scene.call("plan").stdout
    assert "\x1b" not in shown


def test_a_port_that_somebody_listens_on(graph: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = graph.call("ui", "--check", "--port", str(port if port < 65535 else port - 1))
    assert done.returncode == 1
    assert "is taken by another program" in done.stdout
    assert "http://" not in done.stdout


def test_report_is_a_place_and_a_headline(graph: Project) -> None:
    rows = "\n".join(f"| {number} |" for number in range(500))
    (graph.folder / "reports/report.md").write_text(
        f"# The report\n\nGRPO is best: 73 %.\n\n## Accuracy\n\n**T**\n\n| a |\n{rows}\n"
    )
    done = graph.call("report")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:2] == ["The report", "GRPO is best: 73 %."]
    assert str(graph.folder / "reports/index.html") in lines
    assert len(lines) < 10


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('{"done": 1, "total": 2, "loss": 0.5}', {"done": 1, "total": 2, "loss": 0.5}),
        ('{"done": 1, "left_s": null}', {"done": 1, "left_s": None}),
        ('{"done": NaN, "left_s": NaN, "total": Infinity, "loss": NaN}', {"loss": float("nan")}),
        ('{"done": "\\u001b[2J", "x": [1], "y": {"z": 1}}', {}),
        ('{"\\u001b[2Jloss": 1}', {"\\x1b[2Jloss": 1}),
        ('{"done": 1' + "0" * 400 + "}", {}),
        ("[1]", {}),
        ('{"done": 1', {}),
        ("[" * 100_000, {}),
    ],
)
def test_a_progress_row_is_numbers(text: str, row: dict[str, float]) -> None:
    assert str(_progress(text)) == str(row)
