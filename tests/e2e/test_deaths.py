# SPDX-License-Identifier: BSD-2-Clause
"""However a collector dies while it has probes in other processes: they go on without, and nothing of it stays. What it does when the
process dies that opens its uprobes."""
import os
import random
import signal
import time
import unittest

import maps
import memory
import wire
from harness import Test, program, sanitized

CODE = "r-xp"


def breakpoints(pid):
    """Bytes of its code that are not as in its files."""
    count = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f, open(f"/proc/{pid}/mem", "rb", buffering=0) as own:
        for line in f:
            words = line.split()
            if words[1] != CODE or len(words) < 6 or not words[5].startswith("/"):
                continue
            begin, end = (int(word, 16) for word in words[0].split("-"))
            with open(words[5], "rb") as file:
                file.seek(int(words[2], 16))
                whole = file.read(end - begin)
            own.seek(begin)
            count += sum(a != b for a, b in zip(own.read(len(whole)), whole) if a == 0xCC)
    return count


def opener_of(service):
    """The process that opens its uprobes; none if the kernel lets it do so itself."""
    with open(f"/proc/{service.pid}/task/{service.pid}/children", encoding="ascii") as f:
        return int(f.read().split()[0])


class Probed(Test):
    def setUp(self):
        super().setUp()
        self.target = self.workload("leaky", "wait", "13", "3")
        self.target.fact("ready")

    def socket(self):
        return self.service.socket

    def watch(self, wait=True):
        """A function and the heap of the target are probed."""
        reporter = self.reporter("-p", str(self.target.pid), "-i", "0.1", "-m", "cpu,mem", "--probe", f"{program('leaky')}:leak")
        if wait:
            self.until(lambda: reporter.csv("mem"), lambda: f"it is probed: {reporter.stderr}")
            self.assertGreater(breakpoints(self.target.pid), 5)
        return reporter

    def gone(self, held, opener):
        self.until(lambda: not any(maps.exists(*o) for o in held), lambda: f"left: {[o for o in held if maps.exists(*o)]}")
        self.until(lambda: not os.path.exists(f"/proc/{opener}"), "the process that opens uprobes has ended")
        self.until(lambda: breakpoints(self.target.pid) == 0, lambda: f"{breakpoints(self.target.pid)} breakpoints are left")

    def goes_on(self):
        """What was probed makes its calls, and ends as ever."""
        self.target.kill(signal.SIGUSR1)
        self.assertEqual(self.target.wait(), 0, self.target.stderr)

    def test_by_signals(self):
        # sanitizers catch the signals of crashes
        for sig in (signal.SIGKILL, signal.SIGTERM) + (() if sanitized() else (signal.SIGSEGV, signal.SIGABRT)):
            with self.subTest(sig=sig):
                self.service = self.collector()
                reporter = self.watch()
                held, opener = maps.objects(self.service), opener_of(self.service)
                self.assertGreater(len(held), 10)
                self.service.kill(sig)
                self.assertIn(self.service.wait(), (0, -sig), self.service.stderr)
                self.gone(held, opener)
                if os.path.exists(self.service.socket):
                    os.unlink(self.service.socket)
                reporter.kill(signal.SIGINT)
                self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.goes_on()

    def test_while_it_attaches(self):
        moments = random.Random(61)
        for _ in range(5):
            self.service = self.collector()
            opener = opener_of(self.service)
            reporter = self.watch(wait=False)
            self.until(lambda: self.service.event_links() or reporter.status is not None, "it is asked")
            time.sleep(moments.uniform(0, 0.2))  # wherever it is then
            self.service.stop()
            held = maps.objects(self.service)
            self.service.kill(signal.SIGKILL)
            self.service.wait()
            self.gone(held, opener)
            reporter.kill(signal.SIGKILL)
        self.goes_on()

    @unittest.skipIf(memory.cause_of_skip(), memory.cause_of_skip() or "")
    def test_out_of_memory(self):
        """Clients that do not read make it grow, in a cgroup that has no room."""
        group = memory.MemoryGroup()
        self.addCleanup(group.close)
        self.service = self.collector({"queue_bytes": 1 << 28}, prefix=group.prefix())
        reporter = self.watch()
        held, opener = maps.objects(self.service), opener_of(self.service)
        many = self.workload("sleepers", "1009")
        many.fact("ready")
        for metrics in range(20, 15, -1):  # frames of its own for each: all that can be reclaimed is used up before they are disconnected
            deaf = wire.Client(self.service.socket)
            self.addCleanup(deaf.close)
            deaf.greet()
            deaf.send(wire.subscribe(pids=[many.pid], threads=True, metrics=range(metrics)))
        group.leave_room(4 << 20)
        self.assertEqual(self.service.wait(), -signal.SIGKILL, self.service.stderr)
        self.gone(held, opener)
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.goes_on()

    def test_only_the_process_that_opens_uprobes(self):
        """Functions can be probed no more, where the kernel asks for what the collector has given up; all the rest goes on."""
        self.service = self.collector()
        reporter = self.reporter("-p", str(self.target.pid), "-i", "0.1")
        self.until(reporter.cpu, "it watches")
        opener = opener_of(self.service)
        os.kill(opener, signal.SIGKILL)
        self.until(lambda: not os.path.exists(f"/proc/{opener}"), "it has ended")
        asks = self.reporter("-p", str(self.target.pid), "-i", "0.1", "-d", "0.5", "--probe", f"{program('leaky')}:leak")
        asks.wait()
        if asks.status != 0:
            self.assertOneLine(asks.stderr, "could not be attached")
        seen = len(reporter.cpu())
        self.until(lambda: len(reporter.cpu()) > seen + 3, "it goes on")
        self.goes_on()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(reporter.losses(), {})
