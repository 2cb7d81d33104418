"""A small layered graph as inline SVG: sources on the left, each node one column after its last parent.

Edges that skip columns pass through empty positions in between, so that none crosses a node (a reduced form
of Sugiyama's method).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipelines.printable import escape

WIDTH, HEIGHT, GAP_X, GAP_Y, PASS_Y, MARGIN = 158, 50, 46, 20, 12, 6
SWEEPS = 6


@dataclass(frozen=True)
class Box:
    """A node: `id` is unique, `label` and `note` are its two lines, `style` its CSS classes, `href` its
    link.
    """

    id: str
    label: str
    note: str = ""
    style: str = ""
    href: str = ""
    hint: str = ""


def layer_of(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Returns the column of each node: the length of the longest path to it from a source. Raises ValueError,
    which names the nodes, on a cycle.
    """
    parents: dict[str, list[str]] = {node: [] for node in ids}
    for start, end in edges:
        parents[end].append(start)
    column: dict[str, int] = {}
    while len(column) < len(parents):
        ready = [
            node for node in ids if node not in column and all(parent in column for parent in parents[node])
        ]
        if not ready:
            raise ValueError(
                f"the graph has a cycle among {', '.join(node for node in ids if node not in column)}"
            )
        column.update(
            {node: 1 + max((column[parent] for parent in parents[node]), default=-1) for node in ready}
        )
    return column


def transitive_reduction(edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the edges without those that a longer path implies (transitive reduction), in their order and
    without duplicates.
    """
    unique = list(dict.fromkeys(edges))
    children: dict[str, set[str]] = {}
    for start, end in unique:
        children.setdefault(start, set()).add(end)

    def below(node: str) -> set[str]:
        reached, open_nodes = set(), list(children.get(node, ()))
        while open_nodes:
            child = open_nodes.pop()
            if child not in reached:
                reached.add(child)
                open_nodes.extend(children.get(child, ()))
        return reached

    reach = {node: below(node) for node in children}
    return [
        (start, end)
        for start, end in unique
        if not any(end in reach.get(other, ()) for other in children[start] - {end})
    ]


def draw(
    nodes: Sequence[Box],
    edges: Iterable[tuple[str, str]],
    title: str,
    hints: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Returns the graph as an `<svg>` element; the page's style sheet gives colours by class. `hints`:
    tooltips of the edges.
    """
    edges, hints = list(dict.fromkeys(edges)), hints or {}
    column = layer_of([node.id for node in nodes], edges)
    chains = {edge: _chain(edge, column) for edge in edges}
    rows = _ordered(nodes, column, chains.values())
    centre = _places(rows)
    width = len(rows) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    height = (
        max((max(_extent(position, centre[position][1])) for row in rows for position in row), default=0)
        + MARGIN
    )
    body = [_edge(chain, centre, hints.get(edge, "")) for edge, chain in chains.items()] + [
        _box(node, centre[node.id]) for node in nodes
    ]
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = f'<svg class="graph" role="group" aria-label="{escape(title)}" {size}>'
    return "\n".join([head, _ARROW, *body, "</svg>"])


_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto">'
    '<path class="head" d="M0 0.8 L7 4 L0 7.2 z"/></marker></defs>'
)

Passage = tuple[str, str, int]  # the place where an edge goes through a column
Position = str | Passage


def _chain(edge: tuple[str, str], column: Mapping[str, int]) -> list[Position]:
    start, end = edge
    return [start, *((start, end, layer) for layer in range(column[start] + 1, column[end])), end]


def _ordered(
    nodes: Sequence[Box], column: Mapping[str, int], chains: Iterable[list[Position]]
) -> list[list[Position]]:
    """Returns the positions of each column from top to bottom, sorted by the mean of their neighbours to
    reduce crossings.
    """
    rows: list[list[Position]] = [[] for _ in range(1 + max(column.values(), default=-1))]
    before: dict[Position, list[Position]] = {}
    after: dict[Position, list[Position]] = {}
    for node in nodes:
        rows[column[node.id]].append(node.id)
    for chain in chains:
        for position in chain:
            if not isinstance(position, str):
                rows[position[2]].append(position)
        for first, second in pairwise(chain):
            after.setdefault(first, []).append(second)
            before.setdefault(second, []).append(first)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for row, fixed in (
            zip(rows[1:], rows, strict=False) if forward else zip(rows[-2::-1], rows[:0:-1], strict=False)
        ):
            rank = {position: (index + 0.5) / len(fixed) for index, position in enumerate(fixed)}
            near = before if forward else after
            current = {position: (index + 0.5) / len(row) for index, position in enumerate(row)}
            row.sort(
                key=lambda position: _mean(
                    [rank[neighbour] for neighbour in near.get(position, ()) if neighbour in rank],
                    current[position],
                )
            )
    return rows


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _places(rows: Sequence[Sequence[Position]]) -> dict[Position, tuple[float, float]]:
    """Returns the centre of every position; columns are centred on one another."""
    heights = [sum(map(_height, row)) + GAP_Y * (len(row) - 1) for row in rows]
    centre: dict[Position, tuple[float, float]] = {}
    for index, row in enumerate(rows):
        top = MARGIN + (max(heights) - heights[index]) / 2
        for position in row:
            centre[position] = MARGIN + index * (WIDTH + GAP_X) + WIDTH / 2, top + _height(position) / 2
            top += _height(position) + GAP_Y
    return centre


def _height(position: Position) -> float:
    return HEIGHT if isinstance(position, str) else PASS_Y


def _extent(position: Position, y: float) -> tuple[float, float]:
    return y - _height(position) / 2, y + _height(position) / 2


def _edge(chain: Sequence[Position], centre: Mapping[Position, tuple[float, float]], hint: str) -> str:
    x, y = centre[chain[0]]
    x += WIDTH / 2
    path = [f"M{x:g} {y:g}"]
    for position in chain[1:]:
        middle, target = centre[position]
        left = middle - WIDTH / 2
        bend = (left - x) / 2
        path.append(f"C{x + bend:g} {y:g} {left - bend:g} {target:g} {left:g} {target:g}")
        x, y = middle + WIDTH / 2, target
        if position != chain[-1]:
            path.append(f"L{x:g} {y:g}")
    start, end = str(chain[0]), str(chain[-1])
    ends = f'data-from="{escape(start)}" data-to="{escape(end)}"'
    tooltip = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<path class="edge" {ends} marker-end="url(#arrow)" d="{" ".join(path)}">{tooltip}</path>'


def _box(node: Box, centre: tuple[float, float]) -> str:
    x, y = centre
    hint = f"<title>{escape(node.hint)}</title>" if node.hint else ""
    box = (
        f'<g class="node {escape(node.style)}" data-id="{escape(node.id)}">{hint}'
        f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="label" x="{x:g}" y="{y - 3:g}">{escape(_short(node.label, 18))}</text>'
        f'<text class="note" x="{x:g}" y="{y + 14:g}">{escape(_short(node.note, 26))}</text></g>'
    )
    return f'<a href="{escape(node.href)}">{box}</a>' if node.href else box


def _short(text: str, limit: int) -> str:
    """Returns the text cut to `limit` at its beginning: the end of a long path says more."""
    return text if len(text) <= limit else "…" + text[1 - limit :]
