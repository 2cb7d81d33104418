"""Mutable containers shared by both sides of a sandbox: each has a key, and the content that both sides last
agreed on.

The side that hands over control sends what has changed since. A container that one side no longer holds is
dropped by both; if it is sent again, it is a new one. Runs inside sandboxes.
"""

import sys
from _operator import is_

from . import values

BUILTIN = {list: "list", dict: "dict", set: "set", bytearray: "bytearray"}
OTHERS = {("collections", "deque"), ("collections", "OrderedDict"), ("collections", "defaultdict"),
           ("collections", "Counter"),
          ("array", "array"), ("numpy", "ndarray")}  # fmt: skip
# handovers for which a container stays shared although nothing holds it: the argument of one call is often
# that of the next
KEPT = 4
UNHELD = 2  # references to a container that only its entry holds, as sys.getrefcount counts
MAPPINGS = ("dict", "OrderedDict", "defaultdict", "Counter")


def container_type(kind):
    """Returns the container type that a class is or derives from, or None."""
    for parent in kind.__mro__:
        if parent in BUILTIN or (
            (parent.__module__, parent.__qualname__) in OTHERS
            and getattr(sys.modules.get(parent.__module__), parent.__name__, None) is parent
        ):
            return parent
    return None


class SharedContainer:
    """A shared container. `last`: its items when both sides last agreed, None before. Items that are the same
    objects have not changed: mutable ones are shared themselves, or stay on their side.
    """

    __slots__ = ("held", "idle", "kind", "last", "loading")

    def __init__(self, held, kind):
        self.held, self.kind, self.last, self.loading, self.idle = held, kind, None, False, 0

    def items(self):
        """Returns the items, bypassing methods of subclasses; of arrays of numbers the bytes."""
        value, kind = self.held, self.kind
        if kind == "list":
            return list(list.__iter__(value))
        if kind in MAPPINGS:
            return [item for pair in container_type(type(value)).items(value) for item in pair]
        if kind == "set":
            return list(set.__iter__(value))
        if kind in ("array", "ndarray", "bytearray"):
            return bytes(memoryview(value)) if kind == "bytearray" else value.tobytes()
        return list(value)

    def unchanged(self, items):
        if self.last is None or type(items) is bytes:
            return items == self.last
        return len(items) == len(self.last) and all(map(is_, items, self.last))


class Shared:
    """The shared containers of one side. One side gives odd keys and the other even ones, so that
    both can.
    """

    def __init__(self, side, odd):
        self._side, self._entries, self._keys = side, {}, {}
        self._next = 1 if odd else 2

    def key(self, value):
        """Returns the key of a container, known or new; None for other values."""
        known = self._keys.get(id(value))
        if known is not None:
            self._entries[known].idle = 0
            return known
        kind = container_type(type(value))
        if kind is None or (kind.__name__ == "ndarray" and value.dtype.kind not in "biufU"):
            return None
        key, self._next = self._next, self._next + 2
        self._keep(key, SharedContainer(value, kind.__name__))
        return key

    def held(self, key):
        entry = self._entries[key]
        entry.idle = 0
        return entry.held

    def mark(self):
        return set(self._entries), self._next

    def reset(self, mark):
        """Drops containers newer than `mark`, whose frame was not sent."""
        for key in set(self._entries) - mark[0]:
            self.forget(key)

    def forget(self, key):
        entry = self._entries.pop(key)
        del self._keys[id(entry.held)]

    def changes(self):
        """Returns [key, head, content] of every new container, and [key, 0, content] of every changed one, as
        JSON without the outer brackets.
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
                items = entry.items()
                if not entry.unchanged(items):
                    head = self._head(entry) if entry.last is None else "0"
                    pieces.append(f"[{key},{head},{self._content(entry, items)}]")
                    now[key] = items
        for key, items in now.items():
            self._entries[key].last = items
        return ",".join(pieces)

    def drop_unheld(self):
        """Drops the containers that nothing on this side has held for KEPT handovers, and returns
        their keys.
        """
        unheld = []
        for key, entry in self._entries.items():
            entry.idle = entry.idle + 1 if sys.getrefcount(entry.held) <= UNHELD else 0
            if entry.idle > KEPT:
                unheld.append(key)
        for key in unheld:
            self.forget(key)
        return unheld

    def take(self, heap):
        """Applies what the other side sent. New containers are created first, since they may hold
        each other.
        """
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
        """Returns [base, constructor argument, class number, object number]; both numbers are 0 for the base
        itself.
        """
        value, extra = entry.held, "null"
        if entry.kind == "deque":
            extra = self._side.write(value.maxlen)
        elif entry.kind == "defaultdict":
            extra = self._side.write(value.default_factory)
        elif entry.kind == "array":
            extra = values.quoted(value.typecode)
        elif entry.kind == "ndarray":
            extra = values.sequence([value.dtype.str, tuple(value.shape)], self._side.write)
        own = "0,0" if container_type(type(value)) is type(value) else self._side.numbers(value)
        return f'["{entry.kind}",{extra},{own}]'

    def _content(self, entry, items):
        """Returns the items as JSON."""
        if entry.kind == "bytearray":
            return f'["{items.hex()}"]'
        if entry.kind == "ndarray":
            return values.sequence(entry.held.reshape(-1).tolist(), self._side.write)
        return values.sequence(entry.held.tolist() if entry.kind == "array" else items, self._side.write)

    def _make(self, key, kind, extra, class_number, number):
        if type(key) is not int or key in self._entries:
            raise ValueError("no key of a container")
        container = self._new(
            kind, self._side.read(extra), self._side.theirs(class_number) if class_number else None
        )
        entry = SharedContainer(container, kind)
        entry.loading = True
        self._keep(key, entry)
        if number:
            self._side.know(number, container)

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
        container = plain.__new__(mirrored or plain)
        if kind == "deque":
            plain.__init__(container, (), extra)
        elif kind == "defaultdict":
            plain.__init__(container, extra)
        return container

    def _array(self, dtype, shape):
        import re

        import numpy

        if type(dtype) is not str or not re.fullmatch(r"[<>|=]?(?:b1|[iuf][1248]|U\d{1,6})", dtype):
            raise ValueError("no type of an array")
        return numpy.zeros(shape, dtype)

    def _fill(self, entry, content):
        items, value, kind = values.items(content, self._side.read), entry.held, entry.kind
        if kind == "list":
            list.__setitem__(value, slice(None), items)
        elif kind in MAPPINGS:
            plain = container_type(type(value))
            plain.clear(value)
            for place in range(0, len(items), 2):
                plain.__setitem__(value, items[place], items[place + 1])
        elif kind == "set":
            set.clear(value)
            set.update(value, items)
        elif kind == "bytearray":
            value[:] = bytes.fromhex(items[0])
        elif kind == "ndarray":
            value.flat[:] = items
        elif kind == "array":
            value[:] = type(value)(value.typecode, items)
        else:
            value.clear()
            value.extend(items)
