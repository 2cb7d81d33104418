"""The resolved prompt template: plain text around the question, whatever it was made from, with a digest that
says when two differ.

A chat template is rendered once around a placeholder when the corpus is made: for single questions no later
stage needs Jinja, and the very text that the model was trained on is written down in tokens.json.
Conversations of several turns are rendered by `chat`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

VERSION = 1  # raise it when the meaning of a field changes: equal text would no longer mean equal token ids


@dataclass(frozen=True)
class Template:
    """`before` + question + `after`, then the model's turn: `lead` + demonstration + `tail` + what ends
    it.
    """

    before: str = ""
    after: str = ""
    lead: str = ""
    tail: str = ""
    bos: bool = False

    @classmethod
    def of(cls, prompt: str, response: str = "{response}", bos: bool = False) -> Template:
        """From texts that hold `{query}` and `{response}` exactly once each."""
        before, _, after = prompt.partition("{query}")
        lead, _, tail = response.partition("{response}")
        return cls(before, after, lead, tail, bos)

    @property
    def digest(self) -> str:
        """sha256, 16 hexadecimal digits."""
        text = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def prompt(self, query: str) -> str:
        return f"{self.before}{query}{self.after}"

    def response(self, text: str) -> str:
        return f"{self.lead}{text}{self.tail}"
