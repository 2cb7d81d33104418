"""The system calls denied to sandboxed programs: those that give new namespaces, memory outside of all
limits, access to other processes, or a scheduling priority so low that a test never ends. A classic BPF
program for `bwrap --seccomp` (seccomp(2), linux/filter.h).
"""

from __future__ import annotations

import errno
import os
import platform
import struct

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
NEW_NAMESPACE = 0x7E020000  # every CLONE_NEW* flag
# AF_UNIX, AF_INET, AF_INET6: those that a network namespace confines; AF_VSOCK reaches a virtual machine's
# host
FAMILIES = (1, 2, 10)
X32 = 0x40000000

# newer calls have one number everywhere
COMMON = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
          "move_mount": 429, "fsopen": 430,
          "fsconfig": 431, "fsmount": 432, "pidfd_getfd": 438, "mount_setattr": 442,
          "memfd_secret": 447}  # fmt: skip
CLONE3 = 435
# machine: audit architecture, clone, socket, denied calls
TABLES: dict[str, tuple[int, int, int, dict[str, int]]] = {
    "x86_64": (0xC000003E, 56, 41, {
        "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
        "ptrace": 101,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "userfaultfd": 323,
        "perf_event_open": 298, "add_key": 248,
        "request_key": 249, "keyctl": 250, "memfd_create": 319, "shmget": 29, "shmat": 30, "shmctl": 31,
        "semget": 64, "msgget": 68,
        "mq_open": 240, "name_to_handle_at": 303, "open_by_handle_at": 304, "init_module": 175,
        "finit_module": 313,
        "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setattr": 314,
    }),
    "aarch64": (0xC00000B7, 220, 198, {
        "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
        "ptrace": 117,
        "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "userfaultfd": 282,
        "perf_event_open": 241, "add_key": 217,
        "request_key": 218, "keyctl": 219, "memfd_create": 279, "shmget": 194, "shmat": 196, "shmctl": 195,
        "semget": 190, "msgget": 186,
        "mq_open": 180, "name_to_handle_at": 264, "open_by_handle_at": 265, "init_module": 105,
        "finit_module": 273,
        "setpriority": 140, "sched_setparam": 118, "sched_setscheduler": 119, "sched_setattr": 274,
    }),
}  # fmt: skip


def filter_program(machine: str = platform.machine()) -> bytes | None:
    """Returns the filter for a machine; None where TABLES lacks its call numbers."""
    if machine not in TABLES:
        return None
    architecture, clone, socket, denied = TABLES[machine]
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    if machine == "x86_64":
        steps += [(AT_LEAST, 0, 1, X32), _refuse(errno.EPERM)]
    for number in sorted({**denied, **COMMON}.values()):
        steps += [(EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    # its flags lie behind a pointer; C libraries fall back to clone
    steps += [(EQUAL, 0, 1, CLONE3), _refuse(errno.ENOSYS)]
    steps += [
        (EQUAL, 0, 3, clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 0, 1, NEW_NAMESPACE),
        _refuse(errno.EPERM),
        (LOAD, 0, 0, NUMBER),
    ]
    families = [(EQUAL, len(FAMILIES) - place, 0, family) for place, family in enumerate(FAMILIES)]
    steps += [
        (EQUAL, 0, len(families) + 2, socket),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        *families,
        _refuse(errno.EAFNOSUPPORT),
    ]
    steps += [(RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _refuse(number: int) -> tuple[int, int, int, int]:
    return (RETURN, 0, 0, ERRNO | number)


def filter_file() -> int | None:
    """Returns a descriptor of a file with the filter; None where there is no filter for this machine."""
    content = filter_program()
    if content is None:
        return None
    fd = os.memfd_create("filter")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
