# SPDX-License-Identifier: BSD-2-Clause
"""Descriptors that clients pass: to read and to close them takes as long as a client likes, and that must be nobody else's time."""
import functools
import os
import signal
import socket
import struct
import time

import become
import maps
import wire
from disk import FLUSH, STATFS, File, unmount
from harness import ALICE, BOB, NS, ROOT, SLOW, Test, threads_of

LINGER_S = 600
PROMPT_S = 5  # what else happens does so within this


class Lingering:
    """A socket whose last close(2) waits for the other side, which does not read."""

    def __init__(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.ours = socket.create_connection(listener.getsockname())
        self.other, _ = listener.accept()
        listener.close()
        self.ours.setblocking(False)
        try:
            while True:
                self.ours.send(b"x" * 65536)
        except BlockingIOError:
            pass
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))

    def give_to(self, client, data=b"\x05", before=()):
        """Passed with these bytes, behind other descriptors, it is the client's no more."""
        socket.send_fds(client.sock, [data], [*before, self.ours.fileno()])
        self.ours.close()

    def end(self):
        self.other.close()


class Beside(Test):
    """Somebody watches beside."""

    config = {"max_clients_per_user": 3}

    def setUp(self):
        super().setUp()
        self.service = self.collector(self.config)
        self.sleeper = self.workload("sleepers", "1", user=BOB)
        self.sleeper.fact("ready")
        self.watching = self.client(BOB)
        self.watching.send(wire.subscribe(pids=[self.sleeper.pid], metrics=[0]))
        self.assertIsNotNone(self.watching.receive_until(wire.SAMPLES))
        self.threads = len(threads_of(self.service.pid))

    def client(self, user, greet=True):
        """As another user it is connected by a child, which would close what this process has open, too."""
        client = wire.Client(self.service.socket, timeout=60 * SLOW, become=functools.partial(become.user, user) if user else None)
        self.addCleanup(client.close)
        if greet:
            self.assertIsNotNone(client.greet())
        return client

    def aside(self, count):
        """So many threads close something, and do not come to an end with it."""
        self.until(lambda: len(threads_of(self.service.pid)) == self.threads + count, lambda: f"{threads_of(self.service.pid)}, {self.threads} before")

    def check_others(self):
        """Somebody else is served at once, and has had all its ticks."""
        began = time.monotonic()
        self.client(ROOT).close()
        self.assertLess(time.monotonic() - began, PROMPT_S * SLOW)
        self.watching.ticks()
        self.watching.sock.settimeout(PROMPT_S * SLOW)
        self.assertIsNotNone(self.watching.receive_until(wire.SAMPLES))


class Sockets(Beside):
    def lingering(self):
        held = Lingering()
        self.addCleanup(held.end)
        return held

    def test_that_linger(self):
        """With a frame that nobody asked for."""
        client, held = self.client(ALICE), self.lingering()
        held.give_to(client)
        client.close()
        self.aside(1)
        self.check_others()
        held.end()
        self.aside(0)

    def test_more_than_may_be_passed(self):
        """As many as the kernel lets through in one message; the last one lingers."""
        client, held = self.client(ALICE), self.lingering()
        null = os.open("/dev/null", os.O_RDONLY)
        before = len(os.listdir(f"/proc/{self.service.pid}/fd"))
        held.give_to(client, before=[null] * 252)
        os.close(null)
        self.assertEqual(client.receive_until(wire.ERROR)[1], [wire.LIMIT])
        client.drain()
        self.aside(1)
        self.check_others()
        held.end()
        self.aside(0)
        self.assertLess(len(os.listdir(f"/proc/{self.service.pid}/fd")), before)

    def test_that_are_never_received(self):
        """They are closed with the connection that they wait in."""
        client, held = self.client(ALICE), self.lingering()
        self.service.stop()  # so that the collector finds both at once, and does not read beyond the first
        client.send(b"\xff\xff\xff\xff")
        held.give_to(client)
        client.close()
        self.service.resume()
        self.aside(1)
        self.check_others()
        held.end()
        self.aside(0)

    def test_of_who_is_refused(self):
        """They share one thread, however many they are: who is refused is limited by nothing else."""
        clients = [self.client(ALICE) for _ in range(3)]
        held = [self.lingering() for _ in range(4)]
        self.service.stop()
        for each in held:
            client = self.client(ALICE, greet=False)
            each.give_to(client, wire.hello())
            client.close()
        self.service.resume()
        self.aside(1)
        self.check_others()
        for each in held:
            each.end()
        self.aside(0)
        for client in clients:
            client.close()

    def test_who_has_some_has_fewer_connections(self):
        held = [self.lingering() for _ in range(3)]
        for each in held:
            client = self.client(ALICE)
            each.give_to(client)
            client.close()
        self.aside(3)
        late = self.client(ALICE, greet=False)
        late.send(wire.hello())
        self.assertEqual(late.receive_until(wire.ERROR)[1], [wire.LIMIT])
        self.check_others()
        for each in held:
            each.end()
        self.aside(0)
        self.client(ALICE)

    def test_the_collector_ends(self):
        """With what is still being closed."""
        client, held = self.client(ALICE), self.lingering()
        held.give_to(client)
        client.close()
        self.aside(1)
        objects = maps.objects(self.service)
        began = time.monotonic()
        self.assertEqual(self.service.end(signal.SIGTERM), 0, self.service.stderr)
        self.assertLess(time.monotonic() - began, PROMPT_S * SLOW)
        self.until(lambda: not any(maps.exists(*o) for o in objects), "nothing of it is left")


class Served(Beside):
    """A file in a file system that a program serves: it lets nobody read or close it."""

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            self.skipTest("needs FUSE")
        super().setUp()
        self.file = File(4096)
        self.addCleanup(self.end_file)
        self.fd = os.open(self.file.path, os.O_RDONLY)

    def end_file(self):
        self.file.open_gate()
        os.close(self.fd)
        unmount(self.file.path)
        self.file.join()

    def subscribe(self, client):
        probe = wire.field(1, 0) + wire.field(2, b"main") + wire.field(4, b"test")
        data = wire.frame(wire.SUBSCRIBE, wire.field(1, 7) + wire.field(3, wire.varint(self.sleeper.pid)) + wire.field(7, NS) + wire.field(14, probe))
        socket.send_fds(client.sock, [data], [self.fd])

    def refusal(self, client):
        error = client.receive_until(wire.ERROR)
        return error[1][0], error[2][0].decode()

    def test_closing(self):
        client = self.client(ALICE)
        self.file.close_gate(FLUSH)
        socket.send_fds(client.sock, [b"\x05"], [self.fd])
        client.close()
        self.file.wait_for_held()
        self.aside(1)
        self.check_others()
        self.file.open_gate()
        self.aside(0)

    def test_reading(self):
        self.file.close_gate(STATFS)
        client = self.client(ROOT)
        began = time.monotonic()
        self.subscribe(client)
        code, text = self.refusal(client)
        self.assertEqual(code, wire.LIMIT)
        self.assertIn("takes too long", text)
        self.assertLess(time.monotonic() - began, PROMPT_S * SLOW)
        self.aside(1)
        self.check_others()
        self.file.open_gate()
        self.aside(0)
        self.subscribe(client)
        code, text = self.refusal(client)
        self.assertIn("lately", text, "the time that it took counts")

    def test_it_is_refused(self):
        client = self.client(ROOT)
        self.subscribe(client)
        code, text = self.refusal(client)
        self.assertEqual(code, wire.INVALID)
        self.assertIn("FUSE", text)
