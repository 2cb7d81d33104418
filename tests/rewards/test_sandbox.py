"""The sandbox' parts: values that cross the wall, the comparison of outputs, the call filter, and the refusal
to go without.
"""

import math
import os
import struct
import time
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rewards.code.code_tests_params import CodeTestsParams, SandboxLimits
from pipelines.rewards.code.program_scoring import CodeTests
from pipelines.rewards.sandbox import capacity, probe, seccomp, wire
from pipelines.rewards.sandbox.launcher import Launcher
from pipelines.rewards.sandbox.output import same_output
from pipelines.rewards.sandbox.process import Sandbox, SandboxFailed
from pipelines.rewards.sandbox.runner import Program, Runner
from pipelines.rewards.sandbox.status import Status

KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    KEYS
    | st.complex_numbers(allow_nan=False)
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 3)),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.frozensets(KEYS)
    ),
    max_leaves=20,
)


class Both:
    """Both sides of the wall in one process; what the program's side may be asked is `objects`."""

    def __init__(self, **objects):
        self.program = wire.Side(self._to_test, None, False, find=objects.__getitem__)
        self.test = wire.Side(self._to_program, lambda: self._frame, True)
        self._found = dict(self.test.ask("find", tuple(objects)))

    def _to_program(self, frame):
        request = [self.program._unpack(frame.decode("ascii"))[1]]
        self._frame = self.program._answer(request).encode("ascii")

    def _to_test(self, frame):
        raise AssertionError("these programs call nothing of the test's")

    def __getattr__(self, name):
        return self._found[name]


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_plain_values_arrive_as_they_are(value):
    both = Both(same=lambda one: one)
    found = both.same((value,))[0]
    assert found == value
    assert repr(found) == repr(value) or isinstance(value, (set, frozenset, list, tuple, dict))
    assert type(found) is type(value)


def test_other_values():
    own = [Decimal("1.50"), Fraction(1, 3), date(2024, 2, 29), deque([1, 2], 3), 2**5000, -(2**64), bytearray(b"ab"), float("inf"),
           Counter("aab"), defaultdict(int, a=1), OrderedDict(a=1), {"a": 1}.keys()]  # fmt: skip
    both = Both(
        own=own.__getitem__,
        other=[namedtuple("Point", "x y")(1, 2), map(str, [1, 2]), object(), float("nan")].__getitem__,
    )
    for place, wanted in enumerate(own):
        found = both.own(place)
        assert found == wanted
        assert type(found) is type(wanted)
    assert both.other(0) == (1, 2)
    assert both.other(0).y == 2
    assert list(both.other(1)) == ["1", "2"]
    assert both.other(2) != object()
    assert both.other(2)
    assert math.isnan(both.other(3))


def test_a_container_is_one_on_both_sides_until_nobody_holds_it():
    kept = []
    both = Both(
        keep=kept.append, kept=lambda: kept[0], swap=lambda a, b: [a.append(b), b.append(a)][0], size=len
    )
    mine = [1]
    both.keep(mine)
    mine.append(2)
    assert both.kept() is mine
    assert kept == [[1, 2]]
    kept[0].append(3)
    both.swap([], [])
    assert mine == [1, 2, 3]
    a, b = [], []
    both.swap(a, b)
    assert a[0] is b
    assert b[0] is a
    kept.clear()
    a.clear()
    b.clear()
    del mine, a, b
    for _ in range(40):
        both.size([[], {}])
    assert len(both.test._shared._entries) <= 30  # of the last calls, and a cycle


@pytest.mark.parametrize(
    "frame",
    ['["=","",[],[],[],{"t":1}]', '["=","",[],[],[],{"f":[],"b":""}]', '["=","",[],[],[],{"k":["os","system","x"]}]', '["=","",[],[],[],{"i":"zz"}]',
     '["=","",[],[],[],{"m":99}]', '["=","",[],[],[],{"@":99}]', '["=","",[],[],[[2,["list",null,0,0],[{"@":77}]]],{"@":2}]', '["=","",[7],[],[],1]',
     '["=","",[],[],[],{"B":["os","system"]}]', '["=","",[],[],[],{"B":["builtins","eval"]}]', '["!","",[],[],[],1]', '["D","",[],[],[],1]', '["F","",[],[],[],["find",["x"]]]',
     '["=","",[],[[5,"a","b",[],["__eq__"],[3]]],[],1]', "[" * 10**5, "{}", "1 2", '["=",5,[],[],[],1]', '["=","",[],[[5,"A","m",[{"B":["builtins","int"]}],[],[]]],[],{"o":[6,5]}]'],
)  # fmt: skip
def test_what_a_program_makes_up_is_its_failure(frame):
    both = Both(f=lambda: 1)
    both._to_program = both.test._send = lambda _: setattr(both, "_frame", frame.encode())
    with pytest.raises(BaseException) as raised:
        both.f()
    assert getattr(raised.value, "of_program", False)


@pytest.mark.parametrize(
    "request_",
    [("get", "__globals__"), ("get", "__code__"), ("method", "__getattribute__", ("x",), ()), ("set", "__code__", 1), ("get", "anything"),
     ("special", "__reduce__"), ("await",), ("method", "close", (), ())],
)  # fmt: skip
def test_a_program_may_only_call_what_a_test_gives_it(request_):
    both = Both(keep=lambda one: None)
    given = lambda: 1  # noqa: E731
    both.keep(given)
    what, *rest = request_
    with pytest.raises((AttributeError, ValueError)):
        both.test._perform(what, given, *rest)
    with pytest.raises(ValueError):
        both.test._perform("call", lambda: 2, (), ())
    assert both.test._perform("call", given, (), ()) == 1


@pytest.mark.parametrize(
    ("said", "expected", "same"),
    [
        (b"6\n", "6", True),
        (b"6  \n\n", "6\n", True),
        (b"1 2\n3\n", "1 2\n3", True),
        (b"1  2", "1 2", True),
        (b"6", "7", False),
        (b"", "6", False),
        (b"6\n7", "6", False),
        (b"0.3333333", "0.33333333333", True),
        (b"0.33", "0.33333333333", False),
        (b"10000001", "10000000", False),  # whole numbers are not rounded
        (b"1", "1.0", True),
        (b"nan", "1.0", False),
        (b"0e7", "0e5", False),  # words, as identifiers are
        (b"1e-09", "0.000000001", True),
        (b"1_0.0", "10.0", False),
        (b"Yes", "YES", False),
        (b"\xff", "6", False),
        (b"9" * 10**6, "1.5", False),
        ("é".encode(), "é", True),
    ],
)
def test_outputs(said, expected, same):
    assert same_output(said, expected) is same


def _runs(program, number, argument=0, architecture=0xC000003E):
    """The classic BPF machine, as far as the filter uses it: what the kernel would answer to this call."""
    data = struct.pack("<IIQQ", number, architecture, 0, argument)
    steps, place, value = list(struct.iter_unpack("<HBBI", program)), 0, 0
    while True:
        code, yes, no, k = steps[place]
        place += 1
        if code == seccomp.RETURN:
            return k
        if code == seccomp.LOAD:
            value = struct.unpack_from("<I", data, k)[0]
        else:
            holds = {
                seccomp.EQUAL: value == k,
                seccomp.AT_LEAST: value >= k,
                seccomp.ANY_BIT: bool(value & k),
            }[code]
            place += yes if holds else no


@pytest.mark.parametrize("machine", seccomp.TABLES)
def test_the_filter(machine):
    program = seccomp.filter_program(machine)
    architecture, clone, sock, denied = seccomp.TABLES[machine]
    for number in (*denied.values(), *seccomp.COMMON.values()):
        assert _runs(program, number, architecture=architecture) == seccomp.ERRNO | 1
    assert _runs(program, 0, architecture=architecture) == seccomp.ALLOW
    assert _runs(program, 0, architecture=1) == seccomp.KILL
    assert _runs(program, clone, 0x11, architecture) == seccomp.ALLOW  # fork
    assert _runs(program, clone, 0x10000011, architecture) == seccomp.ERRNO | 1
    families = {family: _runs(program, sock, family, architecture) for family in (1, 2, 10, 16, 17, 40)}
    assert {family for family, answer in families.items() if answer == seccomp.ALLOW} == {1, 2, 10}
    assert seccomp.filter_program("other") is None


def test_without_a_sandbox_code_rewards_refuse_to_run(monkeypatch):
    monkeypatch.setattr(probe, "mode_fault", lambda mode: "bubblewrap is not installed")
    with pytest.raises(probe.SandboxUnavailable, match=r"bubblewrap is not installed.*allow_unsandboxed"):
        CodeTests(CodeTestsParams())
    assert probe.find_launcher(allow_unsandboxed=True).mode == "none"


def test_unsandboxed_programs_still_have_limits():
    runner = Runner(
        Launcher("none"), SandboxLimits(test_seconds=1, wall_seconds=1.5, total_seconds=10, memory_mb=256)
    )
    try:
        assert runner.run(Program("print(int(input()) + 1)", [{"input": "1", "output": "2"}])).passed
        assert runner.run(Program("def f(n): return n", [{"code": "assert candidate(2) == 2"}], "f")).passed
        for source, status in (
            ("x = [0] * 10**9", Status.RUNTIME),
            ("import time; time.sleep(9)", Status.TIMEOUT),
        ):
            assert runner.run(Program(source, [{"input": "", "output": ""}])).statuses == (status,)
        started = time.monotonic()
        assert runner.run(
            Program("import os\nprint(os.getenv('SHELL'), os.getcwd())", [{"input": "", "output": "None"}])
        ).statuses == (Status.WRONG,)
        assert time.monotonic() - started < 5
    finally:
        runner.close()


def test_a_sandbox_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(
        Launcher, "command", lambda *_: ["/bin/sh", "-c", "echo no namespaces here >&2; exit 1"]
    )
    with pytest.raises(SandboxFailed, match="no namespaces here"):
        Sandbox(Launcher("user"), SandboxLimits())
    runner = Runner(Launcher("user"), SandboxLimits())
    result = runner.run(Program("print(1)", [{"input": "", "output": "1"}]))
    assert result.failed_to_judge
    assert "no namespaces here" in result.reason
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        runner.run(Program("print(1)", [{"input": "", "output": "1"}]))
    assert len(os.listdir("/proc/self/fd")) == before


def test_limits_are_checked():
    with pytest.raises(ValueError, match="wall_seconds"):
        SandboxLimits(test_seconds=4, wall_seconds=2)


def test_the_probe_finds_a_sandbox_whose_modules_do_not_import(monkeypatch):
    """As where the folders of the C libraries are closed to its user."""
    if probe.working_mode() is None:
        pytest.skip(probe.mode_fault(probe.candidate_modes()[0]))
    assert {"zlib", "_ctypes", "_ssl", "_sqlite3", "_lzma"} & set(probe.extension_modules())
    monkeypatch.setattr(
        probe, "SELF_TEST", probe.self_test_program([*probe.extension_modules(), "no_such_module"])
    )
    assert "no_such_module cannot be imported" in probe.mode_fault.__wrapped__(probe.working_mode())


def test_workers_fit_into_memory(monkeypatch):
    monkeypatch.setattr(capacity, "_free", lambda: 8 * 2**30)
    assert capacity.workers_that_fit(16, SandboxLimits(memory_mb=1024, tmp_mb=255)) == 2
    assert capacity.workers_that_fit(2, SandboxLimits()) == 2
    assert capacity.workers_that_fit(4, SandboxLimits(memory_mb=64000)) == 1
