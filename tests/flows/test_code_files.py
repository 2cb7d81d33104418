"""Which files count as code: what Python imports and what modules name; what editors, systems and people
leave beside them does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.graph import bytecode
from flows.graph.closure import Code

ENTRY = "tasks.sft"
MODULES = {
    "tasks/__init__.py": "",
    "tasks/sft.py": "from pipelines.objectives.loss import loss\nfrom pipelines.pages import show\n",
    "pipelines/__init__.py": "",
    "pipelines/objectives/__init__.py": "",
    "pipelines/objectives/loss.py": "def loss(x):\n    return x\n",
    "pipelines/pages/__init__.py": "",
    "pipelines/pages/show.py": "HERE = __file__\n",
}
LOSS, SHOW = "pipelines/objectives/loss.py", "pipelines/pages/show.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def digests(root: Path) -> dict[str, str]:
    code = Code(root)
    return code.digests(code.closure([ENTRY])[0])


def changed(root: Path, edit: Callable[[], None]) -> set[str]:
    """Keys of the digest that an edit changes."""
    before = digests(root)
    edit()
    after = digests(root)
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@pytest.mark.parametrize(
    "name",
    [
        "pipelines/objectives/.loss.py.swp", "pipelines/objectives/.loss.py.swo", "pipelines/objectives/loss.py~", "pipelines/objectives/#loss.py#",
        "pipelines/objectives/.#loss.py", "pipelines/objectives/4913", "pipelines/objectives/.DS_Store", "pipelines/objectives/Thumbs.db",
        "pipelines/objectives/loss.py.orig", "pipelines/objectives/loss.py.rej", "pipelines/objectives/loss.py.bak", "pipelines/objectives/loss.txt",
        "pipelines/objectives/NOTES.md", "pipelines/objectives/README.md", "pipelines/objectives/loss (copy).py", "pipelines/objectives/loss_old.py",
        "pipelines/objectives/.ipynb_checkpoints/loss.py", "pipelines/objectives/.ipynb_checkpoints/loss-checkpoint.py",
        "pipelines/objectives/__pycache__/loss.cpython-311.pyc", "pipelines/objectives/__pycache__/loss.cpython-312.pyc.140",
        "pipelines/objectives/.loss.py.kate-swp", "pipelines/objectives/.idea/workspace.xml", "pipelines/objectives/notes/todo.txt",
        "pipelines/objectives/loss.py.1234.tmp", "pipelines/objectives/profile.prof", "pipelines/objectives/nohup.out",
        "pipelines/.DS_Store", "tasks/NOTES.md", "tasks/.sft.py.swp", "tasks/sft.ipynb",
    ],
)  # fmt: skip
def test_what_nobody_reads_does_not_count(root: Path, name: str):
    assert changed(root, lambda: write(root, name, "VALUE = 1\n")) == set()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("open('page.css')", "pipelines/pages/page.css"),
        ("Path(__file__).with_name('prompt.txt')", "pipelines/pages/prompt.txt"),
        ("HERE / 'prompts' / name", "pipelines/pages/prompts/system.txt"),
        ("HERE / 'prompts' / name", "pipelines/pages/prompts/deep/er/system.jinja"),
        ("HERE / f'prompts/{name}.txt'", "pipelines/pages/prompts/judge.txt"),
        ("HERE / f'{name}.jinja'", "pipelines/pages/judge.jinja"),
        ("HERE.glob('*.jinja')", "pipelines/pages/judge.jinja"),
        ("HERE.parent / 'words.txt'", "pipelines/words.txt"),
        ("open('pipelines/words.txt')", "pipelines/words.txt"),
        ("open('tasks/prompt.txt')", "tasks/prompt.txt"),
        ("HERE / '../other/table.json'", "pipelines/other/table.json"),
        ("files('pipelines.objectives').joinpath('units.json')", "pipelines/objectives/units.json"),
        ("exec(open(HERE / 'script.py').read())", "pipelines/pages/script.py"),
        ("spec_from_file_location('x', 'pipelines/plugins/hook.py')", "pipelines/plugins/hook.py"),
        ("spec_from_file_location('x', HERE / 'plugins' / f'{name}.py')", "pipelines/pages/plugins/hook.py"),
        ("open(HERE / '../other/prompts' / name)", "pipelines/other/prompts/judge.txt"),
        ("open(f'pipelines/other/prompts/{name}.txt')", "pipelines/other/prompts/judge.txt"),
        ("HERE / 'a prompt.txt'", "pipelines/pages/a prompt.txt"),
        ("HERE / '裁判.txt'", "pipelines/pages/裁判.txt"),
        ("open('.hidden.txt')", "pipelines/pages/.hidden.txt"),
        ("open('kept.orig')", "pipelines/pages/kept.orig"),
    ],
)
def test_a_file_that_a_module_names_counts_byte_for_byte(root: Path, source: str, name: str):
    write(root, SHOW, f"def show(name):\n    return {source}\n")
    write(root, name, "one # a comment\n")
    assert changed(root, lambda: write(root, name, "one # another\n")) == {name}
    assert changed(root, lambda: (root / name).unlink()) == {name}


@pytest.mark.parametrize(
    "name",
    [
        "system.txt~",
        ".system.txt.swp",
        ".DS_Store",
        "#system.txt#",
        "system.txt.orig",
        ".ipynb_checkpoints/a.txt",
    ],
)
def test_what_lies_about_in_a_named_folder_does_not_count(root: Path, name: str):
    write(root, SHOW, "PROMPTS = 'prompts'\nKIND = '*.txt'\n")
    write(root, "pipelines/pages/prompts/system.txt", "one")
    assert changed(root, lambda: write(root, f"pipelines/pages/prompts/{name}", "x")) == set()


@pytest.mark.parametrize(
    "source",
    [
        "import runpy\n\ndef show():\n    runpy.run_module('pipelines.hidden')\n",
        "import subprocess, sys\n\ndef show():\n    subprocess.run([sys.executable, '-m', 'pipelines.hidden'])\n",
        "PROGRAM = 'from pipelines.hidden import serve; serve()'\n",
        "from importlib import import_module\n\ndef show():\n    import_module('..hidden', __package__)\n",
        "def show():\n    return __import__('pipelines.hidden')\n",
        "THINGS = {'a': 'pipelines.hidden.thing'}\n",
    ],
)
def test_a_module_that_is_named_counts_as_imported(root: Path, source: str):
    write(root, SHOW, source)
    write(root, "pipelines/hidden.py", "from pipelines import deeper\n")
    write(root, "pipelines/deeper.py", "VALUE = 1\n")
    assert {"pipelines.hidden", "pipelines.deeper"} <= digests(root).keys()


@pytest.mark.parametrize(
    "name", ["pipelines/objectives/loss/__init__.py", "pipelines/objectives/loss.abi3.so"]
)
def test_what_shadows_a_module_counts_in_its_place(root: Path, name: str):
    """Python takes a package before a module of the same name, and a compiled module before a source file."""
    assert changed(root, lambda: write(root, name, "VALUE = 1\n")) == {"pipelines.objectives.loss"}
    assert changed(root, lambda: write(root, name, "VALUE = 2\n")) == {"pipelines.objectives.loss"}
    assert changed(root, lambda: write(root, LOSS, "VALUE = 3\n")) == set()


def test_a_module_without_its_source_counts_by_its_bytecode(root: Path):
    (root / LOSS).unlink()
    write(root, "pipelines/objectives/loss.pyc", "one")
    assert changed(root, lambda: write(root, "pipelines/objectives/loss.pyc", "two")) == {
        "pipelines.objectives.loss"
    }


@pytest.mark.parametrize(
    "source",
    ["from pipelines.objectives.loss import loss\nPROMPT = loss.__doc__\n", "import inspect\n\ndef show(f):\n    return inspect.getdoc(f)\n",
     "def show(f):\n    return getattr(f, '__doc__')\n", "from transformers.utils import get_json_schema\n", "PROMPT = __doc__\n",
     "import inspect\n\ndef show(f):\n    return inspect.getsource(f)\n"],
)  # fmt: skip
def test_docstrings_count_where_a_module_may_read_them(root: Path, source: str):
    documented = 'def loss(x):\n    """{}"""\n    return x\n'
    write(root, LOSS, documented.format("You are a judge."))
    assert changed(root, lambda: write(root, LOSS, documented.format("You are a strict judge."))) == set()
    write(root, SHOW, source)
    assert changed(root, lambda: write(root, LOSS, documented.format("You are kind."))) == {
        "pipelines.objectives.loss"
    }


def test_comments_count_where_source_is_read(root: Path):
    write(root, SHOW, "import inspect\n\ndef show(f):\n    return inspect.getsource(f)\n")
    assert changed(root, lambda: write(root, LOSS, MODULES[LOSS] + "# a comment\n")) == {
        "pipelines.objectives.loss"
    }


def test_compiled_code_of_the_second_before_does_not_run_in_place_of_the_edited(root: Path):
    """Python compares seconds and sizes: without the removal it runs the old code, under the new code's
    digest.
    """
    ask = [sys.executable, "-c", "from pipelines.objectives.loss import VALUE; print(VALUE)"]
    second = time.time_ns() // 10**9 * 10**9 - 10**12
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def asked() -> str:
        return subprocess.run(
            ask, cwd=root, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    write(root, LOSS, "VALUE = 1\n")
    os.utime(root / LOSS, ns=(second, second))
    assert asked() == "1"
    (compiled,) = (root / "pipelines/objectives/__pycache__").glob("loss.*.pyc")
    os.utime(compiled, ns=(second + 1000, second + 1000))
    assert bytecode.drop_outdated(root, ["pipelines.objectives.loss"]) == []
    write(root, LOSS, "VALUE = 2\n")
    os.utime(root / LOSS, ns=(second + 2000, second + 2000))
    assert asked() == "1", "Python has become more careful: the removal is no longer needed"
    assert bytecode.drop_outdated(root, ["pipelines.objectives.loss"]) == [str(compiled)]
    assert asked() == "2"
