# SPDX-License-Identifier: BSD-2-Clause
"""A client of the collector written from proto/PROTOCOL.md alone: frames with just enough protobuf for the tests."""
import os
import socket
import struct

HELLO, SUBSCRIBE, UNSUBSCRIBE, EXPLAIN = 1, 2, 3, 4
WELCOME, SUBSCRIBED, SAMPLES, ENDED, EVENTS, LOSS, ERROR, UNSUBSCRIBED, EXPLAINED = 16, 17, 18, 19, 20, 21, 22, 23, 26
MALFORMED, VERSION, DENIED, NO_SUCH_PROCESS, LIMIT, INVALID = 1, 2, 3, 4, 5, 6
TIMED_OUT = 9


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """One field of a message: an int, or bytes (a nested message, packed numbers, text)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def frame(kind, body):
    message = field(kind, body)
    return struct.pack("<I", len(message)) + message


def hello(protocol=1, client=b"test 1"):
    return frame(HELLO, field(1, protocol) + field(2, client))


def subscribe(request=1, pids=(), metrics=(), interval_ns=100_000_000, every=False, threads=False, events=False, explain=False,
              rules=(), names=()):
    return frame(SUBSCRIBE, field(1, request) + field(2, int(every)) + (field(3, b"".join(map(varint, pids))) if pids else b"")
                 + field(5, int(threads)) + (field(6, b"".join(map(varint, metrics))) if metrics else b"")
                 + field(7, interval_ns) + field(8, int(events)) + field(12, int(explain))
                 + b"".join(field(10, r if isinstance(r, bytes) else r.encode()) for r in rules) + b"".join(field(11, n) for n in names))


def explain(request, process):
    return frame(EXPLAIN, field(1, request) + field(2, process))


def unsubscribe(feed):
    return frame(UNSUBSCRIBE, field(1, feed))


def numbers(packed):
    """Varints in a row."""
    found, value, shift = [], 0, 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(value)
            value = shift = 0
    return found


def decode(data):
    """A message as {field number: [values]}; nested messages stay bytes."""
    def read_varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not byte & 0x80:
                return value, at
    found, at = {}, 0
    while at < len(data):
        key, at = read_varint(at)
        if key & 7 == 0:
            value, at = read_varint(at)
        elif key & 7 == 2:
            size, at = read_varint(at)
            value, at = data[at:at + size], at + size
        else:
            raise ValueError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def connect_as(path, become):
    """A connection made by a child that calls become() first and then ends; the kernel remembers who it was."""
    ours, childs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            become()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.connect(path)
            socket.send_fds(childs, [b"x"], [sock.fileno()])
            status = 0
        finally:
            os._exit(status)
    childs.close()
    fds = socket.recv_fds(ours, 1, 1)[1]
    ours.close()
    os.waitpid(pid, 0)
    if not fds:
        raise ConnectionError("the child could not connect")
    return socket.socket(fileno=fds[0])


class Client:
    def __init__(self, path, timeout=30, become=None):
        if become:
            self.sock = connect_as(path, become)
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.connect(path)  # waits while the queue of connections is full
        self.sock.settimeout(timeout)
        self.closed = False  # by the other side

    @classmethod
    def as_user(cls, path, user):
        """Connected by that user."""
        os.setegid(user)
        os.seteuid(user)
        try:
            return cls(path)
        finally:
            os.seteuid(0)
            os.setegid(0)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionResetError:
                part = b""
            if not part:
                self.closed = True
                return None
            data += part
        return data

    def receive(self):
        """(kind, fields of the body) of the next frame; None when the other side has closed."""
        head = self._exactly(4)
        body = self._exactly(struct.unpack("<I", head)[0]) if head else None
        if body is None:
            return None
        (kind, values), = decode(body).items()
        return kind, decode(values[0])

    def receive_until(self, kind):
        """The body of the next frame of that kind; what comes before it is skipped, but for an Error instead of Subscribed. None when closed."""
        while (got := self.receive()) is not None:
            if got[0] == kind:
                return got[1]
            if got[0] == ERROR and kind == SUBSCRIBED:
                raise AssertionError(f"an Error came: {got[1]}")
        return None

    def drain(self):
        """Reads until the other side closes; returns the kinds of the frames that came."""
        kinds = []
        while (got := self.receive()) is not None:
            kinds.append(got[0])
        return kinds

    def greet(self):
        self.send(hello())
        return self.receive_until(WELCOME)

    def metric_ids(self):
        """Greets; the catalogue: name -> id."""
        entries = (decode(entry) for entry in self.greet()[5])
        return {entry[2][0].decode(): entry.get(1, [0])[0] for entry in entries}

    def ticks(self):
        """Numbers of the ticks that have come so far; Samples have two frames or more if there are many rows."""
        numbers = []
        self.sock.settimeout(0.01)
        try:
            while (got := self.receive()) is not None:
                if got[0] == SAMPLES and got[1].get(5) == [1]:
                    numbers.append(got[1].get(2, [0])[0])
        except TimeoutError:
            pass
        return numbers

    def close(self):
        self.sock.close()
