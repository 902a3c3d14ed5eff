# SPDX-License-Identifier: BSD-2-Clause
"""report.json: the seed's file, its keys and ours; thresholds on workloads that change."""
import json
import os
import shutil
import signal
import socket
import sys

import wire
from harness import ROOT_DIR, SLOW, SharedCollector, program, read_csv, run_dir, select

SEED = os.path.join(ROOT_DIR, "tests/fuzz/corpus/report_config/seed.json")
SHIPPED = os.path.join(ROOT_DIR, "config/report.json")

# Sends itself 400 kB through the loopback, in 40 pieces over more than one interval.
TALKER = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(server.getsockname())
far = server.accept()[0]
for _ in range(40):
    near.sendall(bytes(10007))
    left = 10007
    while left:
        left -= len(far.recv(left))
    time.sleep(0.01)
"""
TALKED = 40 * 10007


# What can go wrong with the server: the signal that begins and ends it, what the server calls it, and the figure that tells.
SPIN = (signal.SIGUSR1, "spins", "task_cpu_percent")
LEAK = (signal.SIGUSR2, "leaks", "task_pm_size")
BURST = (signal.SIGHUP, "writes", "task_wchar_bytes_rate")


class WithFile(SharedCollector):
    def file(self, content, name="report.json"):
        """A file that reporters may read, with this text or object in it."""
        path = os.path.join(self.out_dir(), name)
        os.chmod(os.path.dirname(path), 0o755)
        with open(path, "w", encoding="utf-8") as f:
            f.write(content if isinstance(content, str) else json.dumps(content))
        os.chmod(path, 0o644)
        return path


class Config(WithFile):
    def test_the_seeds_own_file(self):
        """Unchanged: network, into net.csv of the working directory; the program of its memleak probe is told not to be there."""
        out = self.out_dir()
        with open(SEED, encoding="utf-8") as f:
            path = self.file(f.read())
        reporter = self.report("-c", path, "-i", "0.2", "--", sys.executable, "-c", TALKER, csv=False, cwd=out)
        self.assertOneLine(reporter.stderr, "memleak_probes", "./mem_example/main:func1", "no such file")
        self.assertEqual(sorted(os.listdir(out)), ["event.csv", "net.csv", "tmp.csv"])
        self.assertEqual([r["Ticks"] for r in read_csv(os.path.join(out, "tmp.csv"))], ["END"])
        rows = read_csv(os.path.join(out, "net.csv"))
        self.assertEqual(list(rows[0]), ["Ticks", "PID", "COMM", "RX_KB", "TX_KB"])
        self.assertEqual([r["Ticks"] == "END" for r in rows], [False] * (len(rows) - 1) + [True])
        for column in ("RX_KB", "TX_KB"):
            total = sum(float(r[column] or 0) for r in rows) * 1024
            self.assertBetween(TALKED, total, 3 * TALKED, column)

    def test_the_seeds_file_with_each_source_of_cpu_time(self):
        with open(SEED, encoding="utf-8") as f:
            seed = f.read()
        for word in ("bcc", "bpf", "stat", "top"):
            with self.subTest(word=word):
                out = self.out_dir()
                path = self.file(seed.replace('"snoop_cpu": "None"', f'"snoop_cpu": "{word}"'))
                self.report("-c", path, "-i", "0.2", "--", program("burn"), "0.5", csv=False, cwd=out)
                self.assertEqual(sorted(os.listdir(out)), ["cpu.csv", "event.csv", "net.csv", "tmp.csv"])
                rows = read_csv(os.path.join(out, "cpu.csv"))
                self.assertEqual(list(rows[0]), ["Ticks", "PID", "COMM", "ON CPU", "OFF CPU", "CPU%", "TID"])
                self.assertEqual([r["Ticks"] == "END" for r in rows], [False] * (len(rows) - 1) + [True])
                self.assertEqual({r["ON CPU"] == "-1" for r in rows}, {word == "top"})
                self.assertEqual(rows[-1]["COMM"], "burn")

    def test_net_is_what_the_counters_gain(self):
        reporter = self.report("-m", "net,task", "--metrics", "task_link_rx_bytes,task_link_tx_bytes", "-i", "0.2", "--",
                               sys.executable, "-c", TALKER)
        last = reporter.csv("task")[-1]
        for column, metric in (("RX_KB", "task_link_rx_bytes"), ("TX_KB", "task_link_tx_bytes")):
            total = sum(float(r[column] or 0) for r in reporter.csv("net"))
            self.assertNear(total * 1024, int(last[metric]), 2 * len(reporter.csv("net")), column)

    def test_shipped_file_and_options_over_it(self):
        shipped = self.file(open(SHIPPED, encoding="utf-8").read())
        out = os.path.join(self.out_dir(), "out")
        self.report("-c", shipped, "--csv", out, "-i", "0.2", "--", "true", csv=False)
        self.assertEqual(sorted(os.listdir(out)), ["cpu.csv", "event.csv", "net.csv", "task.csv"])
        named = self.file({"snoop_cpu": "bcc", "cpu_output_file": "mine.csv", "csv": "unused"})
        reporter = self.report("-c", named, "--", "true")
        self.assertEqual(sorted(os.listdir(reporter.out_dir)), ["event.csv", "mine.csv"])
        reporter = self.report("-c", named, "-m", "task", "--", "true")
        self.assertEqual(sorted(os.listdir(reporter.out_dir)), ["event.csv", "task.csv"])

    def test_what_is_wrong_is_told_with_file_and_line(self):
        marker = os.path.join(self.out_dir(), "started")
        for text, line, words in (
                ('{\n"intervall": 5 }', 2, ("intervall", '"interval"')),
                ('{\n\n"snoop_cpu": "perf" }', 3, ("snoop_cpu", "bpf", "stat", "top")),
                ('{ "snoop_network": "stat" }', 1, ("snoop_network", "bpf")),
                ('{ "snoop_mem": "stat" }', 1, ("snoop_mem", "bpf")),
                ('{ "interval": 0.01 }', 1, ("interval", "0.1")),
                ('{ "thresholds": [\n{"metric": "task_cpu_precent"} ] }', 2, ("task_cpu_precent", "task_cpu_percent")),
                ("# comment\n{}", 1, ("json",))):
            with self.subTest(text=text):
                path = self.file(text)
                reporter = self.report("-c", path, "--", "touch", marker, csv=False, status=2)
                self.assertOneLine(reporter.stderr, f"{path}:{line}: ", *words)
        reporter = self.report("-c", "/no/such/file", "--", "touch", marker, csv=False, status=2)
        self.assertOneLine(reporter.stderr, "/no/such/file")
        self.assertFalse(os.path.exists(marker))


class Thresholds(WithFile):
    def spell(self):
        workload = self.workload("spell")
        workload.fact("spins")
        return workload

    def quiet_for(self, reporter, rows, *workloads):
        """Until there are so many more rows of each."""
        have = {w.pid: len(reporter.cpu(PID=w.pid)) for w in workloads}
        self.until(lambda: all(len(reporter.cpu(PID=p)) >= n + rows for p, n in have.items()), "rows")

    def test_a_spell_of_cpu_is_one_alarm(self):
        """It raises one, clears it, and another task raises none; the table, JSON and an explanation afterwards agree."""
        for method in ("ewma", "mad"):
            with self.subTest(method=method):
                self.one_alarm(method)

    def one_alarm(self, method):
        # a busy machine gives a spinning task less than it wants, and for seconds
        rule = {"name": "burns", "metric": "task_cpu_percent", "method": method, "floor": 15, "warmup": 8, "window": 20}
        path = self.file({"thresholds": [rule]})
        only = self.file({"thresholds": [dict(rule, mode="only")]}, "only.json")
        changes, stays = self.spell(), self.spell()
        pids = f"{changes.pid},{stays.pid}"
        reporter = self.reporter("-c", path, "--json", "-", "-i", "0.25", "-p", pids)
        table = self.reporter("-c", only, "-i", "0.25", "-p", pids, csv=False)
        self.quiet_for(reporter, 12, changes, stays)
        changes.step("spins", 1)
        self.until(lambda: reporter.events(event="alarm") and "alarm: " in table.stdout, "an alarm")
        self.quiet_for(reporter, 4, changes)
        changes.step("spins", 0, sig=signal.SIGUSR2)
        self.until(lambda: reporter.events(event="clear") and "clear: " in table.stdout, "its end")
        self.quiet_for(reporter, 8, changes, stays)
        for process in (reporter, table):
            process.kill(signal.SIGINT)
            self.assertEqual(process.wait(), 0, process.stderr)

        events = [r for r in reporter.csv("event") if r["event"] in ("alarm", "clear")]
        self.assertEqual([(r["event"], r["tid"], r["comm"]) for r in events],
                         [(e, str(changes.pid), "spell") for e in ("alarm", "clear")], events)
        for row in events:
            for key in ("metric=task_cpu_percent", "value=", "baseline=", "limit=", "threshold=burns"):
                self.assertIn(key, row["detail"])
        told = [r for r in reporter.json(type="event") if r["event"] == "alarm"]
        self.assertEqual(len(told), 1)
        self.assertEqual((told[0]["threshold"], told[0]["metric"]), ("burns", "task_cpu_percent"))
        self.assertGreater(told[0]["value"], told[0]["limit"])
        self.assertGreater(told[0]["limit"], told[0]["baseline"])
        self.assertEqual(table.stdout.count("alarm: "), 1, table.stdout)
        self.assertEqual(table.stdout.count("clear: "), 1, table.stdout)

        # rows of the other task, and those of the quiet time, were dropped
        lines = [l.split() for l in table.stdout.splitlines()]
        self.assertFalse([l for l in lines if l and l[0] == str(stays.pid)])
        self.assertTrue([l for l in lines if l and l[0] == str(changes.pid)])

        written = os.path.join(run_dir(), f"explained-{method}.csv")
        shutil.copy(os.path.join(reporter.out_dir, "task.csv"), written)
        os.chmod(written, 0o644)
        explained = self.report("-c", path, "--explain-threshold", written, csv=False)
        with open(written, "w", encoding="utf-8") as f:
            f.write(explained.stdout)
        again = read_csv(written)
        self.assertEqual([(r["event"], r["tid"]) for r in again], [(r["event"], r["tid"]) for r in events])

    def test_an_alarm_ends_with_its_task(self):
        path = self.file({"thresholds": [{"metric": "task_fd_count", "method": "static", "above": 1, "for": 0}]})
        reporter = self.report("-c", path, "-i", "0.1", "-m", "cpu", "--", "sleep", "1")
        events = [(r["event"], "cause=ended" in r["detail"]) for r in reporter.csv("event") if r["event"] in ("alarm", "clear")]
        # the process that is to become `sleep` may be seen before its exec
        self.assertEqual(events[-2:], [("alarm", False), ("clear", True)])
        self.assertEqual(len(select(reporter.csv("event"), event="alarm")), len(select(reporter.csv("event"), event="clear")))

    def test_explanation_needs_thresholds_and_a_task_csv(self):
        some = self.file({"thresholds": [{"metric": "task_cpu_percent"}]})
        none = self.file({})
        self.assertOneLine(self.report("-c", none, "--explain-threshold", some, csv=False, status=2).stderr, "thresholds")
        self.assertOneLine(self.report("--explain-threshold", some, csv=False, status=2).stderr, "-c")
        reporter = self.report("-c", some, "--explain-threshold", some, csv=False, status=1)
        self.assertIn(some, reporter.stderr)
        self.assertOneLine(self.report("-c", some, "--explain-threshold", "/no/such", csv=False, status=1).stderr, "/no/such")

    def test_metrics_that_cannot_be_measured_are_told(self):
        """By a collector that knows two metrics and can measure one; with the table alone, where no column stays empty."""
        path = self.file({"thresholds": [{"metric": m} for m in ("task_cpu_percent", "task_fork_count_rate", "task_fd_count")]})
        known = ((0, b"task_on_cpu_ns", b""), (1, b"task_fork_count", b"no such hook"))
        welcome = wire.field(1, 1) + b"".join(
            wire.field(5, wire.field(1, i) + wire.field(2, name) + wire.field(8, why)) for i, name, why in known)
        address = os.path.join(self.out_dir(), "sock")
        os.chmod(os.path.dirname(address), 0o755)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(address)
            server.listen(1)
            server.settimeout(30 * SLOW)
            os.chmod(address, 0o666)
            reporter = self.reporter("-c", path, "-p", "1", socket=address, csv=False)
            with server.accept()[0] as connection:
                connection.sendall(wire.frame(wire.WELCOME, welcome))
                self.until(lambda: reporter.stderr.count("\n") >= 2, lambda: f"two warnings: {reporter.stderr}")
                self.assertIn("task_fork_count raises no alarm: no such hook\n", reporter.stderr)
                self.assertIn("task_fd_count raises no alarm: the collector does not know it\n", reporter.stderr)
                self.assertNotIn("task_on_cpu_ns", reporter.stderr)
                self.assertNotIn("stays empty", reporter.stderr)


class Server(WithFile):
    """A server of three processes, thresholds on three figures of each, and neighbours that the same thresholds watch.

    A leak is judged by task_pm_size itself: that is back when the memory is given back. (A gauge has no rate, and growth would
    clear as soon as a leak pauses.) The floors are what no quiet task reaches; that a busy machine gives a task less than it wants
    is no alarm."""

    RULES = [dict(rule, method="mad", side="above", warmup=12, **{"for": 1}) for rule in (
        {"metric": SPIN[2], "floor": 15}, {"metric": LEAK[2], "floor": 8 << 20}, {"metric": BURST[2], "floor": 500_000})]

    def setUp(self):
        super().setUp()
        self.server = self.workload("server", "3")
        self.pids = [self.server.fact(f"pid{i}") for i in range(3)]
        others = [self.workload("spell").pid, self.workload("sleepers", "2").pid]
        self.watched = [str(p) for p in (*self.pids, *others)]
        self.watcher = self.reporter("-c", self.file({"thresholds": self.RULES}), "-i", "0.25", "-m", "cpu,task", "--metrics",
                                     f"{LEAK[2]},task_wchar_bytes", "-p", ",".join(self.watched))
        for process in (self.server, self.watcher, self.shared):
            process.prefer()
        self.expected = []
        self.rows(16)

    def rows(self, count):
        """Until there are so many more rows of each task that is watched."""
        def seen():
            rows = self.watcher.csv("cpu")
            return {pid: len(select(rows, PID=pid)) for pid in self.watched}
        before = seen()
        self.until(lambda: all(n >= before[pid] + count for pid, n in seen().items()), f"{count} rows")

    def turn(self, what, process, on):
        sig, word, _ = what
        os.kill(self.pids[process], sig)
        self.until(lambda: self.server.facts()[f"{word}{process}"] == on, f"{word}{process}={on}")

    def alarms(self):
        return [(r["event"], int(r["tid"]), r["detail"].split()[0].removeprefix("metric="))
                for r in self.watcher.csv("event") if r["event"] in ("alarm", "clear")]

    def until_told(self, event, *what):
        """Until each (what, process) has had this event; and all that was told is what was to be, in any order of these."""
        told = [(event, self.pids[process], figure) for (_, _, figure), process in what]
        self.until(lambda: set(told) <= set(self.alarms()[len(self.expected):]), lambda: f"{told} after {self.expected}: {self.alarms()}")
        self.expected += told
        self.nothing_else()

    def nothing_else(self):
        self.assertEqual(sorted(self.alarms()), sorted(self.expected))

    def one_alarm(self, what, rows):
        """It begins, goes on for so many rows more than it took to be told, and ends."""
        self.turn(what, 0, 1)
        self.until_told("alarm", (what, 0))
        self.rows(rows)
        self.nothing_else()
        self.turn(what, 0, 0)
        self.until_told("clear", (what, 0))
        self.rows(4)
        self.nothing_else()

    def end(self):
        self.rows(8)
        self.watcher.kill(signal.SIGINT)
        self.assertEqual(self.watcher.wait(), 0, self.watcher.stderr)
        self.nothing_else()
        self.assertEqual([r for r in self.watcher.csv("event") if "cause=" in r["detail"]], [])
        self.assertEqual(self.watcher.losses(), {})
        self.assertEqual(self.server.end(), 0, self.server.stderr)

    def test_a_spin_a_leak_and_a_burst_are_one_alarm_each(self):
        self.one_alarm(SPIN, 20)  # 5 s
        self.one_alarm(LEAK, 4)
        self.one_alarm(BURST, 4)
        self.end()

    def test_no_alarm_mutes_another(self):
        """A spin and a burst of one process begin together; then another leaks, and a third spins, while they last. Each ends
        while others last."""
        self.turn(SPIN, 0, 1)
        self.turn(BURST, 0, 1)
        self.until_told("alarm", (SPIN, 0), (BURST, 0))
        self.turn(LEAK, 1, 1)
        self.until_told("alarm", (LEAK, 1))
        self.turn(SPIN, 2, 1)
        self.until_told("alarm", (SPIN, 2))
        self.rows(4)
        for what, process in ((SPIN, 0), (LEAK, 1), (BURST, 0), (SPIN, 2)):
            self.nothing_else()
            self.turn(what, process, 0)
            self.until_told("clear", (what, process))
        self.end()
