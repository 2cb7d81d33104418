"""Remote objects between two processes, of which one runs the program and the other the test; control passes
between them over one connection.

Immutable values are copied. Mutable containers exist on both sides: the side that hands over control sends
their changes, so that `f(a)` changes the test's `a`, and identity and aliases hold. Any other object stays on
its side; the other side gets a mirror that forwards operations. Printed text is sent too. Only one side runs
at a time, so the result is that of a single process.

The test's side is `guarded`: it accepts only plain values of exact types, and lets the program only call what
it was given and read its public names (a function's `__globals__` would expose the test). Both sides run
inside sandboxes.
"""

import builtins
import sys
import types
from _thread import RLock

from . import containers, mirrors, values

LONGEST_NAME = 200
CLOSED = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.GeneratorType,
          types.CoroutineType, types.FrameType,
          types.TracebackType, types.CodeType, types.ModuleType)  # fmt: skip
SAID = ("__name__", "__qualname__", "__doc__")
ITERATORS = ("builtins", "itertools")
# outside of an iteration they would end somebody else's
OWN_ENDS = (StopIteration, StopAsyncIteration, GeneratorExit)


class OtherSideFailed(Exception):
    """The other side sent no valid value, or raised an exception that cannot be raised here."""


class Side:
    """One side of the connection. `send(bytes)`; `receive() -> bytes | None`, None ends this process;
    `find(name)`: the objects that the other side may ask for by name; `printed()`: the text printed since the
    last call; `show(text)` prints the other side's.
    """

    def __init__(self, send, receive, guarded, find=None, printed=None, show=None):
        self._send, self._receive, self.guarded = send, receive, guarded
        self._find, self._printed, self._show = find, printed or (lambda: ""), show or (lambda text: None)
        self._lock = RLock()
        self._shared = containers.Shared(self, odd=guarded)
        self._own, self._own_ids = {}, {}  # objects that the other side knows by number
        self._theirs, self._theirs_ids = {}, {}  # mirrors of its objects
        self._defined, self._new = set(), []
        self._named, self._made_by_test = set(), set()
        self.replies = 0

    # --- asking and answering

    def ask(self, what, *body):
        """Sends a request and returns the answer, or raises the other side's exception. Serves its requests
        meanwhile.
        """
        with self._lock:
            text = self._pack("F" if what == "find" else "?", (what, *body))
            del body
            kind, value = self._exchange(text)
            while kind in "?F":
                kind, value = self._exchange(self._answer([value]))
            self.replies += what != "find"
        if kind == "=":
            return value
        if isinstance(value, OWN_ENDS) and not (what == "special" and isinstance(value, StopIteration)):
            value = self._flagged(OtherSideFailed(type(value).__name__))
        raise value

    def serve(self):
        """Answers requests until the other side closes."""
        text = None
        while True:
            with self._lock:
                request = [self._exchange(text)[1]]
            text = self._answer(request)

    def _exchange(self, text):
        if text is not None:
            self._send(text.encode("ascii"))
        frame = self._receive()
        if frame is None:
            raise SystemExit
        try:
            return self._unpack(frame.decode("ascii"))
        except values.BROKEN as error:
            if not self.guarded:
                raise
            return "!", self._flagged(OtherSideFailed(f"no value: {type(error).__name__}: {error}"[:300]))

    def _answer(self, request):
        """Returns the packed answer. `request` is emptied, so that no reference here keeps its containers
        alive.
        """
        try:
            kind, value = "=", self._perform(*request.pop())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the other side is to see it
            kind, value = "!", error.with_traceback(None)
        try:
            return self._pack(kind, value)
        except BaseException as error:  # noqa: BLE001 - a value that cannot go over, or whose own code raises
            return self._pack(
                "!", TypeError(f"no value that can be told: {type(error).__name__}: {error}"[:300])
            )

    def _perform(self, what, target, *rest):
        if what == "find":
            return tuple([(name, self._find(name)) for name in target if self._has(name)])
        if self.guarded:
            self._check(what, target, rest)
        if what == "call":
            return target(*rest[0], **dict(rest[1]))
        if what == "method":
            return getattr(target, rest[0])(*rest[1], **dict(rest[2]))
        if what == "special":
            return getattr(type(target), rest[0])(target, *rest[1:])
        if what == "get":
            return getattr(target, rest[0])
        if what == "set":
            return setattr(target, *rest)
        if what == "del":
            return delattr(target, *rest)
        if what == "step":
            return _step(target, *rest)
        if what == "await":
            import asyncio

            return asyncio.run(target)
        if what == "stdin":
            return (builtins.input if target == "input" else getattr(sys.stdin, target))(*rest)
        raise ValueError(f"no request {what}")

    def _has(self, name):
        try:
            self._find(name)
        except (AttributeError, LookupError):
            return False
        return True

    def _check(self, what, target, rest):
        if what == "stdin":
            if target not in ("input", "read", "readline") or not all(
                type(argument) in (int, str) for argument in rest
            ):
                raise ValueError("no request of standard input")
            return
        if id(target) not in self._own_ids or what == "await":
            raise ValueError("it was not given that")
        if what == "get" and rest[0] in SAID and isinstance(target, types.FunctionType):
            return  # what functools.wraps copies: texts
        if what in ("get", "set", "del", "method"):
            if type(rest[0]) is not str or rest[0].startswith("_"):
                raise AttributeError(f"{rest[0]!r} of an object of the test")
            closing = what == "method" and rest[0] == "close" and isinstance(target, types.GeneratorType)
            if isinstance(target, CLOSED) and not closing:
                raise AttributeError(f"{rest[0]!r} of an object of the test")
        elif what == "special" and rest[0] not in mirrors.DUNDERS:
            raise AttributeError(f"{rest[0]!r} of an object of the test")

    # --- what a mirror may be asked

    def name(self, kind):
        """Marks a class as one that the test names: the test knows what it makes with it."""
        if isinstance(kind, mirrors.MirrorType):
            self._named.add(id(kind))

    def is_made_by_test(self, mirror):
        """Whether the test made the object, by its class's name or from one that it made, and it has not been
        returned as a value since.
        """
        return id(mirror) in self._made_by_test

    def note_made(self, kind, value, known=False):
        """Returns `value`, marked as made by the test where it is."""
        if id(value) in self._theirs_ids and (known or id(kind) in self._named):
            self._made_by_test.add(id(value))
        return value

    def may_ask(self, mirror, other):
        """Whether an operation of `mirror` with `other` may be forwarded."""
        return not self.guarded or self.is_made_by_test(mirror) or isinstance(other, mirrors.Mirror)

    # --- frames

    def _pack(self, kind, body):
        """Returns [kind, printed, dropped, classes, containers, body] as JSON."""
        self._new = []
        before = self._shared.mark()
        try:
            text = self.write(body)
            heap = self._shared.changes()
        except BaseException:
            self._shared.reset(before)
            self._defined -= {number for number, _ in self._new}
            raise
        del body
        dropped = values.write_json(self._shared.drop_unheld())
        classes = ",".join(definition for _, definition in self._new)
        return f'["{kind}",{values.quoted(self._printed())},{dropped},[{classes}],[{heap}],{text}]'

    def _unpack(self, text):
        kind, printed, dropped, classes, heap, body = values.read_json(text)
        if kind not in ("?", "F", "=", "!") or type(printed) is not str or (self.guarded and kind == "F"):
            raise ValueError("no frame")
        self._show(printed)
        for definition in classes:
            self._define(*definition)
        self._shared.take(heap)
        value = self.read(body)
        for key in dropped:  # with how they had changed
            self._shared.forget(key)
        if kind == "!" and not isinstance(value, BaseException):
            raise TypeError("it raises what is no exception")
        return kind, value

    def write(self, value):
        """Returns any value as JSON."""
        text = values.write_plain(value, self.write)
        if text is not None:
            return text
        key = self._shared.key(value)
        if key is not None:
            return f'{{"@":{key}}}'
        known = self._theirs_ids.get(id(value))
        if known is not None:
            return f'{{"m":{known}}}'
        return self._write_object(value)

    def _write_object(self, value):
        kind = type(value)
        if isinstance(value, types.ModuleType):
            return f'{{"M":{values.quoted(value.__name__)}}}'
        named = _by_name(value)
        if named is not None and (self.guarded or _may_be_named(value)):
            return f'{{"B":{values.write_json(named)}}}'
        if isinstance(value, type):
            return f'{{"C":{self._class(value)}}}'
        if kind.__module__ == "numpy" and hasattr(value, "item") and not hasattr(value, "__len__"):
            return self.write(value.item())
        number = self._number(value)
        if isinstance(value, types.CoroutineType):
            return f'{{"w":{number}}}'
        if isinstance(value, types.GeneratorType) or (
            hasattr(kind, "__next__") and kind.__module__ in ITERATORS
        ):
            return f'{{"g":{number}}}'
        if isinstance(value, BaseException):
            return f'{{"x":[{number},{self.write(kind)},{self.write(tuple(value.args))}]}}'
        base = values.plain_base(kind)
        if base is not None:
            return f'{{"v":[{number},{self._class(kind)},{self.write(values.PLAIN[base](value))}]}}'
        return f'{{"o":[{number},{self._class(kind)}]}}'

    def numbers(self, value):
        """Returns the numbers of a container's class and of itself, as JSON."""
        return f"{self._class(type(value))},{self._number(value)}"

    def _number(self, value):
        number = self._own_ids.setdefault(id(value), len(self._own) + 1)
        self._own[number] = value
        return number

    def _class(self, kind):
        """Returns the number of a class; a new one's definition is sent with the frame."""
        number = self._number(kind)
        if number not in self._defined:
            self._defined.add(number)
            bases = ",".join(self.write(base) for base in kind.__bases__ if base is not object)
            asked, methods = _what_it_has(kind)
            name = values.write_json([kind.__name__[:LONGEST_NAME], str(kind.__module__)[:LONGEST_NAME]])[
                1:-1
            ]
            self._new.append(
                (
                    number,
                    f"[{number},{name},[{bases}],{values.write_json(asked)},{values.write_json(methods)}]",
                )
            )
        return number

    def read(self, raw):
        """Returns the value of parsed JSON. Raises one of BROKEN for what `write` would not have written."""
        if type(raw) is list:
            return tuple(values.items(raw, self.read))
        if type(raw) is not dict:
            return raw
        ((tag, held),) = raw.items()
        if tag == "@":
            return self._shared.held(held)
        if tag == "m":
            return self._own[held]
        if tag in ("w", "g", "C", "M", "B", "x", "v", "o"):
            return self._read_object(tag, held)
        return values.read_plain(tag, held, self.read)

    def _read_object(self, tag, held):
        if tag == "C":
            return self._theirs[held]
        if tag == "M":
            return _module(held)
        if tag == "B":
            return self._named_object(*held)
        number = held if tag in "wg" else held[0]
        if number in self._theirs:
            known = self._theirs[number]
            self._made_by_test.discard(id(known))  # it comes as a value now
            return known
        if tag in "wg":
            stands = _Number(number)
            self._theirs_ids[id(stands)] = number
            mirror = (mirrors.await_mirrored if tag == "w" else mirrors.iterate_mirrored)(self, [stands])
        elif tag == "x":
            mirror = self._exception(self.read(held[1]), self.read(held[2]))
        elif tag == "v":
            kind, value = self._theirs[held[1]], self.read(held[2])
            mirror = values.plain_base(kind).__new__(kind, value)
        else:
            mirror = object.__new__(self._theirs[held[1]])
        return self.know(number, mirror)

    def _named_object(self, module, name):
        """Returns a class or function of the standard library; from the program only classes of values, and
        exceptions.
        """
        if type(module) is not str or module.partition(".")[0] not in sys.stdlib_module_names:
            raise ValueError("no such module")
        __import__(module)
        named = getattr(sys.modules[module], name)
        if self.guarded and not _may_be_named(named):
            raise ValueError("no such class")
        return named

    def know(self, number, mirror):
        """Registers `mirror` for the other side's object `number`, and returns it."""
        if type(number) is not int:
            raise ValueError("no number")
        self._theirs[number] = mirror
        self._theirs_ids[id(mirror)] = number
        return mirror

    def theirs(self, number):
        return self._theirs[number]

    def _exception(self, kind, args):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError("it raises what is no exception")
        try:
            error = kind.__new__(kind, *args) if isinstance(kind, mirrors.MirrorType) else kind(*args)  # type: ignore[arg-type]
        except values.BROKEN:
            error = kind.__new__(kind)  # type: ignore[arg-type]
        BaseException.args.__set__(error, args)  # type: ignore[attr-defined]
        return self._flagged(error)

    def _flagged(self, error):
        """Marks an exception as the other side's."""
        object.__setattr__(error, "of_program", True)
        return error

    def _define(self, number, name, module, bases, asked, methods):
        """Defines a mirrored class. Its builtin bases may only be those of plain values, and exceptions."""
        if type(number) is not int or not all(type(text) is str for text in (name, module, *asked, *methods)):
            raise ValueError("no class")
        mirrored = [self.read(base) for base in bases]
        kept = [base for base in mirrored if isinstance(base, mirrors.MirrorType) or _is_base(base)]
        asked = [special for special in asked if special in mirrors.DUNDERS]
        if any(isinstance(base, type) and (values.plain_base(base) or base is bool) for base in kept):
            asked = [special for special in asked if special in mirrors.OF_PLAIN]
        elif any(containers.container_type(base) for base in kept):
            asked = [special for special in asked if special in mirrors.OF_CONTAINER]
        self.know(number, mirrors.mirror_class(self, name, module, tuple(kept), asked, methods))


class _Number:
    """A generator or coroutine of the other side in a request."""

    def __init__(self, number):
        self.number = number


def _step(iterator, sent, most):
    """Returns (items, "more" | "end" | "error", value): at most `most` items, none after one that is no
    scalar.
    """
    items: list = []
    while len(items) < most:
        try:
            item = next(iterator) if sent is None else iterator.send(sent)
        except StopIteration as stop:
            return tuple(items), "end", stop.value
        except BaseException as error:  # noqa: BLE001 - raised on the other side, behind the items before it
            return tuple(items), "error", error.with_traceback(None)
        items.append(item)
        sent = None
        if type(item) not in values.SCALARS:
            break
    return tuple(items), "more", None


def _what_it_has(kind):
    """Returns (special methods, other functions) of a class, without those of object and its builtin base."""
    asked: dict = {}
    methods: dict = {}
    for parent in kind.__mro__:
        if (
            parent is object
            or parent in values.PLAIN
            or containers.container_type(parent) is parent
            or (parent.__module__ == "builtins" and issubclass(parent, BaseException))
        ):
            continue
        for name, value in vars(parent).items():
            if name in mirrors.DUNDERS:
                asked.setdefault(name, value is not None)
            elif isinstance(value, types.FunctionType) and not name.startswith("__"):
                methods.setdefault(name[:LONGEST_NAME], True)
            elif not name.startswith("__"):
                methods.setdefault(name[:LONGEST_NAME], False)
    return sorted(name for name, there in asked.items() if there), sorted(
        name for name, there in methods.items() if there
    )


def _by_name(value):
    """Returns [module, name] of a class or function of the standard library; None for others."""
    if not isinstance(value, (type, types.BuiltinFunctionType, types.FunctionType)):
        return None
    module, name = str(getattr(value, "__module__", "")), str(getattr(value, "__qualname__", ""))
    known = module.partition(".")[0] in sys.stdlib_module_names
    return [module, name] if known and getattr(sys.modules.get(module), name, None) is value else None


def _may_be_named(value):
    return isinstance(value, type) and (
        _is_base(value)
        or (value.__module__, value.__qualname__) in values.KNOWN
        or value in (bool, type, object)
    )


def _module(name):
    """Imports a module by name: this side's own copy."""
    if type(name) is not str:
        raise ValueError("no module")
    try:
        __import__(name)
    except ImportError as error:
        raise ValueError(f"no module {name} here") from error
    return sys.modules[name]


def _is_base(kind):
    return isinstance(kind, type) and (
        kind in values.PLAIN or containers.container_type(kind) is kind or issubclass(kind, BaseException)
    )
