# SPDX-License-Identifier: BSD-2-Clause
"""Metrics of cost walk beside readings of smaps_rollup: whose they are, how old, and what they may cost."""
import os
import signal
import time

from harness import NOBODY, NS, PAGE, ROOT, SharedCollector, Test, keyed, program, wall_ns

KEYS = {"task_shared_dirty_size": "Shared_Dirty", "task_shared_clean_size": "Shared_Clean",
        "task_private_dirty_size": "Private_Dirty", "task_private_clean_size": "Private_Clean",
        "task_referenced_size": "Referenced", "task_lazyfree_size": "LazyFree", "task_swap_data_size": "Swap",
        "task_swap_data_pss_size": "SwapPss", "task_pss_size": "Pss"}
AGE = "task_smaps_age_ns"
METRICS = ",".join([*KEYS, AGE])
READER = "taskmon-smaps"  # the thread


def witness(path):
    """smaps_rollup as it is now, in bytes."""
    rollup = keyed(path)
    return {metric: rollup[key] * 1024 for metric, key in KEYS.items()}


def figures(row):
    return {metric: row[metric] for metric in KEYS}


def read_at(row):
    """When the figures of a row were read, ns of the wall clock."""
    return row.at - row[AGE]


def readers(collector):
    """Thread ids of its reader of smaps_rollup."""
    found = []
    for tid in os.listdir(f"/proc/{collector.pid}/task"):
        with open(f"/proc/{collector.pid}/task/{tid}/comm", encoding="utf-8") as f:
            if f.read().strip() == READER:
                found.append(int(tid))
    return found


class Walk(Test):
    """Helpers."""

    def mapped(self, private=1009, shared=211, file=307, lazy=401, user=NOBODY):
        mapped = self.workload("mapped", *map(str, (private, shared, file, lazy)), os.path.join(self.out_dir(user), "file"), user=user)
        mapped.fact("step")
        return mapped

    def watch(self, *pids, metrics=METRICS, more=(), interval="0.2", **how):
        return self.reporter("-i", interval, "--metrics", metrics, "-p", ",".join(map(str, pids)), *more, **how)

    def whole(self, row):
        """Are the figures there? All or none of them are."""
        there = [m for m in (*KEYS, AGE) if row[m] is not None]
        self.assertIn(len(there), (0, len(KEYS) + 1), there)
        return bool(there)

    def known(self, reporter, pid, since=0):
        """Rows of a process whose figures were read after `since`."""
        return [r for r in reporter.task(tgid=pid) if self.whole(r) and read_at(r) >= since]

    def until_equal(self, reporter, pid, path=None):
        """Waits for a row whose figures were read between two equal readings of ours, and are equal to them. Pages of
        libraries are shared with whatever runs on the machine, so one attempt may fail."""
        path = path or f"/proc/{pid}/smaps_rollup"
        attempts = []

        def equal():
            before, began = witness(path), time.time_ns()
            rows = self.until(lambda: self.known(reporter, pid, began), "it is read")
            attempts.append((before, figures(rows[-1]), witness(path)))
            return attempts[-1][0] == attempts[-1][1] == attempts[-1][2] and rows[-1]
        return self.until(equal, lambda: f"equal to smaps_rollup: {attempts[-1]}")


class Figures(Walk, SharedCollector):
    def test_every_class(self):
        """Private, shared with a child, of a file, given back: as smaps_rollup has them, and by what the program did."""
        mapped = self.mapped(private=1009, shared=211, file=307, lazy=401)
        reporter = self.watch(mapped.pid)
        row = self.until_equal(reporter, mapped.pid)
        self.assertGreaterEqual(row["task_private_dirty_size"], 1009 * PAGE)
        self.assertGreaterEqual(row["task_shared_dirty_size"], 211 * PAGE)
        self.assertLess(row["task_shared_dirty_size"], 1009 * PAGE)
        # a file system in memory has no clean pages
        self.assertGreaterEqual(row["task_private_clean_size"] + row["task_private_dirty_size"], (1009 + 307) * PAGE)
        self.assertBetween(1, row["task_lazyfree_size"], 401 * PAGE)  # the kernel does it in batches of some pages
        self.assertGreaterEqual(row["task_referenced_size"], (1009 + 211) * PAGE)
        self.assertGreaterEqual(row["task_pss_size"], (1009 + 211 // 2) * PAGE)
        # and they follow
        mapped.step("step", 2)
        after = self.until_equal(reporter, mapped.pid)
        self.assertGreaterEqual(after["task_private_dirty_size"] - row["task_private_dirty_size"], 1009 * PAGE)
        self.assertLess(after["task_private_dirty_size"] - row["task_private_dirty_size"], 2 * 1009 * PAGE)

    def test_the_first_row_has_figures(self):
        """They are asked for when the subscription begins, not with its first row."""
        mapped = self.mapped()
        reporter = self.watch(mapped.pid, interval="3")
        first = self.until(reporter.task, "a row")[0]
        self.assertTrue(self.whole(first))

    def test_the_final_row_has_the_last_figures(self):
        mapped = self.mapped()
        reporter = self.watch(mapped.pid)
        row = self.until_equal(reporter, mapped.pid)
        rows = len(reporter.task())
        self.until(lambda: len(reporter.task()) > rows + 1, "more rows")
        mapped.end()
        self.assertEqual(reporter.wait(), 0)
        *_, before, last = reporter.task()
        self.assertTrue(last.end)
        self.assertTrue(self.whole(last))
        for metric in ("task_private_dirty_size", "task_shared_dirty_size", "task_lazyfree_size"):
            self.assertEqual((last[metric], before[metric]), (row[metric], row[metric]), metric)
        self.assertGreaterEqual(read_at(last), read_at(before))
        self.assertLess(read_at(last), last.at)

    def test_a_process_whose_main_thread_has_ended(self):
        process = self.workload("leader_exit")
        tid = process.fact("tid.stay-0")
        reporter = self.watch(process.pid)
        self.until_equal(reporter, process.pid, f"/proc/{process.pid}/task/{tid}/smaps_rollup")

    def test_another_program_has_other_memory(self):
        """Nothing of what was read before an exec is in a row after it."""
        out = self.out_dir()
        go = os.path.join(out, "go")
        reporter = self.reporter("-i", "2", "--metrics", METRICS, "--no-children", "--", "/bin/sh", "-c",
                                 f"while ! test -e {go}; do sleep 0.1; done; exec {program('mapped')} 1009 3 3 3 {out}/file")
        self.until(lambda: any(self.whole(r) for r in reporter.task(comm="sh")), "figures of the first program")
        with open(go, "w", encoding="ascii"):
            pass
        self.until(lambda: any(self.whole(r) for r in reporter.task(comm="mapped")), "figures of the second program")
        pid = reporter.task(comm="mapped")[0]["tgid"]
        execed = max(wall_ns(e["time"]) for e in reporter.events(event="exec", comm="mapped"))
        for row in reporter.task(comm="mapped"):
            # a pass that was under way may be faster than the news of the exec
            if self.whole(row) and row.at - execed > NS / 2:
                self.assertGreaterEqual(read_at(row), execed)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0)


class Absent(Walk, SharedCollector):
    """An empty cell, never 0."""

    def beside(self, reporter, other, count=3):
        """Waits until there are rows with figures, and as many of the other process; returns the latter."""
        def both():
            known = self.known(reporter, self.mapped_pid)
            rows = [r for r in reporter.task() if r["tgid"] == other and known and r.at >= known[0].at]
            return len(rows) >= count and rows
        return self.until(both, "rows of both")

    def test_kernel_threads(self):
        kthread = next((int(p) for p in os.listdir("/proc") if p.isdigit() and 1 < int(p) <= 100
                        and keyed(f"/proc/{p}/status").get("VmSize") is None), None)
        if kthread is None:
            self.skipTest("no kernel thread in this process id namespace")
        self.mapped_pid = self.mapped().pid
        reporter = self.watch(self.mapped_pid, kthread, user=ROOT)
        for row in self.beside(reporter, kthread):
            self.assertFalse(self.whole(row))
        as_json = self.report("-i", "0.2", "-d", "1", "--metrics", METRICS, "--json", "-", "-p", str(kthread), user=ROOT, csv=False)
        samples = as_json.json(type="sample")
        self.assertTrue(samples)
        for sample in samples:
            self.assertEqual([m for m in (*KEYS, AGE) if m in sample], [])

    def test_rows_of_threads(self):
        mapped = self.mapped()
        processes, threads = self.watch(mapped.pid), self.watch(mapped.pid, more=("-t",))
        self.until(lambda: len(self.known(processes, mapped.pid)) > 3, "figures of the process")
        seen = len(threads.task())
        self.until(lambda: len(threads.task()) > seen + 1, "rows of the thread")
        for row in threads.task():
            self.assertFalse(self.whole(row))

    def test_not_asked_for(self):
        """Who asks for free metrics gets no figures because another one asks for them, and no walk."""
        mapped = self.mapped()
        walked, free = self.watch(mapped.pid), self.watch(mapped.pid, metrics="free")
        self.until(lambda: self.known(walked, mapped.pid) and free.task(), "rows")
        self.assertNotIn(AGE, free.csv("task")[0])


class Limits(Walk):
    """What collector.json says."""

    def start(self, **config):
        self.private = self.collector(config)

    def socket(self):
        return self.private.socket

    def test_the_largest_rss(self):
        self.start(smaps_max_rss=4001 * PAGE)
        small, large = self.mapped(), self.mapped(private=8009)
        reporter = self.watch(small.pid, large.pid)
        self.until_equal(reporter, small.pid)
        self.until(lambda: len(reporter.task(tgid=large.pid)) > 3 and len(self.known(reporter, small.pid)) > 3, "rows of both")
        for row in reporter.task(tgid=large.pid):
            self.assertFalse(self.whole(row))
        # one that grows: what was known of it is not told any more
        for step in range(2, 6):
            small.step("step", step)
        self.until(lambda: not self.whole(reporter.task(tgid=small.pid)[-1]), "it is too large")

    def test_the_share_of_a_cpu(self):
        """With next to none, figures get older than the interval, and stay right."""
        self.start(smaps_cpu_percent=0.1)
        mapped = self.mapped(private=20011)
        reporter = self.watch(mapped.pid)
        old = self.until(lambda: [r for r in self.known(reporter, mapped.pid) if r[AGE] > NS], "old figures", timeout=60)
        for row in old:
            self.assertGreaterEqual(row["task_private_dirty_size"], 20011 * PAGE)
        again = self.until(lambda: self.known(reporter, mapped.pid, old[-1].at), "it is read again", timeout=60)
        self.assertGreaterEqual(again[-1]["task_private_dirty_size"], 20011 * PAGE)
        # each row tells truly when it was read: ages of the same reading differ as the rows do
        times = sorted(read_at(r) for r in self.known(reporter, mapped.pid))
        self.assertLess(len({t // (NS // 20) for t in times}), len(times))

    def test_the_reader_sleeps_when_nobody_asks(self):
        """No thread before the first wish; afterwards not one wake-up, and nothing is left behind at the end."""
        self.start()
        mapped = self.mapped()
        free = self.watch(mapped.pid, metrics="free")
        self.until(free.task, "a row")
        self.assertEqual(readers(self.private), [])
        walked = self.watch(mapped.pid)
        self.until(lambda: self.known(walked, mapped.pid), "figures")
        tid, = readers(self.private)
        walked.kill(signal.SIGINT)
        self.assertEqual(walked.wait(), 0)

        def switches():
            return keyed(f"/proc/{self.private.pid}/task/{tid}/status")["voluntary_ctxt_switches"]

        def rested():
            before, seen = switches(), len(free.task())
            self.until(lambda: len(free.task()) > seen + 2, "ticks of the other reporter")
            return switches() == before
        self.until(rested, "the thread sleeps through ticks")


class Catalogue(Walk, SharedCollector):
    def test_available(self):
        """This kernel has smaps_rollup (else the tests above could not run), and the collector says so."""
        listed = self.report("--list", "metrics", csv=False).stdout
        for metric in (*KEYS, AGE):
            line, = [line for line in listed.splitlines() if line.startswith(metric + " ")]
            self.assertIn("walk", line)
            self.assertNotIn("smaps_rollup (", line)
