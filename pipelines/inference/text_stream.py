"""Text of a response while it is drawn: whole characters only, and nothing of a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.models.tokenizer import Tokens

HALF = "\ufffd"  # what a decoder writes for bytes that are no character, or not yet


class TextStream:
    """`push` takes ids and returns the text that has become certain; `finish` the rest. Together they are the
    decoded response, up to the first of `stops`; `stopped` says whether it came.
    """

    def __init__(self, tokens: Tokens, stops: Sequence[str] = ()) -> None:
        self._tokens, self._stops = tokens, tuple(filter(None, stops))
        self._ids: list[int] = []
        # ids before `_shown` are in the text already; decoding begins at `_start`, for what a token is may
        # depend on the one before it
        self._start = self._shown = 0
        self._held = ""
        self.stopped = False

    def push(self, id: int) -> str:
        self._ids.append(id)
        text = self._new()
        if text.endswith(HALF):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return self._cut(text, last=False)

    def finish(self) -> str:
        """Returns what was held back, with a character that stayed half."""
        text, self._start = self._new(), len(self._ids)
        self._shown = self._start
        return self._cut(text, last=True)

    def _new(self) -> str:
        before = self._tokens.decode(self._ids[self._start : self._shown])
        return self._tokens.decode(self._ids[self._start :])[len(before) :]

    def _cut(self, text: str, last: bool) -> str:
        """Returns the text without what follows a stop text, and but for the last time without an end that
        one may begin with.
        """
        if self.stopped:
            return ""
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        keep = 0 if last else max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the longest end of `text` that `stop` begins with."""
    return next(
        (size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0
    )
