# SPDX-License-Identifier: BSD-2-Clause
"""A collector that goes and comes back: reporters tell the gap and go on, with figures that are right."""
import os
import signal

from harness import ALICE, SLOW, Test, json_lines, program, wall_ns

COUNTERS = ("task_on_cpu_ns", "task_off_cpu_ns", "task_syscr_count", "task_rchar_bytes", "task_utime_jiffies",
            "task_stime_jiffies", "task_minor_pagefault_count", "task_voluntary_switch_count")


class Gap(Test):
    def setUp(self):
        super().setUp()
        self.service = self.collector()

    def socket(self):
        return self.service.socket

    def kill(self):
        self.service.kill(signal.SIGKILL)
        self.assertEqual(self.service.wait(), -signal.SIGKILL)

    def restart(self, config=None):
        self.service = self.collector(config, socket=self.service.socket)

    def gap_of(self, *reporters, count=1):
        for reporter in reporters:
            self.until(lambda: len(reporter.events(event="gap")) == count, lambda: f"gap {count}: {reporter.stderr}")

    def sleeper(self):
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        return sleeper

    def gone_on(self, reporter, pid, rows=3):
        seen = len(reporter.cpu(PID=pid))
        self.until(lambda: len(reporter.cpu(PID=pid)) >= seen + rows, lambda: f"rows after the gap: {reporter.stderr}")


class Restart(Gap):
    def check_rows(self, rows):
        """Counters of a task never go back."""
        for key in {(r["tid"], r["start_time"]) for r in rows}:
            mine = [r for r in rows if (r["tid"], r["start_time"]) == key]
            for metric in COUNTERS:
                values = [r[metric] for r in mine]
                self.assertEqual(values, sorted(values), (key, metric))

    def check_windows(self, samples, gaps):
        """No window overlaps the one before it, or reaches into a gap."""
        last = {}
        for s in samples:
            key, end = (s["tid"], s["start_time"]), wall_ns(s["time"])
            if "window_ns" not in s:
                continue
            begin = end - s["window_ns"]
            self.assertGreaterEqual(begin, last.get(key, 0) - 1_000_000, s)
            for gap in gaps:
                self.assertFalse(begin < wall_ns(gap["time"]) < end, (s, gap))
            self.assertLessEqual(s["task_cpu_percent"], 100.1 * max(1, s.get("task_thread_count", 1)), s)
            last[key] = end

    def test_three_reporters_and_three_restarts(self):
        churn = self.workload("churn", "5", "7", "23")
        churn.fact("pid")
        sleeper = self.sleeper()
        json_path = [os.path.join(self.out_dir(), "out.json") for _ in range(3)]
        selection = (("-p", f"{churn.pid},{sleeper.pid}"), ("-t", "-p", str(churn.pid)), ("-n", "churn"))
        reporters = [self.reporter("-i", "0.2", "--json", path, *how) for path, how in zip(json_path, selection)]
        for reporter in reporters:
            self.until(lambda: reporter.cpu(PID=churn.pid), "a row")
        base = reporters[0].task(tid=churn.pid)[-1]["task_syscr_count"]
        for i in range(1, 4):
            self.kill()
            self.gap_of(*reporters, count=i)
            churn.step("round", i)  # while nobody looks
            self.restart()
            for reporter in reporters:
                self.gone_on(reporter, churn.pid)
        row = reporters[0].task(tid=churn.pid)[-1]
        self.assertEqual(row["task_syscr_count"] - base, 3 * 5 * 7 * 23)
        self.assertEqual(row["task_rchar_bytes"], reporters[2].task(tid=churn.pid)[-1]["task_rchar_bytes"])
        churn.end()
        sleeper.end()
        reporters[2].kill(signal.SIGTERM)
        for reporter, path in zip(reporters, json_path):
            self.assertEqual(reporter.wait(), 0, reporter.stderr)
            with open(path, encoding="utf-8") as f:
                lines = json_lines(f.read())
            gaps = [line for line in lines if line["type"] == "gap"]
            self.assertEqual(len(gaps), 3)
            self.assertEqual(len(reporter.events(event="gap")), 3)
            for gap in gaps:
                self.assertLessEqual(wall_ns(gap["since"]), wall_ns(gap["time"]))
            self.check_rows(reporter.task())
            self.check_windows([line for line in lines if line["type"] in ("sample", "end")], gaps)
            for row in reporter.cpu():
                self.assertTrue(row.end or (row.on_ms >= 0 and row.off_ms >= 0), row)
            self.assertEqual(len([r for r in reporter.cpu(TID=churn.pid) if r.end]), 1)

    def test_orderly_restart(self):
        """SIGTERM, as systemd does it."""
        sleeper = self.sleeper()
        reporter = self.reporter("-i", "0.2", "-p", str(sleeper.pid))
        self.until(reporter.cpu, "a row")
        self.assertEqual(self.service.end(signal.SIGTERM), 0)
        self.gap_of(reporter)
        self.restart()
        self.gone_on(reporter, sleeper.pid)
        sleeper.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(len(reporter.events(event="gap")), 1)

    def test_children_of_who_ended_in_the_gap(self):
        """They are watched on, though the process that was named is gone, and what they start then, too."""
        shell = self.workload("/bin/sh", "-c", f"echo sh=$$; {program('sleepers')} 1 & echo child=$!; read x; wait", stdout=None)
        child = shell.fact("child")
        reporter = self.reporter("--children", "-i", "0.2", "-p", str(shell.pid))
        self.until(lambda: reporter.cpu(PID=child), "rows of the child")
        self.kill()
        self.gap_of(reporter)
        shell.kill(signal.SIGKILL)
        shell.wait()
        self.restart()
        self.gone_on(reporter, child)
        os.kill(child, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(len(reporter.cpu(PID=child, Ticks="END")), 1)


class Ended(Gap):
    def test_one_of_two_ends_in_the_gap(self):
        stays, goes = self.sleeper(), self.sleeper()
        reporter = self.reporter("-i", "0.2", "-p", f"{stays.pid},{goes.pid}")
        self.until(lambda: reporter.cpu(PID=stays.pid) and reporter.cpu(PID=goes.pid), "both")
        self.kill()
        self.gap_of(reporter)
        goes.end()
        self.restart()
        self.gone_on(reporter, stays.pid)
        seen = len(reporter.cpu(PID=goes.pid))
        self.gone_on(reporter, stays.pid)
        self.assertEqual(len(reporter.cpu(PID=goes.pid)), seen)
        stays.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_all_end_in_the_gap(self):
        """It does not wait for a collector that may never come back."""
        sleeper = self.sleeper()
        reporter = self.reporter("-i", "0.2", "-p", str(sleeper.pid))
        self.until(reporter.cpu, "a row")
        self.kill()
        self.gap_of(reporter)
        sleeper.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_the_number_is_used_again_in_the_gap(self):
        stays, first = self.sleeper(), self.sleeper()
        reporter = self.reporter("-i", "0.2", "-m", "cpu,task", "-p", f"{first.pid},{stays.pid}")
        self.until(lambda: reporter.cpu(PID=first.pid) and reporter.cpu(PID=stays.pid), "both")
        self.kill()
        self.gap_of(reporter)
        first.end()
        taker = self.workload("pid_reuse", str(first.pid), user=0)
        if taker.fact("took") != first.pid:
            self.skipTest("somebody else took the process id")
        self.restart()
        self.gone_on(reporter, stays.pid)
        self.assertEqual(len({r["start_time"] for r in reporter.task(tid=first.pid)}), 1)
        stays.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_the_command_ends_in_the_gap(self):
        reporter = self.reporter("-i", "0.2", "--", program("leader_exit"))
        self.until(lambda: reporter.cpu() and "tid.stay-2=" in reporter.stdout, "a row")
        pid = int(dict(line.split("=", 1) for line in reporter.stdout.splitlines())["pid"])
        self.kill()
        self.gap_of(reporter)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 19, reporter.stderr)

    def test_the_command_goes_on(self):
        reporter = self.reporter("-i", "0.2", "-m", "cpu,task", "--", program("sleepers"), "1")
        self.until(lambda: reporter.cpu() and "pid=" in reporter.stdout, "a row")
        pid = reporter.cpu()[0].pid
        self.kill()
        self.gap_of(reporter)
        self.restart()
        self.gone_on(reporter, pid)
        os.kill(pid, signal.SIGTERM)
        reporter.wait()
        self.assertEqual(len([r for r in reporter.cpu() if r.end]), 1)

    def test_interrupted_in_the_gap(self):
        sleeper = self.sleeper()
        for sig in (signal.SIGINT, signal.SIGTERM):
            reporter = self.reporter("-i", "0.2", "-p", str(sleeper.pid))
            self.until(reporter.cpu, "a row")
            self.kill()
            self.gap_of(reporter)
            reporter.kill(sig)
            self.assertEqual(reporter.wait(), 0, reporter.stderr)
            self.restart()

    def test_time_is_up_in_the_gap(self):
        sleeper = self.sleeper()
        reporter = self.reporter("-i", "0.2", "-d", f"{2 * SLOW}", "-p", str(sleeper.pid))
        self.until(reporter.cpu, "a row")
        self.kill()
        self.gap_of(reporter)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertIsNone(sleeper.status)


class Refused(Gap):
    def test_the_new_one_refuses(self):
        sleeper = self.workload("sleepers", "1", user=ALICE)
        sleeper.fact("ready")
        reporter = self.reporter("-i", "0.2", "-p", str(sleeper.pid), user=ALICE)
        self.until(reporter.cpu, "a row")
        self.kill()
        self.gap_of(reporter)
        self.restart({"others": "deny"})
        self.assertEqual(reporter.wait(), 4, reporter.stderr)
        self.assertIn("serves only root", reporter.stderr)
