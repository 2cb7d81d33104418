"""A watch over everything that a stage's process reads of the project, by Python's audit hook, from its first
line to its last.

The promise of staleness holds only if dvc.yaml and the code digest name all that makes a result. So a file of
the project that neither of them holds may not be opened, executed, linked or listed by a stage: the call
raises `UndeclaredRead`, which names the file and the way out. Python processes that the stage starts are
watched as well (`observed/sitecustomize.py`); violations are also kept in the work directory, so that an
error that is swallowed still stops the stage at its end. What is written, what lies outside the project,
and an environment inside it are left alone. Files that native code opens by itself (tokenizers, Arrow) are
not seen, but for safetensors': `Stage.input` guards those.

Only the standard library is imported here: every child process loads this file before its own code.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.code_files import PACKAGES, UNKEYED, module_name, source_file

VARIABLE = "WHETSTONE_READS"  # for child processes: the file that says what may be read
# in the work directory: what any process of the stage should not have read, a line each
VIOLATIONS = "undeclared_reads.txt"
KERNELS = (
    ".whetstone/numba"  # compiled kernels: beside the code may be no place to write, and they are no code
)
_SAFETENSORS = "/safetensors/__init__.py"
_READ_WRITE = os.O_WRONLY | os.O_RDWR
_FRESH = os.O_TRUNC | os.O_EXCL
# Libraries keep caches and settings where these say; they hold nothing of the project, even if they lie in
# it.
_CACHES = ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE",
           "TORCH_HOME", "NUMBA_CACHE_DIR",
           "MPLCONFIGDIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TORCH_EXTENSIONS_DIR",
           "VIRTUAL_ENV")  # fmt: skip


class UndeclaredRead(RuntimeError):
    """The stage read something that is neither in its declaration nor in its code digest, so that its
    staleness would be wrong.
    """


@dataclass(frozen=True)
class AllowedReads:
    """What a stage may read below `root`; all paths are absolute. `report`: the file that collects
    violations.
    """

    stage: str
    root: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    listed: tuple[str, ...]
    report: str


def allowed_reads(
    root: Path,
    stage: str,
    code: Iterable[str],
    inputs: Iterable[str],
    outs: Iterable[str],
    work: Path,
    *more: Path,
) -> AllowedReads:
    """Returns what a stage run may read, from its pinned facts: the files of its code, its inputs, outputs
    and work directory, and `more` files.
    """
    modules = [source_file(root, name) for name in (*code, *UNKEYED) if "/" not in name]
    files = [
        *(str(source) for source in modules if source),
        *(str(root / name) for name in code if "/" in name),
    ]
    files += [os.path.abspath(path) for path in more]
    declared = [os.path.abspath(root / path) for path in inputs]
    state = root / ".whetstone"
    folders = [*declared, os.path.abspath(work), str(state / "numba"), str(root / ".dvc" / "cache" / "files")]
    listed = [os.path.abspath(root / out) for out in outs]
    # folders of the user's own code, in which Python looks for modules
    own = [name for name in code if "/" in name and name.partition("/")[0] not in PACKAGES]
    listed += [os.path.abspath(root / folder) for folder in {*map(os.path.dirname, own)} - {"."}]
    return AllowedReads(
        stage,
        str(root),
        tuple(files),
        tuple(folders),
        tuple(listed),
        os.path.join(os.path.abspath(work), VIOLATIONS),
    )


class Watch:
    """The audit of one process. Until `restrict` says what the stage may read, reads are only noted."""

    def __init__(self, root: str):
        self.root = root
        self._inside = root.rstrip(os.sep) + os.sep
        self._elsewhere = tuple(path + os.sep for path in _environments() if path.startswith(self._inside))
        self._far = tuple(
            path + os.sep
            for path in (*_environments(), "/proc", "/sys", "/dev")
            if not self._inside.startswith(path + os.sep)
        )
        self._passed = (*self._elsewhere, *self._far)  # what most events are about: packages
        self._known: AllowedReads | None = None
        self._files, self._folders, self._listed = set[str](), tuple[str, ...](), tuple[str, ...]()
        self._fine, self._written, self._real = set[str](), set[str](), dict[str, str]()
        self._noted: list[tuple[str, str]] = []
        self.violations: list[str] = []
        self._handlers: dict[str, Callable[[Any], None]] = {
            "open": self._open, "exec": self._exec, "import": self._import, "os.rename": self._rename,
            "os.symlink": self._symlink,
            "os.link": lambda args: self._file(args[0], "links"),
            "sqlite3.connect": lambda args: self._file(args[0], "reads"),
            "ctypes.dlopen": lambda args: self._file(args[0], "loaded"),
            "os.listdir": self._listing, "os.scandir": self._listing,
            "subprocess.Popen": lambda args: self._command(args[1], args[2]),
            "os.exec": lambda args: self._command(args[1]),
            "os.posix_spawn": lambda args: self._command(args[1]),
            "os.system": lambda args: self._command(args[0]),
        }  # fmt: skip

    def start(self) -> None:
        handlers = self._handlers

        def hook(event: str, args: Any) -> None:
            handler = handlers.get(event)
            if handler is not None:
                handler(args)

        sys.addaudithook(hook)

    def restrict(self, allowed: AllowedReads) -> None:
        """Raise UndeclaredRead for disallowed reads from now on, and check what was read or loaded before."""
        self._known = allowed
        self._files = set(allowed.files)
        self._folders = tuple(f"{path}{os.sep}" for path in allowed.folders)
        self._files.update(allowed.folders)
        self._listed = (*self._folders, *(f"{path}{os.sep}" for path in allowed.listed))
        noted, self._noted = self._noted, []
        self._fine.clear()
        for path, doing in noted:
            self._judge(path, doing)
        self.sweep()

    def allow(self, *paths: str | os.PathLike[str]) -> None:
        """Allow files and folders that the stage's declaration names in another form."""
        full = [os.path.abspath(path) for path in paths]
        self._files.update(full)
        self._folders += tuple(f"{path}{os.sep}" for path in full)
        self._listed += tuple(f"{path}{os.sep}" for path in full)

    def sweep(self) -> None:
        """Check every loaded module, however it was imported. Raises UndeclaredRead."""
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str):
                self._judge(path, "loaded")

    def finish(self) -> None:
        """Stop watching at the end of the stage's work. Raises UndeclaredRead for all violations of this
        process and its children.
        """
        self.sweep()
        self._handlers.clear()
        assert self._known is not None
        reported = _lines(self._known.report)
        if self.violations or reported:
            raise UndeclaredRead("\n".join(dict.fromkeys([*self.violations, *reported])))

    # -- events ----------------------------------------------------------------------------------------------

    def _open(self, args: Any) -> None:
        path, _, flags = args
        if type(path) is int or (type(path) is str and path.startswith(self._passed) and "/.." not in path):
            return
        if isinstance(flags, int) and flags & _READ_WRITE:
            inside = self._within(path)
            if inside and (
                flags & _READ_WRITE == os.O_WRONLY or flags & _FRESH or not os.path.exists(inside)
            ):
                self._written.add(inside)
                return
        self._file(path, "reads")

    def _exec(self, args: Any) -> None:
        path = args[0].co_filename
        if path.endswith(_SAFETENSORS):
            self._watch_safetensors()
        if path[:1] != "<" and not (path.startswith(self._passed) and "/.." not in path):
            self._file(path, "loaded")

    def _watch_safetensors(self) -> None:
        """Replace the opener of safetensors by one that checks the path first: its native code raises no
        audit event. The package is being loaded at this moment.
        """
        from importlib import import_module

        native: Any = import_module("safetensors._safetensors_rust")
        opener = native.safe_open

        def safe_open(filename: Any, *arguments: Any, **options: Any) -> Any:
            if self._handlers:
                self._file(os.fspath(filename), "reads")
            return opener(filename, *arguments, **options)

        native.safe_open = safe_open

    def _import(self, args: Any) -> None:
        if args[1] is not None:  # a compiled module
            self._file(args[1], "loaded")

    def _rename(self, args: Any) -> None:
        before, after = self._within(args[0]), self._within(args[1])
        if before in self._written and after:
            self._written.add(after)
        elif before and os.path.isfile(before):
            self._judge(before, "takes")

    def _symlink(self, args: Any) -> None:
        source, target = os.fsdecode(args[0]), self._within(args[1])
        inside = self._within(os.path.join(os.path.dirname(target), source) if target else source)
        if inside and not self._may_list(inside) and os.path.exists(inside):
            self._say(inside, "links")

    def _listing(self, args: Any) -> None:
        path = args[0]
        if type(path) is str and path.startswith(self._passed) and "/.." not in path:
            return
        inside = None if type(path) is int else self._within("." if path is None else path)
        if inside and inside not in self._fine and not self._may_list(inside) and os.path.isdir(inside):
            self._say(inside, "lists")

    def _command(self, arguments: Any, folder: Any = None) -> None:
        """Check the files of the project that a command's arguments name: it will probably read them."""
        try:
            arguments = (
                shlex.split(os.fsdecode(arguments))
                if isinstance(arguments, (str, bytes))
                else [os.fsdecode(argument) for argument in arguments]
            )
        except (ValueError, TypeError):
            return
        if "-c" in arguments[1:-1] and arguments[0].endswith("sh"):
            self._command(arguments[arguments.index("-c") + 1], folder)
        for argument in arguments:
            if os.sep in argument or argument.endswith(".py"):
                path = os.path.join(os.fsdecode(folder), argument) if folder is not None else argument
                if len(path) < 4096 and "\0" not in path and "\n" not in path:
                    self._file(path, "hands on")

    # -- judgement -------------------------------------------------------------------------------------------

    def _within(self, path: Any) -> str | None:
        """Returns the absolute, normalised path of a file that is in the project, directly or by a link; None
        for any other.
        """
        try:
            path = os.fsdecode(path)
        except TypeError:
            return None
        if path[:1] != os.sep:
            path = os.path.join(os.getcwd(), path)
        if "/." in path or "//" in path or path[-1] == os.sep:
            path = os.path.normpath(path)
        if path.startswith(self._inside) or path == self.root:
            return path
        if path.startswith(self._far):
            return None
        parent, name = os.path.split(path)
        real = self._real.get(parent)
        if real is None:
            real = self._real[parent] = os.path.realpath(parent)
        full_path = os.path.join(real, name)
        if os.path.islink(full_path):
            full_path = os.path.realpath(full_path)
        return full_path if full_path.startswith(self._inside) else None

    def _file(self, path: Any, doing: str) -> None:
        if path in self._fine:
            return
        inside = self._within(path)
        if inside is not None:
            self._judge(inside, doing)

    def _judge(self, path: str, doing: str) -> None:
        if path in self._fine or not path.startswith(self._inside):
            return
        if self._known is None:
            self._noted.append((path, doing))
        elif self._may_read(path) or (
            (real := os.path.realpath(path)).startswith(self._inside) and self._may_read(real)
        ):
            self._fine.add(path)
        elif os.path.isfile(path):
            self._say(path, doing)

    def _may_read(self, path: str) -> bool:
        return (
            path in self._files
            or path in self._written
            or path.startswith(self._folders)
            or path.startswith(self._elsewhere)
            or (path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__")
            or path.partition(self._inside)[2].partition(os.sep)[0].endswith((".egg-info", ".dist-info"))
        )

    def _may_list(self, path: str) -> bool:
        """Returns whether a folder may be listed. Python's module finder lists the project's folder and the
        packages.
        """
        return (
            self._known is None
            or path == self.root
            or path[len(self._inside) :].partition(os.sep)[0] in PACKAGES
            or f"{path}{os.sep}".startswith(self._listed)
            or self._may_read(path)
        )

    def _say(self, path: str, doing: str) -> None:
        assert self._known is not None
        text = _words(self._known.stage, Path(self.root), Path(path), doing)
        self.violations.append(text)
        # put aside already, or a full disk
        with suppress(OSError), open(self._known.report, "a", encoding="utf-8") as stream:
            stream.write(text + "\n")
        raise UndeclaredRead(text)


def _words(stage: str, root: Path, path: Path, doing: str) -> str:
    name = module_name(root, path)
    if doing == "loaded" or path.suffix == ".py":  # the finder of modules opens a file before it runs it
        doing = doing if doing == "hands on" else "loaded"
        return (
            f"{stage} {doing} {name}, which its code digest does not hold: an edit there would go unnoticed. "
            f"Import it with an ordinary "
            "import statement (from tasks or pipelines), or name it by a parameter of type Seam "
            "(pipelines/settings.py)."
        )
    if path.relative_to(root).parts[0] in PACKAGES:
        return (
            f"{stage} {doing} {path.relative_to(root)}, which its code digest does not hold: an edit there "
            f"would go unnoticed. "
            "Name the file, or its folder, by a string constant in the module that reads it "
            "(flows/graph/package_data.py)."
        )
    return (
        f"{stage} {doing} {path.relative_to(root)}, which neither its entry in dvc.yaml nor its code digest "
        f"holds: a change there would go "
        "unnoticed. Declare it under deps and read it with stage.input, or take a parameter with "
        "stage.section; a file that a reward function reads is named by a string in the function's file."
    )


def _environments() -> list[str]:
    """Returns the folders of interpreters, of their packages, and of libraries' caches."""
    folders = [os.environ[name] for name in _CACHES if os.environ.get(name)]
    home = os.path.expanduser("~")
    folders += [
        os.path.join(home, name)
        for name in (".cache", ".config", ".triton", ".nv", ".local", ".torch", ".deepspeed")
    ]
    folders += [sys.prefix, sys.exec_prefix, sys.base_prefix, os.path.dirname(os.__file__)]
    return sorted(
        {
            form
            for path in folders
            for form in (os.path.abspath(path), os.path.realpath(path))
            if form != os.sep
        }
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []


# -- one watch a process -------------------------------------------------------------------------------------

_OBSERVED = str(Path(__file__).with_name("observed"))
_watch: Watch | None = None


def begin(root: Path) -> Watch:
    """Watch this process from now on, and return the watch. Further calls return the same one."""
    global _watch
    if _watch is None:
        _watch = Watch(str(root))
        _watch.start()
    return _watch


def restrict(allowed: AllowedReads) -> None:
    """Set what this process's stage, and the Python processes that it starts, may read. Raises
    UndeclaredRead.
    """
    path = Path(allowed.report).with_name("reads.json")
    # else this is one of several processes, and the first has written it
    if os.environ.get(VARIABLE) != str(path):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(allowed)), "utf-8")
        os.replace(temporary, path)
        os.environ[VARIABLE] = str(path)
        os.environ["PYTHONPATH"] = os.pathsep.join([_OBSERVED, *filter(None, [os.environ.get("PYTHONPATH")])])
    begin(Path(allowed.root)).restrict(allowed)


def allow(*paths: str | os.PathLike[str]) -> None:
    """Allow paths that a stage reads by its declaration although dvc.yaml does not name them. Without a watch
    nothing happens.
    """
    if _watch is not None:
        _watch.allow(*paths)


def finish() -> None:
    """End the watch of this process when the stage's work is done. Raises UndeclaredRead for violations of
    this process or a child.
    """
    if _watch is not None:
        stop()
        _watch.finish()


def stop() -> None:
    """Stop watching processes that are started from now on."""
    os.environ.pop(VARIABLE, None)
    os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", "").removeprefix(_OBSERVED).lstrip(os.pathsep)


def watch_child(environment: Mapping[str, str]) -> None:
    """Watch a Python process that a stage has started, before its own code runs, by the list that the stage
    has written.
    """
    path = environment.get(VARIABLE)
    if path and os.path.exists(path):  # else the stage is over
        allowed = json.loads(Path(path).read_text("utf-8"))
        begin(Path(allowed["root"])).restrict(
            AllowedReads(
                **{**allowed, **{key: tuple(allowed[key]) for key in ("files", "folders", "listed")}}
            )
        )
