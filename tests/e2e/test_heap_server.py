# SPDX-License-Identifier: BSD-2-Clause
"""Heaps of a real server under load, PostgreSQL: what a backend has outstanding grows and shrinks by what the server itself says of its memory;
nothing is left of processes that have ended.

TASKMON_LOAD_SECONDS  how long pgbench runs each time (default 3)
"""
import os
import re
import signal
import subprocess

import maps
import servers
from harness import ALICE, Stat, Test
from test_heap import SIZE, TIMES, Watching

USER = ALICE + 2  # of the server and all others
SECONDS = os.environ.get("TASKMON_LOAD_SECONDS", "3")
STATEMENTS = 211


class Session:
    """A connection that stays open: psql, asked line by line."""

    def __init__(self, server):
        self.psql = subprocess.Popen([*client(server, "psql"), "-qAt"], user=USER, group=USER, extra_groups=[], env=server.env, cwd=server.dir,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *lines):
        print(*lines, r"\echo end", sep="\n", file=self.psql.stdin, flush=True)
        answer = []
        for line in self.psql.stdout:
            if line == "end\n":
                return answer
            answer.append(line.strip())
        raise AssertionError("the session is over")

    def memory(self):
        """Bytes and blocks that the backend has got from malloc for its memory contexts, which is nearly all."""
        return [int(n) for n in self.ask("select sum(total_bytes), sum(total_nblocks) from pg_backend_memory_contexts;")[0].split("|")]

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()


def client(server, name):
    return [server.path(f"usr/lib/postgresql/15/bin/{name}"), "-h", server.dir, "-p", str(server.port), "-U", "postgres", "postgres"]


class PostgreSQL(Watching, Test):
    def setUp(self):
        super().setUp()
        self.assertNotIn("postgresql", servers.fetch())
        self.server = servers.Server("postgresql", USER)
        self.addCleanup(servers.end_all, USER)
        self.server.start()
        self.served = self.collector()

    def socket(self):
        return self.served.socket

    def attach(self, pid, *args):
        reporter = self.watch("-p", str(pid), *args, user=USER)
        self.until(lambda: self.heap(reporter, pid), "it is probed")
        return reporter

    def load(self, *args):
        """Transactions per second."""
        out = self.server.run(*client(self.server, "pgbench"), "-S", "-n", "-c", "4", "-T", SECONDS, *args)
        self.assertIn("number of failed transactions: 0", out)
        return float(re.search(r"tps = ([\d.]+)", out)[1])

    def settled(self, reporter, pid):
        """Its figures once two samples later are no other."""
        def twice():
            seen = len(self.lines(reporter, tgid=pid))
            self.until(lambda: len(self.lines(reporter, tgid=pid)) > seen + 2, "samples")
            rows = self.lines(reporter, tgid=pid, type="sample")[-2:]
            return rows[0][SIZE] == rows[1][SIZE]
        self.until(twice, "it is idle")
        return self.heap(reporter, pid)

    def test_what_a_backend_says_of_itself(self):
        session = Session(self.server)
        self.addCleanup(session.close)
        prepare = [f"prepare p{n} as select {n} + count(*) from pg_class where relname = '{'x' * n}';" for n in range(STATEMENTS)]
        pid = int(session.ask("select pg_backend_pid();")[0])
        for _ in range(2):  # its caches fill
            session.ask(*prepare)
            session.memory()
            session.ask("deallocate all;")
        reporter = self.attach(pid)
        before, heap = session.memory(), self.settled(reporter, pid)
        session.ask(*prepare)
        more, grown = session.memory(), self.settled(reporter, pid)
        self.assertGreater(more[0] - before[0], STATEMENTS * 1000)
        self.assertNear(grown[SIZE] - heap[SIZE], more[0] - before[0], (more[0] - before[0]) / 50, "bytes")
        self.assertNear(grown[TIMES] - heap[TIMES], more[1] - before[1], (more[1] - before[1]) / 50, "blocks")
        session.ask("deallocate all;")
        less, shrunk = session.memory(), self.settled(reporter, pid)
        self.assertNear(grown[SIZE] - shrunk[SIZE], more[0] - less[0], (more[0] - before[0]) / 50, "bytes")
        print(f"of itself {before} {more} {less}, here {heap} {grown} {shrunk}")

    def test_under_load(self):
        """Backends come and go under pgbench, at first one for each client, then one for each transaction."""
        self.server.run(*client(self.server, "pgbench"), "-i", "-q", "-s", "1")
        alone, each_alone = self.load(), self.load("-C")
        reporter = self.attach(self.server.pid, "--children")
        traced = self.load()
        connections = self.load("-C")
        living = lambda: {pid for pid in self.server.processes() if Stat(pid).state != "Z"}
        self.until(lambda: maps.entries(self.served, "heaps") <= len(living()), lambda: f"{maps.entries(self.served, 'heaps')} heaps of {len(living())}")
        self.assertIsNone(self.server.process.status, "the server lives")
        self.server.request()
        # each has run before it was probed, or was never probed: none is without figures in silence
        late = lambda: sum(loss["count"] for loss in self.lines(reporter, type="loss") if loss["cause"] in ("heap_late", "heap_full"))
        count = len(self.lines(reporter, type="end"))
        self.until(lambda: late() >= count, lambda: f"{count} have ended, of {late()} something is missing")
        ends = [row for row in self.lines(reporter, type="end") if SIZE in row]
        print(f"transactions per second: {alone:.0f}, traced {traced:.0f}, with a connection for each {each_alone:.0f}, traced {connections:.0f}; "
              f"{count} ends, {len(ends)} with figures, {max((row[TIMES] for row in ends), default=0)} blocks at most, {late()} late")
        self.assertGreater(len(ends), 3)
        self.assertLessEqual({cause for cause, _ in self.losses(reporter)}, {"heap_late", "heap_full"})
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.until(lambda: maps.entries(self.served, "heaps") == 0, "no heap is left")
