"""The rooms of the learning: no two modules import one another, at any depth, at the top of a file or within it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("training", "rollouts", "credit", "objectives", "models", "evaluation")


def imports_of(folder, names):
    """Module -> the modules of `names` that it imports."""
    graph = {}
    for name in names:
        path = folder.joinpath(*name.split("."))
        tree = ast.parse(
            (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
        )
        taken = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                taken |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                taken |= inner & names or {node.module}
        graph[name] = (taken & names) - {name}
    return graph


def modules(folder, room):
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for path in (folder / "pipelines" / room).rglob("*.py")
    }


@pytest.mark.parametrize("room", ROOMS)
def test_no_modules_of_a_room_import_each_other(room):
    names = modules(ROOT, room)
    assert len(names) > 5
    TopologicalSorter(imports_of(ROOT, names)).prepare()


def test_a_circle_would_be_seen(tmp_path):
    folder = tmp_path / "pipelines/room"
    folder.mkdir(parents=True)
    (folder / "one.py").write_text("def f():\n    from pipelines.room import two\n")
    (folder / "two.py").write_text("from pipelines.room.one import f\n")
    with pytest.raises(CycleError):
        TopologicalSorter(imports_of(tmp_path, modules(tmp_path, "room"))).prepare()
