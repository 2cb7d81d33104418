"""Rejects last lines that are no answer whatever the key, before the verifier sees them: the cheapest defence
against a policy that exploits its verifier (reward_bridge.md 10.1, 10.3.1).
"""

from __future__ import annotations

import re

OPENERS = frozenset(
    {
        "thought process",
        "thinking process",
        "mental process",
        "let's solve this problem step by step",
        "let us solve this problem step by step",
        "let me solve it step by step",
        "let's think step by step",
        "solution",
        "the solution",
        "answer",
        "the answer",
        "the answer is",
        "final answer",
        "therefore, the answer is",
        "therefore the answer is",
        "to solve this problem, follow these steps",
        "sure, let's break this down step by step",
        "step",
        "boxed",  # \boxed{} without content
        "解",
        "解答",
        "答",
        "答案",
        "かいせつ",
        "respuesta",
    }
)

_WORD = re.compile(r"[^\W_]", re.UNICODE)
_EDGES = re.compile(r"^[\W_]+|[\W_]+$", re.UNICODE)


def prefilter_reason(line: str, key: str) -> str | None:
    """Returns why the last line is wrong without asking the verifier, or None: it has neither letter nor
    digit while the key has, or is only a known opening phrase (OPENERS) and the key is not.
    """
    if not _WORD.search(line):
        return "the last line has neither letter nor digit" if _WORD.search(key) else None
    bare, key = _normalized(line), _normalized(key)
    return f"the last line is only {line[:40]!r}" if bare in OPENERS and bare != key else None


def _normalized(text: str) -> str:
    return " ".join(_EDGES.sub("", text.replace("’", "'")).casefold().split())
