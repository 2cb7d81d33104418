"""Resumable checkpoints: written beside, flushed to disk, then renamed, so that a kill at any moment leaves
the last whole one.

A checkpoint holds weights (safetensors), optimiser state and random state (opened with weights_only), the
number of steps done, and what else a loop names as its parts. Data order and sampling are functions of the
step, so they need no storing.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch

from pipelines.training.ranks import Ranks

PREFIX = "step-"


class Saveable(Protocol):
    """A part of a run's state. Of several ranks the first one saves it; all do if it has an attribute
    `collective` that is true.

    One that changes within a step has a method `commit`, called at every step's end, and saves what it was at
    the last call: a run may be stopped within a step, which is then done again from its start.
    """

    def save(self, folder: Path) -> None:
        """Write into the existing `folder` all that `load` needs."""

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote. Raises when something is missing or damaged."""


class CheckpointParts:
    """Several parts as one, each in a folder of its own name; None is passed over."""

    collective = True

    def __init__(self, ranks: Ranks = Ranks.single(), /, **parts: Saveable | None) -> None:
        self._ranks = ranks
        self._parts = {name: part for name, part in parts.items() if part is not None}

    def save(self, folder: Path) -> None:
        for name, part in self._parts.items():
            if takes_part(part, self._ranks):
                (folder / name).mkdir(exist_ok=True)
                part.save(folder / name)

    def load(self, folder: Path) -> None:
        for name, part in self._parts.items():
            part.load(folder / name)

    def commit(self) -> None:
        for part in self._parts.values():
            commit(part)


def commit(part: Saveable) -> None:
    """Tell `part`, where it wants to know, that a step has ended."""
    if (commit_part := getattr(part, "commit", None)) is not None:
        commit_part()


def takes_part(part: Saveable, ranks: Ranks) -> bool:
    """Returns whether this rank must call `part.save`."""
    return ranks.is_first or getattr(part, "collective", False)


class CheckpointNotWritten(RuntimeError):
    """A checkpoint could not be written; earlier ones are untouched."""


class IncompatibleCheckpoint(RuntimeError):
    """A checkpoint is whole, but of a run with other execution settings; it is untouched."""


class Checkpoints:
    """The checkpoints of one run, in `folder`; the newest whole one counts. `period_s` is the time between
    two of them.

    All `ranks` must see the folder, and save and resume together. `division` holds the execution settings
    that say how several ranks divide the state: a checkpoint is read under those it was written with.
    """

    def __init__(
        self,
        folder: str | Path,
        period_s: float,
        say: Callable[[str], None],
        ranks: Ranks = Ranks.single(),
        division: Mapping[str, int | str] | None = None,
    ) -> None:
        self._folder, self._period, self._say, self._ranks = Path(folder), period_s, say, ranks
        # One process divides nothing: its checkpoint is the same whatever these settings say.
        self._written: dict[str, int | str] = {
            "processes": ranks.size,
            **(division or {} if ranks.size > 1 else {}),
        }
        self._last = time.monotonic()

    def due(self) -> bool:
        """Returns whether the period since the last checkpoint has passed."""
        return time.monotonic() - self._last >= self._period

    def save(self, done: int, state: Saveable) -> None:
        """Write the state after `done` steps and drop older ones. Raises CheckpointNotWritten when the disk
        does not take it.
        """
        temporary, final = self._folder / ".writing", self._folder / f"{PREFIX}{done:08d}"
        try:
            if self._ranks.is_first:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
            self._ranks.barrier()
            if takes_part(state, self._ranks):
                state.save(temporary)
            torch.save(
                {"cpu": torch.get_rng_state(), "cuda": _cuda_random()},
                temporary / f"random-{self._ranks.index}.pt",
            )
            self._ranks.barrier()
            if self._ranks.is_first:
                self._publish(done, temporary, final)
            self._ranks.barrier()
        except Exception as error:  # torch and safetensors raise types of their own when a write fails
            free = shutil.disk_usage(self._folder.parent).free / 1e6
            shutil.rmtree(temporary, ignore_errors=True)
            raise CheckpointNotWritten(
                f"the checkpoint after step {done} could not be written to {self._folder} ({error}); "
                f"{free:.0f} MB are free there. "
                "Earlier checkpoints are whole: make room and run again, the stage goes on from the last one"
            ) from error
        self._last = time.monotonic()
        if self._ranks.is_first:
            for older in self._folders():
                if older != final:
                    shutil.rmtree(older)

    def _publish(self, done: int, temporary: Path, final: Path) -> None:
        """Note every file's size, flush all to disk, and give the folder its name."""
        files = [path for path in sorted(temporary.rglob("*")) if path.is_file()]
        sizes = {path.relative_to(temporary).as_posix(): path.stat().st_size for path in files}
        (temporary / "state.json").write_text(
            json.dumps({"done": done, "execution": self._written, "sizes": sizes}), "utf-8"
        )
        for path in (*temporary.rglob("*"), temporary):
            _flush(path)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        _flush(self._folder)

    def resume(self, into: Saveable) -> int:
        """Load the newest checkpoint that can be read; returns the steps it has done, 0 when there is none.

        Raises IncompatibleCheckpoint, with nothing touched, for one of other execution settings; RuntimeError
        where one that was whole could be loaded in part only and there is no older one: the state is no start
        then.
        """
        touched: list[Path] = []
        for folder in self._ranks.broadcast_from_first(self._folders()[::-1]):
            self._refuse_other(folder)
            try:
                done = self._check(folder)
                touched.append(folder)
                into.load(folder)
                random = torch.load(folder / f"random-{self._ranks.index}.pt", weights_only=True)
                failed = False
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, an older one or the start is sound
                self._say(f"checkpoint {folder} cannot be read ({error}); it is skipped")
                failed = True
            if self._ranks.any(failed):
                continue
            torch.set_rng_state(random["cpu"])
            if torch.cuda.is_available() and random["cuda"]:
                torch.cuda.set_rng_state_all(random["cuda"])
            self._say(f"going on after step {done} from {folder}")
            return done
        if touched:
            for folder in touched if self._ranks.is_first else []:
                os.replace(folder, folder.with_name(f"damaged-{folder.name}"))
            raise RuntimeError(
                f"{touched[0]} is damaged in a way that shows only while it is loaded, and no older "
                f"checkpoint can be read. It is called "
                f"damaged-{touched[0].name} now; run again, and the stage begins from its start"
            )
        return 0

    def _refuse_other(self, folder: Path) -> None:
        """Raise IncompatibleCheckpoint, on every rank, where this run's execution settings are not those of
        the checkpoint.

        To skip it as a damaged one would start over, and the next save would delete it.
        """
        written = self._ranks.broadcast_from_first(_execution(folder))
        if all(self._written.get(name, value) == value for name, value in written.items()):
            return
        then, now = (
            ", ".join(f"{name} {value}" for name, value in settings.items())
            for settings in (written, self._written)
        )
        back = ", ".join(
            f"execution.{name}: {value}"
            for name, value in written.items()
            if self._written.get(name) != value
        )
        raise IncompatibleCheckpoint(
            f"the checkpoint {folder} was written with {then}, this run has {now}, and it can be read only "
            f"as it was written: "
            f"set {back} again, or remove {folder} to begin again"
        )

    def _check(self, folder: Path) -> int:
        """Returns the number of steps in the checkpoint. Raises ValueError when it is incomplete."""
        noted = json.loads((folder / "state.json").read_text("utf-8"))
        for name, size in noted["sizes"].items():
            if (folder / name).stat().st_size != size:
                raise ValueError(f"{name} has {(folder / name).stat().st_size} bytes instead of {size}")
        return int(noted["done"])

    def _folders(self) -> list[Path]:
        return sorted(self._folder.glob(f"{PREFIX}*")) if self._folder.is_dir() else []


def _execution(folder: Path) -> dict[str, int | str]:
    """Returns the execution settings that a checkpoint was written with; empty for one that cannot be read.
    Early checkpoints record only the number of processes.
    """
    try:
        noted = json.loads((folder / "state.json").read_text("utf-8"))
        return dict(noted["execution"]) if "execution" in noted else {"processes": noted["ranks"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _cuda_random() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
