"""Seams: a choice is found by the function that a module has at its top level, however it came there, and by
what the function takes.
"""

import sys

import pytest

from pipelines import seams
from pipelines.rewards.reward_params import JUDGE
from pipelines.settings import RULE, Seam

FOUND = {
    "first_line": "def check(text, answer, finished):\n    return None\n",
    "after_a_title": '"""A rule."""\ndef check(text: str, answer: str, finished: bool) -> None: ...\n',
    "defaults": "def check(text, answer, finished, strict=False): ...\n",
    "star": "def check(*words): ...\n",
    "assigned": "check = lambda text, answer, finished: None\n",
    "annotated": "from typing import Any\ncheck: Any = lambda text, answer, finished: None\n",
    "imported": "from seamed.first_line import check\n",
    "renamed": "from seamed.other_name import judge as check\n",
    "wrapped": "import functools\ndef keep(f):\n    return functools.wraps(f)(lambda *words: f(*words))\n@keep\ndef check(text, answer, finished): ...\n",
    "windows": "def check(text, answer, finished):\r\n    return None\r\n",
    "byte_order": "\ufeffdef check(text, answer, finished): ...\n",
}
REFUSED = {
    "two": (
        "def check(text, answer): ...\n",
        r"two\.py: check cannot be called as check\(text, answer, finished\)",
    ),
    "four": ("def check(text, answer, finished, more): ...\n", "cannot be called as"),
    "keyword": ("def check(text, answer, finished, *, must): ...\n", "cannot be called as"),
    "imported_two": ("from seamed.two import check\n", "cannot be called as"),
    "value": ("check = 3\n", "cannot be called as"),
    "other_name": (
        "def judge(text, answer, finished): ...\n",
        r"no module seamed\.other_name with a function check\(text, answer, finished\)",
    ),
    "inner": (
        "class Rule:\n    def check(self, answer, finished): ...\n",
        "no module seamed.inner with a function check",
    ),
    "in_a_text": (
        '"""\ndef check(text, answer, finished): ...\n"""\n',
        "no module seamed.in_a_text with a function check",
    ),
    "comment": ("# def check(text, answer, finished):\n", "no module seamed.comment with a function check"),
    "broken": ("def check(text, answer, finished)\n", r"broken\.py cannot be read as Python .*line 1"),
}


@pytest.fixture
def seam(tmp_path, monkeypatch):
    folder = tmp_path / "seamed"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, text in FOUND.items() | {(name, text) for name, (text, _) in REFUSED.items()}:
        (folder / f"{name}.py").write_text(text, "utf-8", newline="")
    (folder / "first_line_params.py").write_text("def check(text, answer, finished): ...\n")
    monkeypatch.setattr(seams, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return Seam("seamed", "check(text, answer, finished)")


@pytest.mark.parametrize("name", FOUND)
def test_a_choice_is_found_however_its_function_is_written(seam, name):
    assert name in seam.names()
    assert seam.check(name) == name


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name, (_, reason) in REFUSED.items()])
def test_what_is_no_choice_is_refused_with_the_reason(seam, name, reason):
    with pytest.raises(ValueError, match=reason):
        seam.check(name)


def test_records_of_options_are_no_choices_and_an_unknown_name_lists_the_known(seam):
    assert "first_line_params" not in seam.names()
    with pytest.raises(ValueError, match=r"no module seamed\.nothing; known: .*first_line"):
        seam.check("nothing")


def test_an_edit_is_seen_at_once(seam, tmp_path):
    assert "late" not in seam.names()
    path = tmp_path / "seamed" / "late.py"
    path.write_text("x = 1\n")
    assert "late" not in seam.names()
    path.write_text("def check(text, answer, finished): ...\n")
    assert "late" in seam.names()


@pytest.mark.parametrize("seam", [JUDGE, RULE, Seam("pipelines.objectives")], ids=str)
def test_membership_is_that_of_the_list(seam: Seam):
    names = set(seam.names())
    assert names
    files = {path.stem for path in seams.paths(seam.package)}
    for name in [*files, "nothing", "__init__", "", "../settings", "a b", "x" * 300, "final_answer\0"]:
        assert (name in seam) is (name in names), name


def test_choices_lie_in_the_folder_or_in_its_rooms_and_each_name_once(seam, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "seamed", raising=False)
    monkeypatch.setattr(seams, "ROOMS", {"seamed": ("room",)})
    (tmp_path / "seamed/room").mkdir()
    (tmp_path / "seamed/room/__init__.py").write_text("")
    text = "def check(text, answer, finished):\n    return 'room'\n"
    (tmp_path / "seamed/room/roomed.py").write_text(text)
    assert {"roomed", "first_line"} <= set(seam.names())
    assert seam.check("roomed") == "roomed"
    assert seam.modules("roomed") == ["seamed.room.roomed"]
    assert seams.load("seamed", "roomed").check("", "", True) == "room"
    (tmp_path / "seamed/roomed.py").write_text(text)
    with pytest.raises(ValueError, match=r"seamed/roomed\.py or .*seamed/room/roomed\.py: rename one"):
        seam.check("roomed")
