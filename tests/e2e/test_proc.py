# SPDX-License-Identifier: BSD-2-Clause
"""task.csv beside /proc, read around the same moment, and beside programs that do exactly so much."""
import os
import signal
import threading
import time

import wire
from harness import ALICE, NOBODY, NS, PAGE, ROOT, SLOW, TICK_NS, SharedCollector, Stat, keyed, needs, proc_figures

COUNTERS = ("task_utime_jiffies", "task_stime_jiffies", "task_minor_pagefault_count", "task_major_pagefault_count",
            "task_rchar_bytes", "task_wchar_bytes", "task_syscr_count", "task_syscw_count", "task_read_bytes",
            "task_write_bytes", "task_cancelled_write_bytes", "task_on_cpu_ns")
# /proc tells these per live thread only, so they compare where no thread has exited.
PER_THREAD = ("task_run_delay_ns", "task_voluntary_switch_count", "task_involuntary_switch_count")
# One scheduler tick and thread for what runs at the moment; rounding of two figures that add up.
SLACK = {"task_utime_jiffies": 2, "task_stime_jiffies": 2, "task_on_cpu_ns": 3 * TICK_NS}


class Witness(threading.Thread):
    """Reads /proc/PID again and again: (before, after, figures), where the figures are of some moment in between."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.readings, self.done = pid, [], threading.Event()
        self.start()

    def run(self):
        while not self.done.is_set():
            before = time.time_ns()
            try:
                figures = proc_figures(self.pid)
            except (FileNotFoundError, ProcessLookupError):
                if not os.path.exists(f"/proc/{self.pid}"):
                    return
                continue  # a thread ended while its files were read
            self.readings.append((before, time.time_ns(), figures))
            time.sleep(0.02)  # a rate, not a synchronisation

    def close(self):
        self.done.set()
        self.join()

    def around(self, at):
        """The last reading that was complete before `at`, and the first that began after it."""
        return ([r for r in self.readings if r[1] <= at][-1:] or [None])[0], next((r for r in self.readings if r[0] >= at), None)


class BesideProc(SharedCollector):
    def compare(self, pid, reporter, metrics, rows_wanted=5, slack=None):
        witness = Witness(pid)

        def comparable():
            found = [(*witness.around(row.at), row) for row in reporter.task(tid=pid)]
            return [f for f in found if f[0] and f[1]]
        try:
            self.until(lambda: len(comparable()) >= rows_wanted, "rows to compare")
        finally:
            witness.close()
        for before, after, row in comparable():
            for metric in metrics:
                more = (slack or {}).get(metric, 0)
                self.assertBetween(before[2][metric] - more, row[metric], after[2][metric] + more, metric)

    def test_a_busy_process(self):
        """All counters of a process that burns, reads and has several threads lie between two readings of /proc."""
        burn = self.workload("burn", "30", "3")
        reporter = self.reporter("-i", "0.3", "--metrics", "free", "-p", str(burn.pid))
        self.until(reporter.task, "a row")
        # /proc is read thread by thread
        self.compare(burn.pid, reporter, COUNTERS + PER_THREAD, slack={**SLACK, "task_run_delay_ns": 25_000_000})
        row = reporter.task()[-1]
        self.assertEqual(row["task_state"], "R" if Stat(burn.pid).state == "R" else row["task_state"])
        self.assertEqual((row["task_thread_count"], row["ppid"], row["uid"]), (3, os.getpid(), NOBODY))

    def test_threads_that_have_exited(self):
        """While threads come and go the sums of the process stay those of /proc/PID/stat and /proc/PID/io."""
        churn = self.workload("churn", "4999", "3", "23")
        churn.fact("pid")
        reporter = self.reporter("-i", "0.3", "--metrics", "free", "-p", str(churn.pid))
        self.until(reporter.task, "a row")
        churn.kill(signal.SIGUSR1)
        self.compare(churn.pid, reporter, COUNTERS, rows_wanted=4, slack=SLACK)
        self.assertGreater(reporter.task()[-1]["task_syscr_count"], 0)

    def test_an_idle_process_is_equal_in_everything(self):
        ledger = self.workload("ledger", user=ALICE)
        ledger.fact("pid")
        reporter = self.reporter("-i", "0.3", "--metrics", "free", "-p", str(ledger.pid), user=ALICE)
        ledger.kill(signal.SIGUSR1)
        self.until(lambda: keyed(f"/proc/{ledger.pid}/io")["syscw"] >= 17 and Stat(ledger.pid).state == "S", "the round is over")
        seen = len(reporter.task())
        row = self.until(lambda: len(reporter.task()) > seen + 1 and reporter.task()[-1], "a row")
        figures = proc_figures(ledger.pid)
        rss = keyed(f"/proc/{ledger.pid}/smaps_rollup").get("Rss") * 1024  # statm's is a guess on some kernels
        for metric, value in figures.items():
            if metric != "task_pm_size":
                self.assertEqual(row[metric], value, metric)
        self.assertEqual(row["task_pm_size"], rss)
        stat = Stat(ledger.pid)
        self.assertEqual((row["tid"], row["tgid"], row["ppid"], row["uid"], row["comm"], row["task_state"]),
                         (ledger.pid, ledger.pid, os.getpid(), ALICE, "ledger", "S"))
        self.assertEqual(row["task_vm_size"], stat.vsize)
        self.assertEqual(row["start_time"] * os.sysconf("SC_CLK_TCK") // NS, stat.start_ticks)
        life_ns = row["task_on_cpu_ns"] + row["task_off_cpu_ns"] + row["task_run_delay_ns"]
        self.assertNear(row["start_time"] + life_ns, time.clock_gettime_ns(time.CLOCK_BOOTTIME), 30 * SLOW * NS)

        ledger.stop()
        self.until(lambda: reporter.task()[-1]["task_state"] == "T", "state T")
        ledger.resume()
        self.until(lambda: reporter.task()[-1]["task_state"] == "S", "state S")

    def test_memory_that_grows(self):
        """Sizes follow, page by page: 31 pages are touched per round, in a mapping of their own."""
        ledger = self.workload("ledger")
        ledger.fact("pid")
        reporter = self.reporter("-i", "0.2", "--metrics", "free", "-p", str(ledger.pid))

        def settled():
            seen = len(reporter.task())
            return self.until(lambda: len(reporter.task()) > seen + 1 and reporter.task()[-1], "a row")
        for _ in range(3):
            ledger.kill(signal.SIGUSR1)
            syscw = keyed(f"/proc/{ledger.pid}/io")["syscw"]
            self.until(lambda: keyed(f"/proc/{ledger.pid}/io")["syscw"] % 17 in (0, 1) and Stat(ledger.pid).state == "S" and syscw >= 0, "round over")
            row = settled()
            self.assertEqual(row["task_pm_size"], keyed(f"/proc/{ledger.pid}/smaps_rollup")["Rss"] * 1024)
            self.assertEqual(row["task_vm_size"], Stat(ledger.pid).vsize)
            self.assertEqual(row["task_vm_size"] % PAGE, 0)

    def test_exact_ledger(self):
        """What a round of the program does, to the byte; a first round warms it up."""
        path = os.path.join(self.out_dir(), "file")
        ledger = self.workload("ledger", path)
        ledger.fact("pid")
        reporter = self.reporter("-i", "0.2", "--metrics", "free", "-p", str(ledger.pid))
        thread = self.reporter("-t", "-i", "0.2", "--metrics", "free", "-p", str(ledger.pid))
        self.until(lambda: reporter.task() and thread.task(), "rows")
        io_path = f"/proc/{ledger.pid}/io"

        def one_round():
            before = keyed(io_path)
            ledger.kill(signal.SIGUSR1)
            self.until(lambda: keyed(io_path)["syscw"] == before["syscw"] + 22 and Stat(ledger.pid).state == "S", "the round is over")
            seen = len(reporter.task()), len(thread.task())
            self.until(lambda: len(reporter.task()) > seen[0] + 1 and len(thread.task()) > seen[1] + 1, "rows after it")
            return before, keyed(io_path), reporter.task()[-1], thread.task()[-1]
        _, _, start, thread_start = one_round()
        before, after, row, thread_row = one_round()
        for now, then in ((row, start), (thread_row, thread_start)):
            delta = {m: now[m] - then[m] for m in COUNTERS}
            self.assertEqual(delta["task_syscr_count"], 23)
            self.assertEqual(delta["task_rchar_bytes"], 23 * 101)
            self.assertEqual(delta["task_syscw_count"], 17 + 5)
            self.assertEqual(delta["task_wchar_bytes"], 17 * 211 + 5 * 4096)
            self.assertEqual(delta["task_minor_pagefault_count"], 31)
            self.assertEqual(delta["task_write_bytes"], after["write_bytes"] - before["write_bytes"])
            self.assertEqual(delta["task_read_bytes"], after["read_bytes"] - before["read_bytes"])
        self.assertEqual(row["task_fd_count"] - start["task_fd_count"], 13)
        self.assertEqual(row["task_vm_size"] - start["task_vm_size"], 31 * PAGE)
        self.assertEqual(row["task_pm_size"] - start["task_pm_size"], 31 * PAGE)
        for metric in ("task_fd_count", "task_vm_size", "task_pm_size", "task_thread_count"):
            self.assertIsNone(thread_row[metric], f"{metric} is the process's, not the thread's")
        self.assertIsNotNone(thread_row["task_state"])
        ledger.end()
        self.assertEqual((reporter.wait(), thread.wait()), (0, 0))
        last = reporter.task()[-1]
        self.assertTrue(last.end)
        for metric in ("task_syscr_count", "task_rchar_bytes", "task_syscw_count", "task_wchar_bytes"):
            self.assertEqual(last[metric], row[metric], metric)

    @needs("two CPUs")
    def test_migrations(self):
        """Every visit to CPU 0 included."""
        migrate = self.workload("migrate", "47")
        migrate.fact("pid")
        reporter = self.reporter("-i", "0.2", "--metrics", "free", "-p", str(migrate.pid))
        start = self.until(reporter.task, "a row")[-1]
        migrate.step("moves", 47)
        seen = len(reporter.task())
        row = self.until(lambda: len(reporter.task()) > seen + 1 and reporter.task()[-1], "a row")
        self.assertEqual(row["task_migration_count"] - start["task_migration_count"], 47)
        migrate.end()
        self.assertEqual(reporter.wait(), 0)
        self.assertEqual(reporter.task()[-1]["task_migration_count"], row["task_migration_count"])

    def test_cgroup(self):
        """The path of its cgroup, as /proc/PID/cgroup has it."""
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        with open(f"/proc/{sleeper.pid}/cgroup", encoding="utf-8") as f:
            path, = [line.rstrip("\n")[3:] for line in f if line.startswith("0::")] or [""]
        reporter = self.report("-i", "0.2", "-d", "1", "-p", str(sleeper.pid))
        self.assertEqual({r["cgroup"] or "" for r in reporter.task()}, {path})


class Absent(SharedCollector):
    """What could not be measured is an empty cell and no key, never 0."""

    def test_kernel_threads_have_no_memory(self):
        kthread = next((int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) <= 100 and int(p) != 1
                        and keyed(f"/proc/{p}/status").get("VmSize") is None), None)
        if kthread is None:
            self.skipTest("no kernel thread in this process id namespace")
        reporter = self.report("-i", "0.2", "-d", "1", "--metrics", "free", "-p", str(kthread), user=ROOT)
        rows = reporter.task(tid=kthread)
        self.assertTrue(rows)
        for row in rows:
            self.assertIsNone(row["task_vm_size"])
            self.assertIsNone(row["task_pm_size"])
            self.assertIsNotNone(row["task_on_cpu_ns"])
        as_json = self.report("-i", "0.2", "-d", "1", "--metrics", "free", "--json", "-", "-p", str(kthread), user=ROOT, csv=False)
        samples = as_json.json(type="sample")
        self.assertTrue(samples)
        for sample in samples:
            self.assertNotIn("task_vm_size", sample)
            self.assertIn("task_on_cpu_ns", sample)
            self.assertNotIn(None, sample.values())

    def test_only_what_was_asked_for(self):
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.report("-i", "0.2", "-d", "1", "--metrics", "task_fd_count,task_on_cpu_ns", "-p", str(sleeper.pid))
        header = list(reporter.csv("task")[0])
        self.assertEqual([h for h in header if h.startswith("task_")], ["task_fd_count", "task_on_cpu_ns"]
                         if header.index("task_fd_count") < header.index("task_on_cpu_ns") else None)

    def test_columns_in_the_order_of_the_table(self):
        """CSV, JSON, --list metrics and the catalogue on the wire name the same metrics in the same order."""
        client = wire.Client(self.shared.socket)
        self.addCleanup(client.close)
        catalogue = [wire.decode(m) for m in client.greet()[5]]
        names = [m[2][0].decode() for m in catalogue]
        self.assertIn("task_on_cpu_ns", names)
        self.assertEqual(len(names), len(set(names)))
        free = [m[2][0].decode() for m in catalogue if m.get(6, [b""])[0].lower() == b"free" and not m.get(8, [b""])[0]]
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.report("-i", "0.2", "-d", "1", "--metrics", "free", "--json", "-", "-p", str(sleeper.pid))
        header = list(reporter.csv("task")[0])
        self.assertEqual(header[:9], ["time", "tid", "tgid", "ppid", "comm", "start_time", "uid", "cgroup", "rules"])
        self.assertEqual(header[9:], free)
        self.assertEqual([k for k in reporter.json(type="sample")[-1] if k in names], free)
        listed = self.report("--list", "metrics", csv=False).stdout
        at = [listed.find(name) for name in names]
        self.assertNotIn(-1, at)
        self.assertEqual(at, sorted(at))
