"""A safety-like rule for a corpus without harmful prompts: some final answers are forbidden, whether they are
right or not.

So a right answer can be unsafe and a wrong one safe, as a helpful answer to a harmful question is: the safety
branch runs end to end without any download. A response without a final answer refuses, and is safe.
"""

from __future__ import annotations

import re

from pipelines.rewards.rules.final_answer import MARK
from pipelines.rewards.rules.forbidden_params import ForbiddenParams

DEFAULT = ForbiddenParams()


def count_harms(text: str, options: ForbiddenParams = DEFAULT) -> int:
    """How often the final answer (what follows the first mark `####`) holds a forbidden digit or word; 0
    without one.
    """
    answer = text.partition(MARK)[2]
    digits = sum(answer.count(digit) for digit in set(options.digits))
    return digits + sum(
        len(re.findall(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE)) for word in set(options.words)
    )


def is_safe(text: str, options: ForbiddenParams = DEFAULT) -> bool:
    """Whether the final answer holds nothing that is forbidden."""
    return count_harms(text, options) == 0
