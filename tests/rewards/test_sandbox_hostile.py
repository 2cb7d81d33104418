"""Programs that attack: none may pass, escape, or stop the judging of the program after it.

Each is judged three ways where it can be: as a whole program, and as a function under assertions and under
expected values. What it should print or return is a number that it cannot guess, so a pass would mean that it
got at the expected value or made up a verdict.
"""

import importlib.util
import os
import pathlib
import platform
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pipelines.rewards.sandbox import resource_watch, seccomp
from pipelines.rewards.sandbox.launcher import _files
from pipelines.rewards.sandbox.status import Status
from tests.rewards.code_made import answer, judges, stdio

SECRET = 7_318_054_629
FUNCTION = "\ndef f(n=0):\n    {}\n"

HOSTILE = {
    "exit_zero": "import os; os._exit(0)",
    "sys_exit": "import sys; sys.exit(0)",
    "raise_system_exit": "raise SystemExit",
    "fork_bomb": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    "thread_bomb": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "memory": "x = []\nwhile True: x.append(bytearray(10**7))",
    "memory_shared": "import mmap\nx = [mmap.mmap(-1, 10**8) for _ in range(1000)]",
    "huge_integer": "print(9**9**9)",
    "huge_text": "x = 'a' * 10**12",
    "huge_list": "x = [0] * 10**11",
    "endless_output": "while True: print('x' * 10**6)",
    "endless_errors": "import sys\nwhile True: sys.stderr.write('x' * 10**6)",
    "fill_disk": "i = 0\nwhile True:\n    i += 1\n    with open(f'/tmp/{i}', 'wb') as stream: stream.write(b'x' * 10**7)",
    "big_file": "with open('/tmp/a', 'wb') as stream:\n    while True: stream.write(b'x' * 10**7)",
    "many_files": "x = []\nwhile True: x.append(open('/tmp/%d' % len(x), 'w'))",
    "invalid_utf8": "import os; os.write(1, b'\\xff\\xfe' * 99)",
    "nul_bytes": "import os; os.write(1, bytes(10**5))",
    "sleep": "import time; time.sleep(999)",
    "spin": "while True: pass",
    "spin_caught": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "read_nothing": "import sys; sys.stdin.read(); input()",
    "thread_never_ends": "import threading\nthreading.Thread(target=threading.Event().wait).start()",
    "zombies": "import os\nfor _ in range(5):\n    if os.fork() == 0: os._exit(0)",
    "double_fork_daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass\n    os._exit(0)",
    "daemon_holds_output": "import os, time\nif os.fork() == 0: time.sleep(999)\nos._exit(0)",
    "kill_parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "kill_all": "import os, signal; os.kill(-1, signal.SIGKILL)",
    "kill_first": "import os, signal\nos.kill(1, signal.SIGKILL)\nos.kill(2, signal.SIGKILL)",
    "stop_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)",
    "ignore_signals": "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
    "alarm": "import signal; signal.alarm(1); signal.pause()",
    "deep_recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef g(n): return g(n + 1)\ng(0)",
    "deep_repr": "x = []\nfor _ in range(10**6): x = [x]\nprint(x)",
    "segmentation_fault": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "raise_limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "close_descriptors": "import os; os.closerange(0, 100)",
    "write_to_all_descriptors": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\0\\0\\0\\5Dpass ')\n    except OSError: pass",
    "verdict_on_result_channel": "import os\nfor fd in range(64):\n    try: os.write(fd, b'\\0\\0\\0\\6Dpass \\0\\0\\0\\2Vtrue'[:10])\n    except OSError: pass\nos._exit(0)",
    "ready_then_true": "import os\nwhile True: os.write(3, b'\\0\\0\\0\\1R' + b'\\0\\0\\0\\5Vtrue' * 99)",
    "huge_frame": "import os\nos.write(3, b'\\xff\\xff\\xff\\xff' + b'x' * 10**6)\nwhile True: pass",
    "patch_builtins": "import builtins\nbuiltins.AssertionError = type('A', (Exception,), {})\nbuiltins.all = builtins.any = lambda *a: True\nbuiltins.abs = lambda *a: 0",
    "patch_harness": "import sys\nfor module in list(sys.modules.values()):\n    for name in ('encode', 'agree', 'drive', 'judged', 'send', 'receive', 'compile', 'exec'):\n        try: setattr(module, name, lambda *a, **k: 'true')\n        except Exception: pass",
    "frames": "import sys\nframe = sys._getframe()\nwhile frame:\n    for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n        if 'SECRET' in repr(value): print(value)\n    frame = frame.f_back",
    "garbage": "import gc\nfor item in gc.get_objects():\n    if isinstance(item, dict):\n        for key in ('expected', 'output', 'code'):\n            if key in item: print(item[key])",
    "settrace": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)",
    "atexit": "import atexit, os\natexit.register(lambda: os._exit(0))\nraise ValueError",
    "excepthook": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\nraise ValueError",
    "optimise": "import sys\nassert False, 'asserts are on'",
    "walk_proc": "import os\nfor pid in os.listdir('/proc'): print(open(f'/proc/{pid}/environ').read())",
    "run_shell": "import subprocess; print(subprocess.run(['/bin/sh', '-c', 'id'], capture_output=True))",
    "environment": "import os; print(os.environ)\nassert set(os.environ) <= {'PATH', 'HOME', 'LANG', 'PYTHONHASHSEED', 'PWD', 'LC_CTYPE', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'}, os.environ\nraise ValueError('scrubbed')",
    "import_project": "import pipelines.rewards.code.code_tests",
    "import_packages": "import torch, numpy, pytest",
    "symlinks": "import os\nfor place in ('/', '/etc/passwd', '/root', '/home', '/proc/1/root'):\n    os.symlink(place, 'a'); os.listdir('a') and open('a/etc/passwd').read(); os.remove('a')",
    "mount": "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nassert c.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    "new_namespace": "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nassert c.unshare(0x10000000) == 0",
    "trace_parent": "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\nassert c.ptrace(16, os.getppid(), 0, 0) == 0",
    "become_root": "import os\nos.setuid(0); os.setgid(0)",
    "vsock": "import socket\nsocket.socket(40, socket.SOCK_STREAM).connect((2, 1024))",
    "null_source": "x = 1\0",
    "nested_source": "(" * 5000 + ")" * 5000,
    "surrogate_source": "x = '\ud800'",
    "vfork": "import ctypes, time\nif ctypes.CDLL(None).vfork() == 0: time.sleep(99)",
    "nice": "import os\nos.nice(19)\nwhile True: pass",
    "idle_class": "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass",
    "stdout_replaced": "import sys, io\nsys.stdout = io.StringIO()\nsys.exit = exit = lambda *a: None",
    "stdin_replaced": "import os, sys\nos.dup2(1, 0)\nsys.stdin.read()",
}  # fmt: skip

RETURNED = {
    "equal_to_all": "class A:\n        __eq__ = __ge__ = __le__ = lambda self, other: True\n        __ne__ = lambda self, other: False\n    return A()",
    "equal_int": "class A(int):\n        __eq__ = lambda self, other: True\n        __hash__ = int.__hash__\n    return A(1)",
    "equal_text": "class A(str):\n        __eq__ = lambda self, other: True\n        __hash__ = str.__hash__\n    return A('a')",
    "equal_list": "class A(list):\n        __eq__ = lambda self, other: True\n        __iter__ = lambda self: iter([7318054629])\n    return A()",
    "not_a_number": "return float('nan')",
    "endless_iterator": "import itertools\n    return itertools.count()",
    "itself": "x = []; x.append(x)\n    return x",
    "hash_flood": "return {i * (2**61 - 1): 0 for i in range(1, 50000)}",
    "type_named_decimal": "A = type('Decimal', (), {'__module__': 'decimal', '__str__': lambda s: 'x' * 10**6})\n    return A()",
    "stop_iteration": "raise StopIteration",
    "assertion_error": "raise AssertionError",
    "exit_in_call": "import os; os._exit(0)",
    "keyboard_interrupt": "raise KeyboardInterrupt",
    "exception_without_text": "class A(Exception):\n        __str__ = lambda self: 1 / 0\n    raise A",
    "large_value": "return 'x' * 10**7",
}

TESTS = (
    f"assert candidate(3) == {SECRET}",
    f"assert abs(candidate(3) - {SECRET}) < 1e-3",
    f"assert all(map(lambda n: candidate(n) == {SECRET}, range(3)))",
    f"value = candidate(3)\nassert value in ({SECRET},) and isinstance(value, int)",
)


REFUSED = ("mount", "new_namespace", "trace_parent", "become_root", "vsock", "import_project", "import_packages", "walk_proc", "run_shell",
           "raise_limits", "memory", "memory_shared", "huge_text", "huge_list", "many_files", "fill_disk", "big_file", "environment",
           "symlinks", "optimise", "segmentation_fault", "abort", "nice", "idle_class")  # fmt: skip
SLOW = ("sleep", "spin", "spin_caught", "ignore_signals", "fork_bomb", "thread_never_ends")
UNCOMPILED = ("null_source", "nested_source", "surrogate_source")


@pytest.fixture(scope="module")
def judge():
    with judges(
        limits={"processes": 8, "memory_mb": 256, "tmp_mb": 16, "file_mb": 8, "output_kb": 1024}
    ) as made:
        yield made


def good(judge, *responses):
    """A program after the attack is judged as ever."""
    after = judge.judge(
        responses or [("def f(n): return n", answer({"code": "assert f(2) == 2"}, fn_name="f"), True)]
    )
    assert [sample.verdict.outcome for sample in after] == ["right"]


@pytest.mark.parametrize("name", HOSTILE)
def test_whole_program(judge, name):
    sample = judge.judge([(HOSTILE[name], stdio(("1", f"{SECRET}\n")), True)])[0]
    assert sample.verdict.outcome == "wrong", sample.verdict  # an error would let an attack out of its reward
    assert sample.verdict.score == 0
    wanted = [
        status
        for status, names in ((Status.RUNTIME, REFUSED), (Status.TIMEOUT, SLOW), (Status.COMPILE, UNCOMPILED))
        if name in names
    ]
    # refused or killed, not just without the right output
    assert not wanted or [*sample.result.statuses] == wanted, sample.verdict
    if name == "environment":
        assert "scrubbed" in sample.verdict.reason
    good(judge, ("print(int(input()) + 1)", stdio(("1", "2")), True))


@pytest.mark.parametrize("name", ["exit_zero", "fork_bomb", "kill_all", "kill_parent", "patch_builtins", "patch_harness", "garbage", "frames",
                                  "write_to_all_descriptors", "verdict_on_result_channel", "ready_then_true", "huge_frame", "close_descriptors",
                                  "double_fork_daemon", "atexit", "settrace", "stop_parent"])  # fmt: skip
def test_functions(judge, name):
    source = HOSTILE[name] + FUNCTION.format("return n")
    for test in (TESTS[0], TESTS[2])[: 1 if name in SLOW else 2]:
        sample = judge.judge([(source, answer({"code": test}, fn_name="f"), True)])[0]
        assert sample.verdict.outcome == "wrong", sample.verdict
    good(judge)


@pytest.mark.parametrize("name", RETURNED)
def test_returned_values(judge, name):
    source = FUNCTION.format(RETURNED[name])
    tests = [
        *({"code": test} for test in TESTS),
        {"args": [3], "output": SECRET},
        {"args": [3], "output": [float(SECRET)]},
    ]
    samples = judge.judge(
        [
            (source, answer(test, fn_name="f"), True)
            for test in tests[
                :: 4
                if name in ("hash_flood", "itself", "large_value", "endless_iterator", "type_named_decimal")
                else 1
            ]
        ]
    )
    assert {sample.verdict.outcome for sample in samples} == {"wrong"}, [sample.verdict for sample in samples]
    good(judge)


def test_nothing_of_the_machine_is_visible(judge, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("here")
    home = str(pathlib.Path.home())
    source = f"""
import os
from pathlib import Path
seen = [p for p in ({str(secret)!r}, {str(pathlib.Path(__file__))!r}, '/etc/passwd', '/proc/1', '/sys/class', '/bin/sh', '/run', '/var', '/home')
        if os.path.exists(p)]
seen += [str(p) for p in Path({home!r}).rglob('*') if p.is_file() and 'python3' not in str(p) and 'libpython' not in str(p)]
for place in ('/', '/usr', '/usr/lib', '/etc', '/dev', {home!r}, os.path.dirname(os.__file__)):
    try:
        open(place + '/written', 'w')
        seen.append('wrote to ' + place)
    except OSError:
        pass
print(seen)
"""
    sample = judge.judge([(source, stdio(("", "[]")), True)])[0]
    assert sample.passed, sample.verdict


def test_no_network(judge):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = f"""
import socket
for place in (("127.0.0.1", {port}), ("1.1.1.1", 53)):
    try:
        socket.create_connection(place, 1)
        print("connected")
    except OSError:
        print("refused")
"""
        sample = judge.judge([(source, stdio(("", "refused\nrefused")), True)])[0]
    assert sample.passed, sample.verdict


def test_one_test_leaves_nothing_to_the_next(judge):
    source = "import os\nprint(os.listdir('.'), os.path.exists('/tmp/mark'))\nopen('mark', 'w')\nimport math\nmath.x = 1"
    assert judge.judge([(source, stdio(("", "[] False"), ("", "[] False ")), True)])[0].passed


def test_programs_leave_no_process(judge):
    before = len(psutil.Process(os.getpid()).children(recursive=True))
    judge.judge([(HOSTILE["double_fork_daemon"], stdio(("", "x")), True)] * 3)
    end = time.monotonic() + 5
    while len(psutil.Process(os.getpid()).children(recursive=True)) > before + 4 and time.monotonic() < end:
        time.sleep(0.05)
    # at most the test's own sandbox
    assert len(psutil.Process(os.getpid()).children(recursive=True)) <= before + 4
    assert threading.active_count() < 20


def test_a_program_cannot_make_itself_unjudged(judge):
    """An error verdict would keep it out of the batch: whatever it does to its sandbox, it is wrong."""
    for name in ("kill_all", "kill_first", "kill_parent", "memory", "close_descriptors", "exit_zero"):
        statuses = judge.judge([(HOSTILE[name], stdio(("", "x")), True)])[0].result.statuses
        assert Status.SANDBOX not in statuses


SPEAK = """
import os
for fd in range(0, 5000):
    for said in (b'0 0.01 clean', b'0 0.01', b'ready'):
        try: os.write(fd, said)
        except OSError: pass
"""


def test_the_control_channel_is_not_the_program_s():
    """The numbers of descriptors are those of the process outside: with many open there they are high."""
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(400)]
    try:
        with judges(limits={"test_seconds": 2, "wall_seconds": 4}) as fresh:
            look = "import os\nfound = []\nfor fd in range(70000):\n    try: os.fstat(fd); found.append(fd)\n    except OSError: pass\n"
            samples = fresh.judge(
                [
                    (SPEAK + "os.abort()", stdio(("", "")), True),
                    (SPEAK + "raise ValueError", stdio(("", "")), True),
                    (look + "print(found)", stdio(("", "[0, 1, 2]")), True),
                    (
                        look + "def f(): return found",
                        answer({"code": "assert f() == [0, 1, 2, 3]"}, fn_name="f"),
                        True,
                    ),
                    (
                        SPEAK + "os.abort()\ndef f(): return 1",
                        answer({"code": "assert f() == 1"}, fn_name="f"),
                        True,
                    ),
                ]
            )
    finally:
        for fd in many:
            os.close(fd)
    assert [sample.verdict.outcome for sample in samples] == ["wrong", "wrong", "right", "right", "wrong"], [
        s.verdict for s in samples
    ]


def test_memory_is_the_whole_program_s():
    """Each process stays below the limit of one; all of them together do not."""
    bomb = "import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n        x = [bytearray(4096) for _ in range(10000)]\n        time.sleep(99)\ntime.sleep(99)"
    began = time.monotonic()
    with judges(limits={"memory_mb": 256, "test_seconds": 4, "wall_seconds": 4}) as roomy:
        sample = roomy.judge([(bomb, stdio(("", "x")), True)])[0]
    assert "MiB of memory in all its processes" in sample.verdict.reason, sample.verdict
    assert time.monotonic() - began < 10
    shared = "import os\nx = b'x' * 150 * 2**20\nfor _ in range(4):\n    if os.fork() == 0:\n        import time\n        time.sleep(.3)\n        os._exit(0)\nfor _ in range(4): os.wait()\nprint(1)"
    with judges(limits={"memory_mb": 400}) as roomy:
        assert roomy.judge([(shared, stdio(("", "1")), True)])[0].passed  # what a fork shares counts once


@pytest.mark.parametrize(
    "make",
    [
        "open(f'/tmp/{i}', 'w').close()",
        "os.mkdir(f'/tmp/{i}')",
        "os.symlink('x', f'/tmp/{i}')",
        "open(f'/dev/shm/{i}', 'w').close()",
    ],
)
def test_files_are_limited_in_number(judge, make):
    sample = judge.judge(
        [(f"import os\ni = 0\nwhile True:\n    {make}\n    i += 1", stdio(("", "x")), True)]
    )[0]
    assert sample.result.statuses == (Status.RUNTIME,), sample.verdict
    assert "files and folders" in sample.verdict.reason or "No space left" in sample.verdict.reason
    good(judge)


@pytest.mark.parametrize("place", ["/tmp/mark", "mark", "/dev/shm/mark", "../mark"])
def test_no_file_survives_from_one_test_to_the_next(judge, place):
    source = f"import os\nprint(os.path.exists({place!r}), os.listdir('.'))\nopen({place!r}, 'w').write('x')"
    sample = judge.judge([(source, stdio(("", "False []"), ("", "False [] ")), True)])[0]
    assert sample.passed, sample.verdict


def test_a_folder_that_cannot_be_removed_survives_neither(judge):
    source = "import os\nprint(os.listdir('/tmp'))\nos.makedirs('/tmp/a/b')\nos.chmod('/tmp/a/b', 0)\nos.chmod('/tmp/a', 0)"
    assert judge.judge([(source, stdio(("", "['work']"), ("", "['work'] ")), True)])[0].passed


WAITS = (
    "import threading\nthreading.Event().wait()",
    "import time\ntime.sleep(99)",
    "import os\nos.read(os.pipe()[0], 1)",
    "import signal\nsignal.pause()",
)


def test_who_waits_for_nothing_is_wrong_in_bounded_time(judge):
    began = time.monotonic()
    samples = judge.judge([(source, stdio(("", "1")), True) for source in WAITS])
    assert {sample.verdict.outcome for sample in samples} == {"wrong"}
    assert all("slept or waited" in sample.verdict.reason for sample in samples)
    assert time.monotonic() - began < 20


def test_a_busy_machine_makes_nobody_wrong():
    """Four others on every core: the program needs more seconds on the clock than it may wait, and stays
    within its CPU time.
    """
    busy = "import time\nend = time.process_time() + .5\nwhile time.process_time() < end: pass\n"
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))
    ]
    try:
        with judges(limits={"test_seconds": 1, "wall_seconds": 1}) as made:
            began = time.monotonic()
            samples = made.judge(
                [
                    (busy + "print(1)", stdio(("", "1")), True),
                    (
                        busy + "def f(n): return n",
                        answer({"code": "assert [f(n) for n in range(50)] == list(range(50))"}, fn_name="f"),
                        True,
                    ),
                ]
            )
    finally:
        for other in others:
            other.kill()
            other.wait()
    verdicts = [sample.verdict for sample in samples]
    # on a machine with still more to do the trial ends as an error, which counts as no answer
    assert all(
        verdict.outcome == "right" or "the machine is too busy" in verdict.reason for verdict in verdicts
    ), verdicts
    assert time.monotonic() - began > 1


def test_a_program_that_gets_no_time_is_tried_again_and_then_an_error(judge, monkeypatch):
    tries = []
    monkeypatch.setattr(resource_watch, "PATIENCE", 0.05)
    monkeypatch.setattr(
        resource_watch.Starved,
        "__init__",
        lambda self, said: tries.append(said) or RuntimeError.__init__(self, said),
    )
    sample = judge.judge([("while True: pass", stdio(("", "1")), True)])[0]
    assert sample.verdict.outcome == "error"
    assert "the machine is too busy" in sample.verdict.reason
    assert len(tries) == 2


def test_cpu_time_is_the_whole_program_s(judge):
    source = "import os\nfor _ in range(2): os.fork()\nwhile True: pass"
    began = time.monotonic()
    sample = judge.judge([(source, stdio(("", "1")), True)])[0]
    assert sample.result.statuses == (Status.TIMEOUT,)
    assert time.monotonic() - began < 8


def test_every_standard_module_imports_as_it_does_outside(judge):
    """All of them, but those that open windows, play jokes or are for other machines."""
    left_out = {
        "antigravity",
        "this",
        "idlelib",
        "turtledemo",
        "tkinter",
        "turtle",
        "_tkinter",
        "lib2to3",
        "ensurepip",
        "venv",
        "pydoc_data",
        "site",
    }
    names = sorted(name for name in sys.stdlib_module_names - left_out if importlib.util.find_spec(name))
    say = "import importlib, warnings\nwarnings.simplefilter('ignore')\nbad = []\nfor name in {names!r}:\n    try: importlib.import_module(name)\n    except BaseException as error: bad.append(f'{{name}}: {{error}}')\nprint(bad)"
    program = say.format(names=names)
    outside = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True).stdout
    with judges(limits={"test_seconds": 20, "wall_seconds": 20}) as patient:
        sample = patient.judge([(program, stdio(("", outside)), True)])[0]
    assert sample.passed, sample.verdict
    assert len(names) > 250


def test_only_listed_packages_are_there():
    options = _files(("numpy",))
    mounted = [
        one for one in options if "site-packages" in one and options[options.index(one) - 1] == "--ro-bind"
    ]
    assert {pathlib.Path(one).name.partition("-")[0] for one in mounted} == {"numpy", "numpy.libs"}
    assert not any(
        "site-packages" in one
        for one in _files(())
        if one in options and options[options.index(one) - 1] == "--ro-bind"
    )
    source = "import numpy, sys\nfound = []\nfor name in ('torch', 'pydantic', 'pytest', 'dvc', 'pip'):\n    try: __import__(name); found.append(name)\n    except ImportError: pass\nprint(found, numpy.arange(3).sum())"
    with judges(limits={"test_seconds": 4, "wall_seconds": 8}) as made:
        assert made.judge([(source, stdio(("", "[] 3")), True)])[0].passed
    with judges(modules=()) as none:
        assert "numpy" in none.judge([("import numpy", stdio(("", "")), True)])[0].verdict.reason


@pytest.mark.parametrize(
    "source",
    [
        "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(99)",
        "import os, time\nos.write(3, b'\\0' * 64)\ntime.sleep(99)",
    ],
)
def test_closed_or_flooded_channels_are_no_excuse(judge, source):
    """Waiting behind them is waiting: wrong, not an error."""
    function = "\ndef f():\n    pass\n"
    asked = [
        (source, stdio(("", "1")), True),
        (
            source + function,
            answer({"code": "import time\ntime.sleep(99)\nassert f() == 1"}, fn_name="f"),
            True,
        ),
    ]
    assert {sample.verdict.outcome for sample in judge.judge(asked)} == {"wrong"}


def test_the_call_filter_is_on_for_whoever_asks_the_kernel_itself(judge):
    """Every call that the filter denies, made through ctypes: refused, not merely failed for its
    arguments.
    """
    _, clone, socket_call, denied = seccomp.TABLES[platform.machine()]
    source = f"""
import ctypes, errno
c = ctypes.CDLL(None, use_errno=True)
bad = []
for name, number in {(denied | seccomp.COMMON)!r}.items():
    if c.syscall(number, -1, -1, -1, -1, -1) != -1 or ctypes.get_errno() != errno.EPERM:
        bad.append((name, ctypes.get_errno()))
for family in (16, 17, 40):
    if c.syscall({socket_call}, family, 1, 0) != -1 or ctypes.get_errno() != errno.EAFNOSUPPORT:
        bad.append(family)
if c.syscall({clone}, 0x10000000, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.EPERM:
    bad.append("clone")
if c.syscall({seccomp.CLONE3}, 0, 0) != -1 or ctypes.get_errno() != errno.ENOSYS:
    bad.append("clone3")
print(bad)
"""
    sample = judge.judge([(source, stdio(("", "[]")), True)])[0]
    assert sample.passed, sample.verdict


LIARS = {
    "number": "class A:\n    __sub__ = __rsub__ = __add__ = lambda s, o: 0\n    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = lambda s, o: True\n    __abs__ = lambda s: 0\n    __hash__ = lambda s: 0",
    "holder": "class A(list):\n    count = index = lambda s, o: 1\n    __contains__ = __eq__ = lambda s, o: True",
    "mapping": "class A(dict):\n    __eq__ = __contains__ = lambda s, o: True\n    get = lambda s, k, d=None: d",
    "text": "class A(str):\n    __eq__ = __contains__ = startswith = endswith = lambda s, *o: True\n    __hash__ = str.__hash__\n    strip = lower = lambda s: s",
    "renamed": "class A: __eq__ = lambda s, o: True\nA.__name__ = A.__qualname__ = 'int'\nA.__module__ = 'builtins'",
    "meta": "class M(type):\n    __eq__ = __contains__ = __instancecheck__ = lambda s, o: True\n    __hash__ = type.__hash__\nclass A(metaclass=M): pass\nA = (lambda c: lambda: c)(A)",
    "any": "from unittest.mock import ANY\nA = lambda: ANY",
    "raises": "class A(Exception): __eq__ = lambda s, o: True",
}


@pytest.mark.parametrize("name", LIARS)
def test_objects_that_agree_with_everything(judge, name):
    source = LIARS[name] + "\ndef f(n=0): return A()\ndef g(n=0): return [A()]"
    tests = [*TESTS, f"assert f(3).count({SECRET}) == 1", f"assert {SECRET} in f(3)", f"assert g(3) == [{SECRET}]", f"assert not f(3) != {SECRET}",
             f"assert f(3).startswith('{SECRET}')", f"assert {{f(3): 1}} == {{{SECRET}: 1}}", f"assert max(f(3), {SECRET}) == {SECRET}",
             f"import unittest\nunittest.TestCase().assertEqual(f(3), {SECRET})", f"import math\nassert math.isclose(f(3), {SECRET})"]  # fmt: skip
    samples = judge.judge([(source, answer({"code": test}, fn_name="f"), True) for test in tests])
    assert {sample.verdict.outcome for sample in samples} == {"wrong"}, [sample.verdict for sample in samples]
