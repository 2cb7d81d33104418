"""No two modules of the project import one another, at any depth, at the top of a file or within it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipelines", "tasks", "flows")


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
            elif isinstance(node, ast.ImportFrom):
                start = name.split(".")[: -node.level] if node.level else []
                module = ".".join([*start, *filter(None, [node.module])])
                inner = {f"{module}.{alias.name}" for alias in node.names}
                taken |= inner & names or {module}
        graph[name] = (taken & names) - {name}
    return graph


def modules(folder, *packages):
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for package in packages
        for path in (folder / package).rglob("*.py")
    }


def test_no_modules_import_each_other():
    names = modules(ROOT, *PACKAGES)
    assert len(names) > 400
    TopologicalSorter(imports_of(ROOT, names)).prepare()


@pytest.mark.parametrize(
    "statement", ["from room.first import f", "from . import first", "import room.first"]
)
def test_a_circle_would_be_seen(tmp_path, statement):
    (tmp_path / "room").mkdir()
    (tmp_path / "room/first.py").write_text("def f():\n    from room import second\n")
    (tmp_path / "room/second.py").write_text(f"{statement}\n")
    with pytest.raises(CycleError):
        TopologicalSorter(imports_of(tmp_path, modules(tmp_path, "room"))).prepare()
