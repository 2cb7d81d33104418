"""Resumable checkpoints: written beside, flushed to disk, then renamed, so that a kill at any moment leaves the last whole one.

A checkpoint holds weights (safetensors), optimiser state and random state (opened with weights_only) and the number of steps done. Data
order and sampling are functions of the step, so there is nothing else to store.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pipelines.training.engine import Engine

PREFIX = "step-"


class NoRoom(RuntimeError):
    """A checkpoint could not be written; earlier ones are untouched."""


class Checkpoints:
    """The checkpoints of one run, in `folder`; the newest whole one counts. `period_s` is the time between two of them."""

    def __init__(self, folder: str | Path, period_s: float, say: Callable[[str], None]) -> None:
        self._folder, self._period, self._say = Path(folder), period_s, say
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether the period has passed since the last one."""
        return time.monotonic() - self._last >= self._period

    def save(self, done: int, engine: Engine) -> None:
        """Write the state after `done` steps and drop older ones. Raises NoRoom when the disk does not take it."""
        temporary, final = self._folder / ".writing", self._folder / f"{PREFIX}{done:08d}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            engine.save(temporary)
            torch.save({"cpu": torch.get_rng_state(), "cuda": _cuda_random()}, temporary / "random.pt")
            sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
            (temporary / "state.json").write_text(json.dumps({"done": done, "sizes": sizes}), "utf-8")
            for path in temporary.iterdir():
                _flush(path)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)
            _flush(self._folder)
        except Exception as error:  # torch and safetensors raise types of their own when a write fails
            free = shutil.disk_usage(self._folder.parent).free / 1e6
            shutil.rmtree(temporary, ignore_errors=True)
            raise NoRoom(
                f"the checkpoint after step {done} could not be written to {self._folder} ({error}); {free:.0f} MB are free there. "
                "Earlier checkpoints are whole: make room and run again, the stage goes on from the last one"
            ) from error
        self._last = time.monotonic()
        for older in self._found():
            if older != final:
                shutil.rmtree(older)

    def resume(self, engine: Engine) -> int:
        """Load the newest checkpoint that can be read into `engine`; returns the steps it has done, 0 when there is none."""
        for folder in reversed(self._found()):
            try:
                state = json.loads((folder / "state.json").read_text("utf-8"))
                for name, size in state["sizes"].items():
                    if (folder / name).stat().st_size != size:
                        raise ValueError(f"{name} has {(folder / name).stat().st_size} bytes instead of {size}")
                engine.load(folder)
                random = torch.load(folder / "random.pt", weights_only=True)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, an older one or the start is sound
                self._say(f"checkpoint {folder} cannot be read ({error}); it is skipped")
                continue
            torch.set_rng_state(random["cpu"])
            if torch.cuda.is_available() and random["cuda"]:
                torch.cuda.set_rng_state_all(random["cuda"])
            self._say(f"going on after step {state['done']} from {folder}")
            return int(state["done"])
        return 0

    def _found(self) -> list[Path]:
        return sorted(self._folder.glob(f"{PREFIX}*")) if self._folder.is_dir() else []


def _cuda_random() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
