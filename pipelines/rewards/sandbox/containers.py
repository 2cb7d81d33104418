"""Mutable containers that both sides of the sandbox' wall hold: each under a key, with what both knew of it
last.

Whoever hands over control sends what has changed since. A container that one side no longer holds is
forgotten by both; coming again, it is a new one, and nobody can tell. Runs inside sandboxes.
"""

import sys
from _operator import is_

from . import values

BUILTIN = {list: "list", dict: "dict", set: "set", bytearray: "bytearray"}
OTHERS = {("collections", "deque"), ("collections", "OrderedDict"), ("collections", "defaultdict"),
           ("collections", "Counter"),
          ("array", "array"), ("numpy", "ndarray")}  # fmt: skip
# handovers that a container stays known though nothing holds it: the argument of one call is often that of
# the next
KEPT = 4
UNHELD = 2  # references to a container that only its entry holds, as sys.getrefcount counts
MAPPINGS = ("dict", "OrderedDict", "defaultdict", "Counter")


def base(kind):
    """The container type that a class is or derives from, or None."""
    for one in kind.__mro__:
        if one in BUILTIN or (
            (one.__module__, one.__qualname__) in OTHERS
            and getattr(sys.modules.get(one.__module__), one.__name__, None) is one
        ):
            return one
    return None


class Entry:
    """`last`: what it held when both sides knew the same of it; None before that. Items that are the same
    objects have not changed: those that could change inside are shared themselves, or stay where they are.
    """

    __slots__ = ("held", "idle", "kind", "last", "loading")

    def __init__(self, held, kind):
        self.held, self.kind, self.last, self.loading, self.idle = held, kind, None, False, 0

    def items(self):
        """Its items, without asking a subclass; of arrays of numbers their bytes."""
        value, kind = self.held, self.kind
        if kind == "list":
            return list(list.__iter__(value))
        if kind in MAPPINGS:
            return [one for pair in base(type(value)).items(value) for one in pair]
        if kind == "set":
            return list(set.__iter__(value))
        if kind in ("array", "ndarray", "bytearray"):
            return bytes(memoryview(value)) if kind == "bytearray" else value.tobytes()
        return list(value)

    def unchanged(self, found):
        if self.last is None or type(found) is bytes:
            return found == self.last
        return len(found) == len(self.last) and all(map(is_, found, self.last))


class Shared:
    """The containers of one side. Keys that it gives are odd or even, so that both may give some."""

    def __init__(self, side, odd):
        self._side, self._entries, self._keys = side, {}, {}
        self._next = 1 if odd else 2

    def key(self, value):
        """Of a container, known or new; None for what is none."""
        known = self._keys.get(id(value))
        if known is not None:
            self._entries[known].idle = 0
            return known
        kind = base(type(value))
        if kind is None or (kind.__name__ == "ndarray" and value.dtype.kind not in "biufU"):
            return None
        key, self._next = self._next, self._next + 2
        self._keep(key, Entry(value, kind.__name__))
        return key

    def held(self, key):
        entry = self._entries[key]
        entry.idle = 0
        return entry.held

    def mark(self):
        return set(self._entries), self._next

    def reset(self, mark):
        """Forgets what is newer: the frame with it was not sent."""
        for key in set(self._entries) - mark[0]:
            self.forget(key)

    def forget(self, key):
        entry = self._entries.pop(key)
        del self._keys[id(entry.held)]

    def changes(self):
        """[key, head, content] of each that is new, with its head, or changed, with 0; as JSON without the
        outer brackets.
        """
        done: set = set()
        pieces, now = [], {}
        while len(done) < len(self._entries):
            for key, entry in list(self._entries.items()):
                if key in done:
                    continue
                done.add(key)
                if entry.loading:
                    continue
                found = entry.items()
                if not entry.unchanged(found):
                    head = self._head(entry) if entry.last is None else "0"
                    pieces.append(f"[{key},{head},{self._content(entry, found)}]")
                    now[key] = found
        for key, found in now.items():
            self._entries[key].last = found
        return ",".join(pieces)

    def drop_unheld(self):
        """Keys of those that nothing on this side has held for a while."""
        found = []
        for key, entry in self._entries.items():
            entry.idle = entry.idle + 1 if sys.getrefcount(entry.held) <= UNHELD else 0
            if entry.idle > KEPT:
                found.append(key)
        for key in found:
            self.forget(key)
        return found

    def take(self, heap):
        """What the other side sent: new ones are made first, since they may hold each other."""
        for key, head, _ in heap:
            if head != 0:
                self._make(key, *head)
        for key, _, content in heap:
            entry = self._entries[key]
            self._fill(entry, content)
            entry.loading = False
        for key, _, _ in heap:
            self._entries[key].last = self._entries[key].items()

    def _keep(self, key, entry):
        self._entries[key] = entry
        self._keys[id(entry.held)] = key

    def _head(self, entry):
        """[base, what its making needs, class number, object number]; numbers are 0 for the base itself."""
        value, extra = entry.held, "null"
        if entry.kind == "deque":
            extra = self._side.write(value.maxlen)
        elif entry.kind == "defaultdict":
            extra = self._side.write(value.default_factory)
        elif entry.kind == "array":
            extra = values.quoted(value.typecode)
        elif entry.kind == "ndarray":
            extra = values.sequence([value.dtype.str, tuple(value.shape)], self._side.write)
        own = "0,0" if base(type(value)) is type(value) else self._side.numbers(value)
        return f'["{entry.kind}",{extra},{own}]'

    def _content(self, entry, found):
        """JSON of its items."""
        if entry.kind == "bytearray":
            return f'["{found.hex()}"]'
        if entry.kind == "ndarray":
            return values.sequence(entry.held.reshape(-1).tolist(), self._side.write)
        return values.sequence(entry.held.tolist() if entry.kind == "array" else found, self._side.write)

    def _make(self, key, kind, extra, class_number, number):
        if type(key) is not int or key in self._entries:
            raise ValueError("no key of a container")
        made = self._new(
            kind, self._side.read(extra), self._side.theirs(class_number) if class_number else None
        )
        entry = Entry(made, kind)
        entry.loading = True
        self._keep(key, entry)
        if number:
            self._side.know(number, made)

    def _new(self, kind, extra, mirrored):
        if kind in ("list", "dict", "set", "bytearray"):
            plain = {"list": list, "dict": dict, "set": set, "bytearray": bytearray}[kind]
            return plain.__new__(mirrored or plain)  # type: ignore[call-arg]
        if kind == "ndarray":
            return self._array(*extra)
        module = "array" if kind == "array" else "collections"
        if (module, kind) not in OTHERS:
            raise ValueError("no container")
        plain = getattr(__import__(module), kind)
        if kind == "array":
            return plain(extra)
        made = plain.__new__(mirrored or plain)
        if kind == "deque":
            plain.__init__(made, (), extra)
        elif kind == "defaultdict":
            plain.__init__(made, extra)
        return made

    def _array(self, dtype, shape):
        import re

        import numpy

        if type(dtype) is not str or not re.fullmatch(r"[<>|=]?(?:b1|[iuf][1248]|U\d{1,6})", dtype):
            raise ValueError("no type of an array")
        return numpy.zeros(shape, dtype)

    def _fill(self, entry, content):
        found, value, kind = values.items(content, self._side.read), entry.held, entry.kind
        if kind == "list":
            list.__setitem__(value, slice(None), found)
        elif kind in MAPPINGS:
            plain = base(type(value))
            plain.clear(value)
            for place in range(0, len(found), 2):
                plain.__setitem__(value, found[place], found[place + 1])
        elif kind == "set":
            set.clear(value)
            set.update(value, found)
        elif kind == "bytearray":
            value[:] = bytes.fromhex(found[0])
        elif kind == "ndarray":
            value.flat[:] = found
        elif kind == "array":
            value[:] = type(value)(value.typecode, found)
        else:
            value.clear()
            value.extend(found)
