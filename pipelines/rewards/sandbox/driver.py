"""Runs one test, in a sandbox of its own, against a program that runs in another: each call of its functions goes through the wall.

The test's code is the data set's; `candidate(…)` in it is a remote call whose value comes back as plain types. So any assertion works as it
stands, with loops and helpers, and the program sees none of it. Sent over as bytes like `harness.py`: it stands alone.
"""

import ast
import builtins
import marshal
import math
import random

# What a program's exception becomes for the test's own try/except. No StopIteration: inside map() it would end an all(...) early.
KNOWN = (
    ArithmeticError, AttributeError, IndexError, KeyError, LookupError, NotImplementedError, OSError, OverflowError, RecursionError,
    RuntimeError, TypeError, UnicodeError, ValueError, ZeroDivisionError,
)  # fmt: skip
BY_NAME = {kind.__name__: kind for kind in KNOWN}


class ProgramFailed(Exception):
    """The program raised something that is not in KNOWN, or answered with something that is no value."""


class Wire:
    """Calls to the program. `replies` counts what came back: a test that fails before that is broken itself."""

    def __init__(self, send, receive, decode):
        self.send, self.receive, self.decode, self.replies = send, receive, decode, 0

    def call(self, name, args, kwargs):
        self.send(b"C" + marshal.dumps((name, tuple(map(by_name, args)), kwargs)))
        frame = self.receive()
        if frame is None:
            raise SystemExit
        self.replies += 1
        if frame[:1] == b"V":
            try:
                return self.decode(frame[1:].decode("ascii"))
            except (ValueError, TypeError, RecursionError, OverflowError, LookupError, ArithmeticError) as error:
                raise self._from_program(ProgramFailed, f"no value: {error}"[:300]) from None
        said = frame[1:].decode("utf-8", "replace")
        raise self._from_program(BY_NAME.get(said.partition(":")[0], ProgramFailed), said)

    @staticmethod
    def _from_program(kind, said):
        error = kind(said)
        error.of_program = said
        return error


class Remote:
    """A function of the program, as the test sees it."""

    def __init__(self, wire, name):
        self._wire, self._name = wire, name

    def __call__(self, *args, **kwargs):
        return self._wire.call(self._name, args, kwargs)


def drive(job, send, receive, decode):
    """Sends D, the status, a blank and the reason: pass, wrong, runtime_error, or sandbox_error for a test that failed by itself."""
    wire = Wire(send, receive, decode)
    random.seed(0)
    try:
        if job["role"] == "assert":
            run_assert(job, wire)
            verdict = ("pass", "")
        else:
            value = wire.call(job["name"], tuple(map(number_keys, job["args"])), {})
            same = agree(value, job["expected"]) or (isinstance(job["expected"], list) and agree(value, first(job["expected"])))
            verdict = ("pass", "") if same else ("wrong", f"returned {short(value)}, expected {short(job['expected'])}")
    except Exception as error:  # noqa: BLE001 - whatever a test throws is its verdict
        verdict = judged(error, wire)
    send(b"D" + " ".join(verdict).encode("utf-8", "backslashreplace"))


def judged(error, wire):
    said = getattr(error, "of_program", None)
    if said is not None:
        return ("runtime_error", said)
    if isinstance(error, AssertionError):
        return ("wrong", f"AssertionError {error}".strip()[:300])
    said = f"{type(error).__name__}: {error}"[:300]
    if wire.replies:
        return ("wrong", f"the test cannot use what was returned: {said}")
    return ("sandbox_error", f"the test fails by itself: {said}")


def run_assert(job, wire):
    """Executes the setup and the test in one namespace; names that nothing there defines are the program's functions."""
    space = {"__name__": "test", "__builtins__": builtins}
    exec(compile(job["setup"], "setup.py", "exec", dont_inherit=True), space)
    tree = ast.parse(job["code"])
    wanted = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in wanted - set(space) - set(dir(builtins)):
        space[name] = Remote(wire, name)
    for name in job["names"]:
        space[name] = Remote(wire, job["name"])
    exec(compile(tree, "test.py", "exec", dont_inherit=True), space)


def number_keys(value):
    """JSON has text for keys; APPS means numbers where all of them are."""
    if isinstance(value, dict) and value and all(key.lstrip("-").isdecimal() for key in value):
        return {int(key): item for key, item in value.items()}
    return value


def by_name(value):
    """A builtin type among the arguments goes over by its name."""
    known = isinstance(value, type) and getattr(builtins, value.__name__, None) is value
    return (..., value.__name__) if known else value


def first(values):
    """APPS wraps some expected values in a list of one."""
    return values[0] if len(values) == 1 else values


def agree(value, expected):
    """Equal as JSON would have it: tuples are lists, keys are text; floats within a relative 1e-6."""
    if isinstance(expected, float) or isinstance(value, float):
        both = isinstance(value, (int, float)) and isinstance(expected, (int, float))
        return both and (value == expected or math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9))
    if isinstance(value, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(value) == len(expected) and all(map(agree, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        by_text = {str(key): item for key, item in expected.items()}
        return len(value) == len(by_text) and all(str(key) in by_text and agree(item, by_text[str(key)]) for key, item in value.items())
    return type(value) in (type(expected), bool, int) and value == expected


def short(value):
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
