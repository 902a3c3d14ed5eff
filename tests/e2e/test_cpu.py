# SPDX-License-Identifier: BSD-2-Clause
"""CPU time: what a program uses, thread by thread, beside its own clocks."""
from harness import NS, SLOW, CLK_TCK, TICK_NS, SharedCollector, lived_on_ns, program

MS = NS // 1000  # one millisecond


def facts_of(reporter):
    """What a COMMAND printed: its output is the reporter's."""
    return {k: int(v) for k, _, v in (line.partition("=") for line in reporter.stdout.splitlines())}


class Burn(SharedCollector):
    """A program that burns exactly so much CPU time, launched by the reporter."""

    def assertUsed(self, ns, want_ns, told, last, more_ns=0):
        """Within 1 % and a tick of what it printed, but for what it used between that and its end."""
        within = want_ns / 100 + TICK_NS + more_ns
        self.assertBetween(want_ns - within, ns, want_ns + within + lived_on_ns(told["ended_ns"], last))

    def test_burn_3(self):
        reporter = self.report("-i", "1", "-m", "cpu,task", "--", program("burn"), "3")
        told = facts_of(reporter)
        rows, tasks = reporter.cpu(), reporter.task()
        self.assertEqual([r.end for r in rows], [False] * (len(rows) - 1) + [True], rows)
        self.assertGreaterEqual(len(rows), 3)
        self.assertEqual({(r.pid, r.tid) for r in rows}, {(told["pid"], told["pid"])})
        self.assertEqual(rows[-1].comm, "burn")

        on_ns = sum(r.on_ms for r in rows) * 1e6
        last = tasks[-1]
        self.assertTrue(last.end)
        self.assertUsed(on_ns, (told["utime_us"] + told["stime_us"]) * 1000, told, last)
        self.assertUsed(on_ns, told["cpu_ns"], told, last)

        # The last row of task.csv holds the figures of the whole life.
        self.assertUsed(last["task_on_cpu_ns"], told["cpu_ns"], told, last)
        life_ns = last["task_on_cpu_ns"] + last["task_off_cpu_ns"] + last["task_run_delay_ns"]
        self.assertLessEqual(last["start_time"], told["started_ns"])
        self.assertBetween(told["ended_ns"], last["start_time"] + life_ns, told["ended_ns"] + SLOW * NS / 2, "end of the process")
        # ON + OFF + waiting for a CPU is all the time that was watched: at least all of main().
        watched_ns = on_ns + sum(r.off_ms for r in rows) * 1e6 + last["task_run_delay_ns"]
        self.assertBetween(told["ended_ns"] - told["started_ns"] - MS, watched_ns, life_ns + MS)

        jiffies = last["task_utime_jiffies"] + last["task_stime_jiffies"]
        self.assertUsed(jiffies * NS / CLK_TCK, told["cpu_ns"], told, last, 3 * NS / CLK_TCK)
        self.assertBetween(told["minflt"], last["task_minor_pagefault_count"], told["minflt"] + 53)
        self.assertBetween(told["nvcsw"], last["task_voluntary_switch_count"], told["nvcsw"] + 23)
        self.assertGreaterEqual(last["task_involuntary_switch_count"], told["nivcsw"])

    def test_windows_say_the_same_in_both_files(self):
        reporter = self.report("-i", "0.3", "-m", "cpu,task", "--", program("burn"), "1")
        rows, tasks = reporter.cpu(), reporter.task()
        self.assertEqual(len(rows), len(tasks[-len(rows):]))
        tasks = tasks[-len(rows):]
        for row, before, after in zip(rows[1:], tasks, tasks[1:]):
            self.assertNear(row.on_ms * 1e6, after["task_on_cpu_ns"] - before["task_on_cpu_ns"], MS, f"{row}")
            # of the same two samples, whose instants task.csv tells; Ticks is the tick's
            self.assertNear(row.percent, 100 * row.on_ms * 1e6 / (after.at - before.at), 0.1, f"{row}")

    def test_more_than_32_bits_of_nanoseconds(self):
        """Two threads, 5 CPU seconds: sums beyond 2^32 ns; a process may read up to 100 % per thread."""
        reporter = self.report("-i", "1", "-m", "cpu,task", "--", program("burn"), "5", "2")
        told = facts_of(reporter)
        rows, last = reporter.cpu(), reporter.task()[-1]
        self.assertGreater(told["cpu_ns"], 2 ** 32)
        self.assertUsed(last["task_on_cpu_ns"], told["cpu_ns"], told, last)
        self.assertUsed(sum(r.on_ms for r in rows) * 1e6, told["cpu_ns"], told, last, TICK_NS)
        for row in rows:
            self.assertLessEqual(row.percent, 200.5, row)


class Duty(SharedCollector):
    """Five threads of different duty, beside the CPU clock of each."""

    def test_threads_and_their_process(self):
        duty = self.workload("duty", "60", "0", "10", "33", "50", "100")
        tids = {name: duty.fact("tid." + name) for name in ("duty-0", "duty-10", "duty-33", "duty-50", "duty-100")}
        tids["duty"] = duty.pid
        threads = self.reporter("-t", "-i", "1", "-m", "cpu,task", "-p", str(duty.pid))
        process = self.reporter("-i", "1", "-m", "cpu,task", "-p", str(duty.pid))
        self.until(lambda: len(threads.cpu(TID=tids["duty-33"])) >= 5 and len(process.cpu()) >= 5, "five windows")
        self.assertEqual(duty.end(), 0)
        self.assertEqual((threads.wait(), process.wait()), (0, 0), threads.stderr + process.stderr)

        readings = [line.split()[1:] for line in duty.stdout.splitlines() if line.startswith("w ")]
        readings = [(int(r[0]), int(r[1]), {int(t): int(ns) for t, _, ns in (w.partition(":") for w in r[2:])}) for r in readings]

        checked = 0
        for name, tid in tids.items():
            rows = threads.cpu(TID=tid)
            self.assertEqual({r.comm for r in rows}, {name})
            self.assertEqual([r.end for r in rows].count(True), 1, rows)
            self.assertTrue(rows[-1].end)
            checked += self.compare(threads.task(tid=tid), [(t0, t1, ns[tid]) for t0, t1, ns in readings], 1)
        self.assertGreaterEqual(checked, 6 * 4)
        for row in threads.cpu():
            self.assertBetween(0, row.percent, 100, row)
        rows = process.cpu()
        self.assertEqual({(r.pid, r.tid, r.comm) for r in rows}, {(duty.pid, duty.pid, "duty")})
        self.compare(process.task(), [(t0, t1, sum(ns.values())) for t0, t1, ns in readings], len(tids))

        # The process is the sum of its threads, in all its counters, to the end.
        total, = [r for r in process.task() if r.end]
        parts = [r for r in threads.task() if r.end]
        self.assertEqual({r["tid"] for r in parts}, set(tids.values()))
        for metric in ("task_minor_pagefault_count", "task_syscr_count", "task_wchar_bytes", "task_syscw_count"):
            self.assertEqual(total[metric], sum(r[metric] for r in parts), metric)
        for metric in ("task_on_cpu_ns", "task_run_delay_ns"):
            # 7.x may skip the program at a thread's exit, and the kernel keeps no run delay; that is told
            skipped = metric == "task_run_delay_ns" and process.losses().get("skipped", 0)
            parts_ns = sum(r[metric] for r in parts)
            slack = len(parts) * MS * SLOW
            self.assertBetween(0 if skipped else parts_ns - slack, total[metric], parts_ns + slack, metric)
        for metric in ("task_voluntary_switch_count", "task_involuntary_switch_count"):
            self.assertNear(total[metric], sum(r[metric] for r in parts), 2 * len(parts) * SLOW, metric)

    def compare(self, rows, readings, rate):
        """The CPU time in each window between two samples, beside what the readings (begun, done, ns) leave possible: a
        clock never goes back, and gains at most `rate` times the time that passes. Returns how many were compared."""
        def possible(t):
            before = [r for r in readings if r[1] <= t]
            after = [r for r in readings if r[0] >= t]
            if not before or not after:
                return None
            (begun, _, least), (_, done, most) = before[-1], after[0]
            return max(least, most - rate * (done - t)), min(most, least + rate * (t - begun))
        checked = 0
        for earlier, later in zip(rows, rows[1:]):
            a, b = possible(earlier.at), possible(later.at)
            if a and b:
                used = later["task_on_cpu_ns"] - earlier["task_on_cpu_ns"]
                self.assertBetween(b[0] - a[1] - TICK_NS - MS, used, b[1] - a[0] + TICK_NS + MS, f"{earlier} {later}")
                checked += 1
        return checked


class Idle(SharedCollector):
    def test_an_idle_process_has_a_row_each_tick(self):
        sleeper = self.workload("sleepers", "3")
        sleeper.fact("ready")
        reporter = self.report("-i", "0.5", "-d", "3.2", "-m", "cpu,task", "-p", str(sleeper.pid))
        rows = [r for r in reporter.cpu() if not r.end]
        self.assertGreaterEqual(len(rows), 6)
        for row in rows:
            self.assertEqual((row.on_ms, row.percent), (0, 0), row)
        tasks = reporter.task()[-len(rows):]
        for row, earlier, task in zip(rows[1:], tasks, tasks[1:]):
            # three threads were off for the whole window, from one sample to the next
            self.assertNear(row.off_ms * 1e6, 3 * (task.at - earlier.at), MS, row)

    def test_run_delay_of_rivals(self):
        """Two threads bound to one CPU wait for each other: their delay is about the CPU time of the other."""
        import os
        cpu = min(os.sched_getaffinity(0))
        rivals = [self.workload("burn", "1") for _ in range(2)]
        for rival in rivals:
            os.sched_setaffinity(rival.pid, {cpu})
        reporter = self.report("-i", "0.5", "-m", "cpu,task", "-p", ",".join(str(r.pid) for r in rivals))
        for rival in rivals:
            last, = [r for r in reporter.task(tid=rival.pid) if r.end]
            told = rival.facts()
            self.assertEqual(rival.wait(), 0)
            within = told["cpu_ns"] / 100 + TICK_NS * SLOW  # the clocks of a guest that is emulated on a busy host are that far apart
            self.assertBetween(told["cpu_ns"] - within, last["task_on_cpu_ns"],
                               told["cpu_ns"] + within + lived_on_ns(told["ended_ns"], last))
            off_and_delay = told["ended_ns"] - told["started_ns"] - told["cpu_ns"]
            self.assertBetween(0.7 * off_and_delay, last["task_run_delay_ns"], 1.1 * off_and_delay + 50 * SLOW * MS)
            self.assertLess(last["task_off_cpu_ns"], 0.3 * off_and_delay + 100 * MS)
