# SPDX-License-Identifier: BSD-2-Clause
"""What a collector has in the kernel, without bpftool: its BPF objects, and how many entries its hash maps hold."""
import ctypes
import os

from harness import _SYS_BPF

_MAP_GET_NEXT_KEY, _PROG_GET_FD_BY_ID, _MAP_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD, _LINK_GET_FD_BY_ID = 4, 13, 14, 15, 30
_BY_ID = {"prog": _PROG_GET_FD_BY_ID, "map": _MAP_GET_FD_BY_ID, "link": _LINK_GET_FD_BY_ID}
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
    """The number of entries of the maps of that name while nobody changes them."""
    total = None
    for map_id in {int(info["map_id"]) for info in collector.fdinfo() if "map_id" in info and "map_type" in info}:
        fd = _bpf(_MAP_GET_FD_BY_ID, (map_id, 4), (0, 8))
        if fd < 0:
            continue
        try:
            found, key_size = _name_and_key_size(fd)
            if found == name:
                total = (total or 0) + _count(fd, key_size)
        finally:
            os.close(fd)
    if total is not None:
        return total
    raise AssertionError(f"the collector has no map {name}")


def _maps_of_program(program_id):
    """struct bpf_prog_info, include/uapi/linux/bpf.h: nr_map_ids, map_ids."""
    fd = _bpf(_PROG_GET_FD_BY_ID, (program_id, 4), (0, 8))
    if fd < 0:
        return []
    try:
        ids = (ctypes.c_uint32 * 256)()
        info = ctypes.create_string_buffer(128)
        info[52:56], info[56:64] = len(ids).to_bytes(4, "little"), ctypes.addressof(ids).to_bytes(8, "little")
        _bpf(_OBJ_GET_INFO_BY_FD, (fd, 4), (len(info), 4), (ctypes.addressof(info), 8))
        return ids[:int.from_bytes(info.raw[52:56], "little")]
    finally:
        os.close(fd)


def objects(collector):
    """Its programs, links and maps, those that only a program of its holds included: a set of (kind, id)."""
    found = {(kind, int(info[kind + "_id"])) for info in collector.fdinfo() for kind in _BY_ID if kind + "_id" in info}
    programs = [number for kind, number in found if kind == "prog"]
    return found | {("map", map_id) for program_id in programs for map_id in _maps_of_program(program_id)}


def exists(kind, number):
    fd = _bpf(_BY_ID[kind], (number, 4), (0, 8))
    if fd >= 0:
        os.close(fd)
    return fd >= 0
