"""Supervisor of one stage's command: `python -S -E lifeline.py GRACE -- COMMAND…`. It imports nothing of the
project.

Its standard input is a pipe that the runner holds; end of file means that the runner has died. Then, or on
SIGTERM, every descendant gets SIGTERM, and after GRACE seconds SIGKILL. It is their subreaper, so that none
escapes by starting a session of its own, as torchrun's workers do. After a normal end the remaining
descendants are killed as well, since they would keep the GPU. If this process itself is killed, the kernel
kills the command; what the command started is found by `flows.running.leftovers`.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def descendants():
    """Returns the pids of all living processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stream:
                    state, parent = stream.read().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue  # it ended while we looked
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry))
    pids, todo = [], [os.getpid()]
    while todo:
        for child in children.get(todo.pop(), []):
            pids.append(child)
            todo.append(child)
    return pids


def send(number):
    for pid in descendants():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def main():
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    grace, command = float(sys.argv[1]), sys.argv[3:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    # Ctrl-C goes to the whole terminal group; the runner decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Started by the main thread, which lives as long as the process: the death signal is bound to the thread.
    die_with_us = lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # noqa: E731
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_us)

    def watch():
        while os.read(0, 1):
            pass
        stopping.set()

    threading.Thread(target=watch, daemon=True).start()
    code = None
    while code is None and not stopping.is_set():
        try:
            code = child.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    if code is None:
        send(signal.SIGTERM)
        end = time.monotonic() + grace
        while time.monotonic() < end and (child.poll() is None or descendants()):
            time.sleep(0.05)
        code = 143
    for _ in range(200):
        if not descendants():
            break
        send(signal.SIGKILL)
        time.sleep(0.02)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
