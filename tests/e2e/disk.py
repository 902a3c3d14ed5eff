# SPDX-License-Identifier: BSD-2-Clause
"""A disk of our own that answers when a test lets it: a loop device on a file that lives in this process, served through
/dev/fuse. A gate holds the reads, writes or syncs that a test names until it opens it, and knows how long it held each.
"""
import ctypes
import os
import subprocess
import tempfile
import threading
import time

from harness import run_dir, wait_until

READ, WRITE, SYNC, FLUSH, STATFS = "read", "write", "sync", "flush", "statfs"

# include/uapi/linux/fuse.h
_GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS, _RELEASE, _FSYNC, _FLUSH, _INIT = 3, 4, 14, 15, 16, 17, 18, 20, 25, 26
_NO_ANSWER = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET
_KINDS = {_READ: READ, _WRITE: WRITE, _FSYNC: SYNC, _FLUSH: FLUSH, _STATFS: STATFS}
_ASYNC_READ, _BIG_WRITES, _ASYNC_DIO = 1, 1 << 5, 1 << 15
_DIRECT_IO = 1  # no page cache in between: each request of the loop device is at least one here
_MAX_WRITE = 128 << 10
_ENOSYS = 38
_MS_NOATIME, _MNT_DETACH = 1024, 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, kind, options=""):
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), _MS_NOATIME, options.encode())
    _check(result, f"mount {kind} at {target}")


def unmount(target):
    _check(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def _words(*fields):
    """Fields of (value, bytes) as the kernel has them."""
    return b"".join(value.to_bytes(size, "little") for value, size in fields)


class Held:
    """A request at the gate."""

    def __init__(self, kind, offset, answer):
        self.kind, self.offset, self.answer = kind, offset, answer
        self.wall_ns, self.since_ns, self.until_ns = time.time_ns(), time.monotonic_ns(), None

    @property
    def length_ns(self):
        return (self.until_ns or time.monotonic_ns()) - self.since_ns


class File(threading.Thread):
    """Serves one file, the root of its file system, until it is unmounted and nobody has it open."""

    def __init__(self, size):
        super().__init__(daemon=True)
        self.data = bytearray(size)
        self.lock = threading.Lock()
        self.closed_for = lambda kind, offset: False
        self.held = []
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        self.path = os.path.join(tempfile.mkdtemp(dir=run_dir()), "disk")
        with open(self.path, "wb"):
            pass
        mount("taskmon-test", self.path, "fuse", f"fd={self.fd},rootmode=100600,user_id=0,group_id=0,allow_other")
        self.start()
        assert os.stat(self.path).st_size == size  # the kernel asks for it now; the loop device of some does not

    def run(self):
        while True:
            try:
                request = os.read(self.fd, _MAX_WRITE + 4096)
            except OSError:  # unmounted
                os.close(self.fd)
                return
            opcode = int.from_bytes(request[4:8], "little")
            if opcode in _NO_ANSWER:
                continue
            unique, body = request[8:16], request[40:]
            offset = int.from_bytes(body[8:16], "little")
            kind = _KINDS.get(opcode)
            with self.lock:
                if kind and self.closed_for(kind, offset):
                    self.held.append(Held(kind, offset, (opcode, unique, body)))
                    continue
            self.answer(opcode, unique, body)

    def close_gate(self, *kinds, offsets=None):
        """Holds requests of these kinds (and offsets) from now on."""
        with self.lock:
            self.held = []
            self.closed_for = lambda kind, offset: kind in kinds and (offsets is None or offset in offsets)

    def wait_for_held(self):
        """The first request that is held, as soon as there is one."""
        return wait_until(lambda: self.held[:1], "a request at the gate")[0]

    def open_gate(self):
        """Answers what is held; returns it."""
        with self.lock:
            self.closed_for = lambda kind, offset: False
            held, self.held = self.held, []
        for request in held:
            request.until_ns = time.monotonic_ns()
            self.answer(*request.answer)
        return held

    def answer(self, opcode, unique, body):
        offset, size = int.from_bytes(body[8:16], "little"), int.from_bytes(body[16:20], "little")
        error, out = 0, b""
        if opcode == _INIT:
            out = _words((7, 4), (31, 4), (0, 4), (_ASYNC_READ | _BIG_WRITES | _ASYNC_DIO, 4), (1024, 2), (1024, 2),
                         (_MAX_WRITE, 4), (1, 4), (0, 36))
        elif opcode in (_GETATTR, _SETATTR):
            out = _words((3600, 8), (0, 8), (1, 8), (len(self.data), 8), (len(self.data) // 512, 8), (0, 36), (0o100600, 4),
                         (1, 4), (0, 12), (4096, 4), (0, 4))
        elif opcode == _OPEN:
            out = _words((0, 8), (_DIRECT_IO, 8))
        elif opcode == _READ:
            out = bytes(self.data[offset:offset + size])
        elif opcode == _WRITE:
            self.data[offset:offset + size] = body[40:40 + size]
            out = _words((size, 8))
        elif opcode == _STATFS:
            out = _words((0, 40), (4096, 4), (255, 4), (4096, 4), (0, 28))
        elif opcode not in (_RELEASE, _FSYNC, _FLUSH):
            error = _ENOSYS
        try:
            os.write(self.fd, (16 + len(out)).to_bytes(4, "little") + (-error).to_bytes(4, "little", signed=True) + unique + out)
        except FileNotFoundError:
            pass  # nobody waits for it any more


class Disk:
    """`path` is its block device, which everybody may read and write."""

    def __init__(self, size, *options):
        self.file = File(size)
        self.path = None
        try:
            self.path = subprocess.run(["losetup", "--find", "--show", *options, self.file.path], check=True, capture_output=True,
                                       text=True).stdout.strip()
            os.chmod(self.path, 0o666)
        finally:
            unmount(self.file.path)  # the loop device has it open
            if not self.path:
                self.file.join()
        self.mounted = None

    def queue(self, name, value):
        """Sets an attribute of its queue."""
        with open(f"/sys/block/{os.path.basename(self.path)}/queue/{name}", "w", encoding="ascii") as f:
            f.write(str(value))

    def close_gate(self, *kinds, offsets=None):
        self.file.close_gate(*kinds, offsets=offsets)

    def wait_for_held(self):
        return self.file.wait_for_held()

    def open_gate(self):
        return self.file.open_gate()

    def sectors_written(self):
        with open(f"/sys/block/{os.path.basename(self.path)}/stat", encoding="ascii") as f:
            return int(f.read().split()[6])

    def mount(self, *mkfs):
        """Makes a file system and mounts it; returns where."""
        subprocess.run([*mkfs, self.path], check=True, capture_output=True)
        self.mounted = tempfile.mkdtemp(dir=run_dir())
        mount(self.path, self.mounted, "ext4", "")
        return self.mounted

    def unmount(self):
        unmount(self.mounted)

    def close(self):
        """The device goes when its last user does."""
        self.open_gate()
        os.chmod(self.path, 0o660)
        subprocess.run(["losetup", "-d", self.path], check=True)
        wait_until(lambda: not self.file.is_alive(), f"{self.path} is detached")
