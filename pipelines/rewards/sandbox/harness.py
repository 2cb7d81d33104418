"""The first code that runs inside a sandbox: it sets its limits, then forks a child for every test.

It is sent in as bytes (`process.py`) and imports a few builtin modules only. A job is a socket message with
file descriptors: the job itself, then the child's 0, 1, 2 and, for functions, 3. The child does not inherit
the control socket. The sandbox of a test's code (`driver.py`) runs this as well, in another role.
"""

import builtins
import gc
import marshal
import os
import signal
import sys
import time

PACKAGE = "whetstone_sandbox"
COMPILE_ERROR = 97  # exit status of a program that does not compile
MOST_DESCRIPTORS = 64
HIGHEST_DESCRIPTOR = 2**20  # that the process outside may have had: the numbers are its own
MIB = 2**20
# what compile() raises
PROGRAM_ERRORS = (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError)


def main(
    shipped: dict,
    path: str,
    control_fd: int,
    uid: int,
    isolated: int,
    memory_mb: int,
    processes: int,
    file_mb: int,
) -> None:
    """Serves jobs for ever; returns in children only. `shipped`: module name -> code; `path`: folders of
    packages.
    """
    import _socket

    control = _socket.socket(fileno=control_fd)
    confine(uid, memory_mb, processes, file_mb)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # data sets are older than this limit, and CPU time has one anyway
    sys.path += path.split(os.pathsep) if path else []
    control.send(b"ready")
    while True:
        header, ancillary, _, _ = control.recvmsg(64, _socket.CMSG_SPACE(8 * 4))
        if not header:
            os._exit(0)
        fds = [fd for _, _, data in ancillary for fd in memoryview(data).cast("i").tolist()]
        job = marshal.loads(read_all(fds[0]))
        preload(job["preload"])
        if job["role"] != "program" and PACKAGE not in sys.modules:
            load_modules(shipped)
        os.mkdir(f"{job['folder']}/work", 0o700)
        child = os.fork()
        if child == 0:
            control.close()
            enter_child(fds[1:], job)
            return run(job)
        for fd in fds:
            os.close(fd)
        _, status, usage = os.wait4(child, 0)
        if isolated and os.getppid() == 1 and os.getpid() < 8:  # never outside a PID namespace of our own
            kill_the_rest()
        control.send(
            b"%d %f %s"
            % (
                status,
                usage.ru_utime + usage.ru_stime,
                b"clean" if is_clean(job["folder"], isolated) else b"dirty",
            )
        )


def load_modules(shipped: dict) -> None:
    """Loads `shipped` as a package, whose modules import each other. Programs run as scripts do
    not need it.
    """
    package = type(sys)(PACKAGE)
    package.__path__ = []  # type: ignore[attr-defined]
    sys.modules[PACKAGE] = package
    for name, code in shipped.items():
        module = type(sys)(f"{PACKAGE}.{name}")
        module.__package__ = PACKAGE
        sys.modules[module.__name__] = module
        exec(code, module.__dict__)
        setattr(package, name, module)


def confine(uid: int, memory_mb: int, processes: int, file_mb: int) -> None:
    """Sets limits that nothing below can raise, and for root a user of its own, since the kernel does not
    limit root's number of processes.
    """
    import resource

    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    limits = {
        resource.RLIMIT_AS: memory_mb * MIB,
        resource.RLIMIT_FSIZE: file_mb * MIB,
        resource.RLIMIT_NOFILE: MOST_DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if processes:
        limits[resource.RLIMIT_NPROC] = processes + 1  # and this one
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def is_clean(folder: str, isolated: int) -> bool:
    """Returns whether the child left no files. A sandbox with files is not reused: removing them could be
    exploited.
    """
    try:
        os.rmdir(f"{folder}/work")
        return not isolated or not (os.listdir(folder) or os.listdir("/dev/shm"))
    except OSError:
        return False


def kill_the_rest() -> None:
    """Kills what the child left in this PID namespace: daemons, orphans."""
    try:
        for _ in range(1000):  # until the last has gone: one that dies late could still make a file
            os.kill(-1, signal.SIGKILL)
            time.sleep(0.001)
    except (ProcessLookupError, PermissionError):
        return


def preload(names: list) -> None:
    """Imports modules that the program names once for all of its tests, and seeds `random`, so that reruns
    agree.
    """
    for name in names:
        try:
            __import__(name)
        except ImportError:
            continue
    if "random" in sys.modules:
        sys.modules["random"].seed(0)
    gc.freeze()


def read_all(fd: int) -> bytes:
    size, pieces = os.fstat(fd).st_size, []
    read = 0
    while read < size:
        pieces.append(os.pread(fd, size - read, read))
        read += len(pieces[-1])
    return b"".join(pieces)


def enter_child(fds: list, job: dict) -> None:
    """Sets up the child: descriptors 0, 1, 2 (and 3) only, its own session, empty folder and CPU limit."""
    import resource

    os.setsid()
    for place, fd in enumerate(fds):
        os.dup2(fd, place)
    os.closerange(len(fds), HIGHEST_DESCRIPTOR)
    os.chdir(f"{job['folder']}/work")
    seconds = max(1, -int(-job["cpu_seconds"] // 1))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    sys.argv = ["program.py"]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]


def run(job: dict) -> None:
    role = job["role"]
    if role == "program":
        run_program(job["source"])
    elif role == "serve":
        serve(job["source"])
    else:
        sys.modules[f"{PACKAGE}.driver"].run_test(job, send, receive)
        os._exit(0)


def run_program(source: str) -> None:
    """Runs a script as `python program.py` would; the exit status is the interpreter's."""
    try:
        code = compile(source, "program.py", "exec", dont_inherit=True)
    except PROGRAM_ERRORS as error:
        os.write(2, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace"))
        os._exit(COMPILE_ERROR)
    module = type(sys)("__main__")
    module.__file__ = "program.py"
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def serve(source: str) -> None:
    """Serves a program's objects to a test outside. The first frame is "X" (does not compile), "L" (raises
    while loading) or "R" (ready); then follow those of `wire.py`.
    """
    try:
        code = compile(source, "program.py", "exec", dont_inherit=True)
    except PROGRAM_ERRORS as error:
        send(b"X" + describe(error))
        os._exit(0)
    wire, streams = (sys.modules[f"{PACKAGE}.{name}"] for name in ("wire", "streams"))
    module = type(sys)("program")
    module.__file__ = "program.py"
    module.__dict__["__builtins__"] = builtins
    sys.modules["program"] = module
    printed = streams.CapturedOutput()
    sys.stdout = printed.text
    try:
        exec(code, module.__dict__)
    except BaseException as error:  # noqa: BLE001 - also SystemExit and whatever the program makes up
        send(b"L" + describe(error))
        os._exit(0)
    printed.take()
    side = wire.Side(send, receive, guarded=False, find=lambda name: find(module, name), printed=printed.take)
    sys.stdin = streams.TestInput(side)
    builtins.input = sys.stdin.input
    send(b"R")
    side.serve()
    os._exit(0)


def find(module: object, name: str):  # type: ignore[no-untyped-def]
    """Returns the program's object `name`, or the method of its class Solution, as in call-based problems."""
    if not hasattr(module, name) and hasattr(module, "Solution"):
        return getattr(module.Solution(), name)
    return getattr(module, name)


def describe(error: BaseException) -> bytes:
    """Returns `Type: message`, at most 300 characters, whatever the exception's `__str__` does."""
    try:
        said = f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # noqa: BLE001 - `__str__` is the program's
        said = type(error).__name__
    return said.encode("utf-8", "backslashreplace")


def send(frame: bytes) -> None:
    """Writes four bytes of length, then the frame, to descriptor 3."""
    data = memoryview(len(frame).to_bytes(4, "big") + frame)
    while data:
        data = data[os.write(3, data) :]


def receive() -> bytes | None:
    """Returns the next frame; None where the other side has closed."""
    head = _take(4)
    return None if head is None else _take(int.from_bytes(head, "big"))


def _take(count: int) -> bytes | None:
    pieces = []
    while count:
        piece = os.read(3, min(count, MIB))
        if not piece:
            return None
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
