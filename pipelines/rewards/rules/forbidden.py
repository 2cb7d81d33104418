"""A stand-in for a safety rule: some final answers are forbidden, whether right or wrong.

So a right answer can be unsafe and a wrong one safe, and the safety branch runs end to end without harmful
prompts or downloads. A response without a final answer counts as a refusal, which is safe.
"""

from __future__ import annotations

import re

from pipelines.rewards.rules.final_answer import MARK
from pipelines.rewards.rules.forbidden_params import ForbiddenParams

DEFAULT = ForbiddenParams()


def harm(text: str, options: ForbiddenParams = DEFAULT) -> int:
    """Returns the number of forbidden digits and words in the final answer (after the first `####`); 0
    without a final answer.
    """
    answer = text.partition(MARK)[2]
    digits = sum(answer.count(digit) for digit in set(options.digits))
    return digits + sum(
        len(re.findall(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE)) for word in set(options.words)
    )


def is_safe(text: str, options: ForbiddenParams = DEFAULT) -> bool:
    """Returns whether the final answer has no forbidden digit or word."""
    return harm(text, options) == 0
