"""How many rows a stage read, kept and lost, and why: in its metrics under `rows`, and said on the console of
the run that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOUD = 0.2  # a larger share that is lost is a warning
WAYS = {
    "long prompt": "raise max_prompt_tokens",
    "long response": "raise max_response_tokens",
    "bad rows": "the stage's log and its metrics name the first ones",
    "not encodable": "set tokenizer.alphabet: bytes, or look at the special tokens that the texts spell",
    "no demonstration": "name columns.solution",
    "too long": "raise max_tokens",
}


def rows_kept(read: int, lost: Mapping[str, int], what: str = "rows") -> dict[str, Any]:
    """For the metrics of a stage: `kept` is what is left of `read` when each loss has been counted once.
    `what` is being counted.
    """
    found = {reason.replace("_", " "): number for reason, number in lost.items() if number}
    ordered = dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    return {"what": what, "read": read, "kept": read - sum(found.values()), "lost": ordered}


def sentence(rows: Mapping[str, Any]) -> str:
    """`185 of 400 rows kept; left out: 200 long prompt, 15 duplicates exact`; above LOUD a warning with the
    share and what to do.
    """
    what, read, kept, lost = rows["what"], rows["read"], rows["kept"], rows["lost"]
    text = f"{kept} of {read} {what} kept" + (
        f"; left out: {', '.join(f'{n} {reason}' for reason, n in lost.items())}" if lost else ""
    )
    if read - kept <= LOUD * read:
        return text
    most = next(iter(lost))
    way = f" ({WAYS[most]})" if most in WAYS else ""
    return (
        f"warning: {100 * (read - kept) / read:.0f} % of the {what} are left out, most for: {most}{way}. "
        f"{text}"
    )


def none_left(read: int, lost: Mapping[str, int], what: str = "rows") -> str:
    """`none of 3 rows is left (2 long prompt, 1 not encodable); raise max_prompt_tokens`, for an error."""
    ordered = rows_kept(read, lost, what)["lost"]
    most = next(iter(ordered), "")
    reasons = ", ".join(f"{number} {reason}" for reason, number in ordered.items())
    return f"none of {read} {what} is left ({reasons})" + (f"; {WAYS[most]}" if most in WAYS else "")
