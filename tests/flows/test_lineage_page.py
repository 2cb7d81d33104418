"""The lineage page: complete without a script, safe against what files are called, and really drawn by a
browser.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from flows.provenance.lineage_page import render

DIGEST = "3f2a9c0d5e7b41f8a6c2d9e0b1f34a57"


def node(
    stage: str, inputs: dict[str, str], out: str, status: str = "verified", **more: Any
) -> dict[str, Any]:
    return {
        "id": stage,
        "stage": stage,
        "key": "0f" * 16,
        "outs": {out: DIGEST},
        "inputs": inputs,
        "params": {"identity.seed": 0, stage.replace("@", "."): {"learning_rate": 0.0005, "steps": 300}},
        "code": {f"tasks.{stage.partition('@')[0]}": DIGEST, "pipelines.settings": DIGEST},
        "environment": {"torch": "2.13", "transformers": "5.23"},
        "git": {"commit": "9b1c4d7e" * 5, "dirty": stage == "rl@grpo"},
        "run": {"flow_run": "gentle-otter", "started": "2031-02-03T04:05:06Z", "wall_s": 102.5},
        "metrics": {"validation": {"greedy": 0.712}},
        "status": status,
        **more,
    }


def lineage(**more: Any) -> dict[str, Any]:
    value = {
        "subject": {"path": "models/grpo/model", "digest": DIGEST, "kind": "checkpoint"},
        "nodes": [
            node("corpus@exam", {"raw/exam": DIGEST}, "data/exam/records", "recorded"),
            node("base@base", {"data/exam/records": DIGEST}, "models/base/model"),
            node("sft@sft", {"models/base/model": DIGEST, "data/exam/records": DIGEST}, "models/sft/model"),
            node("rl@grpo", {"models/sft/model": DIGEST, "data/exam/records": DIGEST}, "models/grpo/model"),
        ],
        "edges": [
            ["corpus@exam", "base@base", "data/exam/records"],
            ["base@base", "sft@sft", "models/base/model"],
            ["corpus@exam", "sft@sft", "data/exam/records"],
            ["sft@sft", "rl@grpo", "models/sft/model"],
            ["corpus@exam", "rl@grpo", "data/exam/records"],
        ],
        "raw": [
            {"path": "raw/exam/subjects.json", "digest": DIGEST, "status": "verified"},
            {"path": "raw/exam/names.txt", "digest": DIGEST, "status": "verified"},
        ],
        "problems": [],
    }
    return {**value, **more}


class Page(HTMLParser):
    """The graph's boxes and edges, and the text that a reader gets with scripts off."""

    def __init__(self, html: str):
        super().__init__()
        self.boxes: list[str] = []
        self.edges: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text = ""
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self._silent += tag in ("script", "style")
        if "data-id" in values:
            self.boxes.append(str(values["data-id"]))
        if "data-from" in values:
            self.edges.append((str(values["data-from"]), str(values["data-to"])))

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data + "\n"


def test_graph_holds_every_stage_raw_file_and_edge():
    page = Page(render(lineage()))
    assert sorted(page.boxes) == [
        "base@base",
        "corpus@exam",
        "raw/exam/names.txt",
        "raw/exam/subjects.json",
        "rl@grpo",
        "sft@sft",
    ]
    assert set(page.edges) == {
        ("corpus@exam", "base@base"),
        ("base@base", "sft@sft"),
        ("corpus@exam", "sft@sft"),
        ("sft@sft", "rl@grpo"),
        ("corpus@exam", "rl@grpo"),
        ("raw/exam/names.txt", "corpus@exam"),
        ("raw/exam/subjects.json", "corpus@exam"),
    }


@pytest.mark.parametrize(
    "fact",
    [
        "0.0005",
        "9b1c4d7e" * 5,
        "yes: the tree had changes beyond this commit",
        "tasks.rl",
        "2.13",
        "1 min 42 s",
        "0.712",
        "gentle-otter",
        DIGEST,
    ],
)
def test_facts_can_be_read_without_a_script(fact: str):
    assert fact in Page(render(lineage())).text


def test_problems_come_before_the_graph_and_are_absent_when_there_are_none():
    html = render(
        lineage(
            problems=[
                {"path": "models/grpo/model/model.safetensors", "problem": "digest differs from the record"}
            ]
        )
    )
    assert html.index("digest differs from the record") < html.index("<svg")
    assert "1 problem<" in html
    assert 'id="problems"' not in render(lineage())


def test_status_marks_the_box():
    nodes = lineage()["nodes"]
    nodes[2]["status"] = "missing"
    assert re.search(r'class="node missing[^"]*" data-id="sft@sft"', render(lineage(nodes=nodes)))


def test_many_raw_files_stand_in_the_graph_as_their_folder_with_the_worst_status():
    raw = [
        {
            "path": f"raw/exam/{place}.jsonl",
            "digest": DIGEST,
            "status": "modified" if place == 7 else "verified",
        }
        for place in range(20)
    ]
    html = render(lineage(raw=raw))
    assert sorted(Page(html).boxes) == ["base@base", "corpus@exam", "raw/exam", "rl@grpo", "sft@sft"]
    assert 'class="node raw modified" data-id="raw/exam"' in html
    assert "raw/exam/19.jsonl" in Page(html).text


def test_names_cannot_inject_markup():
    evil = '<script>alert("x")</script>'
    html = render(
        lineage(
            subject={"path": evil, "digest": evil, "kind": evil}, problems=[{"path": evil, "problem": evil}]
        )
    )
    assert evil not in html
    assert Page(html).tags.count("script") == 1


def test_nothing_is_loaded_from_elsewhere():
    assert not re.search(r'(src|href)="(?!#)', render(lineage()))


def test_an_edge_to_an_unknown_node_is_an_error():
    with pytest.raises(ValueError, match="reward_model"):
        render(lineage(edges=[["reward_model", "rl@grpo", "models/reward/model"]]))


def test_bare_nodes_are_enough():
    bare = {
        "id": "sft@sft",
        "stage": "sft@sft",
        "key": None,
        "outs": {"models/sft/model": None},
        "inputs": {},
        "params": None,
        "status": "recorded",
    }
    page = Page(render(lineage(nodes=[bare], edges=[], raw=[])))
    assert page.boxes == ["sft@sft"]


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    quiet = [
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
    ]
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet,
        f"--user-data-dir={folder}",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def test_a_browser_draws_it(tmp_path: Path):
    page, picture = tmp_path / "lineage.html", tmp_path / "lineage.png"
    page.write_text(render(lineage()), "utf-8")
    dumped = browse(page, tmp_path / "profile", "--dump-dom")
    assert dumped.returncode == 0, dumped.stderr
    assert {"rl@grpo", "sft@sft", "base@base", "corpus@exam"} <= set(Page(dumped.stdout).boxes)
    shot = browse(page, tmp_path / "profile", f"--screenshot={picture}", "--window-size=1200,1600")
    assert shot.returncode == 0, shot.stderr
    from matplotlib.image import imread

    pixels = imread(picture)
    assert pixels.shape[:2] == (1600, 1200)
    assert pixels.std() > 0.02, "the page is blank"
