# SPDX-License-Identifier: BSD-2-Clause
"""A memory cgroup that is full: the kernel charges the entries of a BPF map to the cgroup in which the map was made, so what the
collector's programs allocate fails when that one is at its limit. The collector itself is moved out of it before."""
import os

from harness import wait_until

V1, V2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"


def cause_of_skip():
    """Why this machine has no memory cgroups, or None."""
    if os.path.exists(V1 + "/memory.limit_in_bytes"):
        return None
    try:
        with open(V2 + "/cgroup.controllers", encoding="ascii") as f:
            return None if "memory" in f.read().split() else "needs the memory controller of cgroups"
    except OSError:
        return "needs memory cgroups"


def _write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class MemoryGroup:
    def __init__(self):
        self.parent, self.limit, self.usage = V1, "memory.limit_in_bytes", "memory.usage_in_bytes"
        if not os.path.exists(V1 + "/memory.limit_in_bytes"):
            self.parent, self.limit, self.usage = V2, "memory.max", "memory.current"
            _write(V2 + "/cgroup.subtree_control", "+memory")
        self.path = os.path.join(self.parent, f"taskmon-e2e-{os.getpid()}")
        os.mkdir(self.path)

    def prefix(self):
        """Of a command that shall begin in it."""
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs; exec "$@"', "sh"]

    def used(self):
        with open(os.path.join(self.path, self.usage), encoding="ascii") as f:
            return int(f.read())

    def fill(self, *processes):
        """Moves these out of it, and lets it grow no more."""
        for process in processes:
            _write(self.parent + "/cgroup.procs", str(process.pid))

        def at_limit():
            try:
                _write(os.path.join(self.path, self.limit), str(self.used()))
                return True
            except OSError:  # EBUSY: it has grown meanwhile
                return False
        wait_until(at_limit, "the limit is set")

    def leave_room(self, size):
        """It may grow by so many bytes; who wants more is killed."""
        _write(os.path.join(self.path, self.limit), str(self.used() + size))

    def release(self):
        _write(os.path.join(self.path, self.limit), "-1" if self.parent == V1 else "max")

    def close(self):
        os.rmdir(self.path)
