# SPDX-License-Identifier: BSD-2-Clause
"""What one client can take from the others: nothing. Limits per user and in all, and clients that are slow on purpose."""
import functools
import select
import socket
import time

import become
import wire
from harness import ALICE, BOB, GROUP, NS, ROOT, SLOW, Collector, SharedCollector, Test, program

CAROL = BOB + 1
# collector/quota.h, use.h and probe.h
SHARE, BURST_NS = 0.25, NS
SUBSCRIPTIONS, WATCHES, WATCHES_OF_USERS, WATCH_MAX = 128, 32, 56, 64
PROBES = 32
PER_CONNECTION = 16


def of(user, groups=()):
    return functools.partial(become.user, user, groups)


# Clients that are slow from the first test of this file on, so that the last one need not wait for long.
slow = {}


def setUpModule():
    slow["collector"] = service = Collector()
    slow["silent"], slow["half"], slow["deaf"] = (wire.Client(service.socket) for _ in range(3))
    slow["half"].send(wire.hello()[:-1])
    metrics = [wire.decode(m) for m in slow["deaf"].greet()[5]]
    slow["deaf"].send(wire.subscribe(every=True, threads=True, metrics=[m.get(1, [0])[0] for m in metrics if m.get(6) == [b"free"]]))


def tearDownModule():
    try:
        assert slow["collector"].end() == 0, slow["collector"].stderr
    finally:
        slow.pop("collector").close()
        for client in slow.values():
            client.close()


class Base(SharedCollector):
    def client(self, user=None, groups=(), greet=True, socket=None):
        client = wire.Client(socket or self.socket(), timeout=60 * SLOW, become=of(user, groups) if user is not None else None)
        self.addCleanup(client.close)
        if greet:
            client.welcome = client.greet()
        return client

    def answer(self, client, **what):
        """"ok", or the code of the Error."""
        client.send(wire.subscribe(**what))
        return self.answered(client)

    def answered(self, client):
        while (got := client.receive()) is not None and got[0] not in (wire.ERROR, wire.SUBSCRIBED):
            pass
        self.assertIsNotNone(got, "closed without an answer")
        return "ok" if got[0] == wire.SUBSCRIBED else got[1][1][0]

    def names(self, user, count, first=0, groups=()):
        """So many different selections by a user, on as many connections as that takes; the answers."""
        answers = []
        for i in range(first, first + count):
            if len(answers) % PER_CONNECTION == 0:
                client = self.client(user, groups)
            answers.append(self.answer(client, request=i + 1, names=[b"name-%d" % i], interval_ns=3600 * NS))
        return answers


class Connections(Base):
    config = {"group": GROUP, "max_clients": 16, "max_clients_per_user": 5}

    def refused(self, user, groups=()):
        client = self.client(user, groups, greet=False)
        client.send(wire.hello())
        error = client.receive_until(wire.ERROR)
        self.assertEqual(error[1], [wire.LIMIT])
        client.drain()
        self.assertTrue(client.closed)

    def test_of_one_user_and_of_all(self):
        alices = [self.client(ALICE) for _ in range(5)]
        self.refused(ALICE)
        for _ in range(5):
            self.client(BOB)
        for _ in range(4):
            self.assertIsNotNone(self.client(CAROL).welcome)
        self.refused(CAROL)  # an eighth is not for users
        self.client(CAROL + 1, [GROUP])
        self.client(ROOT)
        self.refused(ROOT)
        alices.pop().close()

        def again():
            client = self.client(ALICE, greet=False)
            return client.greet()
        self.until(again, "there is room again for who left")


class Selections(Base):
    config = {"group": GROUP}

    def test_watches(self):
        self.assertEqual(self.names(ALICE, WATCHES + 2), ["ok"] * WATCHES + [wire.LIMIT] * 2)
        rest = WATCHES_OF_USERS - WATCHES
        self.assertEqual(self.names(BOB, rest + 1, 1000), ["ok"] * rest + [wire.LIMIT])
        self.assertEqual(self.names(CAROL, 1, 2000, [GROUP]), ["ok"], "there is room for who sees all")
        rest = WATCH_MAX - WATCHES_OF_USERS - 1
        self.assertEqual(self.names(ROOT, rest + 1, 3000), ["ok"] * rest + [wire.LIMIT])

    def test_subscriptions(self):
        """The same selection at different intervals: feeds, not watches."""
        clients = [self.client(ALICE) for _ in range(SUBSCRIPTIONS // PER_CONNECTION + 1)]
        answers = [self.answer(clients[i // PER_CONNECTION], request=i + 1, names=[b"name"], interval_ns=3600 * NS - i)
                   for i in range(SUBSCRIPTIONS + 1)]
        self.assertEqual(answers, ["ok"] * SUBSCRIPTIONS + [wire.LIMIT])
        self.assertEqual(self.answer(self.client(BOB), names=[b"name"], interval_ns=NS), "ok")


    def test_probes_of_what_is_refused(self):
        """They are given back: else nobody could have them until the collector ends."""
        target = self.workload("leaky", "wait", "1", "1", user=ALICE)
        target.fact("ready")
        holders, client = [self.client(ALICE) for _ in range(WATCHES // PER_CONNECTION)], self.client(ALICE)
        for i in range(WATCHES):
            self.assertEqual(self.answer(holders[i % len(holders)], request=i + 1, names=[b"held-%d" % i], interval_ns=3600 * NS), "ok")
        subscribe = wire.frame(wire.SUBSCRIBE, wire.field(1, 1) + wire.field(3, wire.varint(target.pid)) + wire.field(7, 3600 * NS)
                               + wire.field(14, wire.field(1, 0) + wire.field(2, b"leak") + wire.field(4, b"test")))

        def probed():
            with open(program("leaky"), "rb") as file:
                socket.send_fds(client.sock, [subscribe[:1]], [file.fileno()])
            client.send(subscribe[1:])
            return self.answered(client)
        self.assertEqual([probed() for _ in range(PROBES + 1)], [wire.LIMIT] * (PROBES + 1))
        holders[0].close()
        self.until(lambda: probed() == "ok", "there is room for the selection, and for the probe")


class Requests(Base):
    config = {"group": GROUP}
    CHUNK = 997

    def test_who_asks_without_reading_the_answers(self):
        """Answers are never dropped, so they must not pile up for ever."""
        client = self.client(ALICE)
        client.sock.setblocking(False)
        data = b"".join(wire.subscribe(request=1 + i, every=True, interval_ns=1) for i in range(self.CHUNK))
        sent = 0

        def disconnected():
            nonlocal sent
            try:
                sent += client.sock.send(data[sent % len(data):])
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False
        self.until(disconnected, "it is disconnected")
        self.assertIn("without reading the answers", self.shared.stderr)

    def used(self):
        """CPU time of the thread that serves clients; those that attach and detach probes have limits of their own."""
        with open(f"/proc/{self.shared.pid}/task/{self.shared.pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0])

    def test_cpu_time_for_requests_is_shared_out(self):
        """One user asks as fast as it can: for what costs the collector much (programs are loaded and attached, and taken away
        again), and on another connection for what costs little, by the thousand in one go. It gets all its answers, in order, at the price of a share of a CPU; who watches beside it
        misses nothing."""
        sleeper = self.workload("sleepers", "1", user=BOB)
        sleeper.fact("ready")
        good = self.reporter("-i", "0.2", "-p", str(sleeper.pid), user=BOB)
        self.until(lambda: len(good.cpu()) > 1, "it watches")
        dear, cheap = self.client(ALICE), self.client(ALICE)
        metrics = [wire.decode(m).get(1, [0])[0] for m in dear.welcome[5]]
        rounds, longest = 0, 0
        before, began = self.used(), time.monotonic_ns()
        while time.monotonic_ns() - began < 5 * NS * SLOW:
            rounds += 1
            round_began = time.monotonic()
            dear.send(wire.subscribe(request=rounds, names=[b"name-%d" % (rounds % 7)], metrics=metrics, interval_ns=NS))
            seen = dear.receive_until(wire.SUBSCRIBED)
            self.assertEqual(seen[1], [rounds])
            dear.send(wire.unsubscribe(seen[2][0]))
            self.assertIsNotNone(dear.receive_until(wire.UNSUBSCRIBED))
            longest = max(longest, time.monotonic() - round_began)
            cheap.send(b"".join(wire.subscribe(request=1 + i, every=True, interval_ns=1) for i in range(self.CHUNK)))
            answers = [cheap.receive_until(wire.ERROR) for _ in range(self.CHUNK)]
            self.assertEqual([a[3][0] for a in answers], list(range(1, self.CHUNK + 1)))
        used, lasted = self.used() - before, time.monotonic_ns() - began
        self.assertLess(used, (BURST_NS + SHARE * lasted) * 1.15 + 0.03 * lasted, f"of {lasted / NS:.2f} s, after {rounds} rounds")
        self.assertGreater(used, 0.5 * BURST_NS, "it was not asked much")
        seen = len(good.cpu())
        self.until(lambda: len(good.cpu()) > seen + 2, "ticks go on")
        sleeper.end()
        self.assertEqual(good.wait(), 0, good.stderr)
        # a tick may wait while one request is served, and no longer
        self.assertNoTickMissing([r.time for r in good.cpu() if not r.end], 0.2 + longest)
        self.assertEqual(good.losses(), {})


class Timeouts(Test):
    """Named so that it comes last."""

    def closed(self, name):
        """The other side has closed; found without reading what it has sent."""
        poll = select.poll()
        poll.register(slow[name].sock, 0)
        self.until(lambda: any(event & select.POLLHUP for _, event in poll.poll(0)), f"the {name} client is disconnected", timeout=60)

    def test_who_does_not_greet(self):
        """In 10 s; half a Hello is none."""
        for name in ("silent", "half"):
            error = slow[name].receive_until(wire.ERROR)
            self.assertEqual(error[1], [wire.TIMED_OUT])
            self.assertEqual(slow[name].drain(), [])
            self.assertTrue(slow[name].closed)

    def test_who_does_not_read(self):
        """In 30 s; told by the collector, for the administrator."""
        self.closed("deaf")
        self.assertIn("read nothing for 30 s", slow["collector"].stderr)
        self.assertIsNone(slow["collector"].status)
