# SPDX-License-Identifier: BSD-2-Clause
"""How many entries the hash maps of a collector hold, without bpftool."""
import ctypes
import os

from harness import _SYS_BPF

_MAP_GET_NEXT_KEY, _MAP_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD = 4, 14, 15
_ENOENT = 2
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, *words):
    """bpf(2) with an attribute of these (value, bytes)."""
    attr = ctypes.create_string_buffer(b"".join(value.to_bytes(size, "little") for value, size in words), 128)
    result = _libc.syscall(_SYS_BPF, command, attr, 128)
    if result < 0 and ctypes.get_errno() != _ENOENT:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def _name_and_key_size(fd):
    info = ctypes.create_string_buffer(128)
    _bpf(_OBJ_GET_INFO_BY_FD, (fd, 4), (len(info), 4), (ctypes.addressof(info), 8))
    return info.raw[24:40].split(b"\0")[0].decode(), int.from_bytes(info.raw[8:12], "little")


def _count(fd, key_size):
    key, count = ctypes.create_string_buffer(key_size), 0
    result = _bpf(_MAP_GET_NEXT_KEY, (fd, 8), (0, 8), (ctypes.addressof(key), 8))
    while result == 0:
        count += 1
        result = _bpf(_MAP_GET_NEXT_KEY, (fd, 8), (ctypes.addressof(key), 8), (ctypes.addressof(key), 8))
    return count


def entries(collector, name):
    """The number of entries of a map while nobody changes it."""
    for map_id in {int(info["map_id"]) for info in collector.fdinfo() if "map_id" in info and "map_type" in info}:
        fd = _bpf(_MAP_GET_FD_BY_ID, (map_id, 4), (0, 8))
        if fd < 0:
            continue
        try:
            found, key_size = _name_and_key_size(fd)
            if found == name:
                return _count(fd, key_size)
        finally:
            os.close(fd)
    raise AssertionError(f"the collector has no map {name}")
