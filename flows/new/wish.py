"""What a user asks `whetstone new` for, what of it can be had, and what a look at the rows adds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.new.data import NewError, Part
from flows.new.model import GivenModel
from pipelines.settings import RULE
from pipelines.training.preference_params import PAIR_LOSS

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Wish:
    """What the user asked for. `methods`: empty for those that the data serves; `presets`: the names of
    presets.yaml; `reward`: FILE.py:FUNCTION or the name of a rule, empty for none.
    """

    name: str
    model: GivenModel
    parts: Sequence[Part]
    reward: str
    methods: Sequence[str]
    presets: Sequence[str]

    @property
    def rows(self) -> list[Part]:
        """The parts of the set of questions and demonstrations."""
        return [part for part in self.parts if part.layout.kind != "pairs"]

    @property
    def pairs(self) -> list[Part]:
        return [part for part in self.parts if part.layout.kind == "pairs"]

    def has(self, *kinds: str) -> bool:
        return any(part.layout.kind in kinds for part in self.parts)


@dataclass
class Fitted:
    """What the look at the rows decides: shares that are held out, shares of bad rows that are there, and
    limits in tokens; None where no tokenizer was at hand.
    """

    heldout_share: float = 0.0
    validation_share: float = 0.0
    max_prompt_tokens: int | None = None
    max_response_tokens: int | None = None
    pair_limits: dict[str, int] = field(default_factory=dict)
    pairs_heldout_share: float = 0.0
    max_bad_rows: float = 0.0
    pairs_max_bad_rows: float = 0.0


def stages_of(wish: Wish) -> list[str]:
    """Returns sft, dpo and a preset of rl, in the order in which they follow each other. Raises NewError
    where the data does not serve one that is asked for.
    """
    losses = PAIR_LOSS.names()
    known = ["sft", *losses, *wish.presets]
    if unknown := [method for method in wish.methods if method not in known]:
        raise NewError(f"--method {unknown[0]}: known are {', '.join(known)}")
    asked = list(dict.fromkeys(wish.methods)) or [
        method
        for method, kinds in (
            ("sft", ("demonstrations", "texts")),
            ("dpo", ("pairs",)),
            ("grpo", ("questions", "prompts")),
        )
        if wish.has(*kinds)
    ]
    order = sorted(asked, key=lambda method: (method != "sft", method not in losses))
    for method in order:
        _check_served(method, wish, losses)
    return order


def _check_served(method: str, wish: Wish, losses: Sequence[str]) -> None:
    layouts = ", ".join(dict.fromkeys(f"{part.shown} ({part.layout.name})" for part in wish.parts))
    if method == "sft":
        served = wish.has("demonstrations", "texts") or any(part.layout.demonstrated for part in wish.parts)
        wanted = "demonstrations: messages, prompt and completion, text, or a column solution"
    elif method in losses:
        served, wanted = wish.has("pairs"), "pairs: chosen and rejected, or answers with a label"
    else:
        served, wanted = wish.has("questions", "prompts", "demonstrations"), "questions, or prompts"
        if served and not is_function(wish.reward) and not wish.has("questions"):
            rule = f", and the rule {wish.reward} compares with answers" if wish.reward else ""
            raise NewError(
                f"--method {method} on {layouts}: nothing says what a good response is{rule}; name a "
                "function with --reward FILE.py:FUNCTION, or give questions with answers"
            )
    if not served:
        raise NewError(f"--method {method} learns from {wanted}; given were {layouts}")


def is_function(reward: str) -> bool:
    return ":" in reward


def check_name(root: Path, name: str) -> Path:
    """Returns the path of the recipe. Raises NewError for a name that is none, or is taken."""
    path = root / "recipes" / f"{name}.yaml"
    if not NAME.fullmatch(name) or name in ("default", "none"):
        raise NewError(f"{name!r}: a name of letters, digits, - and _ is expected, and not default or none")
    if path.exists():
        raise NewError(
            f"recipes/{name}.yaml is there already, and is not overwritten: take another name, or remove it"
        )
    return path


def check_reward(reward: str) -> str:
    """Returns the reward. Raises NewError where it is neither FILE.py:FUNCTION nor a rule."""
    if reward and not is_function(reward) and reward not in RULE:
        raise NewError(
            f"--reward {reward}: FILE.py:FUNCTION is expected, or a rule: {', '.join(RULE.names())}"
        )
    return reward
