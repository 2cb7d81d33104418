"""The ledger of a source: bad rows are named, counted and dropped; too many of them stop the stage.

A raw file of thousands of rows usually holds a few broken ones. Ignoring them would hide a reader's bug, and
failing at the first would make the file useless: each is recorded with file, line and reason, and a share
says how many are tolerable.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SHOWN = 5  # bad rows that are listed in a message or in the metrics


class TooManyBadRows(ValueError):
    """More than the configured share of a source's rows could not be used."""


@dataclass
class Ledger:
    """The counts of the rows of one source: `good + bad` rows were read. `left_out`: good rows that give no
    problem, by reason; `first`: the first bad rows; `cut`: whether there are more rows than were to be
    read.
    """

    name: str
    good: int = 0
    bad: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    cut: bool = False

    def accept(self) -> None:
        """Counts a good row."""
        self.good += 1

    def reject(self, where: str, reason: str, kind: str = "") -> None:
        """Records a bad row. `where` is file:line; `kind`: a short class of reasons to count by; empty:
        `reason` itself.
        """
        self.bad += 1
        self.reasons[kind or reason] += 1
        if len(self.first) < SHOWN:
            self.first.append(f"{where}: {reason}")

    def check(self, max_share: float) -> None:
        """Raises TooManyBadRows when more than `max_share` (0 to 1) of the rows were bad, or when no row was
        good.
        """
        read = self.good + self.bad
        if read and self.bad / read <= max_share and self.good:
            return
        if not read:
            raise TooManyBadRows(f"source {self.name} has no rows")
        lines = "\n  ".join(self.first)
        suffix = f"\n  and {self.bad - len(self.first)} more" if self.bad > len(self.first) else ""
        told = (
            f"{self.bad} of {read} rows are bad, more than max_bad_rows {max_share:g} allows; mend the file "
            "or the source's columns, or raise max_bad_rows"
            if self.good
            else f"all {read} rows are bad; mend the file or the source's columns"
        )
        raise TooManyBadRows(f"source {self.name}: {told}:\n  {lines}{suffix}")

    def summary(self) -> dict[str, object]:
        """Returns the counts for the metrics."""
        left_out = {"left_out": dict(sorted(self.left_out.items()))} if self.left_out else {}
        reasons = dict(sorted(self.reasons.items()))
        return {
            "read": self.good + self.bad,
            "bad": self.bad,
            "reasons": reasons,
            "first_bad": list(self.first),
            **left_out,
            **({"first_rows_only": True} if self.cut else {}),
        }
