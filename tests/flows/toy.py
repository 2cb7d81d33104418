"""A small real graph: the project's own dvc.yaml, runner and parameter records, with stages that compute in a
millisecond what a digest can.

Every stage reads its declared inputs and parameters through `Stage`, reaches a helper three imports away, and
writes all that dvc.yaml declares, so staleness is the real thing; only the learning is not.
"""

from __future__ import annotations

import compileall
import copy
import json
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

COMMON = '''"""{title}"""

import hashlib
import json
import os
import time
from pathlib import Path


def content(path):
    """Digest of a file or folder."""
    state = hashlib.sha256()
    files = [path] if Path(path).is_file() else sorted(p for p in Path(path).rglob("*") if p.is_file())
    for file in files:
        state.update(Path(file).read_bytes())
    return state.hexdigest()


def emit(stage, facts, extra=None):
    """Write every declared output from `facts` alone."""
    text = json.dumps(facts, sort_keys=True)
    (Path(".") / ".ran").mkdir(exist_ok=True)
    (Path(".") / ".ran" / (stage.name + "." + str(time.time_ns()))).write_text("")
    for out in stage.spec.outs:
        if out.endswith("/lineage.json"):
            continue
        path = stage.out(out)
        if out.endswith((".json", ".jsonl")):
            path.write_text(text + "\\n")
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / "content.txt").write_text(text)
            for name, value in (extra or {{}}).items():
                (path / name).write_text(value)
'''

TASKS = {
    "corpus": """
import json
from pathlib import Path
from tasks.toy_common import emit
from pipelines.toy.near import start

def run(stage):
    params = stage.value("corpus." + stage.item)
    raw = Path(params["raw"])
    rows = []
    for file in sorted(p for p in raw.rglob("*") if p.is_file()):
        for line in file.read_text().splitlines():
            rows.append(" ".join(line.split()))
    facts = {"rows": rows, "most": params["max_prompt_tokens"], "seed": stage.seed, "start": start()}
    emit(stage, facts)
""",
    "base": """
from tasks.toy_common import content, emit

def run(stage):
    name = stage.value("base.runs.base")["data"]
    emit(stage, {"data": content(stage.input(f"data/{name}/records")), "base": stage.value("base.runs.base"), "seed": stage.seed}, {"w.bin": "b"})
""",
    "sft": """
import os
import time
from tasks.toy_common import content, emit
from pipelines.toy.supervised import nll
from tasks.sft_params import SftRun

def run(stage):
    params = stage.settings(SftRun)
    if os.environ.get("TOY_SLEEP"):
        (stage.work / "sleeping").touch()
        for step in range(int(float(os.environ["TOY_SLEEP"]) * 20)):
            stage.progress(step, 100, loss=0.5)
            time.sleep(0.05)
    if os.environ.get("TOY_UNFORESEEN"):
        from importlib import import_module
        import_module(".".join(["pipelines", "toy", "hidden"]))
    facts = {"base": content(stage.input(f"models/{params.start}/model")), "params": params.model_dump(), "loss": nll(2.0)}
    emit(stage, facts)
    stage.log(1, loss=nll(2.0))
""",
    "rl": """
from tasks.toy_common import content, emit
from pipelines.seams import load
from pipelines.toy.far import outer
from tasks.rl_params import RlRun

def run(stage):
    params = stage.settings(RlRun)
    objective = load("pipelines.objectives", params.objective.kind)
    emit(stage, {"start": content(stage.input("models/sft/model")), "params": params.model_dump(), "outer": outer(3.0), "objective": objective.__name__})
""",
    "evaluate": """
from tasks.toy_common import content, emit

def run(stage):
    run = stage.value(f"evaluate.runs.{stage.item}")
    emit(stage, {"model": content(stage.input(f"models/{run['model']}/model")), "settings": run})
""",
    "report": """
from tasks.toy_common import content, emit

def run(stage):
    emit(stage, {name: content(stage.input(name)) for name in ("metrics", "curves", "samples")}, {"index.html": "<html></html>", "report.md": "# report"})
""",
}

MODULES = {
    "pipelines/toy/__init__.py": "",
    "pipelines/toy/near.py": "def start():\n    return 1\n",
    "pipelines/toy/supervised.py": "def nll(x):\n    return x * 0.5\n",
    "pipelines/toy/far.py": "from pipelines.toy.middle import inner\n\n\ndef outer(x):\n    return inner(x) + 1\n",
    "pipelines/toy/middle.py": "from pipelines.toy.loss import loss\n\n\ndef inner(x):\n    return loss(x) * 2\n",
    "pipelines/toy/loss.py": '"""The loss."""\n\n\ndef loss(x):\n    """Half."""\n    return x / 2  # half\n',
    "pipelines/toy/hidden.py": "VALUE = 1\n",
    "pipelines/toy/unrelated.py": "VALUE = 1\n",
}

# Two objectives, each a file of its own: how a later method is added. `clip` counts as importing torch,
# without the wait for it.
OBJECTIVES = {
    "clip": '"""Clipped."""\n\nfrom pipelines.objectives.options import ClipParams  # noqa: F401\n\n\ndef policy_loss(*args, **kwargs):\n    import torch\n\n    return torch.zeros(())\n',
    "plain": '"""Plain policy gradient."""\n\n\ndef policy_loss(*args, **kwargs):\n    return 0.0\n',
}


# The branches of preferences and verifiers without a set, run, round or model: their stages are as many as
# params.yaml names.
EMPTY: dict[str, Any] = {
    **{name: {} for name in ("preferences", "exams", "judgements")},
    **{name: {"common": {}, "runs": {}} for name in ("reward_model", "dpo", "verifier")},
    "assess": {"models": {}, "graders": {"reward_model": "none", "cost_model": "none"}, "settings": {}},
    "wins": {},
    "dpo_theory": {},
}


def environment(home: Path) -> dict[str, str]:
    """Environment of every command in a test: no state of the user's is read or written."""
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "MLFLOW_", "WHETSTONE_", "DVC_", "GIT_"))
    }
    env |= {
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@localhost",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@localhost",
        "COLUMNS": "200",
        # a .pyc of ordinary kind goes by size and seconds: an edit within the second would pass unseen
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    return env


def make(folder: Path) -> Path:
    """The graph, not yet run, in a fresh git and DVC repository."""
    folder.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("flows", "tasks", "pipelines", "raw", "sources", "models/none", "data/none"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in (".dvcignore", ".gitignore", "source.lock.json"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (folder / "requirements.lock").write_text("torch==2.13.0\n")
    (folder / ".whetstone").mkdir()
    (folder / ".whetstone" / "bring.py").write_text((Path(__file__).parent / "bring.py").read_text())
    (folder / "tasks" / "toy_common.py").write_text(COMMON.format(title="What every toy stage does."))
    for name, text in TASKS.items():
        (folder / "tasks" / f"{name}.py").write_text(f'"""Toy {name}."""\n{text}')
    for name, text in MODULES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, text in OBJECTIVES.items():
        (folder / f"pipelines/objectives/{name}.py").write_text(text)
    (folder / "raw/toy").mkdir(parents=True)
    (folder / "raw/toy/rows.txt").write_text("one  two\nthree\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["corpus"] = {"exam": params["corpus"]["exam"] | {"raw": "raw/toy"}}
    params["rl"] = {
        "common": {},
        "methods": {"grpo": {"objective": "clip"}, "other": {"objective": "plain"}},
        "runs": {name: {"method": name, "start": "sft", "data": "exam", "judge": "none"} for name in METHODS},
    }
    params["evaluate"]["runs"] = {name: {"model": name, "data": "exam"} for name in ("sft", *METHODS)}
    params["base"]["runs"] = {"base": {"data": "exam", "tokenizer": {"kind": "bpe", "vocab_size": 144}}}
    params["sft"]["runs"] = {"sft": {"start": "base", "data": "exam"}}
    params |= copy.deepcopy(EMPTY)
    params["sft"]["common"].pop(
        "validation_size", None
    )  # left to its default, in pipelines/training/options.py
    params["execution"] = {"threads": 1, "jobs": 2, "cpu_slots": 2, "grace_s": 2, "log_period_s": 0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "presets.yaml").write_text("rl: {methods: {}}\n")
    with open(folder / ".gitignore", "a") as stream:
        stream.write("/.ran/\n")
    for name in ("flows", "tasks", "pipelines"):
        compileall.compile_dir(
            folder / name, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
        )
    env = environment(folder.parent)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, env=env, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, env=env, check=True)
    subprocess.run(["git", "add", "-A"], cwd=folder, env=env, check=True)
    subprocess.run(["git", "commit", "-qm", "start"], cwd=folder, env=env, check=True)
    return folder


METHODS = ("grpo", "other")
RL = {f"rl@{name}" for name in METHODS}
BELOW_RL = {*(f"evaluate@{name}" for name in METHODS), "report"}
BELOW_SFT = {"evaluate@sft", *RL, *BELOW_RL}
ALL = {"corpus@exam", "base@base", "sft@sft", *BELOW_SFT}


def method(name: str) -> set[str]:
    """A method's stage and what is below it."""
    return {f"rl@{name}", f"evaluate@{name}", "report"}


class Project:
    """A copy of the graph and the ways to edit and ask it. `python` is the interpreter of every command (see
    `forks`).
    """

    patience = 240.0  # seconds that one command may take

    def __init__(self, folder: Path, python: str = sys.executable):
        self.folder, self.python = folder, python
        self.env = environment(folder.parent)
        self.env["PATH"] = os.pathsep.join([str(Path(python).parent), self.env["PATH"]])

    def start(self, *words: str, **extra: str) -> subprocess.Popen[str]:
        """`python …`, not waited for."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [self.python, *words], cwd=self.folder, env={**self.env, **extra}, text=True, **pipes
        )

    def python_call(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *words],
            cwd=self.folder,
            env={**self.env, **extra},
            capture_output=True,
            text=True,
            timeout=self.patience,
        )

    def call(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """`whetstone …` as a process of its own."""
        return self.python_call("-m", "flows", *words, **extra)

    def dvc(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.python_call("-m", "dvc", *words, **extra)

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=self.folder, env=self.env, check=True, capture_output=True, text=True
        ).stdout

    def plan(self, *words: str, **extra: str) -> dict[str, str]:
        """Stage -> action, fresh ones left out."""
        return {
            row["stage"]: row["action"] for row in self.plan_rows(*words, **extra) if row["action"] != "keep"
        }

    def plan_rows(self, *words: str, **extra: str) -> list[dict]:
        done = self.call("plan", "--json", *words, **extra)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["stages"]

    def aside(self) -> list[dict]:
        """What is kept aside, oldest first."""
        done = self.call("aside", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def reasons(self, stage: str, *words: str, **extra: str) -> list[str]:
        """Why the plan says that `stage` is stale."""
        return next(row["reasons"] for row in self.plan_rows(*words, **extra) if row["stage"] == stage)

    def run(self, *words: str, expect: int = 0, **extra: str) -> dict:
        done = self.call("run", "--json", *words, **extra)
        assert done.returncode == expect, done.stdout + done.stderr
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def bring(self, *words: str, expect: int = 0, **extra: str) -> dict[str, str]:
        """As `run`, without Prefect and MLflow; returns stage -> how it ended, fresh ones left out."""
        done = self.python_call(".whetstone/bring.py", *words, **extra)
        assert done.returncode == expect, done.stdout + done.stderr
        return {
            name: stage["ended"]
            for name, stage in json.loads(done.stdout)["stages"].items()
            if stage["ended"] != "keep"
        }

    def ran(self) -> list[str]:
        """Names of the stages whose code has run since the last call, sorted."""
        folder = self.folder / ".ran"
        names = sorted(path.name.rsplit(".", 1)[0] for path in folder.glob("*")) if folder.exists() else []
        shutil.rmtree(folder, ignore_errors=True)
        return names

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        assert old in text, f"{old!r} is not in {path}"
        (self.folder / path).write_text(text.replace(old, new))

    def set(self, key: str, value: object) -> None:
        """Change params.yaml; None removes the key."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        target = params
        *parents, last = key.split(".")
        for part in parents:
            target = target.setdefault(part, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False))
