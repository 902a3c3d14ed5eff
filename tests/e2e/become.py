#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Other credentials, for tests: user(), in_namespace(), and as a program `become.py UID CAPABILITY,...|- COMMAND...`, which
executes a command as a user that has these ambient capabilities."""
import ctypes
import os
import sys

CAPABILITIES = {"net_admin": 12, "sys_ptrace": 19, "dac_read_search": 2, "perfmon": 38, "bpf": 39, "checkpoint_restore": 40}
_CLONE_NEWUSER = 0x10000000
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _RAISE = 4, 8, 47, 2
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def user(uid, groups=()):
    os.setgroups(list(groups))
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def in_namespace(uid):
    """That user, as root of a user namespace of its own."""
    user(uid)
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "PR_SET_DUMPABLE")  # or the files below are root's
    _check(_libc.unshare(_CLONE_NEWUSER), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {uid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as f:
            f.write(text)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def with_capabilities(uid, names):
    """That user, with these permitted, inheritable, effective and ambient."""
    _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
    user(uid)
    low, high = (sum(1 << CAPABILITIES[n] % 32 for n in names if CAPABILITIES[n] // 32 == word) for word in (0, 1))
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)(low, low, low, high, high, high)), "capset")
    for name in names:
        _check(_libc.prctl(_PR_CAP_AMBIENT, _RAISE, CAPABILITIES[name], 0, 0), f"ambient {name}")


if __name__ == "__main__":
    with_capabilities(int(sys.argv[1]), [n for n in sys.argv[2].split(",") if n != "-"])
    os.execv(sys.argv[3], sys.argv[3:])
