"""The code digest: what counts as reached, and what counts as an edit."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.graph import codelock
from flows.graph.closure import Code, Declared
from flows.graph.params import load

MODULES = {
    "pipelines/__init__.py": "",
    "pipelines/a.py": "from pipelines.b import f\n",
    "pipelines/b.py": "import pipelines.c\n\ndef f():\n    from pipelines import d\n",
    "pipelines/c.py": "import numpy as np\nfrom torch.nn import functional\n",
    "pipelines/d.py": "VALUE = 1\n",
    "pipelines/package/__init__.py": "from .inner import x\n",
    "pipelines/package/inner.py": "from ..d import VALUE\nx = 1\n",
    "pipelines/named.py": "from importlib import import_module\nm = import_module('pipelines.d')\n",
    "pipelines/cycle_a.py": "import pipelines.cycle_b\n",
    "pipelines/cycle_b.py": "import pipelines.cycle_a\n",
    "tasks/__init__.py": "",
    "tasks/stage.py": "from tasks.execution_params import X\n",
    "tasks/execution_params.py": "X = 1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def reached(root: Path, *entries: str) -> set[str]:
    return Code(root).closure(entries)[0]


def test_imports_are_followed_also_inside_functions_and_other_packages_are_named(root: Path):
    ours, others = Code(root).closure(["pipelines.a"])
    assert ours == {"pipelines", "pipelines.a", "pipelines.b", "pipelines.c", "pipelines.d"}
    assert others == {"numpy", "torch"}


def test_relative_imports_parents_and_cycles(root: Path):
    assert reached(root, "pipelines.package.inner") == {
        "pipelines",
        "pipelines.package",
        "pipelines.package.inner",
        "pipelines.d",
    }
    assert {"pipelines.cycle_a", "pipelines.cycle_b"} <= reached(root, "pipelines.cycle_a")


def test_import_module_with_a_literal_counts(root: Path):
    assert "pipelines.d" in reached(root, "pipelines.named")


def test_execution_settings_are_no_part_of_the_digest(root: Path):
    code = Code(root)
    modules = code.closure(["tasks.stage"])[0]
    assert "tasks.execution_params" in modules
    assert "tasks.execution_params" not in code.digests(modules)


def digest(root: Path, text: str) -> str:
    (root / "pipelines/d.py").write_text(text)
    return Code(root).digests(["pipelines.d"])["pipelines.d"]


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x + 1\n",
        "# comment\ndef f(x):\n    # comment\n    return x + 1  # comment\n",
        '"""Module."""\n\n\ndef f(x):\n    """Function."""\n\n    return (x +\n            1)\n',
        "def f( x ):\n        return x+1\n",
        "def f(x):\r\n    return x + 1\r\n",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(root: Path, text: str):
    assert digest(root, text) == digest(root, "def f(x):\n    return x + 1\n")


@pytest.mark.parametrize(
    "text",
    ["def f(x):\n    return x + 2\n", "def f(x):\n    return x + 1.0\n", "def f(y):\n    return y + 1\n", "def f(x=1):\n    return x + 1\n",
     "def f(x):\n    'a'\n    'b'\n    return x + 1\n", "@g\ndef f(x):\n    return x + 1\n", "def f(x) -> int:\n    return x + 1\n"],
)  # fmt: skip
def test_everything_else_counts(root: Path, text: str):
    assert digest(root, text) != digest(root, "def f(x):\n    return x + 1\n")


@given(value=st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_constant_counts_by_its_value(tmp_path_factory: pytest.TempPathFactory, value: object):
    root = tmp_path_factory.mktemp("code")
    (root / "pipelines").mkdir()
    one = digest(root, f"X = {value!r}\n")
    assert one == digest(root, f"\n\nX = ( {value!r} )\n")
    assert one != digest(root, f"X = [{value!r}]\n")


def test_what_is_remembered_across_processes_is_never_stale(root: Path):
    code = Code(root)
    before = code.digests(code.closure(["pipelines.d"])[0])
    code.save()
    assert Code(root).digests(["pipelines.d"])["pipelines.d"] == before["pipelines.d"]
    (root / "pipelines/d.py").write_text("VALUE = 2\n")  # same size, same second
    assert Code(root).digests(["pipelines.d"])["pipelines.d"] != before["pipelines.d"]


def test_a_broken_memory_costs_only_time(root: Path):
    (root / ".whetstone").mkdir()
    (root / ".whetstone/closure.json").write_text("{")
    assert "pipelines.d" in reached(root, "pipelines.a")


def test_a_module_that_does_not_parse_is_named_with_its_line(root: Path):
    (root / "pipelines/d.py").write_text("VALUE = 1\nx = (\n")
    with pytest.raises(SyntaxError, match=r"pipelines/d\.py:2"):
        reached(root, "pipelines.a")


def test_what_libraries_load_from_our_entry_points_is_foreseen():
    """DeepSpeed imports MLflow, which loads every plugin that pyproject.toml registers: a stage's process
    runs that code whatever it does.
    """
    root = Path(codelock.__file__).resolve().parents[2]
    groups = tomllib.loads((root / "pyproject.toml").read_text())["project"].get("entry-points", {})
    plugins = {value.partition(":")[0] for group in groups.values() for value in group.values()}
    assert plugins <= set(codelock.EVERYWHERE)
    assert "tasks.dvc_artifacts" in codelock.entries(
        Declared("base@base", "python -m tasks base", ()), load(root)
    )
