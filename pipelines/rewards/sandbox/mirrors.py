"""Proxies ("mirrors") for objects of the other side of a sandbox: one class for each of their classes, whose
instances forward operations.

A mirror's class has the special methods of the object's class, so that `callable`, `iter` and `isinstance`
agree with the object. On the test's side, comparison and arithmetic with plain values are not forwarded,
unless the test made the object by the name of its class (`Side.may_ask`): a program must not learn, or claim
to equal, the expected value. Runs inside sandboxes.
"""

from __future__ import annotations

from . import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
_BINARY = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
)
ARITHMETIC = frozenset({f"__{prefix}{name}__" for name in _BINARY for prefix in ("", "r", "i")})
ACCESS = frozenset(
    {f"__{name}__" for name in (
        "len", "iter", "next", "reversed", "getitem", "setitem", "delitem", "contains", "call", "enter",
        "exit", "missing", "length_hint",
        "str", "repr", "format", "bytes", "hash", "bool", "int", "float", "complex", "index", "abs", "neg",
        "pos", "invert", "round",
        "trunc", "floor", "ceil",
    )}
)  # fmt: skip
DUNDERS = COMPARISONS | ARITHMETIC | ACCESS
# of a subclass of int, str, … only these are asked for
OF_PLAIN = frozenset({"__str__", "__repr__", "__format__", "__call__"})
# a subclass of list, dict, … is compared by what it holds
OF_CONTAINER = ACCESS - {"__contains__", "__hash__"}
ASKED = frozenset(
    {
        "__name__",
        "__qualname__",
        "__doc__",
        "__module__",
        "__dict__",
        "__annotations__",
        "__defaults__",
        "__wrapped__",
        "__members__",
    }
)


class MirrorType(type):
    """The metaclass of mirrored classes: calling one creates an object on the other side."""

    def __new__(cls, name, bases, space, side=None):
        if side is None:
            raise TypeError(f"a class of the other side cannot be the base of {name}")
        return super().__new__(cls, name, bases, {**space, "_side": side})

    def __init__(cls, name, bases, space, side=None):
        super().__init__(name, bases, space)

    def __call__(cls, *args, **kwargs):
        side = cls._side
        return side.note_made(cls, side.ask("call", cls, args, tuple(kwargs.items())))

    def __getattr__(cls, name):
        if name.startswith("__") and name not in ASKED:
            raise AttributeError(name)
        return cls._side.ask("get", cls, name)

    def __setattr__(cls, name, value):
        if name.startswith("__") or name == "_abc_impl":
            super().__setattr__(name, value)
        else:
            cls._side.ask("set", cls, name, value)

    def __iter__(cls):
        return cls._side.ask("special", cls, "__iter__")

    def __len__(cls):
        return cls._side.ask("special", cls, "__len__")

    def __getitem__(cls, key):
        return cls._side.ask("special", cls, "__getitem__", key)

    def __contains__(cls, item):
        if cls._side.may_ask(cls, item):
            return cls._side.ask("special", cls, "__contains__", item)
        return any(member is item or member == item for member in cls)

    def __bool__(cls):
        return True


class Mirror:
    """The base class of mirrors."""

    __slots__ = ()
    _side: Any  # of each class that `mirror_class` makes
    _methods: frozenset[str]

    def __getattr__(self, name):
        kind = type(self)
        if name in kind._methods:
            return mirrored_method(kind._side, self, name)
        if name.startswith("__") and name not in ASKED:
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
        return kind._side.ask("get", self, name)

    def __setattr__(self, name, value):
        if name.startswith("__"):
            object.__setattr__(self, name, value)
        else:
            type(self)._side.ask("set", self, name, value)

    def __delattr__(self, name):
        type(self)._side.ask("del", self, name)


def mirrored_method(side, mirror, name):
    """Returns a method of the mirror as a function: one exchange per call, not two."""

    def call(*args, **kwargs):
        return side.ask("method", mirror, name, args, tuple(kwargs.items()))

    call.__name__ = call.__qualname__ = name
    call.__self__ = mirror  # type: ignore[attr-defined]
    return call


def special_method(name):
    """Returns the special method `name` of a mirrored class."""
    binary = name in COMPARISONS or name in ARITHMETIC

    def ask(self, *args, **kwargs):
        side = type(self)._side
        if name == "__call__":
            return side.ask("call", self, args, tuple(kwargs.items()))
        if binary and not side.may_ask(self, args[0]):
            return NotImplemented
        if name == "__contains__" and not side.may_ask(self, args[0]):
            return any(item is args[0] or item == args[0] for item in self)
        known = binary and side.is_made_by_test(self)
        result = side.ask("special", self, name, *args)
        if known:
            side.note_made(type(self), self, known)
            side.note_made(type(self), result, known)
        return result

    ask.__name__ = name
    return ask


def overridden_method(base, name):
    """Returns a method of list, dict, … that the program's subclass overrides. On a returned value the plain
    method is used: else a list could claim to contain anything.
    """

    def call(self, *args, **kwargs):
        side = type(self)._side
        if side.guarded and not side.is_made_by_test(self):
            return getattr(base, name)(self, *args, **kwargs)
        return mirrored_method(side, self, name)(*args, **kwargs)

    call.__name__ = name
    return call


def mirror_class(side, name, module, bases, specials, methods):
    """Returns the class that stands for one of the other side. `bases`: mirrored and builtin classes, checked
    by the caller.
    """
    space = {special_name: special_method(special_name) for special_name in specials}
    if "__eq__" in specials and "__hash__" not in specials:
        space["__hash__"] = None
    if name in ("function", "method") and module == "builtins":
        space["__class__"] = property(
            lambda self: type(special_method)
        )  # isinstance() and inspect look there
        space["__doc__"] = property(lambda self: type(self)._side.ask("get", self, "__doc__"))
    holder = next((base for base in bases if containers.container_type(base)), None)
    for method_name in methods if holder else ():
        if hasattr(holder, method_name) and not isinstance(holder, MirrorType):
            space[method_name] = overridden_method(holder, method_name)
    space |= {"_methods": frozenset(methods), "__module__": module}
    if not any(isinstance(base, MirrorType) for base in bases):
        bases = (Mirror, *bases)
    try:
        return MirrorType(name, bases, {"__slots__": (), **space}, side=side)
    except TypeError:  # bases that do not fit together on this side
        return MirrorType(name, (Mirror,), {"__slots__": (), **space}, side=side)


def iterate_mirrored(side, iterator):
    """Iterates a generator of the other side: item by item at first, then in batches of plain items."""
    taken, sent = 0, None
    while True:
        try:
            items, end, value = side.ask("step", iterator[0], sent, 1 if taken < 16 else min(taken, 1024))
            for item in items:
                taken += 1
                sent = yield item
        except GeneratorExit:
            side.ask("method", iterator[0], "close", (), ())
            raise
        if end == "end":
            return value
        if end == "error":
            raise value


async def await_mirrored(side, coroutine):
    """Awaits a coroutine of the other side, which runs there to its end."""
    return side.ask("await", coroutine[0])
