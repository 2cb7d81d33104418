"""How many rows a stage read, kept and lost, and why: in its metrics under `rows`, and on the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WARNING_SHARE = 0.2  # a larger share that is lost is a warning
ASKED = ("over limits", "over max pairs per prompt")  # the settings say how many stay: no warning
REMEDIES = {
    "long prompt": "raise max_prompt_tokens",
    "long response": "raise max_response_tokens",
    "bad rows": "the stage's log and its metrics name the first ones",
    "not encodable": "set tokenizer.alphabet: bytes, or look at the special tokens that the texts spell",
    "no demonstration": "name columns.solution",
    "too long": "raise max_tokens",
}


def rows_kept(read: int, lost: Mapping[str, int], noun: str = "rows") -> dict[str, Any]:
    """Returns the entry `rows` of a stage's metrics: `kept` is what is left of `read` when each loss has been
    counted once. `noun`: what is counted.
    """
    losses = {reason.replace("_", " "): number for reason, number in lost.items() if number}
    ordered = dict(sorted(losses.items(), key=lambda item: (-item[1], item[0])))
    return {"what": noun, "read": read, "kept": read - sum(losses.values()), "lost": ordered}


def rows_sentence(rows: Mapping[str, Any]) -> str:
    """Returns `185 of 400 rows kept; left out: 200 long prompt, 15 duplicates exact`; where more than
    WARNING_SHARE of the rows are lost a warning with the share and the remedy.
    """
    noun, read, kept, lost = rows["what"], rows["read"], rows["kept"], rows["lost"]
    text = f"{kept} of {read} {noun} kept" + (
        f"; left out: {', '.join(f'{number} {reason}' for reason, number in lost.items())}" if lost else ""
    )
    unasked = [reason for reason in lost if reason not in ASKED]
    left_out = sum(lost[reason] for reason in unasked)
    if left_out <= WARNING_SHARE * (kept + left_out):
        return text
    main_reason = unasked[0]
    remedy = f" ({REMEDIES[main_reason]})" if main_reason in REMEDIES else ""
    return (
        f"warning: {100 * left_out / (kept + left_out):.0f} % of the {noun} are left out, "
        f"most for: {main_reason}{remedy}. {text}"
    )


def none_left_message(read: int, lost: Mapping[str, int], noun: str = "rows") -> str:
    """Returns `none of 3 rows is left (2 long prompt, 1 not encodable); raise max_prompt_tokens`, for an
    error.
    """
    ordered = rows_kept(read, lost, noun)["lost"]
    main_reason = next(iter(ordered), "")
    reasons = ", ".join(f"{number} {reason}" for reason, number in ordered.items())
    return f"none of {read} {noun} is left ({reasons})" + (
        f"; {REMEDIES[main_reason]}" if main_reason in REMEDIES else ""
    )
