"""`whetstone judge`: what a rule or a model says of the responses in a file, row by row, without a stage or a
corpus.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from flows.command_line import own_stdout
from flows.local_model import UnknownModel, current_root, execution_settings, model_folder, placement
from pipelines.rewards.judge import Judge, Response, judge_of
from pipelines.rewards.own.place import is_path
from pipelines.rewards.response_file import read_row
from pipelines.rewards.reward_params import JUDGE
from pipelines.rewards.verdict import Verdict, error

if TYPE_CHECKING:
    from pipelines.models.placement import Placement
    from pipelines.models.tokenizer import Tokens
    from tasks.execution_params import ExecutionParams

BATCH = 256  # rows that are judged together; what is written is flushed after each
FACTS, HEAD = "verifier.json", "ForSequenceClassification"


class BadUsage(ValueError):
    """A rule, an option or a model does not exist, or the file has no valid row."""


class Provided:
    """What a judge is made with (`pipelines.rewards.judge.Provision`). Each part is loaded at its first use,
    so that a rule does not wait for torch.
    """

    def __init__(self, model: str, root: Path | None) -> None:
        self._model, self._root = model, root

    @cached_property
    def folder(self) -> Path:
        return model_folder(self._model, self._root)

    @property
    def model(self) -> Path:
        return self.folder

    @cached_property
    def tokens(self) -> Tokens:
        """The judge model's own tokenizer: no other model's token ids are judged here."""
        from pipelines.models.score_head import MEMBER
        from pipelines.models.tokenizer import Tokens

        first = self.folder / MEMBER.format(0)
        return Tokens.load(first if first.is_dir() else self.folder)

    @cached_property
    def placement(self) -> Placement:
        return placement(self._execution)

    @property
    def budget(self) -> int:
        return self._execution.micro_batch_tokens

    @property
    def trust_remote_code(self) -> bool:
        return self._execution.trust_remote_code

    @cached_property
    def _execution(self) -> ExecutionParams:
        return execution_settings(self._root)


def open_judge(rule: str, options: Mapping[str, Any], root: Path | None) -> tuple[Judge, Tokens | None]:
    """Returns the judge that `rule` names (a module of pipelines/rewards, a function by its path, or a folder
    with a judge's model), and the tokenizer of a judge that scores token ids, else None.

    `options`: of its record. Raises BadUsage, or what the judge raises where it cannot be made.
    """
    if is_path(rule):
        rule, options = JUDGE.by_path, {**options, "path": rule}
    elif rule not in JUDGE.names():
        rule, options = _kind_of(rule, root), {**options, "model": rule}
    try:
        chosen = JUDGE.choose({"kind": rule, **options})
    except ValidationError as failure:
        from flows.graph.problems import describe

        problems = [describe(item, options, JUDGE.options(rule)) for item in failure.errors()]
        raise BadUsage(
            "\n".join(f"{rule}: {'.'.join(path) or 'options'}: {text}" for path, text in problems)
        ) from failure
    provided: Any = Provided(str(getattr(chosen, "model", rule)), root)
    return judge_of(chosen, provided), provided.tokens if rule == "reward_model" else None


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Returns `limits.test_seconds=2` as {"limits": {"test_seconds": 2}}; values are YAML, as in
    params.yaml.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise BadUsage(f"-S {setting}: KEY=VALUE is expected, for example -S limits.test_seconds=2")
        *parents, last = key.split(".")
        section = options
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise BadUsage(f"-S {setting}: {parent} has a value already")
        try:
            section[last] = YAML(typ="safe").load(text)
        except YAMLError as failure:
            raise BadUsage(
                f"-S {setting}: the value is not readable as YAML: {str(failure).splitlines()[0]}"
            ) from failure
    return options


def judged(
    judge: Judge, lines: Iterable[bytes], tokens: Tokens | None = None
) -> Iterator[tuple[int, Verdict, bool]]:
    """Yields (line number, verdict, whether the line was a valid row) for every line that is not blank, in
    order. An invalid row gives an error verdict.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(islice(numbered, BATCH)):
        rows = [_row(line, number, tokens) for number, line in batch]
        responses = [row for row in rows if isinstance(row, Response)]
        verdicts = iter(judge.judge(responses) if responses else [])
        for (number, _), row in zip(batch, rows, strict=True):
            yield (number, next(verdicts), True) if isinstance(row, Response) else (number, row, False)


def write(
    judge: Judge, lines: Iterable[bytes], tokens: Tokens | None, stream: IO[str], as_json: bool
) -> Counter[str]:
    """Write one line per row. Returns the counts of outcomes, and of valid rows as `rows`."""
    counts: Counter[str] = Counter()
    total = 0.0
    for count, (number, verdict, is_row) in enumerate(judged(judge, lines, tokens), 1):
        counts[verdict.outcome] += 1
        counts["rows"] += is_row
        total += verdict.score if verdict.outcome != "error" else 0.0
        stream.write(
            json.dumps(_as_json(verdict)) + "\n" if as_json else f"{number:>7}  {_readable(verdict)}\n"
        )
        if count % BATCH == 0:
            stream.flush()
    if not as_json and counts:
        judged_count = counts["right"] + counts["wrong"]
        mean = f"; mean score {total / judged_count:.4g} of the {judged_count} judged" if judged_count else ""
        stream.write(
            f"{judged_count + counts['error']} rows: {counts['right']} right, {counts['wrong']} wrong, "
            f"{counts['error']} errors{mean}\n"
        )
    stream.flush()
    return counts


def judge_file(rule: str, file: str, settings: Sequence[str], as_json: bool) -> None:
    """Run the command. Raises BadUsage, also where no line of `file` (`-`: standard input) is a valid row."""
    root = current_root()
    with own_stdout() as stream:
        try:
            source = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115 - closed below
        except OSError as failure:
            raise BadUsage(f"{file}: {failure.strerror}") from failure
        with source:
            judge, tokens = open_judge(rule, read_settings(settings), root)
            counts = write(judge, source, tokens, stream, as_json)
    if not counts["rows"]:
        raise BadUsage(f"{file}: no line is a row to judge: each is an object with response and reference")


def _row(line: bytes, number: int, tokens: Tokens | None) -> Response | Verdict:
    try:
        return read_row(line, number, tokens)
    except ValueError as fault:
        return error(str(fault))


def _as_json(verdict: Verdict) -> Mapping[str, Any]:
    return {"outcome": verdict.outcome, "score": verdict.score, "reason": verdict.reason}


def _readable(verdict: Verdict) -> str:
    """Returns the verdict as text without control characters: reasons quote responses, which may hold
    terminal commands.
    """
    reason = "".join(character if character.isprintable() else "�" for character in verdict.reason)
    return f"{verdict.outcome:<5}  {verdict.score:<6.4g}  {reason}".rstrip()


def _kind_of(model: str, root: Path | None) -> str:
    """Returns the kind of judge whose model a folder holds. Raises BadUsage where it holds none, or does not
    exist.
    """
    try:
        folder = model_folder(model, root)
    except UnknownModel as failure:
        close = difflib.get_close_matches(model, JUDGE.names(), n=1)
        hint = (
            f"did you mean {close[0]}?"
            if close
            else f"known: {', '.join(JUDGE.names())}; or the folder of a verifier's or reward model"
        )
        raise BadUsage(str(failure) if set(model) & set("/:@") else f"no rule {model}; {hint}") from failure
    if (folder / FACTS).is_file():
        return "verifier"
    config = next(
        path for path in (folder / "config.json", folder / "member_0" / "config.json") if path.is_file()
    )
    if any(
        str(name).endswith(HEAD) for name in json.loads(config.read_text("utf-8")).get("architectures") or []
    ):
        return "reward_model"
    raise BadUsage(
        f"{folder} holds a model that is not a judge: neither {FACTS} of a distilled verifier nor the head "
        f"of a reward model"
    )
