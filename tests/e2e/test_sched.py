# SPDX-License-Identifier: BSD-2-Clause
"""The longest stretches within a window: off the CPU, waiting for I/O, waiting for a CPU. A stretch belongs to the window in which
it ends, and while it is open to every window with its length so far."""
import collections
import os
import signal
import tempfile
import threading
import time

from harness import CLK_TCK, NS, TICK_NS, SharedCollector, Stat, threads_of

OFF, IO, DELAY = MAXIMA = ("task_switch_offcpu_time_max", "task_io_wait_time_max", "task_run_delay_max")
METRICS = ",".join(MAXIMA)
MS = NS // 1000  # one millisecond
EDGE = 2 * MS  # rows have the time of a clock that is being disciplined

# What a thread of the program `naps` says of a stretch of its life; see there.
Gap = collections.namedtuple("Gap", "tid begin end cpu switches kind")


class Window(collections.namedtuple("Window", "begin end taken row")):
    """From one row to the next. `taken`: its maxima were read after `end` and before this."""

    @staticmethod
    def all_of(rows, begin=None):
        """With `begin` the first row has a window too: from a moment before its reporter was started."""
        at = ([begin] if begin else []) + [row.at for row in rows]
        rows = rows if begin else rows[1:]
        return [Window(at[i], at[i + 1], at[i + 2] if i + 2 < len(at) else None, row) for i, row in enumerate(rows)]


def taken_from_tasks_ns():
    """Of all CPUs, by interrupts and the hypervisor: the clock by which the kernel tells since when a task has not run stands meanwhile
    (update_rq_clock_task(), kernel/sched/core.c)."""
    with open("/proc/stat", encoding="ascii") as f:
        return sum(map(int, f.readline().split()[6:9])) * NS // CLK_TCK


class Naps(SharedCollector):
    def naps(self, *args, tids):
        program = self.workload("naps", *args)
        return program, {tid: program.fact(f"tid.{tid}") for tid in tids}

    @staticmethod
    def gaps(program):
        lines = [line.split() for line in program.stdout.splitlines(keepends=True) if line.startswith("w ") and line.endswith("\n")]
        return [Gap(*map(int, words[1:6]), words[6]) for words in lines]

    def long_naps(self, program, count=1):
        """Starts one more, and waits until the main thread has had it."""
        program.step("longs", program.facts().get("longs", 0) + count)

    @staticmethod
    def over(window, gaps):
        """Gaps of which the window can know."""
        return [g for g in gaps if g.end > window.begin - EDGE and g.begin < window.taken + EDGE]

    def check(self, program, rows, tids, begin=None, slack_ns=TICK_NS):
        """Each maximum between what the gaps of these threads say: no stretch was longer than a gap it lies in; in a gap with n
        stretches one was at least an n-th of the time without CPU. Returns the windows."""
        self.until(lambda: self.gaps(program)[-1].begin > rows[-1].at + NS / 10, "the witness of the last window")
        gaps = [g for g in self.gaps(program) if g.tid in tids and g.switches > 0]
        windows = [w for w in Window.all_of(rows, begin) if w.taken]
        self.assertTrue(windows)
        before = None
        for window in windows:
            value = window.row[OFF]
            self.assertLessEqual(value, max(min(g.end, window.taken + EDGE) - g.begin for g in self.over(window, gaps)), window)
            # with `begin` the first window begins at some moment after it: what must be in it is not known
            for gap in gaps if not begin or window is not windows[0] else ():
                off = (gap.end - gap.begin - gap.cpu) // gap.switches - TICK_NS
                if window.begin < gap.end < window.end:  # it may also have ended just before the last reading
                    self.assertGreaterEqual(max(value, before or 0), off, (window, gap))
                if gap.switches == 1 and gap.begin < window.begin and gap.end > window.taken:
                    since = window.end if len(tids) == 1 else window.begin
                    self.assertGreaterEqual(value, since - gap.begin - gap.cpu - slack_ns, (window, gap))
            self.assertBetween(0, window.row[IO], value)
            # the scheduler looks at its clock before it switches: a wait may begin that much before the stretch that it is in
            self.assertBetween(0, window.row[DELAY], value + EDGE)
            before = value
        return windows

    def rows_after(self, reporter, count=2, **match):
        seen = len(reporter.task(**match))
        self.until(lambda: len(reporter.task(**match)) >= seen + count, "rows")


class OffCpu(Naps):
    def test_a_nap_within_a_window(self):
        program, tid = self.naps("350", tids=(350,))
        watch = "-i", "1", "--metrics", METRICS, "-p", str(program.pid)
        reporters = self.reporter(*watch), self.reporter("-t", *watch)
        self.until(lambda: all(r.task() for r in reporters), "rows")
        self.long_naps(program)
        for reporter in reporters:
            self.rows_after(reporter, 4)
            windows = self.check(program, reporter.task(), [tid[350]])
            nap, = [g for g in self.gaps(program) if g.kind == "L"]
            self.assertGreaterEqual(nap.end - nap.begin, 350 * MS)
            within = [w for w in windows if w.begin < nap.end and nap.begin < w.end]
            self.assertGreaterEqual(max(w.row[OFF] for w in within), (nap.end - nap.begin - nap.cpu) // nap.switches - TICK_NS)
            # and it is not told again
            later = [w for w in windows if w.begin > nap.end]
            self.assertGreater(len(later), 1)
            longest = max(g.end - g.begin for g in self.gaps(program) if g.begin >= nap.end)
            self.assertLessEqual(max(w.row[OFF] for w in later), longest)

    def test_a_nap_over_many_windows(self):
        """It grows while it is open, in the row of its thread and of the process; its length is told once."""
        program, tid = self.naps("53", "2500", tids=(53, 2500))
        watch = "-i", "0.4", "--metrics", METRICS, "-p", str(program.pid)
        reporter, each = self.reporter(*watch), self.reporter("-t", *watch)
        self.until(lambda: reporter.task() and each.task(tid=tid[2500]), "rows")
        self.long_naps(program)
        nap = self.until(lambda: [g for g in self.gaps(program) if g.kind == "L" and g.tid == tid[2500]], "its nap is over")[0]
        for watcher, tids in ((reporter, list(tid.values())), (each, [tid[2500]])):
            self.rows_after(watcher, 4, tid=tids[0])
            windows = self.check(program, watcher.task(tid=tids[0]), tids)
            still = [w.row[OFF] for w in windows if w.begin > nap.begin and w.taken < nap.end]
            self.assertGreater(len(still), 2)
            if nap.switches == 1:
                for earlier, later in zip(still, still[1:]):
                    self.assertGreater(later, earlier)
            whole = [w for w in windows if w.row[OFF] >= 2500 * MS]
            self.assertLessEqual(len(whole), 2)  # 2: it had its length, and was not woken yet
            if nap.switches == 1:
                self.assertGreater(len(whole), 0)

    def test_a_nap_from_before(self):
        """What was open when the watch began counts from its beginning, although nobody saw that."""
        program, tid = self.naps("5000", tids=(5000,))
        program.fact("pid")
        before, taken = time.time_ns(), taken_from_tasks_ns()
        program.kill(signal.SIGUSR1)
        self.until(lambda: Stat(program.pid).state == "S" and time.time_ns() > self.gaps(program)[-1].end + NS / 2, "it naps")
        reporter = self.reporter("-i", "0.3", "--metrics", METRICS, "-p", str(program.pid))
        thread = self.reporter("-t", "-i", "0.3", "--metrics", METRICS, "-p", str(program.pid))
        self.until(lambda: "longs" in program.facts(), "its nap is over")
        nap, = [g for g in self.gaps(program) if g.kind == "L"]
        self.assertGreater(nap.begin, before)
        slack_ns = TICK_NS + taken_from_tasks_ns() - taken
        for watcher in (reporter, thread):
            within = [row for row in watcher.task() if row.at < nap.end]
            self.assertTrue(within)
            if nap.switches == 1:
                self.assertBetween(within[0].at - nap.begin - nap.cpu - slack_ns, within[0][OFF], nap.end - nap.begin)
            self.check(program, watcher.task(), [tid[5000]], slack_ns=slack_ns)

    def test_two_intervals(self):
        """Reading a task for one of them does not shorten the window of the other."""
        program, tid = self.naps("350", tids=(350,))
        short = self.reporter("-i", "0.3", "--metrics", METRICS, "-p", str(program.pid))
        long = self.reporter("-i", "1.1", "--metrics", METRICS, "-p", str(program.pid))
        self.until(lambda: short.task() and long.task(), "rows")
        for _ in range(5):
            self.long_naps(program)
            self.rows_after(short, 3)
        self.rows_after(long)
        for watcher in (short, long):
            self.check(program, watcher.task(), [tid[350]])

    def test_others_come_and_go(self):
        """Whoever joins or leaves, with the same subscription or another, takes nothing from those who stay."""
        program, tid = self.naps("211", tids=(211,))
        watch = "--metrics", METRICS, "-p", str(program.pid)
        stays = self.reporter("-i", "1.3", *watch)
        self.until(stays.task, "a row")
        for how in (("-i", "1.3"), ("-i", "0.2"), ("-i", "1.3", "-t"), ("-i", "1.3"), ("-i", "0.7")):
            self.long_naps(program)
            guest = self.reporter(*how, *watch)
            self.until(guest.task, "a row")
            self.long_naps(program)
            guest.kill(signal.SIGINT)
            self.assertEqual(guest.wait(), 0, guest.stderr)
        self.rows_after(stays, 3)
        self.check(program, stays.task(), [tid[211]])

    def test_what_was_before_is_not_mine(self):
        """The first window of a subscription does not reach back into what others, or nobody, were told of."""
        program, tid = self.naps("450", tids=(450,))
        watch = "--metrics", METRICS, "-p", str(program.pid)
        other = self.reporter("-i", "30", *watch)
        levels = self.reporter("-t", "-i", "0.2", *watch)
        self.until(levels.task, "a row")
        self.long_naps(program)
        for how in (("-i", "0.3"), ("-i", "0.4", "-t")):
            begin = time.time_ns()
            mine = self.reporter(*how, *watch)
            self.until(lambda: len(mine.task()) >= 4, "rows")
            self.check(program, mine.task(), [tid[450]], begin=begin)
        self.assertEqual(other.task(), [])

    def test_threads(self):
        """Each its own; the process the longest of them."""
        program, tid = self.naps("350", "97", "731", tids=(350, 97, 731))
        watch = "-i", "0.6", "--metrics", METRICS, "-p", str(program.pid)
        reporter, each = self.reporter(*watch), self.reporter("-t", *watch)
        self.until(lambda: reporter.task() and len(each.task()) >= 3, "rows")
        for _ in range(2):
            self.long_naps(program)
            self.rows_after(reporter, 3)
        self.rows_after(each, 6)
        self.check(program, reporter.task(), list(tid.values()))
        for one in tid.values():
            self.check(program, each.task(tid=one), [one])

    def test_killed_within_a_window(self):
        """The window that was open is in the final records, whole."""
        program, tid = self.naps("350", "97", "731", tids=(350, 97, 731))
        watch = "-i", "7", "--metrics", METRICS, "-p", str(program.pid)
        reporter, each = self.reporter(*watch), self.reporter("-t", *watch)
        self.until(lambda: reporter.task() and len(each.task()) >= 3, "rows")
        self.long_naps(program)
        self.until(lambda: len([g for g in self.gaps(program) if g.kind == "L"]) == 3, "all have napped")
        program.kill(signal.SIGKILL)
        self.assertEqual((reporter.wait(), each.wait()), (0, 0))
        gaps = self.gaps(program)
        told = {}
        for one in tid.values():
            rows = each.task(tid=one)
            nap, = [g for g in gaps if g.kind == "L" and g.tid == one]
            told[one] = max(row[OFF] for row in rows if row.at > nap.begin)
            self.assertTrue(rows[-1].end)
            self.assertGreaterEqual(told[one], (nap.end - nap.begin - nap.cpu) // nap.switches - TICK_NS)
            if len([row for row in rows if row.at > nap.begin]) == 1:  # no tick between the nap and the end
                self.assertEqual(told[one], rows[-1][OFF])
        last = reporter.task()[-1]
        self.assertTrue(last.end)
        self.assertEqual(max(row[OFF] for row in reporter.task() if row.at > nap.begin), max(told.values()))


class IoWait(Naps):
    def test_direct_reads(self):
        """A read past the page cache waits for the disk, and for nothing else."""
        path = os.path.join(self.out_dir(), "file")
        with open(path, "wb") as f:
            f.write(os.urandom(13 * 65536))
            os.fsync(f.fileno())
        os.chmod(path, 0o644)
        if os.major(os.stat(path).st_dev) == 0:
            self.skipTest(f"{tempfile.gettempdir()} is not on a disk")
        program, tid = self.naps("-f", path, "350", tids=(350,))
        watch = "-i", "0.5", "--metrics", METRICS, "-p", str(program.pid)
        reporters = self.reporter(*watch), self.reporter("-t", *watch)
        self.until(lambda: all(r.task() for r in reporters), "rows")
        for reads in (13, 26, 39):
            program.step("reads", reads, sig=signal.SIGUSR2)
            self.long_naps(program)
            for reporter in reporters:
                self.rows_after(reporter)
        for reporter in reporters:
            self.rows_after(reporter)
            windows = self.check(program, reporter.task(), [tid[350]])
            # writing down the witness is I/O too, but seldom waits; a nap never does
            gaps = [g for g in self.gaps(program) if g.switches > 0]
            seen = 0
            for window in windows:
                near = [g for g in self.over(window, gaps) if g.kind != "L"]
                self.assertLessEqual(window.row[IO], max((g.end - g.begin for g in near), default=0))
                waits = [g.end - g.begin - g.cpu for g in near
                         if g.kind == "D" and g.switches == 1 and window.begin < g.begin and g.end < window.end]
                if waits:
                    self.assertGreaterEqual(window.row[IO], max(waits) - TICK_NS)
                    self.assertGreater(window.row[IO], 0)
                    seen += 1
            self.assertGreater(seen, 0)

    def test_a_sleep_is_no_io(self):
        sleeper = self.workload("sleepers", "3")
        sleeper.fact("ready")
        for how in ((), ("-t",)):
            reporter = self.reporter(*how, "-i", "0.2", "--metrics", METRICS, "-p", str(sleeper.pid))
            self.until(lambda: len(reporter.task()) >= 9, "rows")
            self.assertEqual({(row[IO], row[DELAY]) for row in reporter.task()}, {(0, 0)})
            self.assertGreater(min(row[OFF] for row in reporter.task()), 0)


class Schedstat(threading.Thread):
    """/proc/PID/task/TID/schedstat of threads, again and again: on-CPU time, run delay and times on a CPU."""

    Reading = collections.namedtuple("Reading", "begin end cpu delay arrivals")
    Bounds = collections.namedtuple("Bounds", "mean open most")

    def __init__(self, pid, tids):
        super().__init__(daemon=True)
        self.paths = {tid: f"/proc/{pid}/task/{tid}/schedstat" for tid in tids}
        self.readings, self.done = {tid: [] for tid in tids}, threading.Event()
        self.start()

    def run(self):
        while not self.done.is_set():
            for tid, path in self.paths.items():
                begin = time.time_ns()
                with open(path, encoding="ascii") as f:
                    figures = map(int, f.read().split())
                self.readings[tid].append(self.Reading(begin, time.time_ns(), *figures))
            time.sleep(0.02)  # a rate, not a synchronisation

    def close(self):
        self.done.set()
        self.join()

    def bounds(self, tid, window, noted):
        """Of its waits: the mean of those that ended within a window; how long one was open already at the moment `noted`; and the
        sum of those that the window can know of. None: that is not known yet."""
        readings = self.readings[tid][:]
        before = [r for r in readings if r.end < window.begin - EDGE]
        after = [r for r in readings if r.begin > window.taken + EDGE]
        # what is open is added to the run delay when it ends: then the thread has arrived once more
        closed = [r for r in after if r.arrivals > after[0].arrivals]
        if not before or not closed:
            return None
        inside = [r for r in readings if r.begin > window.begin + EDGE and r.end < window.end - EDGE]
        mean = open_ns = 0
        if inside and inside[-1].arrivals > inside[0].arrivals:
            mean = (inside[-1].delay - inside[0].delay) // (inside[-1].arrivals - inside[0].arrivals)
        # waiting, not running: no CPU time for much longer than the kernel takes to notice it
        then = next(r for r in readings if r.begin > window.end + EDGE)
        same = [r for r in readings if (r.cpu, r.arrivals) == (then.cpu, then.arrivals)]
        if then.begin - same[0].end > 25 * TICK_NS:
            open_ns = max(0, noted - EDGE - same[0].end)
        return self.Bounds(mean, open_ns, closed[0].delay - before[-1].delay)


class RunDelay(Naps):
    def crowd(self, threads):
        """Spinning threads of one process, all on one CPU."""
        program = self.workload("burn", "100000", str(threads))
        self.until(lambda: len(threads_of(program.pid)) == threads, "its threads")
        cpu = max(os.sched_getaffinity(0))
        for tid in threads_of(program.pid):
            os.sched_setaffinity(tid, {cpu})
        return program, threads_of(program.pid)

    @staticmethod
    def known(witness, tids, rows, begin):
        """(window, the value before it, bounds of each thread), where they are known."""
        windows = [w for w in Window.all_of(rows) if w.taken]
        for previous, window in zip(windows, windows[1:]):
            if previous.begin < begin:
                continue
            bounds = [witness.bounds(tid, window, window.end if len(tids) == 1 else window.begin) for tid in tids]
            if None not in bounds:
                yield window, previous.row[DELAY], bounds

    def compare(self, program, tids, enough):
        """Rows of each thread and of the process beside schedstat, until there are enough of (rows, rows with an open wait)."""
        watch = "-i", "0.3", "--metrics", METRICS, "-p", str(program.pid)
        reporter, each = self.reporter(*watch), self.reporter("-t", *watch)
        witness = Schedstat(program.pid, tids)
        begin = time.time_ns()

        def all_known():
            levels = [(tids, reporter.task()), *(([tid], each.task(tid=tid)) for tid in tids)]
            return [list(self.known(witness, of, rows, begin)) for of, rows in levels]

        def is_enough():
            return all(len(level) >= enough[0] for level in all_known()) and \
                sum(max(b.open for b in bounds) > 0 for level in all_known() for _, _, bounds in level) >= enough[1]
        try:
            self.until(is_enough, "rows to compare", timeout=60)
        finally:
            witness.close()
        for level in all_known():
            for window, value_before, bounds in level:
                value = window.row[DELAY]
                self.assertBetween(0, value, max(b.most for b in bounds), window.row)
                self.assertGreaterEqual(max(value, value_before) + TICK_NS, max(b.mean for b in bounds), window.row)
                self.assertGreaterEqual(value, max(b.open for b in bounds), f"{window.row} while it waits")
                self.assertGreaterEqual(window.row[OFF] + TICK_NS, value, "who waits is not on a CPU")

    def test_two_on_one_cpu(self):
        program, tids = self.crowd(2)
        self.compare(program, tids, enough=(7, 0))

    def test_a_wait_that_is_open(self):
        """One of the two gets the CPU only when the kernel takes pity: its wait is seen while it lasts."""
        program, tids = self.crowd(2)
        os.sched_setscheduler(tids[1], os.SCHED_IDLE, os.sched_param(0))
        self.compare(program, tids, enough=(7, 3))
