"""What a forked process gives up before it runs a student's code: sight of other processes, files, calls, resources.

Linux only; each part says whether it worked, and whoever reports says what is missing. Nothing here needs a privilege:
a user may make namespaces of her own where the system lets her, and anybody may give up what he has.

Sources: man 7 user_namespaces, man 2 seccomp, man 2 mount_setattr, and the tables of system calls in the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

NEW_MOUNTS, NEW_USER, NEW_PROCESSES = 0x20000, 0x10000000, 0x20000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 1, 2, 4, 0x4000, 0x40000
_SYS_MOUNT_SETATTR = 442  # the same everywhere


@dataclass(frozen=True)
class Limits:
    """What one answer to one exercise may use. Times in seconds, sizes in bytes.

    Attributes:
        cpu: of the processor; nearly all right answers take less than one second.
        wall: by the clock.
        memory: on top of what the worker has.
        file: of one file, and of all files together where the folder is a file system of its own.
    """

    cpu: int = 30
    wall: float = 90.0
    memory: int = 2 * 2**30
    file: int = 8 * 2**20


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def address_space() -> int:
    """Bytes that this process has mapped, 0 where the system does not say."""
    import resource

    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
    return 0


def set_limits(limits: Limits, mapped: int, *, processes: bool) -> None:
    """Limits that a process sets itself and cannot raise again.

    Args:
        limits: which.
        mapped: what `address_space` says of the worker.
        processes: forbid new processes, and with them new threads, where nothing else does.
    """
    import resource  # not on Windows, where this module can be imported all the same

    wanted = {"CPU": limits.cpu, "FSIZE": limits.file, "NOFILE": 64, "CORE": 0, "MSGQUEUE": 0}
    if mapped:
        wanted["AS"] = mapped + limits.memory
    if processes:
        wanted["NPROC"] = 0
    for name, value in wanted.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not every system has each
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def new_namespaces() -> None:
    """From the next fork on: process numbers of one's own, in which nobody else has one; and mounts of one's own.

    Raises:
        OSError: the system does not let us.
    """
    user, group = os.getuid(), os.getgid()
    _checked(_libc().unshare(NEW_USER | NEW_MOUNTS | NEW_PROCESSES))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _checked(_libc().mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))


def empty_folder(path: str, size: int, *, read_only: bool = False) -> None:
    """An empty file system in memory in the place of a folder, for this process and its children."""
    options = f"size={size},nr_inodes=500,mode=0700".encode()
    flags = _MS_NOSUID | _MS_NODEV | (_MS_RDONLY if read_only else 0)
    _checked(_libc().mount(b"tmpfs", path.encode(), b"tmpfs", flags, options))


def everything_read_only() -> None:
    """All that is mounted, whatever it is."""
    attributes = struct.pack("QQQQ", 1, 0, 0, 0)  # MOUNT_ATTR_RDONLY
    _checked(_libc().syscall(_SYS_MOUNT_SETATTR, -100, b"/", 0x8000, attributes, len(attributes)))  # AT_RECURSIVE


def drop_privileges() -> None:
    """No capability is left, and none can come back."""
    if sys.platform != "linux":
        return
    for capability in range(64):
        _libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)  # _LINUX_CAPABILITY_VERSION_3
    _libc().capset(header, nothing)
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    close_memory()


def close_memory() -> None:
    """Others of the same user cannot look into this process."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent() -> None:
    """SIGKILL when the parent ends."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


# Calls that no answer needs, by name: their numbers on x86-64 and on 64-bit ARM.
_FORBIDDEN = {
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "accept": (43, 202)},
    **{"kill": (62, 129), "tkill": (200, 130), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424)},
    **{"rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "ptrace": (101, 117)},
    **{"process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281)},
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97)},
    **{"setns": (308, 268), "move_mount": (429, 429), "open_tree": (428, 428), "mount_setattr": (442, 442)},
    **{"fsopen": (430, 430), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282)},
    **{"io_uring_setup": (425, 425), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218)},
    **{"shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180)},
    **{"init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142)},
    **{"setpriority": (141, 140), "sched_setaffinity": (203, 122), "personality": (135, 92), "swapon": (167, 224)},
    **{"setrlimit": (160, 164), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265)},
}
_MACHINES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column above, AUDIT_ARCH, `clone`
_CLONE3, _X32, _CLONE_THREAD = 435, 0x40000000, 0x10000
_EPERM, _ENOSYS = 1, 38


def filter_calls() -> None:
    """Refuse what no answer needs: sockets, signals to others, new processes (threads may be), and the like.

    Raises:
        OSError: not on this system.
    """
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        raise OSError(_ENOSYS, f"no filter for {platform.machine()}")
    column, machine, clone = _MACHINES[platform.machine()]
    numbers = [found[column] for found in _FORBIDDEN.values() if found[column] is not None]
    load, equal, at_least, bits, end = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: LD W ABS, JEQ, JGE, JSET, RET
    refuse = 0x00050000  # SECCOMP_RET_ERRNO
    # (operation, jump if true, jump if false, value)
    steps = [(load, 0, 0, 4), (equal, 1, 0, machine), (end, 0, 0, 0x80000000)]  # another machine's calls: killed
    steps += [(load, 0, 0, 0), (at_least, 0, 1, _X32), (end, 0, 0, refuse | _EPERM)]
    for number in numbers:
        steps += [(equal, 0, 1, number), (end, 0, 0, refuse | _EPERM)]
    steps += [(equal, 0, 1, _CLONE3), (end, 0, 0, refuse | _ENOSYS)]  # then the C library takes `clone`
    steps += [(equal, 0, 3, clone), (load, 0, 0, 16), (bits, 1, 0, _CLONE_THREAD), (end, 0, 0, refuse | _EPERM)]
    steps += [(end, 0, 0, 0x7FFF0000)]  # SECCOMP_RET_ALLOW
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _checked(_libc().prctl(_PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0))


def works(part: str) -> bool:
    """Whether a part is to be had here: tried in a process of its own."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            {"processes": new_namespaces, "calls": filter_calls}[part]()
            if part == "processes":
                empty_folder("/tmp", 2**16)
                everything_read_only()
            status = 0
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def hide(paths: Sequence[str]) -> None:
    """Empty folders in the place of these, where they are there."""
    for path in paths:
        if os.path.isdir(path):
            empty_folder(path, 2**16, read_only=True)
