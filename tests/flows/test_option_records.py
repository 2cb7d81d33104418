"""An `options.py` counts record by record: what shares the file is not stale with it, what uses a record is."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from flows.graph import codelock
from flows.graph.closure import Code
from flows.graph.option_records import records
from pipelines.settings import ROOT
from tasks.code_files import source_file

OPTIONS = '''"""Options."""

from __future__ import annotations

from math import pi, tau

from pydantic import BaseModel, Field

LIMIT = 3


class Base(BaseModel):
    """What all have."""

    low: float = Field(pi, ge=0)


class Narrow(Base):
    high: float = 1.0

    def width(self) -> float:
        return half(self.high - self.low)


class Other(BaseModel):
    turn: "list[Part]" = []


class Part(BaseModel):
    angle: float = tau


def half(value: float) -> float:
    return value / 2
'''
EVERY = {"Base", "Narrow", "Other", "Part"}


def digests(text: str) -> dict[str, str]:
    return records(ast.parse(text), ast.dump)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("high: float = 1.0", "high: float = 2.0", {"Narrow"}),
        ("high: float = 1.0", "high: float = 1.0\n    step: float = 1.0", {"Narrow"}),
        ("Field(pi, ge=0)", "Field(pi, gt=0)", {"Base", "Narrow"}),
        ("value / 2", "value / 3", {"Narrow"}),
        ("angle: float = tau", "angle: float = 0.0", {"Part", "Other"}),
        ("import pi, tau", "import e as tau, pi", {"Part", "Other"}),
        ("import pi, tau", "import e as pi, tau", {"Base", "Narrow"}),
        ("import pi, tau", "import cos, pi, tau", set()),
        ("LIMIT = 3", "LIMIT = 4", EVERY),
        ("from __future__ import annotations\n", "", EVERY),
        ("class Other", "class New(BaseModel):\n    pass\n\n\nclass Other", set()),
    ],
)
def test_a_change_reaches_the_records_that_use_it(old: str, new: str, changed: set[str]) -> None:
    before, after = digests(OPTIONS), digests(OPTIONS.replace(old, new))
    assert before.keys() == EVERY
    assert {name for name in before if before[name] != after[name]} == changed


@pytest.mark.parametrize(
    "statement",
    [
        "Base.low = 2",
        "Narrow.model_rebuild()",
        "@register\nclass Listed(BaseModel):\n    pass",
        "class Listed(BaseModel, metaclass=Registry):\n    pass",
        "class Listed(BaseModel):\n    Base.low = 2",
        "class Listed(BaseModel):\n    register('Listed')",
        "if LIMIT:\n    pass",
        "from math import *",
        "class Base(BaseModel):\n    pass",
        "@cache\ndef third(value): ...",
    ],
)
def test_a_module_that_does_more_than_define_counts_as_a_whole(statement: str) -> None:
    assert digests(f"{OPTIONS}\n\n{statement}\n") == {}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pipelines/room").mkdir(parents=True)
    for name in ("pipelines/__init__.py", "pipelines/room/__init__.py"):
        (tmp_path / name).touch()
    (tmp_path / "pipelines/room/options.py").write_text(OPTIONS)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("from pipelines.room.options import Narrow", {"options.Narrow"}),
        ("from .options import Narrow as N, Part", {"options.Narrow", "options.Part"}),
        ("def f():\n    from pipelines.room.options import Part", {"options.Part"}),
        ("from pipelines.room.options import LIMIT, Narrow", {"options"}),
        ("from pipelines.room.options import Narrow, half", {"options"}),
        ("from pipelines.room.options import *", {"options"}),
        ("from pipelines.room import options", {"options"}),
        ("import pipelines.room.options as o", {"options"}),
        ("NAME = 'pipelines.room.options'", {"options"}),
        ("NAME = 'pipelines.room.options.Part'", {"options.Part"}),
    ],
)
def test_an_import_of_records_names_them_and_any_other_the_module(
    tree: Path, text: str, named: set[str]
) -> None:
    (tree / "pipelines/room/user.py").write_text(f"{text}\n")
    code = Code(tree)
    reached, others = code.closure(["pipelines.room.user"])
    found = {name for name in reached if ".options" in name}
    assert found == {f"pipelines.room.{name}" for name in named}
    assert "pydantic" in others
    assert code.digests(reached).keys() == reached
    assert code.digests(found) == {name: code.digests(reached)[name] for name in found}
    assert {source_file(tree, name) for name in found} == {tree / "pipelines/room/options.py"}


def test_a_module_that_is_none_of_its_own_records_is_no_module(tree: Path) -> None:
    assert Code(tree).module("pipelines.room.options.Missing") is None
    assert source_file(tree, "pipelines.room.other.Part") is None


def locked(python: str, folder: Path) -> dict[str, dict]:
    """What each stage counts, in a copy of the project."""
    command = [python, "-m", "flows.graph.codelock"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / codelock.CODE_LOCK).read_text())


@pytest.fixture
def project(tmp_path: Path, python: str) -> Path:
    """A copy of the project."""
    folder = tmp_path / "project"
    kept = ("flows", "tasks", "pipelines", "recipes", "dvc.yaml", "params.yaml", "presets.yaml")
    for name in (*kept, "requirements.lock", "source.lock.json", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([python, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    return folder


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def stale(python: str, folder: Path, before: dict[str, dict], path: str, old: str, new: str) -> set[str]:
    """The stages that count something else after an edit of a file below `folder`, which is taken back."""
    text = (folder / path).read_text()
    replace(folder / path, old, new)
    after = locked(python, folder)
    (folder / path).write_text(text)
    return {name for name in before if after[name] != before[name]}


def test_options_of_one_objective_leave_runs_of_another_fresh(project: Path, python: str) -> None:
    """With a run of clip and one of KL-Cov."""
    replace(project / "params.yaml", "method: grpo", "method: kl_cov")
    before = locked(python, project)
    stale_after = partial(stale, python, project, before)
    options = "pipelines/objectives/options.py"
    coef = 'coef: float = Field(1.0, ge=0, le=100, description="weight of their penalty'
    assert before["rl@grpo"]["settings"]["rl.runs.grpo"]["objective"]["kind"] == "kl_cov"
    assert stale_after(options, coef, f"more: float = 0.0\n    {coef}") == {"rl@grpo"}
    assert stale_after(options, coef, coef.replace("1.0", "2.0")) == {"rl@grpo"}
    # no run has this mask
    masks, share = "pipelines/objectives/masks/options.py", "share: float = Field(\n        0.2, "
    assert stale_after(masks, share, share.replace("0.2", "0.3")) == set()
    # every loss of pairs is told of what all have; of another's own option it is not
    losses, smoothing = (
        "pipelines/objectives/preference/options.py",
        "smoothing: float = Field(\n        0.1,",
    )
    assert stale_after(losses, smoothing, smoothing.replace("0.1", "0.2")) == set()
    beta = "beta: float = Field(\n        0.1,"
    changed = stale_after(losses, beta, beta.replace("0.1", "0.2"))
    assert "dpo" in {name.partition("@")[0] for name in changed}
    assert not any(name.startswith(("rl@", "sft@", "corpus@")) for name in changed)
    # runs with a distilled verifier share the file with endpoints, which no run asks
    judges, endpoint = "pipelines/rewards/models/options.py", 'kind: Literal["endpoint"] = "endpoint"'
    assert "pipelines.rewards.models.options.VerifierParams" in before["rl@rlvr_soft"]["modules"]
    assert stale_after(judges, endpoint, f"{endpoint}\n    more: float = 0.0") == set()
    # every loop has an optimiser; the options of supervised fine-tuning are those of some
    size = "validation_size: int = Field(200"
    changed = stale_after("pipelines/training/options.py", size, size.replace("200", "201"))
    assert {"sft@sft", "verifier@verifier"} <= changed
    assert {name.partition("@")[0] for name in changed} <= {"sft", "verifier", "verifier_report"}


def test_options_of_one_reader_leave_corpora_of_another_fresh(project: Path, python: str) -> None:
    """With corpora of `exam`, `phrases` and `dialogues`, and sets of pairs of `hh` and `xstest`."""
    pairs = "".join(
        f"  {kind}_pairs:\n    origin: raw/{kind}\n    data: exam\n    judge: none\n"
        f"    source: {{kind: {kind}, splits: {{train: pairs.jsonl}}}}\n"
        for kind in ("hh", "xstest")
    )
    replace(project / "params.yaml", "\npreferences:\n", f"\npreferences:\n{pairs}")
    chats = "reader: dialogues, layout: hh, splits: {sft: chats.jsonl, heldout: heldout.jsonl}"
    corpus = f"  chats:\n    raw: raw/chats\n    sources: {{chats: {{{chats}}}}}\n"
    replace(project / "params.yaml", "\ncorpus:\n", f"\ncorpus:\n{corpus}")
    before = locked(python, project)
    stale_after = partial(stale, python, project, before)
    assert {"corpus@chats", "preferences@hh_pairs", "preferences@xstest_pairs"} < before.keys()
    readers, layouts = "pipelines/corpora/readers/options.py", "pipelines/corpora/pairs/options.py"
    start = "start_max: int = Field(\n        60,"
    assert stale_after(readers, start, start.replace("60", "61")) == {"corpus@exam"}
    unseen = "unseen: tuple[PhraseSubjects.Subject"
    assert stale_after(readers, unseen, f"more: float = 0.0\n    {unseen}") == {"corpus@rlvr"}
    other = 'PhraseSubjects:\n    """Kinds of question of the embedded multi-subject set."""\n\n    Subject = Literal['
    assert stale_after(readers, other, f'{other}"more", ') == {"corpus@rlvr"}
    solution = "solution: str | None = Field(\n        None,"  # of `table`, which no corpus has
    assert stale_after(readers, solution, f"more: float = 0.0\n    {solution}") == set()
    partly = 'partial: Literal["between", "drop"]'
    assert stale_after(layouts, partly, f"more: float = 0.0\n    {partly}") == {"preferences@xstest_pairs"}
    kind = 'kind: Literal["hh"] = "hh"'
    changed = stale_after(layouts, kind, f"{kind}\n    more: float = 0.0")
    assert changed == {"preferences@hh_pairs", "corpus@chats"}
