"""The graph's layout: every edge runs to the right, nothing overlaps, and no edge is drawn across a node."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report_page.graph import HEIGHT, WIDTH, Box, draw, layer_of, transitive_reduction


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    count = draw(st.integers(1, 9))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=14)) if pairs else []
    return [f"n{place}" for place in range(count)], [(f"n{a}", f"n{b}") for a, b in edges]


def boxes(svg: str) -> dict[str, tuple[float, float]]:
    return {
        name: (float(x), float(y))
        for name, x, y in re.findall(r'data-id="(\w+)">.*?<rect x="([\d.]+)" y="([\d.-]+)"', svg)
    }


@given(graphs())
def test_edges_run_right_and_boxes_stay_apart_within_the_picture(
    graph: tuple[list[str], list[tuple[str, str]]],
):
    ids, edges = graph
    svg = draw([Box(one, one) for one in ids], edges, "test")
    places = boxes(svg)
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    assert sorted(places) == sorted(ids)
    for start, end in edges:
        assert places[start][0] + WIDTH < places[end][0]
    for one in ids:
        assert 0 <= places[one][0] <= width - WIDTH
        assert 0 <= places[one][1] <= height - HEIGHT
        for other in ids:
            if one < other and places[one][0] == places[other][0]:
                assert abs(places[one][1] - places[other][1]) >= HEIGHT


@given(graphs())
def test_an_edge_passes_each_column_that_it_skips_clear_of_every_box(
    graph: tuple[list[str], list[tuple[str, str]]],
):
    ids, edges = graph
    svg, column = draw([Box(one, one) for one in ids], edges, "test"), layer_of(ids, edges)
    paths = re.findall(r'data-from="(\w+)" data-to="(\w+)".*? d="([^"]+)"', svg)
    assert sorted((start, end) for start, end, _ in paths) == sorted(set(edges))
    for start, end, path in paths:
        # a level stretch ends at (x, y) where it began at height y
        level = re.findall(r" ([\d.]+) L([\d.]+) ", path)
        assert len(level) == column[end] - column[start] - 1
        for y, x in level:
            for left, top in boxes(svg).values():
                assert not (left < float(x) <= left + WIDTH and top < float(y) < top + HEIGHT)


@given(graphs())
def test_dropping_implied_edges_keeps_every_way(graph: tuple[list[str], list[tuple[str, str]]]):
    ids, edges = graph

    def reach(kept: list[tuple[str, str]], start: str) -> set[str]:
        found: set[str] = set()
        for a, b in kept:
            if a == start:
                found |= {b} | reach(kept, b)
        return found

    kept = transitive_reduction(edges)
    assert all(reach(kept, one) == reach(edges, one) for one in ids)
    assert all(
        reach([edge for edge in kept if edge != gone], gone[0]) != reach(kept, gone[0]) for gone in kept
    )


def test_a_cycle_is_named():
    with pytest.raises(ValueError, match="cycle among b, c"):
        layer_of(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "b")])
