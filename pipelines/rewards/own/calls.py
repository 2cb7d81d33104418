"""How a reward function is called: with lists by keyword, as TRL does, or with one response at a time.

TRL passes `prompts`, `completions` and `completion_ids`, every column of the data but the prompt, and
`trainer_state`, `log_extra` and `log_metric` (trl/trainer/grpo_trainer.py, `_calculate_rewards`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter
from statistics import fmean
from typing import Any, Literal

from pipelines.rewards.own.record import RewardRecord
from pipelines.rewards.own.returned import last_line, listed, verdict_of_value
from pipelines.rewards.verdict import Verdict, error

Style = Literal["together", "in turn", "awaited"]
LISTS = frozenset({"prompts", "completions", "completion_ids", "completions_ids"})
ACCEPTED = (
    "a reward function takes lists by keyword, (prompts, completions, **columns), as TRL's do, or one "
    "response: (prompt, completion, record)"
)
BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Refused(ValueError):
    """The function cannot be called with what there is, whatever the response."""


class _NoTrainerState:
    """In the place of TRL's trainer_state: rewards here depend on nothing but the responses."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"trainer_state.{name} is not known: a reward depends on the response alone")


@dataclass(frozen=True)
class FunctionCall:
    """A function with all that its calls share. `style`: `together` with lists, `in turn` one response after
    the other, `awaited` one response each, several at once.
    """

    function: Callable[..., Any]
    style: Style
    parameters: Mapping[str, Parameter]
    arguments: Mapping[str, Any]
    parallel: int
    threshold: float
    time_limit: float

    @classmethod
    def of(cls, function: Any, options: Mapping[str, Any]) -> FunctionCall:
        """Raises Refused where the signature is none of the accepted ones."""
        if not callable(function) or isinstance(function, type):
            raise Refused(f"it is a {type(function).__name__} and cannot be called; {ACCEPTED}")
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError) as failure:
            raise Refused(f"its signature cannot be read ({failure}); {ACCEPTED}") from failure
        awaited = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - of an object, whose class says so
        )
        shared = {key: options[key] for key in ("arguments", "parallel", "threshold", "time_limit")}
        call = cls(function, "together", parameters, **shared)
        if LISTS & parameters.keys():
            return call
        if "completion" in parameters or call._takes_three:
            return replace(call, style="awaited" if awaited else "in turn")
        if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
            return call
        raise Refused(f"it takes ({', '.join(parameters)}); {ACCEPTED}")

    def answers(self, rows: Sequence[Mapping[str, Any]], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
        """Yields lists of verdicts, which together are one per row, in order. Raises what a function that
        takes lists raises; Refused where columns that it needs are missing.
        """
        if self.style == "together":
            yield self._together(rows, loop)
        elif self.style == "awaited":
            yield loop.run_until_complete(self._awaited(rows))
        else:
            for row in rows:
                yield [loop.run_until_complete(self._one(row))]

    def _together(self, rows: Sequence[Mapping[str, Any]], loop: asyncio.AbstractEventLoop) -> list[Verdict]:
        metrics: dict[str, list[float]] = defaultdict(list)
        columns = dict.fromkeys(name for row in rows for name in row["record"]["columns"])
        ids = [row["ids"] for row in rows]
        offered: dict[str, Any] = {
            name: [row["record"]["columns"].get(name) for row in rows] for name in columns
        }
        offered |= {
            **self.arguments,
            "prompts": [row["prompt"] for row in rows],
            "completions": [row["completion"] for row in rows],
            "completion_ids": ids,
            "trainer_state": _NoTrainerState(),
            "log_extra": lambda column, values: None,
            "log_metric": lambda name, value: metrics[name].append(float(value)),
        }
        if "completions_ids" in self.parameters:  # as TRL's documentation spells it
            offered["completions_ids"] = ids
        value = self.function(**self._named(offered))
        if inspect.isawaitable(value):
            value = loop.run_until_complete(_value_of(value))
        verdicts = [verdict_of_value(item, self.threshold) for item in listed(value, len(rows))]
        logged = tuple((str(name), fmean(values)) for name, values in metrics.items())
        return [replace(verdict, parts=(*verdict.parts, *logged)) for verdict in verdicts]

    async def _awaited(self, rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        turns = asyncio.Semaphore(self.parallel)

        async def limited(row: Mapping[str, Any]) -> Verdict:
            async with turns:
                try:
                    return await asyncio.wait_for(self._one(row), self.time_limit)
                except TimeoutError:
                    return error(f"the function took more than {self.time_limit:g} s")

        return list(await asyncio.gather(*map(limited, rows)))

    async def _one(self, row: Mapping[str, Any]) -> Verdict:
        try:
            value = self._called(row)
            if inspect.isawaitable(value):
                value = await value
        except Refused:
            raise
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever it raises is an error verdict
            return error(last_line(failure))
        return verdict_of_value(value, self.threshold)

    def _called(self, row: Mapping[str, Any]) -> Any:
        record = RewardRecord(**row["record"])
        if "completion" not in self.parameters:
            return self.function(row["prompt"], row["completion"], record, **self.arguments)
        offered = {
            **record.columns,
            **self.arguments,
            "prompt": row["prompt"],
            "completion": row["completion"],
            "record": record,
        }
        return self.function(**self._named(offered))

    @property
    def _takes_three(self) -> bool:
        """Whether three arguments by position, of any names, are what the function needs."""
        needed = [
            parameter
            for parameter in self.parameters.values()
            if parameter.kind in BY_POSITION and parameter.default is Parameter.empty
        ]
        return len(needed) == 3

    def _named(self, offered: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the function takes of `offered`. Raises Refused where it needs more."""
        missing = [
            name
            for name, parameter in self.parameters.items()
            if parameter.default is Parameter.empty
            and parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
            and name not in offered
        ]
        if missing:
            raise Refused(
                f"it needs {' and '.join(missing)}, and the questions have {', '.join(sorted(offered))}: a "
                "column of the data is kept by `keep` of its source, other values stand in the reward's "
                "`arguments`"
            )
        if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in self.parameters.values()):
            return dict(offered)
        return {name: offered[name] for name in self.parameters if name in offered}


async def _value_of(awaitable: Any) -> Any:
    return await awaitable
