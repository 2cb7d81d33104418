"""A judge that keeps what it judged: the teacher of a policy that explores, whose every verdict a verifier
then learns from.

The drift is the point (reward_bridge.md 4.1): responses of the whole run are kept, from its first style to
its last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pipelines.corpora.records.judgement import Judgement, read_judgements, write_judgements
from pipelines.rewards.generative.prompt import final_step
from pipelines.rewards.judge import Judge, Question, Response
from pipelines.rewards.verdict import Verdict

FILE = "judgements.jsonl"


class RecordingJudge:
    """`judge` with a memory. `truth` is the exact checker where the set has one: its verdict goes beside the
    teacher's.

    A part of the run's checkpoints, so that a resumed run keeps each response once: what is saved is what was
    judged up to the last step's end, since a run that is stopped between two rounds of dynamic sampling
    judges the first one again. Verdicts that are errors, and responses without a line to judge, are counted
    in `left_out` and not kept: they teach nothing. Nor are responses to other `questions` (ids; None: all),
    such as those that validate. `probable`: the verdict's score is the teacher's probability.
    """

    def __init__(
        self,
        judge: Judge,
        teacher: str,
        truth: Judge | None = None,
        questions: Collection[str] | None = None,
        probable: bool = False,
    ) -> None:
        self._judge, self._teacher, self._truth, self._questions, self._probable = (
            judge,
            teacher,
            truth,
            questions,
            probable,
        )
        self.deterministic = judge.deterministic
        self.kept: list[Judgement] = []
        self.left_out: Counter[str] = Counter()
        self._calls = 0
        self.commit()

    @property
    def model(self) -> Any | None:
        return self._judge.model

    @property
    def rule(self) -> bool:
        return self._judge.rule

    def preflight(self, records: Sequence[Question]) -> None:
        """Runs the teacher's preflight."""
        self._judge.preflight(records)

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns the teacher's verdicts, one per response, in order.

        Each call with something to keep is a step of the policy.
        """
        verdicts = self._judge.judge(responses)
        mine = [
            (response, verdict)
            for response, verdict in zip(responses, verdicts, strict=True)
            if self._questions is None or response.record.id in self._questions
        ]
        if mine:
            exact = self._exact(mine)
            for place, (response, verdict) in enumerate(mine):
                self._keep(response, verdict, exact[place], place)
            self._calls += 1
        return verdicts

    def commit(self) -> None:
        """A step has ended: what was judged up to now stays judged."""
        self._committed = (len(self.kept), self._calls, self.left_out.copy())

    def save(self, folder: Path) -> None:
        """What was kept when the last step ended, and how many calls and losses there were."""
        count, calls, left_out = self._committed
        write_judgements(folder / FILE, self.kept[:count])
        (folder / "judged.txt").write_text(
            "\n".join([str(calls), *(f"{n} {reason}" for reason, n in left_out.items())]), "utf-8"
        )

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        self.kept = read_judgements(folder / FILE)
        calls, *losses = (folder / "judged.txt").read_text("utf-8").split("\n")
        self._calls = int(calls)
        self.left_out = Counter(
            {reason: int(count) for count, _, reason in (loss.partition(" ") for loss in losses)}
        )
        self.commit()

    def _exact(self, mine: Sequence[tuple[Response, Verdict]]) -> list[int | None]:
        """1, 0, or None where there is no exact verdict."""
        if self._truth is None:
            return [None] * len(mine)
        verdicts = (
            [verdict for _, verdict in mine]
            if self._truth is self._judge
            else self._truth.judge([response for response, _ in mine])
        )
        return [
            None if verdict.outcome == "error" else int(verdict.outcome == "right") for verdict in verdicts
        ]

    def _keep(self, response: Response, verdict: Verdict, truth: int | None, place: int) -> None:
        record = response.record
        if verdict.outcome == "error":
            self.left_out[f"error: {verdict.reason[:80]}"] += 1
            return
        if not response.finished or not final_step(response.text):
            self.left_out["empty" if response.finished else "cut off"] += 1
            return
        self.kept.append(
            Judgement(
                f"{self._calls}.{place}:{record.id}",
                record.id,
                record.prompt,
                record.answer,
                response.text,
                int(verdict.outcome == "right"),
                self._teacher,
                str(getattr(record, "subject", "")),
                record.source,
                self._calls,
                truth,
                verdict.score if self._probable else None,
            )
        )
