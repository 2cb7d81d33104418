"""Plain values across the sandbox' wall: the program's side writes them as JSON with tags, the test's side reads them back.

Only exact builtin types come out of `decode`, whatever the program sends: a subclass of int, or an object whose `__eq__` says yes to all,
arrives as a plain number, or not at all. Runs inside sandboxes, so it imports nothing of the project.
"""

import sys

MOST_ITEMS = 1_000_000
PLAIN = {  # base type -> a value of exactly that type from one of a subclass, without asking the subclass where that is possible
    int: lambda value: int.__add__(value, 0),
    float: lambda value: float.__add__(value, 0.0),
    str: lambda value: "".join(str.__iter__(value)),
    bytes: lambda value: bytes(memoryview(value)),
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


class NoPlainForm(TypeError):
    """A value that cannot go over."""


class Foreign:
    """What stands for an object of the program that has no plain form: true or false as that is, and equal to nothing."""

    def __init__(self, name, truth):
        self._name, self._truth = name, truth

    def __bool__(self):
        return self._truth

    def __repr__(self):
        return f"<{self._name}>"


def encode(value):
    """JSON text. Tags: t tuple, d dict, s set, f frozenset, b bytes, a bytearray, c complex, i big int, r range, q deque, n iterator, o
    other types by name, x what has no plain form."""
    pieces: list[str] = []
    _write(value, pieces.append)
    return "".join(pieces)


def _write(value, put):
    from _json import encode_basestring_ascii as quoted

    kind = type(value)
    if value is None or kind is bool:
        put("null" if value is None else "true" if value else "false")
    elif kind is int:
        put(int.__repr__(value) if -(2**63) < value < 2**63 else f'{{"i":"{value:x}"}}')
    elif kind is float:
        put(_number(value))
    elif kind is str:
        put(quoted(value))
    elif kind is list:
        _sequence(value, put)
    elif kind is tuple:
        _tagged("t", value, put)
    elif kind is dict:
        _tagged("d", [item for pair in value.items() for item in pair], put)
    elif kind is set or kind is frozenset:
        _tagged("s" if kind is set else "f", value, put)
    else:
        _write_other(value, kind, put)


def _number(value):
    text = float.__repr__(value)
    return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text, text)


def _write_other(value, kind, put):
    if kind is bytes or kind is bytearray:
        tag = "b" if kind is bytes else "a"
        put(f'{{"{tag}":"{value.hex()}"}}')
    elif kind is complex:
        _tagged("c", [value.real, value.imag], put)
    elif kind is range:
        _tagged("r", [value.start, value.stop, value.step], put)
    else:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in ("decimal.Decimal", "fractions.Fraction"):
            _tagged("o", [name, str(value)], put)
        elif name in ("datetime.date", "datetime.datetime", "datetime.time"):
            _tagged("o", [name, value.isoformat()], put)
        elif name == "collections.deque":
            _tagged("q", list(value), put)
        else:
            _write_like(value, name, put)


def _write_like(value, name, put):
    """Subclasses of plain types lose what they add, and whatever can be gone through is."""
    for base, plain in PLAIN.items():
        if isinstance(value, base):
            _write(plain(value), put)
            return
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        _write(value.tolist(), put)
    elif hasattr(kind := type(value), "__iter__") and (hasattr(kind, "__next__") or name.startswith("builtins.dict_")):
        items = []
        for item in value:
            items.append(item)
            if len(items) > MOST_ITEMS:
                raise NoPlainForm(f"{name} gives more than {MOST_ITEMS} items")
        _tagged("n", items, put)
    else:
        _tagged("x", [name[:80], bool(value)], put)


def _tagged(tag, items, put):
    put(f'{{"{tag}":')
    _sequence(items, put)
    put("}")


def _sequence(items, put):
    put("[")
    first = True
    for item in items:
        if not first:
            put(",")
        first = False
        _write(item, put)
    put("]")


def decode(text):
    """The value. ValueError, TypeError, RecursionError or OverflowError for text that `encode` would not write."""
    import json

    return json.loads(text, object_hook=_untag)


def _untag(found):
    (tag, held), *more = found.items()
    if more:
        raise ValueError("two tags")
    if tag in ("b", "a", "i"):
        if type(held) is not str:
            raise ValueError(f"tag {tag} without text")
        return int(held, 16) if tag == "i" else bytes.fromhex(held) if tag == "b" else bytearray.fromhex(held)
    if type(held) is not list:
        raise ValueError(f"tag {tag} without a list")
    if tag == "d":
        return dict(zip(held[::2], held[1::2], strict=True))
    if tag in _COLLECTIONS:
        return _COLLECTIONS[tag](held)
    if tag == "c":
        return complex(*map(float, held))
    if tag == "r":
        return range(*held)
    if tag == "q":
        from collections import deque

        return deque(held)
    if tag == "x" and list(map(type, held)) == [str, bool]:
        return Foreign(*held)
    if tag == "o":
        return _other(*held)
    raise ValueError(f"no tag {tag!r}")


_COLLECTIONS: dict = {"t": tuple, "s": set, "f": frozenset, "n": iter}


def _other(name, text):
    import datetime
    import decimal
    import fractions

    kinds: dict = {
        "decimal.Decimal": decimal.Decimal,
        "fractions.Fraction": fractions.Fraction,
        "datetime.date": datetime.date.fromisoformat,
        "datetime.datetime": datetime.datetime.fromisoformat,
        "datetime.time": datetime.time.fromisoformat,
    }
    return kinds[name](text)
