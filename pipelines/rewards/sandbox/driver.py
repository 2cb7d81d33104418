"""Runs one test in its own sandbox, against a program that runs in another (`wire.py`).

The test's code comes from the data set; names that it does not define are the program's. So any assertion
works as it is, with loops, helpers, classes and callbacks, and the program cannot see it. Sent into the
sandbox as bytes, like `harness.py`.
"""

import ast
import builtins
import math
import random
import sys

from . import mirrors, values, wire

MOST_ITEMS = 1_000_000


class MissingName:
    """Stands for a name that the program does not define: any use raises NameError."""

    def __init__(self, name):
        self._name = name

    def _missing(self, *args, **kwargs):
        error = NameError(f"name {self._name!r} is not defined")
        error.of_program = True  # type: ignore[attr-defined]
        raise error

    def __getattr__(self, name):
        self._missing()

    __call__ = __eq__ = __bool__ = __iter__ = __len__ = __getitem__ = __add__ = __radd__ = __sub__ = (
        __mul__
    ) = __lt__ = __gt__ = _missing
    __hash__ = None  # type: ignore[assignment]


def run_test(job, send, receive):
    """Sends "D", the status, a space and the reason. Status: pass, wrong, runtime_error, or sandbox_error for
    a test that fails by itself.
    """
    side = wire.Side(send, receive, guarded=True, show=lambda text: text and sys.stdout.write(text))
    random.seed(0)
    sys.setrecursionlimit(5000)
    try:
        if job["role"] == "assert":
            run_assert(job, side)
            verdict = ("pass", "")
        else:
            args = tuple(map(number_keys, job["args"]))
            value = to_plain(
                dict(side.ask("find", (job["name"],))).get(job["name"], MissingName(job["name"]))(*args)
            )
            same = same_value(value, job["expected"]) or (
                isinstance(job["expected"], list) and same_value(value, unwrapped(job["expected"]))
            )
            verdict = (
                ("pass", "")
                if same
                else ("wrong", f"returned {short_repr(value)}, expected {short_repr(job['expected'])}")
            )
    except (KeyboardInterrupt, Exception, GeneratorExit, SystemExit) as error:  # noqa: BLE001 - whatever a test throws is its verdict
        verdict = verdict_of_error(error, side)
    send(b"D" + " ".join(verdict).encode("utf-8", "backslashreplace"))


def verdict_of_error(error, side):
    text = error_text(error)
    said = f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
    if getattr(error, "of_program", False):
        return ("runtime_error", said)
    if isinstance(error, AssertionError):
        return ("wrong", f"AssertionError {text}".strip()[:300])
    if side.replies and not isinstance(error, ImportError):
        return ("wrong", f"the test cannot use what was returned: {said}")
    return ("sandbox_error", f"the test fails by itself: {said}")


def error_text(error):
    """Returns the text of an exception, whose `__str__` may be the program's; "" where it raises."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001
        return ""


def run_assert(job, side):
    """Executes setup and test in one namespace; names that they do not define are the program's."""
    space = {"__name__": "test", "__builtins__": builtins}
    exec(compile(job["setup"], "setup.py", "exec", dont_inherit=True), space)
    tree = ast.parse(job["code"])
    wanted = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    wanted -= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    wanted -= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    wanted = (wanted - set(space) - set(dir(builtins)) - set(job["names"])) | (
        {job["name"]} if job["name"] else set()
    )
    objects = dict(side.ask("find", tuple(sorted(wanted))))
    for name in wanted:
        space[name] = objects.get(name, MissingName(name))
        if name in job["classes"]:
            side.name(space[name])
    for name in job["names"]:
        space[name] = space[job["name"]]
    exec(compile(tree, "test.py", "exec", dont_inherit=True), space)


def to_plain(value, most=MOST_ITEMS):
    """Converts containers and iterators of plain values to plain ones; mirrors of other objects stay."""
    kind = type(value)
    if kind in values.SCALARS:
        return value
    for base, exact in values.PLAIN.items():
        if isinstance(value, base):
            value = exact(value)
            return tuple(map(to_plain, value)) if base is tuple else value
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in dict.items(value)}
    if isinstance(value, list):
        return list(map(to_plain, list.__iter__(value)))
    if isinstance(value, set):
        return set(map(to_plain, set.__iter__(value)))
    if type(value).__name__ == "ndarray":
        return value.tolist()
    if kind.__name__ in ("generator", "deque", "dict_keys", "dict_values", "dict_items", "array"):
        items = []
        for item in value:
            items.append(to_plain(item))
            if len(items) > most:
                raise wire.OtherSideFailed(f"more than {most} items")
        return items
    return value


def number_keys(value):
    """Converts the keys of an object to integers where all are numerals: JSON has text keys only."""
    if isinstance(value, dict) and value and all(key.lstrip("-").isdecimal() for key in value):
        return {int(key): item for key, item in value.items()}
    return value


def unwrapped(expected):
    """Unwraps a list of one item, as APPS wraps some expected values."""
    return expected[0] if len(expected) == 1 else expected


def same_value(value, expected):
    """Whether two values are equal as JSON: tuples are lists, keys are text, floats within a
    relative 1e-6.
    """
    if isinstance(value, mirrors.Mirror):
        return False
    if isinstance(expected, float) or isinstance(value, float):
        both = isinstance(value, (int, float)) and isinstance(expected, (int, float))
        return both and (value == expected or math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9))
    if isinstance(value, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(value) == len(expected) and all(map(same_value, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        by_text = {str(key): item for key, item in expected.items()}
        return len(value) == len(by_text) and all(
            str(key) in by_text and same_value(item, by_text[str(key)]) for key, item in value.items()
        )
    return type(value) in (type(expected), bool, int) and value == expected


def short_repr(value):
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
