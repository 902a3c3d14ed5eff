# SPDX-License-Identifier: BSD-2-Clause
"""Frames of all kinds of wrongness, sent to a live collector by an unprivileged client on up to 16 connections at a time."""
import json
import os
import random
import re
import socket
import struct
import traceback

import wire

CONNECTIONS = 16
SUBSCRIBED = re.compile(rb"\x8a\x01.(?:\x08[\x80-\xff]*[\x00-\x7f])?\x10([\x80-\xff]*[\x00-\x7f])", re.S)  # request, feed


class Noise:
    def __init__(self, path, seed, pids):
        self.path, self.random, self.pids = path, random.Random(seed), pids
        client = wire.Client(path)
        metrics = [wire.decode(m) for m in client.greet()[5]]
        client.close()
        self.metrics = [m.get(1, [0])[0] for m in metrics]
        self.free = [m.get(1, [0])[0] for m in metrics if m[6] == [b"free"]]
        self.open, self.feeds = [], {}
        self.figures = {"frames": 0, "connections": 0, "answers": 0, "subscribed": 0, "closed": 0, "stalled": 0}

    # --- frames: bytes, and whether to wait for the collector's reaction

    def number(self):
        return self.random.choice((0, 1, 2, 7, 100, 127, 128, 1 << 16, 1 << 31, (1 << 32) - 1, (1 << 64) - 1, self.random.getrandbits(20)))

    def text(self):
        return self.random.choice((b"", b"postgresql", b"sh*", b"a" * self.random.randrange(300), b"\xff\xfe", b"%s%n", b"nginx", b"*",
                                   self.random.randbytes(self.random.randrange(20))))

    def subscribe_body(self):
        body = b""
        for _ in range(self.random.randrange(1, 9)):
            body += self.random.choice((
                lambda: wire.field(1, self.number()),
                lambda: wire.field(2, self.random.getrandbits(1)),
                lambda: wire.field(3, b"".join(wire.varint(self.random.choice((*self.pids, self.number()))) for _ in range(self.random.randrange(20)))),
                lambda: wire.field(4, self.random.getrandbits(1)),
                lambda: wire.field(5, self.random.getrandbits(1)),
                lambda: wire.field(6, b"".join(wire.varint(self.random.randrange(70)) for _ in range(self.random.randrange(30)))),
                lambda: wire.field(7, self.random.choice((100_000_000, 200_000_000, 10 ** 9, 3600 * 10 ** 9, self.number()))),
                lambda: wire.field(8, self.random.getrandbits(1)),
                lambda: wire.field(self.random.randrange(9, 20), self.text()),
                lambda: wire.field(self.random.randrange(9, 3000), self.number())))()
        return body

    def good_subscribe(self):
        """One that the collector serves."""
        bits = self.random.getrandbits
        pids = self.random.sample(self.pids, self.random.randrange(1, len(self.pids) + 1))
        known = self.free if self.random.randrange(2000) else self.metrics  # to load programs on events takes its time
        return wire.subscribe(request=bits(16), pids=pids, metrics=self.random.sample(known, self.random.randrange(20)),
                              interval_ns=100_000_000 * self.random.randrange(1, 50), threads=bool(bits(1)), events=bool(bits(1)))

    def mutated(self, body):
        body = bytearray(body or b"\0")
        for _ in range(self.random.randrange(1, 6)):
            at = self.random.randrange(len(body))
            self.random.choice((
                lambda: body.__setitem__(at, self.random.getrandbits(8)),
                lambda: body.__setitem__(at, body[at] ^ 1 << self.random.randrange(8)),
                lambda: body.__setitem__(slice(at, at + self.random.randrange(8)), b"\0"),
                lambda: body.__setitem__(slice(at, at), self.random.randbytes(self.random.randrange(12))),
                lambda: body.__setitem__(slice(at, at), body[at:at + self.random.randrange(40)])))()
        return bytes(body)

    @staticmethod
    def framed(message):
        return struct.pack("<I", len(message)) + message

    def frame(self, feeds):
        kind = self.random.randrange(100)
        if kind < 25:
            return self.good_subscribe(), False
        if kind < 40:
            return wire.frame(wire.SUBSCRIBE, self.subscribe_body()), False
        if kind < 55:
            return wire.frame(wire.SUBSCRIBE, self.mutated(self.subscribe_body())), False
        if kind < 65:
            return self.framed(self.mutated(wire.frame(wire.SUBSCRIBE, self.subscribe_body())[4:])), False
        if kind < 75 and feeds:
            return wire.frame(wire.UNSUBSCRIBE, wire.field(1, self.random.choice(feeds))), False
        if kind < 78:
            return wire.frame(wire.UNSUBSCRIBE, wire.field(1, self.number())), False
        if kind < 82:
            return wire.hello(protocol=self.number(), client=self.text()), True
        if kind < 88:
            return self.framed(self.random.randbytes(self.random.randrange(1, 400))), False
        if kind < 91:
            return wire.frame(self.random.randrange(4, 40), self.subscribe_body()), False
        if kind < 93:
            return struct.pack("<I", self.random.choice((0, 64 * 1024 + 1, (1 << 31) - 1, (1 << 32) - 1))) + self.random.randbytes(50), True
        if kind < 96:  # messages within each other
            body = self.text()
            for _ in range(self.random.randrange(1, 200)):
                body = wire.field(self.random.randrange(1, 20), body)
            return self.framed(body), False
        if kind < 98:  # the same field again and again
            return wire.frame(wire.SUBSCRIBE, wire.field(self.random.randrange(1, 16), self.number()) * self.random.randrange(1, 3000)), False
        return wire.frame(wire.SUBSCRIBE, self.subscribe_body())[:-1], False  # the next frame's first byte belongs to it

    # --- connections

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(self.path)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 60, 0))  # a timeout of Python's would defeat MSG_DONTWAIT
        self.figures["connections"] += 1
        self.open.append(sock)
        self.feeds[sock] = []
        if self.random.randrange(16):
            sock.sendall(wire.hello())
        return sock

    def leave(self, sock):
        self.open.remove(sock)
        del self.feeds[sock]
        sock.close()

    def read(self, sock, flags=socket.MSG_DONTWAIT):
        """What has come; False when the other side has closed."""
        try:
            while True:
                data = sock.recv(1 << 18, flags)
                if not data:
                    self.figures["closed"] += 1
                    return False
                self.figures["answers"] += 1
                feeds = [wire.decode(b"\x10" + feed)[2][0] for feed in SUBSCRIBED.findall(data)]
                self.figures["subscribed"] += len(feeds)
                self.feeds[sock] += feeds
        except BlockingIOError:
            return True
        except ConnectionResetError:
            self.figures["closed"] += 1
            return False

    def send_one(self):
        if len(self.open) < CONNECTIONS and (not self.open or self.random.randrange(3) == 0):
            self.connect()
        sock = self.random.choice(self.open)
        data, wait = self.frame(self.feeds[sock])
        try:
            if sock.send(data, socket.MSG_DONTWAIT) == len(data):
                self.figures["frames"] += 1
        except BlockingIOError:
            self.figures["stalled"] += 1
            self.leave(sock)
            return
        except (BrokenPipeError, ConnectionResetError):
            self.leave(sock)
            return
        if wait:
            sock.shutdown(socket.SHUT_WR)
            if self.read(sock, 0):
                raise TimeoutError("the collector does not close the connection")
            self.leave(sock)
        elif self.random.randrange(97) == 0 or (self.random.randrange(4) and not self.read(sock)):
            self.leave(sock)

    def run(self, count):
        while self.figures["frames"] < count:
            self.send_one()
        for sock in list(self.open):
            self.leave(sock)


def start(path, seed, count, pids, user, out):
    """Sends that many frames from a process of that user; its figures come to `out` as JSON. Returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(out, "w", encoding="ascii") as f:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            noise = Noise(path, seed, pids)
            noise.run(count)
            json.dump(noise.figures, f)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)
