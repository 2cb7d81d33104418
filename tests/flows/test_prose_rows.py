"""Tables whose last column is prose: at any width and with any name the prose keeps room, and nothing is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flows.configured_run import Finding
from flows.doctor import print_findings
from flows.prose_rows import LEAST_PROSE, print_prose_rows

PROSE = "code pipelines.sources.opening changed, and with it what reads"


def lines(width: int, rows: list[tuple[str, ...]], name: int = 0) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as shown:
        print_prose_rows(console, rows, name, titles=("stage", "action", "why"))
    return shown.get().splitlines()


@given(st.lists(st.integers(1, 70), min_size=1, max_size=5), st.sampled_from([80, 120]))
def test_names_of_any_length_stand_whole_and_prose_keeps_its_room(lengths: list[int], width: int) -> None:
    shown = lines(width, [("n" * length, "run", PROSE) for length in lengths])
    assert [len(line.split()[0]) for line in shown if line.startswith("n")] == lengths
    assert max(map(len, shown)) <= width
    most = 1 + len(PROSE) // (LEAST_PROSE - max(map(len, PROSE.split())) // 2)
    assert len(shown) <= 1 + len(lengths) * (1 + most)


@pytest.mark.parametrize("width", [80, 120])
def test_short_names_are_a_plain_table(width: int) -> None:
    head, *rows = lines(width, [("corpus@exam", "run", "never run"), ("report", "keep", "")])
    assert head.split() == ["stage", "action", "why"]
    assert [row.split() for row in rows] == [["corpus@exam", "run", "never", "run"], ["report", "keep"]]
    assert rows[0].index("run") == rows[1].index("keep") == head.index("action")


def test_what_doctor_says_beside_a_long_check_is_not_a_column_of_words() -> None:
    long = "template of corpus@arithmetic_of_shops_and_pens_in_two_languages"
    console = Console(width=80, color_system=None)
    with console.capture() as shown:
        print_findings(console, [Finding("python", True, "3.11"), Finding(long, False, "none", "give [one]")])
    said = shown.get()
    assert f"✗  {long}\n" in said
    assert [line.split() for line in said.splitlines()[2:]] == [["none"], ["→", "give", "[one]"]]
