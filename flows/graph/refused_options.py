"""An option that a choice does not have: which kind refuses it, whose that is, and where the option belongs.

What members share reaches all of them: `rl.common.objective.high` is refused by a run whose objective has no
such option, and the sentence names that run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from flows.graph.families import PLACEHOLDER, at, overlays
from flows.graph.sections import with_members_laid
from pipelines.settings import Seam

ANY = "NAME"  # stands for a name in a section


@dataclass(frozen=True)
class RefusingChoice:
    """A choice, as a member has it with everything that it is laid over."""

    seam: Seam
    kind: str
    members: tuple[str, ...]  # where the member stands; empty where it is none
    member: str  # its key in the file

    @classmethod
    def of(cls, raw: Any, loc: tuple[Any, ...], field: FieldInfo | None) -> RefusingChoice | None:
        """`loc`: the place of the option in the member, whatever holds it in the file; `field`: that of the
        choice. None for a field that is no choice.
        """
        seam = next((mark for mark in (field.metadata if field else ()) if isinstance(mark, Seam)), None)
        if field is None or seam is None:
            return None
        place = tuple(map(str, loc))
        members = next((path for path in overlays() if place[: len(path)] == path), ())
        kind = _kind(at(with_members_laid(raw), place[:-1]), seam)
        kind = kind or _kind(field.get_default(call_default_factory=True), seam)
        return cls(seam, kind, members, ".".join(place[: len(members) + 1]))

    @property
    def known(self) -> list[str]:
        """The options of its kind."""
        return self._options(self.kind)

    def _options(self, kind: str) -> list[str]:
        return list(self.seam.options(kind).model_fields) if kind in self.seam else []

    def reason(self, path: list[str]) -> str:
        """Returns why the option at `path` of the file is refused, and where it may be said instead; empty
        where no kind has such an option.
        """
        *_, choice, option = path
        kinds = [kind for kind in self.seam.names() if kind != self.kind and option in self._options(kind)]
        if not kinds:
            return ""
        whose = f"{choice} is {self.kind or 'not said'}, and {option} belongs to {', '.join(kinds)}"
        layers = [PLACEHOLDER.sub(ANY, layer) for layer in overlays().get(self.members, ())]
        holder = next((number for number, layer in enumerate(layers) if _holds(layer, path)), None)
        if holder is None:
            return f"unknown: {whose}"
        places = [*layers[holder + 1 :], ".".join((*self.members, ANY))]
        return f"{self.member} refuses it: its {whose}; say it in {' or '.join(places)} of those"


def _kind(value: Any, seam: Seam) -> str:
    """Returns the kind that a mapping, a record or a bare name says; empty for none."""
    tag = seam.record.tag
    said = value.get(tag) if isinstance(value, dict) else getattr(value, tag, value)
    return said if isinstance(said, str) else ""


def _holds(layer: str, path: list[str]) -> bool:
    """Returns whether a key stands in what members are laid over."""
    steps = layer.split(".")
    return len(path) > len(steps) and all(
        step in (ANY, part) for step, part in zip(steps, path, strict=False)
    )
