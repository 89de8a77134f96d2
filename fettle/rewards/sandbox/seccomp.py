"""The seccomp filters of the sandbox: allow-lists of system calls as classic BPF (seccomp(2), bpf(4)).

Whatever is not listed answers EPERM, so that a library may fall back; a foreign architecture's call kills. Node has a
wider list than Python: an event loop, threads, and one `execve` into itself, which Landlock holds to its binary.

Nothing here leans on Landlock's newer rights: older kernels let it neither truncate (before 6.2), nor hold ioctl
(before 6.10) or signals (before 6.12). So files are opened for reading only, and `fcntl` can name no owner of a file,
whom the kernel would signal.
"""

import platform
import struct
from collections.abc import Iterable

# name: number on x86_64, number on aarch64 (None: it has none)
CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "poll": (7, None),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "readlink": (89, None),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "dup3": (292, 24),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
}
NODE_CALLS: dict[str, tuple[int | None, int | None]] = {
    "execve": (59, 221),
    "capget": (125, 90),
    "arch_prctl": (158, None),
    "set_tid_address": (218, 96),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "pipe2": (293, 59),
}
OPEN: tuple[int | None, int | None] = (2, None)
OPENAT: tuple[int, int] = (257, 56)
FCNTL: tuple[int, int] = (72, 25)
MMAP: tuple[int, int] = (9, 222)
MPROTECT: tuple[int, int] = (10, 226)
CLONE: tuple[int, int] = (56, 220)
CLONE3 = 435  # on both
IOCTL: tuple[int, int] = (16, 29)
PRLIMIT: tuple[int, int] = (302, 261)

# A thread of this process, and nothing else that clone can make: no traced one, none in a namespace of its own
CLONE_THREAD, CLONE_OTHERS = 0x00010000, 0x7E022000
# Python asks whether a file is a terminal, and marks files as not inherited
TCGETS, FIOCLEX, FIONCLEX = 0x5401, 0x5451, 0x5450
# What a file may be opened with: O_RDONLY, NOCTTY, NONBLOCK, CLOEXEC, and four bits that are DIRECT, DIRECTORY,
# NOFOLLOW and LARGEFILE, in an order that depends on the architecture. Not CREAT, TRUNC, APPEND, ASYNC, TMPFILE, PATH.
READING = 0o400 | 0o4000 | 0o40000 | 0o100000 | 0o200000 | 0o400000 | 0o2000000
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL and F_DUPFD_CLOEXEC; F_SETFL only for the bits below: not O_ASYNC, which signals
DESCRIPTOR_COMMANDS, SET_FLAGS = (0, 1, 2, 3, 1030), 4
SETTABLE = 0o3 | 0o2000 | 0o4000 | 0o100000 | 0o400000  # the access mode, APPEND, NONBLOCK and LARGEFILE
PROT_WRITE, PROT_EXEC, MAP_ANONYMOUS = 2, 4, 0x20
WORD = 0xFFFFFFFF

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_…
X32_BIT = 0x40000000

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050000 | 1, 0x00050000 | 38
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, (16, 24, 32, 40)  # offsets in seccomp_data; arguments' low words


class Unsupported(Exception):
    """No filter is known for this machine."""


def filter_program(machine: str | None = None, *, node: bool = False) -> bytes:
    """The program as an array of `struct sock_filter`, for Python or for Node. Raises Unsupported."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise Unsupported(f"The sandbox has no system call filter for {machine!r} machines.")
    column, architecture = ARCHITECTURES[machine]
    calls = {**CALLS, **(NODE_CALLS if node else {})}
    numbers = [found for pair in calls.values() if (found := pair[column]) is not None]
    return b"".join(
        instruction
        for part in (
            [step(LOAD, ARCHITECTURE), step(JUMP_EQUAL, architecture, 1, 0), step(RETURN, KILL)],
            [step(LOAD, NUMBER), step(JUMP_AT_LEAST, X32_BIT, 0, 1), step(RETURN, KILL)],
            permit(numbers),
            when(OPEN[column], [load(1), *only_bits(READING)]),
            when(OPENAT[column], [load(2), *only_bits(READING)]),
            when(FCNTL[column], [load(1), *permit(DESCRIPTOR_COMMANDS), *set_flags()]),
            when(MMAP[column], code_from_files() if node else [step(RETURN, ALLOW)]),
            when(MPROTECT[column], [load(2), *no_bits(PROT_EXEC)] if node else [step(RETURN, ALLOW)]),
            when(CLONE[column], [load(0), *has_bits(CLONE_THREAD), *no_bits(CLONE_OTHERS)]),
            # Its flags lie in memory, where no filter can look: libc falls back to clone
            [step(JUMP_EQUAL, CLONE3, 0, 1), step(RETURN, ENOSYS)],
            when(PRLIMIT[column], [load(0), *permit([0])]) if node else [],
            when(IOCTL[column], [load(1), *permit([TCGETS, FIOCLEX, FIONCLEX])]),
            [step(RETURN, EPERM)],
        )
        for instruction in part
    )


def permit(values: Iterable[int]) -> list[bytes]:
    """Allows the call if what is loaded is one of the values."""
    return [part for value in values for part in (step(JUMP_EQUAL, value, 0, 1), step(RETURN, ALLOW))]


def when(number: int | None, body: list[bytes]) -> list[bytes]:
    """For one call only: does the body, and refuses what the body did not allow.

    Nothing where the architecture has no such call.
    """
    if number is None:
        return []
    inner = [*body, step(RETURN, EPERM)]
    return [step(JUMP_EQUAL, number, 0, len(inner)), *inner]


def load(argument: int) -> bytes:
    return step(LOAD, ARGUMENTS[argument])


def only_bits(allowed: int) -> list[bytes]:
    """Allows the call if what is loaded has no other bits."""
    return no_bits(~allowed & WORD)


def no_bits(refused: int) -> list[bytes]:
    """Allows the call if what is loaded has none of the bits."""
    return [step(JUMP_SET, refused, 1, 0), step(RETURN, ALLOW)]


def has_bits(needed: int) -> list[bytes]:
    """Refuses the call if what is loaded has none of the bits."""
    return [step(JUMP_SET, needed, 1, 0), step(RETURN, EPERM)]


def set_flags() -> list[bytes]:
    return [step(JUMP_EQUAL, SET_FLAGS, 1, 0), step(RETURN, EPERM), load(2), *only_bits(SETTABLE)]


def code_from_files() -> list[bytes]:
    """mmap for Node: memory that is run comes from a file, and is not written. V8's flags can be set at run time."""
    return [
        load(2),
        step(JUMP_SET, PROT_EXEC, 1, 0),
        step(RETURN, ALLOW),
        *[step(JUMP_SET, PROT_WRITE, 0, 1), step(RETURN, EPERM)],
        load(3),
        *no_bits(MAP_ANONYMOUS),
    ]


def step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
