"""What samplers, the trainer and evaluations need of a rollout engine; the engines are in `engines`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.forest import Completion
from pipelines.rollouts.rollout_params import SamplingParams


class RolloutEngine(Protocol):
    """Continues token ids by `model` as it is at each call. `check_stop` is called before every token and may
    raise, which ends the call.
    """

    model: Any
    tokens: Tokens
    check_stop: Callable[[], None]

    def generate(
        self,
        prefixes: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        sampling: SamplingParams,
        caps: Sequence[int] | None = None,
        keep: bool = False,
    ) -> list[list[Completion]]:
        """prefixes: P lists of ids; keys: one counter key per wanted completion of each -> as many
        completions of each. A completion depends on its prefix and key alone.

        `caps` limits the new tokens prefix by prefix, beside `sampling.max_new_tokens`. With `keep` the next
        call may continue these completions without computing them again. Raises ValueError when a prefix is
        empty or leaves no room in the model's context.
        """

    def release_memory(self) -> None:
        """Give back what only sampling needs: updates come next."""
