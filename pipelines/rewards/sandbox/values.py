"""Immutable values between the sides of a sandbox, as JSON: scalars as they are, tuples as arrays, others
under a tag.

`read_plain` returns exact builtin types only, whatever was sent. `wire.py` handles mutable containers and
objects. Runs inside sandboxes, where import time counts: it imports C modules only, others when a value needs
them.
"""

import sys
from _json import encode_basestring_ascii as quoted
from _json import make_encoder, make_scanner

SCALARS = frozenset({type(None), bool, int, float, str})
SMALL = 2**63  # larger integers go over as hexadecimal, whose reading takes no quadratic time
# base type -> a value of exactly that type from one of a subclass, without asking the subclass
PLAIN: dict = {
    int: lambda value: int.__add__(value, 0),
    float: lambda value: float.__add__(value, 0.0),
    str: lambda value: "".join(str.__iter__(value)),
    bytes: lambda value: bytes(memoryview(value)),
    complex: lambda value: complex.__add__(value, 0),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
KNOWN: dict = {  # by value, as arguments of a constructor: module and name -> how to find them
    ("decimal", "Decimal"): lambda value: [str(value)],
    ("fractions", "Fraction"): lambda value: [value.numerator, value.denominator],
    ("datetime", "date"): lambda value: [value.year, value.month, value.day],
    ("datetime", "datetime"): lambda value: [value.isoformat()],
    ("datetime", "time"): lambda value: [value.isoformat()],
    ("datetime", "timedelta"): lambda value: [value.days, value.seconds, value.microseconds],
    ("uuid", "UUID"): lambda value: [str(value)],
    ("pathlib", "PosixPath"): lambda value: [str(value)],
}
VIEWS = {type({}.keys()): "K", type({}.values()): "V", type({}.items()): "I"}
BROKEN = (
    ValueError,
    TypeError,
    RecursionError,
    OverflowError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    StopIteration,
)


class _Form:
    """The attributes that the C scanner reads."""

    strict, memo = True, {}  # type: ignore[var-annotated]
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = (
        float,
        int,
        {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.get,
    )


def _refuse(value):
    raise TypeError(type(value).__name__)


_scan = make_scanner(_Form)  # type: ignore[arg-type]
_dump = make_encoder(None, _refuse, quoted, None, ":", ",", False, False, True)


def read_json(text):
    """Parses JSON. Raises one of BROKEN."""
    value, end = _scan(text, 0)
    if end != len(text):
        raise ValueError("more than one value")
    return value


def write_json(value):
    """Returns scalars, and lists of them, as JSON."""
    return "".join(_dump(value, 0))


def are_scalars(items):
    """Whether all items are scalars of exact types, and no integer is beyond SMALL."""
    kinds = set(map(type, items))
    if not kinds <= SCALARS:
        return False
    if kinds == {int}:
        return min(items) > -SMALL and max(items) < SMALL
    return int not in kinds or all(-SMALL < item < SMALL for item in items if type(item) is int)


def sequence(items, write):
    """Returns a list or tuple as a JSON array; `write` converts items that are not scalars."""
    return write_json(list(items)) if are_scalars(items) else f"[{','.join([write(item) for item in items])}]"


def write_plain(value, write):
    """Returns an immutable value of a builtin type as JSON, or None for others. `write` converts
    its items.
    """
    kind = type(value)
    if kind in SCALARS:
        return write_json(value) if kind is not int or -SMALL < value < SMALL else f'{{"i":"{value:x}"}}'
    if kind is tuple:
        return sequence(value, write)
    if kind is frozenset or kind in VIEWS:
        return f'{{"{VIEWS.get(kind, "f")}":{sequence(list(value), write)}}}'
    if kind is bytes:
        return f'{{"b":"{value.hex()}"}}'
    if kind is complex:
        return f'{{"c":{write_json([value.real, value.imag])}}}'
    if kind is range or kind is slice:
        return f'{{"{kind.__name__[0]}":{sequence([value.start, value.stop, value.step], write)}}}'
    if value is ... or value is NotImplemented:
        return '{"e":[]}' if value is ... else '{"u":[]}'
    return _write_known(value, kind, write)


def _write_known(value, kind, write):
    name = (kind.__module__, kind.__qualname__)
    if name not in KNOWN or getattr(sys.modules.get(name[0]), name[1], None) is not kind:
        return None
    return f'{{"k":{sequence([*name, *KNOWN[name](value)], write)}}}'


def read_plain(tag, held, read):
    """Returns the value under a tag of `write_plain`. Raises one of BROKEN for what that would not have
    written.
    """
    if tag in ("i", "b"):
        if type(held) is not str:
            raise ValueError("a tag without its text")
        return int(held, 16) if tag == "i" else bytes.fromhex(held)
    return READERS[tag](items(held, read))


def items(held, read):
    """Returns the values of a JSON array."""
    if type(held) is not list:
        raise ValueError("a tag without its list")
    return held if are_scalars(held) else [read(item) for item in held]


def _read_known(items):
    module, name, *rest = items
    if (module, name) not in KNOWN or not are_scalars(rest):
        raise ValueError("no such value")
    kind = getattr(__import__(module), name)
    return kind.fromisoformat(*rest) if name in ("datetime", "time") else kind(*rest)


READERS: dict = {
    "f": frozenset,
    "c": lambda items: complex(*map(float, items)),
    "r": lambda items: range(*items),
    "s": lambda items: slice(*items),
    "K": lambda items: dict.fromkeys(items).keys(),
    "V": lambda items: dict(enumerate(items)).values(),
    "I": lambda items: dict(items).items(),
    "e": lambda items: ...,
    "u": lambda items: NotImplemented,
    "k": _read_known,
}


def plain_base(kind):
    """Returns the immutable builtin type that a class derives from, or None."""
    return next((base for base in kind.__mro__ if base in PLAIN), None)
