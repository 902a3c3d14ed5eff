# SPDX-License-Identifier: BSD-2-Clause
"""Passes over all tasks, in both ways that there are (collector/walk.h): by a program that walks by itself, where the kernel lets
it, and by iter/task. What they find is looked at by all other tests; most run in the first way only, some of them here in the second."""
import collections
import os
import signal

import harness
import test_lifecycle
import test_proc

BOTH = None, "iter"
THREADS, PROCESSES = 1301, 2  # records come in parts of 512
QUICK_SINCE = 6, 12  # of the kernels that are tested


def collector_that_walks(how):
    os.environ.pop("TASKMON_WALK", None)
    if how:
        os.environ["TASKMON_WALK"] = how
    try:
        return harness.Collector()
    finally:
        os.environ.pop("TASKMON_WALK", None)


class Way(harness.Test):
    def doctor(self, how):
        os.environ.pop("TASKMON_WALK", None)
        if how:
            os.environ["TASKMON_WALK"] = how
        try:
            process = harness.Process([harness.program("taskmon-collector"), "--doctor"])
        finally:
            os.environ.pop("TASKMON_WALK", None)
        self.addCleanup(process.close)
        self.assertEqual(process.wait(), 0, process.stderr)
        lines = [line.split(None, 1)[1] for line in process.stdout.splitlines() if line.startswith("sample_part ")]
        self.assertEqual(len(lines), 1, process.stdout)
        return lines[0]

    def test_what_the_doctor_says(self):
        """The quick way wherever the kernel has what it takes, or the reason why not."""
        version = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
        answer = self.doctor(None)
        if version >= QUICK_SINCE:
            self.assertTrue(answer.startswith("yes"), answer)
        elif version < (6, 2):
            self.assertTrue(answer.startswith("no: this kernel has no functions for it"), answer)
        self.assertTrue(self.doctor("iter").startswith("no: "))


class Parts(harness.Test):
    def with_reporter(self, how, *args):
        collector = collector_that_walks(how)
        self.addCleanup(collector.close)
        return collector, self.reporter("-i", "0.2", "-m", "task", *args, socket=collector.socket)

    def until_rows(self, reporter, count):
        path = os.path.join(reporter.out_dir, "task.csv")

        def lines():
            with open(path, "rb") as f:
                return f.read().count(b"\n") - 1
        self.until(lambda: os.path.exists(path) and lines() >= count, f"{count} rows")
        return lines()

    def test_each_thread_once(self):
        """More threads than fit into a part: every tick has each of them, and none twice."""
        for how in BOTH:
            with self.subTest(walk=how):
                program = self.workload("sleepers", str(THREADS), str(PROCESSES))
                program.fact("ready", 120)
                pids = [line[4:] for line in program.stdout.splitlines() if line.startswith("pid=")]
                expected = {str(tid) for pid in pids for tid in harness.threads_of(pid)}
                self.assertEqual(len(expected), THREADS * PROCESSES)
                collector, reporter = self.with_reporter(how, "-t", "--metrics", "task_state,task_on_cpu_ns", "-p", ",".join(pids))
                self.until_rows(reporter, 4 * len(expected))
                rows = reporter.csv("task")
                for n in range(0, 4 * len(expected), len(expected)):
                    self.assertEqual(sorted(row["tid"] for row in rows[n:n + len(expected)]), sorted(expected))
                self.assertEqual(collector.end(), 0, collector.stderr)
                program.close()

    def test_each_process_once(self):
        """More processes than fit into a part."""
        program = self.workload("sleepers", "1", str(THREADS), user=harness.ALICE)
        program.fact("ready", 120)
        expected = sorted(line[4:] for line in program.stdout.splitlines() if line.startswith("pid="))
        collector = collector_that_walks(None)
        self.addCleanup(collector.close)
        reporter = self.reporter("-i", "0.5", "-m", "task", "--metrics", "task_state", "-a", user=harness.ALICE, socket=collector.socket)
        self.until_rows(reporter, 4 * (len(expected) + 1))
        rows = [row["tid"] for row in reporter.csv("task") if row["tid"] != str(reporter.pid)]
        for n in range(0, 3 * len(expected), len(expected)):
            self.assertEqual(sorted(rows[n:n + len(expected)]), expected)
        self.assertEqual(collector.end(), 0, collector.stderr)

    def test_while_threads_end(self):
        """Threads that come and go while a pass is on its way: those that stay are in every tick, and nobody twice."""
        for how in BOTH:
            with self.subTest(walk=how):
                stays = self.workload("sleepers", str(THREADS))
                stays.fact("ready", 120)
                churn = self.workload("churn", "3", "53", "1")
                expected = {str(tid) for tid in harness.threads_of(stays.pid)}
                collector, reporter = self.with_reporter(how, "-t", "--metrics", "task_on_cpu_ns", "-p", f"{stays.pid},{churn.pid}")
                self.until_rows(reporter, len(expected))
                churn.kill(signal.SIGUSR1)
                self.until(lambda: churn.facts().get("round") == 1, "its threads have come and gone")
                self.until_rows(reporter, self.until_rows(reporter, 0) + 2 * len(expected))
                of = collections.Counter(row["tid"] for row in reporter.csv("task") if row["tid"] in expected)
                self.assertEqual(set(of), expected)
                self.assertLessEqual(max(of.values()) - min(of.values()), 1, "a tick that is being written, at most")
                self.assertEqual(collector.end(), 0, collector.stderr)
                stays.close()
                churn.close()


def in_the_second_way(cls, *names):
    """Some tests of a class with a shared collector, which goes through iter/task."""
    def set_up(kind):
        kind.shared = collector_that_walks("iter")
    others = {name: None for name in dir(cls) if name.startswith("test_") and name not in names}
    return type(cls.__name__, (cls,), {"setUpClass": classmethod(set_up), "__module__": __name__, "__doc__": cls.__doc__, **others})


BesideProc = in_the_second_way(test_proc.BesideProc, "test_threads_that_have_exited", "test_exact_ledger")
Threads = in_the_second_way(test_lifecycle.Threads, "test_exec_by_another_thread")
