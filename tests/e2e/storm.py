# SPDX-License-Identifier: BSD-2-Clause
"""Processes that live for a tenth of a millisecond, as many a second as the machine makes, beside a server that a rule watches: shared by
test_storm.py and tests/bench/storm."""
import os
import time

from harness import Stat, cpu_clock_ns, keyed, program, sanitized

NAME = f"storm-{os.getpid()}"  # nobody else's
RULES = {"server": {"comm": NAME}}
METRICS = "task_syscr_count,task_rchar_bytes,task_on_cpu_ns,task_thread_create_count"
SWARM_THREADS, SWARM_COUNT = 4, 1000   # processes of a round: one after the other in each thread
WAVES, THREADS, READS = 3, 5, 23       # of the server, in a round


class Counter:
    """Counts lines of a CSV file that grows, by what a function makes of their cells."""

    def __init__(self, path, key):
        self.path, self.key, self.offset, self.rest, self.counts = path, key, 0, b"", {}

    def read(self):
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            data = f.read()
        self.offset += len(data)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            key = self.key(line.split(b",", 5))
            self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts


class Storm:
    def __init__(self, test, collector):
        self.test, self.collector = test, collector
        path = os.path.join(os.path.dirname(program("churn")), NAME)
        if not os.path.exists(path):
            os.link(program("churn"), path)
        self.server = test.workload(path, str(WAVES), str(THREADS), str(READS))
        self.swarm = test.workload("swarm", program("nothing"), str(SWARM_THREADS), str(SWARM_COUNT))
        self.server.fact("pid"), self.swarm.fact("pid")
        self.of_server = test.reporter("-i", "0.5", "-m", "task", "--metrics", METRICS, "-r", "server")
        self.of_swarm = test.reporter("-i", "0.5", "-m", "cpu", "--children", "-p", str(self.swarm.pid))
        test.until(lambda: self.of_server.task() and self.of_swarm.cpu(), "both watch")
        self.first = self.of_server.task()[-1]
        self.rounds, self.storm_ns = 0, 0
        mine = str(self.swarm.pid).encode()
        self.events = Counter(os.path.join(self.of_swarm.out_dir, "event.csv"),
                              lambda cells: cells[1].decode() if cells[3] != mine else "")
        self.ends = Counter(os.path.join(self.of_swarm.out_dir, "cpu.csv"), lambda cells: cells[0] == b"END")

    def round(self):
        self.rounds += 1
        self.server.kill(10)
        self.swarm.step("round", self.rounds)
        self.storm_ns += self.swarm.facts()["ns"]
        self.test.until(lambda: self.server.facts().get("round") == self.rounds, "the server has done its round")

    @property
    def made(self):
        return self.rounds * SWARM_THREADS * SWARM_COUNT

    def told(self):
        """Events and losses: all that happened, once everything has arrived."""
        counts, losses = self.events.read(), self.of_swarm.losses() if self.events.read().get("loss") else {}
        return sum(counts.get(e, 0) for e in ("fork", "exec", "exit")), losses

    def all_is_told(self):
        events, losses = self.told()
        return events + sum(losses.values()) >= 3 * self.made

    def rss(self):
        return keyed(f"/proc/{self.collector.pid}/status")["VmRSS"]

    def run(self, seconds):
        """At the end the collector stands still for a while. Returns figures for people; fails if one is wrong."""
        test, until = self.test, self.test.until
        self.round()
        until(self.all_is_told, "the first round is told")
        rss, threads = self.rss(), Stat(self.collector.pid).threads
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self.round()
        self.collector.stop()  # the ring runs full
        for _ in range(3):
            self.round()
        self.collector.resume()
        until(self.all_is_told, lambda: f"all is told of {self.made} processes: {self.told()}", 60)
        events, losses = self.told()
        test.assertLessEqual(set(losses), {"ring_full", "queue_events", "queue_ended", "queue_samples", "skipped"})
        lost = losses.get("ring_full", 0) + losses.get("queue_events", 0)
        # a program that was skipped is counted, but not whose event it was
        test.assertBetween(3 * self.made, events + lost + losses.get("skipped", 0), 3 * self.made + losses.get("skipped", 0), losses)
        test.assertLessEqual(events, 3 * self.made)
        test.assertGreater(losses.get("ring_full", 0), 0)
        ends = self.ends.read().get(True, 0)
        test.assertBetween(self.made - losses.get("ring_full", 0) - losses.get("queue_ended", 0) - losses.get("skipped", 0), ends, self.made)

        # the server's ledger
        want = self.first["task_syscr_count"] + self.rounds * WAVES * THREADS * READS
        row = until(lambda: self.of_server.task()[-1]["task_syscr_count"] >= want and self.of_server.task()[-1], "the server's reads")
        seen = len(self.of_server.task())
        row = until(lambda: len(self.of_server.task()) > seen + 1 and self.of_server.task()[-1], "an idle row")
        test.assertEqual({r["tgid"] for r in self.of_server.task()}, {self.server.pid})
        test.assertEqual(row["task_syscr_count"], want)
        test.assertEqual(row["task_rchar_bytes"] - self.first["task_rchar_bytes"], self.rounds * WAVES * THREADS * READS * 101)
        test.assertGreaterEqual(row["task_on_cpu_ns"], self.server.facts()["cpu_ns"])
        test.assertNear(row["task_on_cpu_ns"], cpu_clock_ns(self.server.pid), 1_000_000)  # it sleeps
        skipped = self.of_server.losses().get("skipped", 0)
        test.assertBetween(self.server.facts()["threads"] - skipped, row["task_thread_create_count"] - self.first["task_thread_create_count"],
                           self.server.facts()["threads"])
        after = self.rss()
        if not sanitized():  # what is freed is kept there, to catch its use
            test.assertLess(after - rss, 2048, "KiB that the collector has grown by")
        test.assertEqual(Stat(self.collector.pid).threads, threads)
        return {"processes": self.made, "per_s": self.made * 1e9 / self.storm_ns, "events": events, "losses": losses, "rss_before_kib": rss,
                "rss_after_kib": after}
