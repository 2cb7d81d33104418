"""Standard output and input of a program whose functions a test calls: the test's own, also where it has
replaced them.
"""

import io

MOST = 2**20  # bytes that one call may print before the rest is dropped


class CapturedOutput(io.RawIOBase):
    """Collects what is printed until `take`."""

    def __init__(self):
        super().__init__()
        self._pieces, self._size = [], 0
        self.text = io.TextIOWrapper(io.BufferedWriter(self), "utf-8", "surrogateescape")

    def writable(self):
        return True

    def fileno(self):
        return 1

    def write(self, piece):
        kept = bytes(piece)[: MOST - self._size]
        self._pieces.append(kept)
        self._size += len(kept)
        return len(piece)

    def take(self):
        """Returns the text printed since the last call."""
        self.text.flush()
        if not self._size:
            return ""
        text = b"".join(self._pieces).decode("utf-8", "surrogateescape")
        self._pieces, self._size = [], 0
        return text


class TestInput(io.TextIOBase):
    """The test's standard input."""

    def __init__(self, side):
        super().__init__()
        self._side = side

    def readable(self):
        return True

    def read(self, size=-1, /):
        return self._side.ask("stdin", "read", -1 if size is None else size)

    def readline(self, size=-1, /):
        return self._side.ask("stdin", "readline", size)

    @property
    def buffer(self):
        return io.BytesIO(self.read().encode("utf-8", "surrogateescape"))

    def input(self, prompt="", /):
        """The test's `input`, which it may have replaced."""
        return self._side.ask("stdin", "input", str(prompt))
