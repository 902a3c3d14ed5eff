# SPDX-License-Identifier: BSD-2-Clause
"""The collector: it starts, serves, refuses and goes without a trace; hostile clients hurt only themselves."""
import os
import random
import signal
import stat
import struct
import time

import wire
from harness import NS, NOBODY, SLOW, Collector, Process, SharedCollector, Test, bpf_program_exists, keyed, program, wall_ns


class Life(Test):
    def socket(self):
        return self.service.socket

    def watched_sleeper(self):
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.reporter("-i", "0.2", "-p", str(sleeper.pid))
        self.until(reporter.cpu, "a row")
        return sleeper, reporter

    def shutdown(self, sig):
        self.service = service = self.collector()
        sleeper, reporter = self.watched_sleeper()
        held = service.program_ids()
        self.assertGreater(len(held), 0)
        for program_id in held:
            self.assertTrue(bpf_program_exists(program_id))
        self.assertEqual(service.end(sig), 0, service.stderr)
        self.assertFalse(os.path.exists(service.socket))
        self.until(lambda: not any(map(bpf_program_exists, held)), "its BPF programs are gone")
        self.until(lambda: len(reporter.events(event="gap")) == 1, "the reporter writes a gap")
        self.assertOneLine(reporter.stderr, "collector")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertIsNone(sleeper.status)

    def test_interrupted(self):
        self.shutdown(signal.SIGINT)

    def test_terminated(self):
        self.shutdown(signal.SIGTERM)

    def test_killed(self):
        """Even then no program stays, and the next collector takes over the dead one's socket."""
        self.service = service = self.collector()
        sleeper, reporter = self.watched_sleeper()
        held = service.program_ids()
        service.kill(signal.SIGKILL)
        self.assertEqual(service.wait(), -signal.SIGKILL)
        self.until(lambda: not any(map(bpf_program_exists, held)), "its BPF programs are gone")
        self.service = self.collector(socket=service.socket)
        second = self.report("-i", "0.2", "-d", "0.5", "-p", str(sleeper.pid))
        self.assertTrue(second.cpu())
        sleeper.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_told_to_end_while_it_starts(self):
        service = Collector(wait=False)
        self.addCleanup(service.close)
        self.until(lambda: os.path.exists(service.socket), "it has made its socket")
        self.assertEqual(service.end(signal.SIGTERM), 0, service.stderr)
        self.assertEqual(os.listdir(os.path.dirname(service.socket)), [])

    def test_commands_survive_their_collector(self):
        """A COMMAND is not the collector's victim."""
        self.service = service = self.collector()
        reporter = self.reporter("-i", "0.2", "--", program("sleepers"), "1")
        self.until(lambda: reporter.cpu() and "ready=" in reporter.stdout, "a row")
        pid = int(reporter.stdout.split("pid=")[1].split()[0])
        self.assertEqual(service.end(), 0)
        self.until(lambda: "collector" in reporter.stderr, "the reporter says so")
        self.assertTrue(os.path.exists(f"/proc/{pid}/io"))
        os.kill(pid, signal.SIGTERM)
        self.assertIn(reporter.wait(), (0, 1))

    def test_a_second_one_is_refused(self):
        self.service = service = self.collector()
        sleeper, reporter = self.watched_sleeper()
        second = Process([program("taskmon-collector"), "-s", service.socket])
        self.addCleanup(second.close)
        self.assertNotEqual(second.wait(), 0)
        self.assertOneLine(second.stderr, service.socket)
        self.assertTrue(stat.S_ISSOCK(os.stat(service.socket).st_mode))
        seen = len(reporter.cpu())
        self.until(lambda: len(reporter.cpu()) > seen + 3, "the first goes on")
        self.assertTrue(self.report("-i", "0.2", "-d", "0.7", "-p", str(sleeper.pid)).cpu())

    def test_not_root(self):
        process = Process([program("taskmon-collector"), "-s", os.path.join(self.out_dir(), "sock")], user=NOBODY)
        self.addCleanup(process.close)
        self.assertEqual(process.wait(), 1)
        self.assertOneLine(process.stderr)

    def test_wrong_options_and_settings(self):
        for args, config in ((("--nonsense",), None), (("extra",), None), (("-c", "/no/such/file"), None),
                             ((), {"nonsense": 1}), ((), {"queue_bytes": "many"}), ((), {"queue_bytes": 7}), ((), {"others": "all"}),
                             ((), {"group": "no-such-group-here"}), ((), [])):
            with self.subTest(args=args, config=config):
                service = Collector(config, args, wait=False)
                self.addCleanup(service.close)
                self.assertIn(service.wait(), (1, 2))
                self.assertOneLine(service.stderr)
                self.assertFalse(os.path.exists(service.socket))

    def test_a_file_in_the_way_is_not_removed(self):
        path = os.path.join(self.out_dir(), "precious")
        with open(path, "w", encoding="ascii") as f:
            f.write("data")
        process = Process([program("taskmon-collector"), "-s", path])
        self.addCleanup(process.close)
        self.until(lambda: process.status is not None or "ready on" in process.stderr, "it has made up its mind")
        self.assertEqual(process.status, 1, process.stderr)
        self.assertOneLine(process.stderr, path)
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), "data")

    def test_doctor(self):
        process = Process([program("taskmon-collector"), "--doctor"])
        self.addCleanup(process.close)
        self.assertEqual(process.wait(), 0, process.stderr)
        for word in ("task_on_cpu_ns", "task_fd_count", "iter/task"):
            self.assertIn(word, process.stdout)


class Cost(SharedCollector):
    """Pay only for what is watched."""

    def test_no_program_on_an_event_without_a_subscriber(self):
        self.assertEqual(self.shared.event_links(), [])
        sleeper, reporter = self.watched_sleeper()
        attached = self.shared.event_links()
        self.assertGreater(len(attached), 0)
        for hot in ("sched_switch", "sys_enter", "sys_exit", "sched_wakeup"):
            self.assertNotIn(hot, attached)
        sleeper.end()
        self.assertEqual(reporter.wait(), 0)
        self.until(lambda: self.shared.event_links() == [], lambda: f"hooks are detached: {self.shared.event_links()}")

    def test_it_sleeps_when_nobody_asks(self):
        """No wake-up at all: its count of switches stands still while other things happen."""
        self.until(lambda: self.shared.event_links() == [], "nobody is subscribed")

        def switches():
            status = keyed(f"/proc/{self.shared.pid}/status")
            return status["voluntary_ctxt_switches"]
        burn = self.workload("burn", "1")
        before = switches()
        self.assertEqual(burn.wait(), 0)
        self.assertLessEqual(switches() - before, 5)


class Hostile(SharedCollector):
    """Clients that do not keep the protocol get an Error or a closed connection; a good one beside them misses nothing."""

    def setUp(self):
        super().setUp()
        self.sleeper = self.workload("sleepers", "1")
        self.sleeper.fact("ready")
        # A client of our own as well: it sees the numbers of the ticks.
        self.counting = self.client()
        self.counting.greet()
        self.counting.send(wire.subscribe(pids=[self.sleeper.pid], metrics=[0]))
        self.good = self.reporter("-i", "0.2", "-m", "cpu,task", "--json", "-", "-p", str(self.sleeper.pid))
        self.until(self.good.cpu, "a row")

    def check(self):
        """The good one has had every tick, and has them now."""
        seen = len(self.good.cpu())
        self.until(lambda: len(self.good.cpu()) > seen + 2, "it goes on")
        self.assertIsNone(self.shared.status)
        ticks = self.counting.ticks()
        self.assertGreater(len(ticks), 5)
        self.assertEqual(ticks, list(range(len(ticks))))
        self.sleeper.end()
        self.assertEqual(self.good.wait(), 0, self.good.stderr)
        self.assertNoTickMissing([wall_ns(s["tick"]) for s in self.good.json(type="sample")], 0.2)
        self.assertEqual(self.good.losses(), {})

    def client(self):
        client = wire.Client(self.shared.socket, timeout=30 * SLOW)
        self.addCleanup(client.close)
        return client

    def refused(self, *data, code=wire.MALFORMED, greet=False):
        """Sends this; expects an Error with the code, if any frame comes at all, and the end of the connection."""
        client = self.client()
        if greet:
            self.assertIsNotNone(client.greet())
        for part in data:
            client.send(part)
        error = client.receive_until(wire.ERROR)
        self.assertIsNotNone(error, "no Error came")
        self.assertEqual(error[1], [code])
        self.assertTrue(error[2][0])
        client.drain()
        self.assertTrue(client.closed)

    def test_malformed_frames(self):
        garbage = random.Random(53).randbytes(997)
        for name, data in (
                ("a length beyond the limit", (struct.pack("<I", 64 * 1024 + 1),)),
                ("a length of 4 GiB", (b"\xff\xff\xff\xff" + b"x" * 100,)),
                ("an empty frame", (struct.pack("<I", 0),)),
                ("not protobuf", (struct.pack("<I", 997) + garbage,)),
                ("a frame of the server's", (wire.frame(wire.WELCOME, b""),)),
                ("an unknown frame", (wire.frame(77, b""),)),
                ("text", (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",))):
            for greet in (False, True):
                with self.subTest(name, greet=greet):
                    self.refused(*data, greet=greet)
        self.check()

    def test_strange_messages(self):
        """Valid protobuf that no honest program sends. Each gets an answer, or an Error and the end."""
        def whole(body):
            return struct.pack("<I", len(body)) + body
        nested = b""
        while len(nested) < 60_000:
            nested = wire.field(15, nested)
        unit = wire.field(wire.SUBSCRIBE, wire.field(3, b"\x01") + wire.field(10, b"r") + wire.field(11, b"n"))
        before = keyed(f"/proc/{self.shared.pid}/status")["VmHWM"]
        for name, data in (
                ("the same body, thousands of times", whole(unit * (65_000 // len(unit)))),
                ("empty bodies", whole(wire.field(wire.SUBSCRIBE, b"") * 20_000)),
                ("two bodies", whole(wire.hello()[4:] + wire.field(wire.UNSUBSCRIBE, wire.field(1, 1)))),
                ("a field, thousands of times", wire.frame(wire.UNSUBSCRIBE, wire.field(1, 99_991) * 10_000)),
                ("unknown fields", wire.frame(wire.UNSUBSCRIBE, wire.field(77, b"x") * 10_000)),
                ("nested deeply", wire.frame(wire.SUBSCRIBE, nested)),
                ("thousands of names and rules", wire.subscribe(names=[b"n"] * 8000, rules=[b"r"] * 8000)),
                ("a name of 60 000 bytes", wire.subscribe(names=[b"n" * 60_000])),
                ("names that are paths, empty, or not text", wire.subscribe(names=[b"../x/", b"", b"\xff\x00\n"]))):
            with self.subTest(name):
                client = self.client()
                client.greet()
                client.send(data)
                self.assertIsNotNone(client.receive_until(wire.ERROR))
        # none is unpacked into much
        self.assertLess(keyed(f"/proc/{self.shared.pid}/status")["VmHWM"], before + 16 * 1024)
        self.check()

    def test_out_of_order(self):
        with self.subTest("Subscribe before Hello"):
            self.refused(wire.subscribe(pids=[self.sleeper.pid]))
        with self.subTest("Hello twice"):
            self.refused(wire.hello(), greet=True)
        with self.subTest("another version"):
            self.refused(wire.hello(protocol=99), code=wire.VERSION)
        self.check()

    def test_half_a_frame_and_gone(self):
        for data in (b"\x20", struct.pack("<I", 100) + b"half", wire.hello()[:-1], wire.hello() + b"\x20\x00"):
            client = self.client()
            client.send(data)
            client.close()
        self.check()

    def test_byte_by_byte(self):
        """A slow client is no hostile one."""
        client = self.client()
        for byte in wire.hello():
            client.send(bytes([byte]))
        self.assertIsNotNone(client.receive_until(wire.WELCOME))
        self.check()

    def test_values_out_of_range(self):
        """Refused, and the connection lives on."""
        client = self.client()
        metrics = [wire.decode(m) for m in client.greet()[5]]
        known = [m.get(1, [0])[0] for m in metrics]
        for name, ask, codes in (
                ("interval 0", dict(pids=[self.sleeper.pid], interval_ns=0), (wire.INVALID,)),
                ("interval too short", dict(pids=[self.sleeper.pid], interval_ns=1000), (wire.INVALID,)),
                ("interval of a year", dict(pids=[self.sleeper.pid], interval_ns=NS * 86400 * 366), (wire.INVALID,)),
                ("unknown metric", dict(pids=[self.sleeper.pid], metrics=[max(known) + 7]), (wire.INVALID,)),
                ("process 0", dict(pids=[0]), (wire.INVALID, wire.NO_SUCH_PROCESS)),
                ("process 4294967295", dict(pids=[0xFFFFFFFF]), (wire.INVALID, wire.NO_SUCH_PROCESS)),
                ("nothing selected", dict(), (wire.INVALID,)),
                ("ten thousand processes", dict(pids=[self.sleeper.pid] * 10007), (wire.LIMIT, wire.INVALID, wire.NO_SUCH_PROCESS))):
            with self.subTest(name):
                client.send(wire.subscribe(request=23, **ask))
                error = client.receive_until(wire.ERROR)
                self.assertIsNotNone(error, "closed without an Error")
                self.assertIn(error[1][0], codes)
                self.assertEqual(error.get(3), [23])
        client.send(wire.subscribe(request=5, pids=[self.sleeper.pid], metrics=known[:1]))
        self.assertEqual(client.receive_until(wire.SUBSCRIBED)[1], [5])
        self.assertIsNotNone(client.receive_until(wire.SAMPLES))
        self.check()

    def test_unsubscribe(self):
        client = self.client()
        client.greet()
        client.send(wire.subscribe(request=1, pids=[self.sleeper.pid], metrics=[0]))
        feed = client.receive_until(wire.SUBSCRIBED)[2][0]
        self.assertIsNotNone(client.receive_until(wire.SAMPLES))
        client.send(wire.frame(wire.UNSUBSCRIBE, wire.field(1, feed)))
        self.assertEqual(client.receive_until(wire.UNSUBSCRIBED)[1], [feed])
        client.send(wire.frame(wire.UNSUBSCRIBE, wire.field(1, feed + 1000)))
        self.assertIn(client.receive_until(wire.ERROR)[1][0], (wire.INVALID, wire.MALFORMED))
        self.check()

    def test_many_connections(self):
        """More than are allowed: the surplus is refused, the others work."""
        clients, refused = [], 0
        for _ in range(300):
            try:
                client = self.client()
            except (BlockingIOError, ConnectionRefusedError):
                refused += 1
                continue
            client.send(wire.hello())
            clients.append(client)
        kinds = [(client.receive() or (None, None))[0] for client in clients]
        self.assertLessEqual(set(kinds), {wire.WELCOME, wire.ERROR, None})
        self.assertIn(wire.WELCOME, kinds)
        for client in clients:
            client.close()
        self.check()

    def test_random_frames(self):
        """A few hundred connections of noise, some with a correct start."""
        noise = random.Random(97)
        told, began = self.shared.stderr.count("disconnected"), time.monotonic()
        for i in range(211):
            client = self.client()
            if i % 3 == 0:
                client.send(wire.hello())
            body = bytearray(wire.subscribe(pids=[self.sleeper.pid], metrics=[0, 1, 2])[4:])
            for _ in range(noise.randrange(1, 5)):
                body[noise.randrange(len(body))] = noise.randrange(256)
            if i % 2:
                body = noise.randbytes(noise.randrange(1, 300))
            client.send(struct.pack("<I", len(body)) + bytes(body))
            client.close()
        self.check()
        self.assertLessEqual(self.shared.stderr.count("disconnected") - told, time.monotonic() - began + 1, "the log is flooded")


class Limits(Test):
    def test_max_clients(self):
        service = self.collector({"max_clients": 3})
        clients = [wire.Client(service.socket) for _ in range(3)]
        for client in clients:
            self.addCleanup(client.close)
            self.assertIsNotNone(client.greet())
        surplus = wire.Client(service.socket)
        self.addCleanup(surplus.close)
        surplus.send(wire.hello())
        error = surplus.receive_until(wire.ERROR)
        self.assertEqual(error[1], [wire.LIMIT])
        clients[0].close()

        def room():
            again = wire.Client(service.socket)
            self.addCleanup(again.close)
            return again.greet()
        self.until(room, "there is room again")
