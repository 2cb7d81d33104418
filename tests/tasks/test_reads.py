"""What a stage's process may read of the project: declared inputs and digested code; all else stops it and is
named.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "tasks",
    "tasks.reads",
    "tasks.code_files",
    "pipelines",
    "pipelines.loss",
    "pipelines/prompts/judge.jinja",
    "tasks/observed/sitecustomize.py",
)
WORK = ".whetstone/work"
FILES = {
    "tasks/__init__.py": "", "pipelines/__init__.py": "", "pipelines/loss.py": "VALUE = 1\n", "pipelines/hidden.py": "VALUE = 1\n",
    "pipelines/prompts/judge.jinja": "?", "pipelines/prompts/other.jinja": "?", "tasks/prompt.txt": "?", "params.yaml": "a: 1\n", "dvc.lock": "{}",
    ".git/HEAD": "ref", "raw/rows.txt": "row", "raw/deep/rows.txt": "row", "models/other/model/w.bin": "w", "loose.py": "VALUE = 1\n",
    "tools/script.py": "print(1)\n", f"{WORK}/other/checkpoint.pt": "c", "data.db": "", ".venv/lib/library.py": "VALUE = 1\n",
    "whetstone.egg-info/PKG-INFO": "Name: x\n",
}  # fmt: skip
STAGE = """
import os, runpy, shutil, sqlite3, subprocess, sys
from contextlib import suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tasks import reads

os.environ["VIRTUAL_ENV"] = os.path.abspath(".venv")
root, work = Path.cwd(), Path(".whetstone", "work", "sft-1")
watch = reads.begin(root)
{before}
reads.restrict(reads.allowed_reads(root, "sft", {code!r}, ["raw"], ["models/sft/model"], work))

def load(path, name="made"):
    spec = spec_from_file_location(name, path)
    spec.loader.exec_module(module_from_spec(spec))

def child(text, *flags):
    done = subprocess.run([sys.executable, *flags, "-c", text], capture_output=True, text=True)
    return done.stdout

{text}
reads.finish()
print("whole")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reads") / "project"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("reads.py", "code_files.py", "observed"):
        (shutil.copytree if name == "observed" else shutil.copy)(ROOT / "tasks" / name, root / "tasks" / name)
    (root / "link").symlink_to(root / "params.yaml")
    (root.parent / "outside").symlink_to(root / "params.yaml")
    (root.parent / "far.txt").write_text("far")
    (root / "far").symlink_to(root.parent / "far.txt")
    return root


def run(project: Path, text: str, before: str = "") -> subprocess.CompletedProcess[str]:
    shutil.rmtree(project / WORK / "sft-1", ignore_errors=True)
    (project / WORK / "sft-1").mkdir(parents=True)
    script = STAGE.format(code=CODE, before=before, text=text)
    return subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=project, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("open('params.yaml')", "sft reads params.yaml"),
        ("Path('params.yaml').read_text()", "params.yaml"),
        ("os.open('params.yaml', os.O_RDONLY)", "params.yaml"),
        ("open(b'params.yaml')", "params.yaml"),
        ("open('raw/../params.yaml')", "params.yaml"),
        ("open(root / '.venv/lib/../../params.yaml')", "params.yaml"),
        ("open('./params.yaml', 'r+')", "params.yaml"),
        ("os.chdir('raw'); open('../params.yaml')", "params.yaml"),
        ("open('dvc.lock')", "dvc.lock"),
        ("open('.git/HEAD')", ".git/HEAD"),
        ("open('models/other/model/w.bin', 'rb')", "models/other/model/w.bin"),
        ("open(work.with_name('other') / 'checkpoint.pt')", "checkpoint.pt"),
        ("open('link')", "link"),
        ("open('far')", "far"),
        ("open('../outside')", "params.yaml"),
        ("open('pipelines/prompts/other.jinja')", "sft reads pipelines/prompts/other.jinja"),
        ("open('tasks/prompt.txt')", "tasks/prompt.txt"),
        ("shutil.copy('params.yaml', work / 'copy')", "params.yaml"),
        ("os.link('params.yaml', work / 'copy')", "params.yaml"),
        ("os.symlink(root / 'models/other', work / 'copy')", "models/other"),
        ("os.rename('loose.py', work / 'loose.py')", "loose.py"),
        ("sqlite3.connect('data.db')", "data.db"),
        (
            "from safetensors import safe_open; safe_open('models/other/model/w.bin', 'pt')",
            "models/other/model/w.bin",
        ),
        (
            "from safetensors.numpy import load_file; load_file('models/other/model/w.bin')",
            "models/other/model/w.bin",
        ),
        ("os.listdir('models')", "sft lists models"),
        ("list(Path('models').glob('*'))", "models"),
        ("list(Path('.').glob('models/*/model'))", "models"),
        ("import pipelines.hidden", "sft loaded pipelines.hidden, which its code digest does not hold"),
        ("import_module('.'.join(['pipelines', 'hidden']))", "pipelines.hidden"),
        ("import loose", "sft loaded loose.py"),
        ("exec(open('pipelines/hidden.py').read())", "sft loaded pipelines.hidden"),
        ("runpy.run_path('tools/script.py')", "tools/script.py"),
        ("runpy.run_module('pipelines.hidden')", "pipelines.hidden"),
        ("load('tools/script.py')", "tools/script.py"),
        ("load('pipelines/hidden.py', 'pipelines.loss')", "pipelines.hidden"),
        ("subprocess.run([sys.executable, 'tools/script.py'])", "tools/script.py"),
        ("subprocess.run(['cat', 'raw/../params.yaml'])", "params.yaml"),
        ("subprocess.run('cat ./params.yaml', shell=True)", "params.yaml"),
        ("os.system('cat ./params.yaml')", "params.yaml"),
        ("child('import pipelines.hidden')", "pipelines.hidden"),
        ("child('open(\\'params.yaml\\')')", "params.yaml"),
        (
            "child('import subprocess, sys; subprocess.run([sys.executable, \\'-m\\', \\'pipelines.hidden\\'])')",
            "pipelines.hidden",
        ),
        ("child('exec(open(\\'tools/script.py\\').read())')", "tools/script.py"),
        (
            "import multiprocessing as m; p = m.get_context('spawn').Process(target=open, args=('params.yaml',)); p.start(); p.join()",
            "params.yaml",
        ),
        (
            "import multiprocessing as m; p = m.get_context('fork').Process(target=open, args=('params.yaml',)); p.start(); p.join()",
            "params.yaml",
        ),
        ("with suppress(Exception): open('params.yaml')", "params.yaml"),
        ("with suppress(Exception): import pipelines.hidden", "pipelines.hidden"),
    ],
)
def test_what_is_not_foreseen_stops_the_stage_and_is_named(project: Path, text: str, named: str):
    try:
        done = run(project, text)
    finally:
        if not (project / "loose.py").exists():
            (project / "loose.py").write_text(FILES["loose.py"])
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tasks.reads.UndeclaredRead: sft ")
    assert named in last


@pytest.mark.parametrize(
    ("before", "named"),
    [
        ("import pipelines.hidden", "pipelines.hidden"),
        ("open('params.yaml')", "params.yaml"),
        ("load = open('tasks/prompt.txt').read()", "tasks/prompt.txt"),
    ],
)
def test_what_was_read_before_the_stage_knew_what_it_may_counts_too(project: Path, before: str, named: str):
    done = run(project, "", before)
    assert done.returncode == 1
    assert named in done.stderr.strip().splitlines()[-1]


def test_a_module_that_a_package_shadows_is_not_the_one_in_the_digest(project: Path):
    (project / "pipelines/loss").mkdir()
    (project / "pipelines/loss/__init__.py").write_text("VALUE = 2\n")
    try:
        assert run(project, "import pipelines.loss\nassert pipelines.loss.VALUE == 2").returncode == 0
        assert "pipelines.loss" in run(project, "load('pipelines/loss.py')").stderr
    finally:
        shutil.rmtree(project / "pipelines/loss")


@pytest.mark.parametrize(
    "text",
    [
        "open('raw/rows.txt'); open('raw/deep/rows.txt'); os.listdir('raw'); list(Path('raw').rglob('*'))",
        "import pipelines.loss",
        "import numpy; from safetensors.numpy import load_file, save_file; save_file({'a': numpy.ones(2)}, work / 'w.safetensors');"
        "assert load_file(work / 'w.safetensors')['a'].sum() == 2",
        "load('pipelines/loss.py')",
        "open('pipelines/prompts/judge.jinja')",
        "(work / 'a').write_text('x'); (work / 'a').read_text()",
        "Path('made.txt').write_text('x'); Path('made.txt').read_text(); os.replace('made.txt', 'moved.txt'); open('moved.txt'); os.unlink('moved.txt')",
        "Path('models/sft/model').mkdir(parents=True, exist_ok=True); os.listdir('models/sft/model')",
        "sys.path.append('.venv/lib'); import library",
        "open('whetstone.egg-info/PKG-INFO')",
        "open('/proc/self/status'); open('../far.txt'); import email, xml.dom.minidom",
        "with suppress(OSError): open('absent.txt')",
        "os.listdir('.'); os.listdir('pipelines'); os.listdir()",
        "child('import pipelines.loss')",
        "subprocess.run([sys.executable, '-c', 'print(1)'])",
        "import tempfile; open(tempfile.mkstemp(dir='.whetstone')[1]).close()",
        "Path('.whetstone/numba').mkdir(exist_ok=True); Path('.whetstone/numba/k.nbi').touch(); child('open(\\'.whetstone/numba/k.nbi\\')')",
        "reads.allow('params.yaml'); open('params.yaml')",
        "assert subprocess.run([sys.executable, '-c', ''], capture_output=True, text=True).stderr == ''",
        "(work / 'sitecustomize.py').write_text('print(1)'); os.environ['PYTHONPATH'] += ':' + str(work); assert child('') == '1\\n'",
    ],
)
def test_what_is_foreseen_written_or_elsewhere_is_left_alone(project: Path, text: str):
    done = run(project, text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("whole\n")
