# SPDX-License-Identifier: BSD-2-Clause
"""Births, deaths, exec and new names: nothing is attributed to the wrong task, and every last window is reported."""
import os
import re
import signal
import time

from harness import NOBODY, NS, ROOT, SLOW, TICK_NS, SharedCollector, Stat, cpu_clock_ns, keyed, lived_on_ns, program, threads_of, wall_ns


def ends(rows):
    return [r for r in rows if r.end]


class Children(SharedCollector):
    LOOP = "i=0; while [ $i -lt 53 ]; do /bin/true; i=$((i+1)); done"

    def test_53_short_lives(self):
        reporter = self.report("--children", "-m", "cpu,task", "--", "sh", "-c", self.LOOP)
        exits = reporter.events(event="exit", comm="true")
        self.assertEqual(len(exits), 53)
        self.assertEqual({e["detail"] for e in exits}, {"status=0"})
        self.assertEqual(len({(e["tid"], e["tgid"]) for e in exits}), 53)
        rows = reporter.cpu(COMM="true")
        self.assertEqual([r.end for r in rows], [True] * 53)
        self.assertEqual({str(r.pid) for r in rows}, {e["tid"] for e in exits})
        for row in rows:
            self.assertGreater(row.on_ms, 0, row)
        for row in ends(reporter.task(comm="true")):
            self.assertGreater(row["task_minor_pagefault_count"], 0)

        # Its name is decided at exec: a fork bears the name of its parent.
        forks = reporter.events(event="fork")
        self.assertEqual(len(forks), 53)
        self.assertEqual({f["comm"] for f in forks}, {"sh"})
        shell = ends(reporter.cpu(COMM="sh"))
        self.assertEqual(len(shell), 1, shell)
        self.assertEqual({f["detail"] for f in forks}, {f"by={shell[0].pid} (sh)"})
        execs = reporter.events(event="exec", comm="true")
        self.assertEqual(len(execs), 53)
        self.assertEqual({e["detail"] for e in execs}, {"from=sh"})
        self.assertEqual({e["tid"] for e in execs}, {f["tid"] for f in forks})
        times = [wall_ns(e["time"]) for e in reporter.events()]
        self.assertEqual(times, sorted(times))
        self.assertEqual(reporter.losses(), {})

    def test_children_only_where_asked(self):
        reporter = self.report("--no-children", "-m", "cpu,task", "--", "sh", "-c", self.LOOP)
        self.assertEqual(reporter.cpu(COMM="true"), [])
        self.assertEqual(reporter.events(comm="true"), [])
        self.assertEqual(len(ends(reporter.cpu(COMM="sh"))), 1)
        self.assertEqual(len(reporter.events(event="exit")), 1)

        forks = self.workload("forks", "7")
        forks.fact("pid")
        alone = self.reporter("-i", "0.2", "-p", str(forks.pid))
        family = self.reporter("-i", "0.2", "--children", "-p", str(forks.pid))
        self.until(lambda: alone.cpu() and family.cpu(), "both watch")
        forks.step("forks", 7)
        forks.step("forks", 14)
        forks.end()
        self.assertEqual((alone.wait(), family.wait()), (0, 0))
        self.assertEqual(len(family.events(event="exit")), 15)
        self.assertEqual({r.pid for r in alone.cpu()}, {forks.pid})
        self.assertEqual({e["tgid"] for e in alone.events(event="exit")}, {str(forks.pid)})

    def test_children_of_a_dead_parent_stay_watched(self):
        reporter = self.report("-i", "0.3", "-m", "cpu,task", "--", program("family"), "23", status=2)
        told = dict(line.split("=") for line in reporter.stdout.splitlines())
        self.assertEqual(told.get("children"), "23", reporter.stdout)
        children = ends(reporter.task(comm="child"))
        self.assertEqual(len(children), 23)
        for child in children:
            self.assertEqual(child["task_rchar_bytes"], 7 * 101)
            self.assertEqual(child["task_syscr_count"], 7)
            self.assertEqual(child["ppid"], int(told["heir"]))
        self.assertEqual(len(reporter.events(event="exit", comm="child", detail="status=11")), 23)
        self.assertEqual(len(reporter.events(event="exit", comm="heir", detail="status=13")), 1)
        self.assertEqual(len(reporter.events(event="exit", tgid=told["pid"], detail="status=2")), 1)

    def test_what_ends_by_a_signal(self):
        reporter = self.report("--", "sh", "-c", "sh -c 'kill -9 $$'; sh -c 'kill -15 $$'; exit 3", status=3)
        details = sorted(e["detail"] for e in reporter.events(event="exit"))
        self.assertEqual(details, ["signal=15", "signal=9", "status=3"])


class Ends(SharedCollector):
    def test_last_window_of_a_process_that_no_tick_saw(self):
        """An interval of an hour: all figures come with the final record."""
        reporter = self.reporter("-i", "3600", "-m", "cpu,task", "--", program("ledger"))
        self.until(lambda: "pid=" in reporter.stdout, "the program runs")
        pid = int(reporter.stdout.split("=")[1])
        before = keyed(f"/proc/{pid}/io")
        os.kill(pid, signal.SIGUSR1)
        self.until(lambda: keyed(f"/proc/{pid}/io")["syscw"] == before["syscw"] + 17, "the round is over")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        row, = reporter.cpu()
        self.assertEqual((row.pid, row.end), (pid, True))
        self.assertGreater(row.off_ms, 0)
        last, = reporter.task()
        self.assertEqual((last["tgid"], last.end), (pid, True))
        self.assertEqual(last["task_wchar_bytes"], before["wchar"] + 17 * 211)
        self.assertEqual(last["task_rchar_bytes"], before["rchar"] + 23 * 101)

    def test_a_zombie_has_ended(self):
        """The end is the exit, not when the parent cares to look."""
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.reporter("-i", "0.5", "-p", str(sleeper.pid))
        self.until(reporter.cpu, "a row")
        os.kill(sleeper.pid, signal.SIGKILL)  # and nobody waits for it
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(Stat(sleeper.pid).state, "Z")
        self.assertEqual(len(ends(reporter.cpu())), 1)
        event, = reporter.events(event="exit")
        self.assertEqual(event["detail"], "signal=9")

    def test_reporter_goes_on_until_the_last_one(self):
        first, second = (self.workload("sleepers", "1") for _ in range(2))
        first.fact("ready"), second.fact("ready")
        reporter = self.reporter("-i", "0.2", "-p", f"{first.pid},{second.pid}")
        self.until(lambda: {r.pid for r in reporter.cpu()} == {first.pid, second.pid}, "rows of both")
        first.end()
        seen = len(reporter.cpu(PID=second.pid))
        self.until(lambda: len(reporter.cpu(PID=second.pid)) > seen + 3, "rows of the second go on")
        self.assertIsNone(reporter.status)
        second.end()
        self.assertEqual(reporter.wait(), 0)
        self.assertEqual(sorted(r.pid for r in ends(reporter.cpu())), sorted((first.pid, second.pid)))


class Threads(SharedCollector):
    def test_main_thread_exits_first(self):
        stay = self.workload("leader_exit")
        tids = [stay.fact(f"tid.stay-{i}") for i in range(3)]
        self.until(lambda: Stat(stay.pid).state == "Z", "the main thread has exited")
        reporter = self.reporter("-i", "0.3", "-m", "cpu,task", "-p", str(stay.pid))
        threads = self.reporter("-t", "-i", "0.3", "-m", "cpu,task", "-p", str(stay.pid))
        self.until(lambda: len(reporter.task()) >= 2 and threads.task(tid=tids[0]), "rows")
        before = reporter.task()[-1]
        stay.step("step", 1)
        stay.step("step", 2)
        self.until(lambda: reporter.task()[-1]["task_rchar_bytes"] >= before["task_rchar_bytes"] + 2 * 23 * 101, "the work is seen")
        seen = len(reporter.task())
        row = self.until(lambda: len(reporter.task()) > seen + 1 and reporter.task()[-1], "another row")
        self.assertEqual((row["tid"], row["tgid"]), (stay.pid, stay.pid))
        self.assertEqual(row["comm"], "leader_exit")
        self.assertEqual(row["task_rchar_bytes"] - before["task_rchar_bytes"], 2 * 23 * 101)
        self.assertEqual(row["task_syscr_count"] - before["task_syscr_count"], 2 * 23)
        self.assertEqual(row["task_fd_count"], len(os.listdir(f"/proc/{stay.pid}/task/{tids[0]}/fd")))
        self.assertEqual(row["task_thread_count"], Stat(stay.pid).threads)
        used = cpu_clock_ns(stay.pid) # it sleeps
        self.assertBetween(stay.facts()["cpu_ns"], row["task_on_cpu_ns"], used)
        self.assertNear(row["task_on_cpu_ns"], used, 1_000_000)
        self.assertGreater(row["task_vm_size"], 0)
        with open(f"/proc/{stay.pid}/task/{tids[0]}/statm", encoding="ascii") as f:
            self.assertEqual(row["task_vm_size"] // os.sysconf("SC_PAGE_SIZE"), int(f.read().split()[0]))
        self.assertEqual({r["tid"] for r in threads.task() if r["task_state"] != "Z"} - {stay.pid}, set(tids))

        killed_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        stay.kill(signal.SIGTERM)
        self.assertEqual((reporter.wait(), threads.wait()), (0, 0), reporter.stderr + threads.stderr)
        self.assertEqual(stay.wait(), 19)
        last, = ends(reporter.task())
        self.assertBetween(used, last["task_on_cpu_ns"], used + len(tids) * lived_on_ns(killed_ns, last))
        exits = reporter.events(event="exit")
        self.assertEqual([(int(e["tgid"]), e["detail"]) for e in exits], [(stay.pid, "status=19")])
        self.assertLessEqual(set(tids), {r["tid"] for r in ends(threads.task())})

    def test_watched_while_the_main_thread_exits(self):
        """It is not taken for the end of the process, in neither view."""
        reporter = self.reporter("-i", "0.2", "-m", "cpu,task", "--", program("leader_exit"))
        self.until(lambda: "tid.stay-2=" in reporter.stdout, "the threads exist")
        told = dict(line.split("=", 1) for line in reporter.stdout.splitlines())
        pid = int(told["pid"])
        self.until(lambda: Stat(pid).state == "Z", "the main thread has exited")
        seen = len(reporter.cpu(PID=pid))
        self.until(lambda: len(reporter.cpu(PID=pid)) > seen + 2, "rows of the process go on")
        self.assertEqual(ends(reporter.cpu()), [])
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 19, reporter.stderr)
        row, = ends(reporter.cpu())
        self.assertEqual((row.pid, row.tid), (pid, pid))
        self.assertGreaterEqual(sum(r.on_ms for r in reporter.cpu()), 53 - TICK_NS / 1e6)

    def test_exec_by_another_thread(self):
        caller = self.workload("thread_exec")
        old_tid = caller.fact("caller_tid")
        process = self.reporter("-i", "0.2", "-m", "cpu,task", "-p", str(caller.pid))
        threads = self.reporter("-t", "-i", "0.2", "-m", "cpu,task", "-p", str(caller.pid))
        self.until(lambda: process.task() and threads.task(tid=old_tid), "both watch")
        tids = threads_of(caller.pid)
        self.assertEqual(len(tids), 4)
        caller.kill(signal.SIGUSR1)
        self.assertEqual(caller.fact("after_tid"), caller.pid)
        self.assertEqual(caller.fact("after_pid"), caller.pid)
        caller.step("done", 1)
        for reporter in (process, threads):
            seen = len(reporter.task(tid=caller.pid))
            self.until(lambda: len(reporter.task(tid=caller.pid)) > seen + 2, "rows after the exec")
        rchar = int(open(f"/proc/{caller.pid}/io", encoding="ascii").readline().split()[1])
        row = process.task()[-1]
        self.assertEqual(row["task_rchar_bytes"], rchar)
        self.assertEqual(row["task_thread_count"], 1)
        self.assertGreaterEqual(row["task_on_cpu_ns"], caller.facts()["cpu_ns"])
        self.assertNear(row["task_on_cpu_ns"], cpu_clock_ns(caller.pid), 1_000_000) # it sleeps
        caller.kill(signal.SIGTERM)
        self.assertEqual((process.wait(), threads.wait()), (0, 0), process.stderr + threads.stderr)
        self.assertEqual(caller.wait(), 29)

        # One process from start to end, whose counters never went back.
        rows = process.task()
        self.assertEqual({(r["tid"], r["tgid"], r["start_time"]) for r in rows}, {(caller.pid, caller.pid, rows[0]["start_time"])})
        for metric in ("task_on_cpu_ns", "task_rchar_bytes", "task_syscr_count", "task_minor_pagefault_count",
                       "task_utime_jiffies", "task_stime_jiffies", "task_voluntary_switch_count"):
            values = [r[metric] for r in rows]
            self.assertEqual(values, sorted(values), metric)
        self.assertEqual(len(ends(rows)), 1)
        exec_event, = process.events(event="exec")
        self.assertEqual((exec_event["tgid"], exec_event["comm"]), (str(caller.pid), os.path.basename("/proc/self/exe")))
        exit_event, = process.events(event="exit")
        self.assertEqual(exit_event["detail"], "status=29")

        # Each of the old threads has one end; the caller went on under the tid of the main thread.
        for tid in tids:
            self.assertEqual(len(ends(threads.task(tid=tid))), 1 if tid != caller.pid else len(ends(threads.task(tid=tid))), tid)
        self.assertGreaterEqual(len(ends(threads.task(tid=caller.pid))), 1)
        final = ends(threads.task(tid=caller.pid))[-1]
        self.assertEqual(final["comm"], "exe")
        for row in threads.cpu():
            self.assertBetween(0, row.percent, 100, row)
        for tid in tids:
            for key in {(r["tid"], r["start_time"]) for r in threads.task(tid=tid)}:
                values = [r["task_on_cpu_ns"] for r in threads.task(tid=tid) if (r["tid"], r["start_time"]) == key]
                self.assertEqual(values, sorted(values), key)

    def test_threads_that_come_and_go(self):
        churn = self.workload("churn", "5", "7", "23")
        churn.fact("pid")
        process = self.reporter("-i", "0.2", "-m", "cpu,task", "-p", str(churn.pid))
        threads = self.reporter("-t", "-i", "0.2", "-m", "cpu,task", "-p", str(churn.pid))
        self.until(lambda: process.task() and threads.task(), "both watch")
        start = process.task()[-1]
        churn.step("round", 1)
        # The sum keeps what the exited threads left.
        want = start["task_syscr_count"] + 5 * 7 * 23
        self.until(lambda: process.task()[-1]["task_syscr_count"] >= want, "the reads of the first round")
        churn.step("round", 2)
        want += 5 * 7 * 23
        self.until(lambda: process.task()[-1]["task_syscr_count"] >= want, "the reads of the second round")
        seen = len(process.task())
        row = self.until(lambda: len(process.task()) > seen + 1 and process.task()[-1], "an idle row")
        self.assertEqual(row["task_syscr_count"], want)
        self.assertEqual(row["task_rchar_bytes"] - start["task_rchar_bytes"], 2 * 5 * 7 * 23 * 101)
        self.assertEqual(row["task_thread_count"], 1)
        self.assertGreaterEqual(row["task_on_cpu_ns"], churn.facts()["cpu_ns"])
        self.assertNear(row["task_on_cpu_ns"], cpu_clock_ns(churn.pid), 1_000_000) # it sleeps
        churn.end()
        self.assertEqual((process.wait(), threads.wait()), (0, 0))

        gone = [r for r in ends(threads.task()) if r["tid"] != churn.pid]
        self.assertEqual(len(gone), 2 * 5 * 7)
        self.assertEqual(len({(r["tid"], r["start_time"]) for r in gone}), 2 * 5 * 7)
        for r in gone:
            self.assertEqual((r["task_syscr_count"], r["task_rchar_bytes"]), (23, 23 * 101))
            self.assertGreaterEqual(r["task_on_cpu_ns"], 3_000_000)
            self.assertEqual(r["tgid"], churn.pid)
        # The process ends with the sum of all threads that it ever had; they use some CPU after their last row.
        teardown = len(gone) * 50_000 * SLOW
        last, = ends(process.task())
        # What the kernel does not keep of a thread is lost if it skips our program at the thread's exit (7.x); that is told.
        skipped = process.losses().get("skipped", 0)
        for metric, within, kept in (("task_migration_count", 0, False), ("task_syscr_count", 0, True), ("task_on_cpu_ns", 0.02, True),
                                     ("task_run_delay_ns", 0.02, False), ("task_off_cpu_ns", 0.02 * SLOW, False),
                                     ("task_voluntary_switch_count", 0.02, True), ("task_minor_pagefault_count", 0, True)):
            parts = sum(r[metric] for r in ends(threads.task()))
            more = parts * within + (5_000_000 + teardown if metric.endswith("_ns") else 3 * SLOW if within else 0)
            self.assertBetween(0 if skipped and not kept else parts - more, last[metric], parts + more, metric)
        rows = process.task()
        for metric in ("task_on_cpu_ns", "task_syscr_count", "task_utime_jiffies", "task_stime_jiffies", "task_run_delay_ns",
                       "task_voluntary_switch_count", "task_migration_count", "task_off_cpu_ns"):
            values = [r[metric] for r in rows]
            self.assertEqual(values, sorted(values), metric)


class Reuse(SharedCollector):
    def test_one_pid_twice_within_an_interval(self):
        reporter = self.report("-i", "60", "-m", "cpu,task", "--", program("pid_reuse"), user=ROOT)
        told = dict(line.split("=") for line in reporter.stdout.splitlines())
        pid = told["reused"]
        rows = ends(reporter.task(tid=pid))
        self.assertEqual([r["comm"] for r in rows], ["first", "second"])
        self.assertEqual([r["task_syscr_count"] for r in rows], [23, 41])
        self.assertEqual([r["task_rchar_bytes"] for r in rows], [23 * 101, 41 * 101])
        self.assertLess(rows[0]["start_time"], rows[1]["start_time"])
        for row, cpu in zip(rows, ends(reporter.cpu(PID=pid))):
            self.assertEqual(cpu.comm, row["comm"])
            self.assertBetween(2 - TICK_NS / 1e6, cpu.on_ms, 500, cpu)
            self.assertNear(cpu.on_ms * 1e6, row["task_on_cpu_ns"], 1_000_000, cpu)
        exits = reporter.events(event="exit", tid=pid)
        self.assertEqual([(e["comm"], e["detail"]) for e in exits], [("first", "status=3"), ("second", "status=5")])
        self.assertEqual(len(reporter.events(event="fork", tid=pid)), 2)

    def test_watching_a_pid_is_watching_that_process(self):
        """A process that gets the number of a watched one that has ended is somebody else."""
        forks = self.workload("forks", "1")
        forks.fact("pid")
        first = self.workload("sleepers", "1")
        first.fact("ready")
        watch = self.reporter("-i", "0.2", "-m", "cpu,task", "-p", f"{first.pid},{forks.pid}")
        self.until(lambda: watch.task(tid=first.pid) and watch.task(tid=forks.pid), "both are watched")
        first.end()
        taker = self.workload("pid_reuse", str(first.pid), user=ROOT)
        if taker.fact("took") != first.pid:
            self.skipTest("somebody else took the process id")
        seen = len(watch.task(tid=forks.pid))
        self.until(lambda: len(watch.task(tid=forks.pid)) > seen + 3, "some more ticks")
        starts = {r["start_time"] for r in watch.task(tid=first.pid)}
        self.assertEqual(len(starts), 1)
        self.assertTrue(watch.task(tid=first.pid)[-1].end)
        forks.end()
        self.assertEqual(watch.wait(), 0)


class Names(SharedCollector):
    NAMES = [b"a b", b"x) R 1 2 (y", b"co,mma", b'q"uo"te', b"line\nbreak", b"\xff\xfe\x80", b"100% ;|=@", b" lead trail ", "\u4e2d\u6587".encode()]

    @staticmethod
    def shown(name):
        """A pattern for a name in an output: as it is, but for control characters and what is not UTF-8."""
        pattern = "".join(c if c.isprintable() and c != "\ufffd" else "\0" for c in name.decode("utf-8", "replace"))
        return re.sub("(\0)+", ".{1,12}", re.escape(pattern).replace("\\\0", "\0"))

    def test_any_name(self):
        """-p of a process whose name imitates /proc/PID/stat; every name comes out as CSV that parses."""
        rename = self.workload("rename", *self.NAMES)
        rename.fact("pid")
        reporter = self.reporter("-i", "0.1", "-m", "cpu,task", "-p", str(rename.pid))
        self.until(reporter.task, "a row")
        for i, name in enumerate(self.NAMES):
            if i:
                rename.step("renamed", i)
            seen = len(reporter.task())
            row = self.until(lambda: len(reporter.task()) > seen + 1 and reporter.task()[-1], "a row with this name")
            self.assertRegex(row["comm"], f"(?s)^{self.shown(name)}$")
            self.assertTrue(row["comm"].isprintable(), row)
            self.assertEqual((row["tid"], row["ppid"], row["uid"]), (rename.pid, os.getpid(), NOBODY))
            self.assertEqual(row["start_time"] * os.sysconf("SC_CLK_TCK") // NS, Stat(rename.pid).start_ticks)
        rename.end()
        self.assertEqual(reporter.wait(), 0)
        events = reporter.events(event="rename")
        self.assertEqual(len(events), len(self.NAMES) - 1)
        self.assertEqual(events[0]["detail"], "from=a b")
        self.assertEqual(events[0]["comm"], "x) R 1 2 (y")
        self.assertEqual({r.pid for r in reporter.cpu()}, {rename.pid})
        self.assertEqual(len(ends(reporter.cpu())), 1)

    def test_any_name_in_json(self):
        rename = self.workload("rename", b'q"\\\x01\t', b"\xc3(", b"\xe4\xb8\xad\xe6\x96\x87")
        rename.fact("pid")
        reporter = self.reporter("-i", "0.1", "--json", "-", "-p", str(rename.pid), csv=False)
        self.until(lambda: [r for r in reporter.json(type="sample") if r["comm"].startswith('q"\\')], "the first name")
        rename.step("renamed", 1)
        rename.step("renamed", 2)
        self.until(lambda: reporter.json(type="sample", comm="中文"), "the last name")
        rename.end()
        self.assertEqual(reporter.wait(), 0)
        self.assertEqual(len([r for r in reporter.json(type="event") if r["event"] == "rename"]), 2)
        self.assertEqual(len(reporter.json(type="end")), 1)

    def test_selection_by_name(self):
        """-n takes names as they are now, whole or as a glob."""
        web = [self.workload("rename", n) for n in ("web-1", "web-22", "webx")]
        other = self.workload("rename", "not-web-1")
        for w in (*web, other):
            w.fact("pid")
        glob = self.reporter("-i", "0.2", "-n", "web-*")
        exact = self.reporter("-i", "0.2", "-n", "webx")
        self.until(lambda: {r.pid for r in glob.cpu()} == {web[0].pid, web[1].pid}, "both of web-*")
        self.until(lambda: {r.pid for r in exact.cpu()} == {web[2].pid}, "webx")
        seen = len(glob.cpu())
        self.until(lambda: len(glob.cpu()) > seen + 5, "some more ticks")
        self.assertEqual({r.pid for r in glob.cpu()}, {web[0].pid, web[1].pid})
        for reporter in (glob, exact):
            reporter.kill(signal.SIGINT)
            self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_new_processes_are_selected_by_name(self):
        """A process that gets the name by exec after the reporter has started."""
        early = self.workload("rename", "early-bird")
        early.fact("pid")
        reporter = self.reporter("-i", "0.2", "-n", "*-bird")
        self.until(lambda: reporter.cpu(PID=early.pid), "the first")
        late = self.workload("rename", "late-bird")
        late.fact("pid")
        self.until(lambda: reporter.cpu(PID=late.pid, COMM="late-bird"), "the second")
        late.end()
        self.until(lambda: reporter.cpu(PID=late.pid, Ticks="END"), "its end")
        reporter.kill(signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
