"""A judge that keeps what it judged: the teacher of a policy that explores, whose every verdict a verifier then learns from.

The drift is the point (methods/reward_bridge.md 4.1): responses of the whole run are kept, from its first style to its last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.corpora.judgement import Judgement, read_judgements, write_judgements
from pipelines.rewards.generative.prompt import final_step
from pipelines.rewards.judge import Judge, Question, Response
from pipelines.rewards.scoring import Check, verdict_of
from pipelines.rewards.verdict import Verdict

FILE = "judgements.jsonl"


class RecordingJudge:
    """`judge` with a memory. `truth` is the exact checker where the set has one: its verdict goes beside the teacher's.

    A part of the run's checkpoints, so that a resumed run keeps each response once. Verdicts that are errors, and responses without a line
    to judge, are counted in `left_out` and not kept: they teach nothing.
    """

    def __init__(self, judge: Judge, teacher: str, truth: Check | None = None) -> None:
        self._judge, self._teacher, self._truth = judge, teacher, truth
        self.deterministic = judge.deterministic
        self.kept: list[Judgement] = []
        self.left_out: Counter[str] = Counter()
        self._calls = 0

    @property
    def model(self) -> Any | None:
        return self._judge.model

    def preflight(self, records: Sequence[Question]) -> None:
        """The teacher's own."""
        self._judge.preflight(records)

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """The teacher's verdicts. Each call is a step of the policy."""
        verdicts = self._judge.judge(responses)
        for place, (response, verdict) in enumerate(zip(responses, verdicts, strict=True)):
            self._keep(response, verdict, place)
        self._calls += 1
        return verdicts

    def save(self, folder: Path) -> None:
        """What was kept so far, and how many calls and losses there were."""
        write_judgements(folder / FILE, self.kept)
        (folder / "judged.txt").write_text(
            "\n".join([str(self._calls), *(f"{n} {reason}" for reason, n in self.left_out.items())]), "utf-8"
        )

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        self.kept = read_judgements(folder / FILE)
        calls, *losses = (folder / "judged.txt").read_text("utf-8").split("\n")
        self._calls = int(calls)
        self.left_out = Counter({reason: int(count) for count, _, reason in (loss.partition(" ") for loss in losses)})

    def _keep(self, response: Response, verdict: Verdict, place: int) -> None:
        record = response.record
        if verdict.outcome == "error":
            self.left_out[f"error: {verdict.reason[:80]}"] += 1
            return
        if not response.finished or not final_step(response.text):
            self.left_out["empty" if response.finished else "cut off"] += 1
            return
        truth = None
        if self._truth is not None:
            exact = verdict_of(self._truth, response.text, record.answer, True).outcome
            truth = None if exact == "error" else int(exact == "right")
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
            )
        )
