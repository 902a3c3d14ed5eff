# SPDX-License-Identifier: BSD-2-Clause
"""Block requests and the page cache, on a disk that answers when the test lets it (see disk.py)."""
import os
import signal
import time

import maps
from disk import READ, SYNC, WRITE, Disk
from harness import NS, PAGE, SharedCollector, Test

MAX = "task_io_request_time_max"
MIB = 1 << 20
# how the workload makes its calls, and what arrives at the disk then
WAYS = {"read": READ, "write": WRITE, "durable": SYNC, "cached": READ, "synced": WRITE}
MORE_THAN_32_BITS = 4.3  # seconds, in ns


class Gate:
    def close_gate(self, disk, *kinds, **which):
        """Whatever happens, it is opened before any process is waited for."""
        disk.close_gate(*kinds, **which)
        self.addCleanup(disk.open_gate)


class DiskTest(Gate, SharedCollector):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.disk = Disk(32 * MIB)
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            cls.disk.close()
        finally:
            super().tearDownClass()

    def start(self, *args):
        """A workload that has begun: (it, the number of its thread)."""
        work = self.workload(*args)
        return work, work.fact("tid")

    def round(self, work, number):
        """It has ended its round of this number."""
        self.until(lambda: work.facts().get("round") == number or work.status, lambda: f"{work} ends its round: {work.stdout!r}")
        self.assertIsNone(work.status, work.stderr)

    def watch(self, pid, metrics, *args, interval="0.2"):
        reporter = self.reporter("-i", interval, "--metrics", metrics, "-p", str(pid), *args)
        self.until(reporter.task, "a row")
        return reporter

    def settle(self, *reporters):
        """Until each has had two more rows of every task: what was before is in them."""
        for reporter in reporters:
            seen = len(reporter.task())
            tasks = len({row["tid"] for row in reporter.task()})
            self.until(lambda r=reporter, s=seen, t=tasks: len(r.task()) >= s + 3 * t, "two more ticks")

    def hold(self, work, seconds, kind, number=1, disk=None, **which):
        """A round of the workload of which the disk keeps the first request for so long: (its hold, the program's clock)."""
        disk = disk or self.disk
        self.close_gate(disk, kind, **which)
        work.kill(signal.SIGUSR1)
        held = disk.wait_for_held()
        self.until(lambda: held.length_ns >= seconds * NS, "so long")
        disk.open_gate()
        self.round(work, number)
        return held, work.fact("longest_ns")


def longest(rows):
    return max(row[MAX] for row in rows)


class Requests(DiskTest):
    """task_io_request_time_max"""

    def test_the_longest_of_each_kind(self):
        """At least as long as the disk kept it, at most as long as the program's longest call; for the process and the thread."""
        for how, kind in WAYS.items():
            with self.subTest(how):
                work, tid = self.start("requests", self.disk.path, how, "17")
                process, threads = self.watch(work.pid, MAX), self.watch(work.pid, MAX, "-t")
                held, limit = self.hold(work, 0.3, kind)
                self.settle(process, threads)
                self.assertBetween(held.length_ns, longest(process.task()), limit, how)
                self.assertEqual(longest(threads.task(tid=tid)), longest(process.task()))
                self.assertEqual(longest(threads.task(tid=work.pid)), 0, "the main thread makes no request")
                # and without delay
                seen = len(process.task())
                work.step("round", 2)
                self.settle(process)
                self.assertBetween(1, longest(process.task()[seen:]), work.fact("longest_ns"), how)
                self.assertLessEqual(set(process.losses()), {"skipped"})  # 7.x can preempt programs
                work.end()
                self.assertEqual((process.wait(), threads.wait()), (0, 0))

    def test_a_request_that_was_split(self):
        """It is as long as its slowest piece, also if that is not the last."""
        disk = Disk(MIB, "--direct-io=on")  # it takes several at a time
        self.addCleanup(disk.close)
        disk.queue("max_sectors_kb", 64)
        work, _ = self.start("requests", disk.path, "large", "1")
        process = self.watch(work.pid, MAX)
        held, limit = self.hold(work, 0.3, READ, disk=disk, offsets=[0])
        self.settle(process)
        self.assertBetween(held.length_ns, longest(process.task()), limit)

    def test_longer_than_32_bits_of_ns(self):
        work, tid = self.start("requests", self.disk.path, "read", "1")
        threads = self.watch(work.pid, MAX, "-t")
        held, limit = self.hold(work, MORE_THAN_32_BITS, READ)
        self.settle(threads)
        self.assertGreater(held.length_ns, 1 << 32)
        self.assertBetween(held.length_ns, longest(threads.task(tid=tid)), limit)

    def test_others_are_not_charged(self):
        """Neither who is interrupted by completions, nor who makes shorter requests of its own at the same time."""
        other_disk = Disk(MIB)
        self.addCleanup(other_disk.close)
        slow, _ = self.start("requests", self.disk.path, "read", "3")
        quick, _ = self.start("requests", other_disk.path, "read", "101")
        burn = self.workload("burn", "600", "2")
        rows = {work.pid: self.watch(work.pid, MAX) for work in (slow, quick, burn)}
        self.close_gate(self.disk, READ)
        slow.kill(signal.SIGUSR1)
        held = self.disk.wait_for_held()
        quick.step("round", 1)
        self.until(lambda: held.length_ns >= 2 * quick.fact("longest_ns") + NS / 2, "so long")
        self.disk.open_gate()
        slow.fact("round")
        self.settle(*rows.values())
        self.assertBetween(held.length_ns, longest(rows[slow.pid].task()), slow.fact("longest_ns"))
        self.assertBetween(1, longest(rows[quick.pid].task()), quick.fact("longest_ns"))
        self.assertEqual(longest(rows[burn.pid].task()), 0)

    def test_windows_of_two_reporters(self):
        """Each window has its own maximum: also a smaller one than before, and the same for both intervals."""
        work, _ = self.start("requests", self.disk.path, "read", "1")
        fine, coarse = self.watch(work.pid, MAX), self.watch(work.pid, MAX, interval="0.7")
        for number, seconds in enumerate((0.9, 0.5, 0.1), 1):
            seen = len(fine.task()), len(coarse.task())
            held, limit = self.hold(work, seconds, READ, number)
            self.settle(fine, coarse)
            self.assertBetween(held.length_ns, longest(fine.task()[seen[0]:]), limit)
            self.assertEqual(longest(coarse.task()[seen[1]:]), longest(fine.task()[seen[0]:]))
            self.assertEqual(fine.task()[-1][MAX], 0)

    def check_growth(self, rows, held, began):
        """Of a request in flight: every row has its length so far."""
        for before, row in zip(rows, rows[1:]):
            self.assertLess(before[MAX], row[MAX])
            self.assertBetween(before.at - held.wall_ns, row[MAX], row.at - began)

    def test_in_flight(self):
        device = os.open(self.disk.path, os.O_RDONLY)  # whoever closes it last waits for what is in flight
        self.addCleanup(os.close, device)
        work, tid = self.start("requests", self.disk.path, "cached", "1")
        process, threads = self.watch(work.pid, MAX), self.watch(work.pid, MAX, "-t")
        self.close_gate(self.disk, READ)
        began = time.time_ns()
        work.kill(signal.SIGUSR1)
        held = self.disk.wait_for_held()
        self.settle(process, threads)
        seen = len(process.task()), len(threads.task(tid=tid))
        self.settle(process, threads)
        self.settle(process, threads)
        self.check_growth(process.task()[seen[0]:], held, began)
        self.check_growth(threads.task(tid=tid)[seen[1]:], held, began)

        killed = time.time_ns()
        work.kill(signal.SIGKILL)
        self.assertEqual(work.wait(), -signal.SIGKILL)  # 7.x may show its end only now
        self.assertEqual((process.wait(), threads.wait()), (0, 0))
        for row in process.task(tid=work.pid)[-1], threads.task(tid=tid)[-1]:
            self.assertTrue(row.end)
            self.assertBetween(killed - held.wall_ns, row[MAX], row.at - began, "in the final record")

    def test_a_thread_that_ends_with_requests_in_flight(self):
        """They stay the process's."""
        work, tid = self.start("requests", self.disk.path, "flood", "7")
        process, threads = self.watch(work.pid, MAX), self.watch(work.pid, MAX, "-t")
        self.close_gate(self.disk, READ)
        began = time.time_ns()
        work.step("round", 1)
        held = self.disk.wait_for_held()
        self.settle(threads)
        ending = time.time_ns()
        work.kill(signal.SIGUSR2)
        self.until(lambda: [r for r in threads.task(tid=tid) if r.end], "its final row")
        last = threads.task(tid=tid)[-1]
        self.assertBetween(ending - held.wall_ns, last[MAX], last.at - began)
        seen = len(process.task())
        self.settle(process)
        self.settle(process)
        self.check_growth(process.task()[seen + 1:], held, began)
        self.disk.open_gate()
        self.settle(process)
        self.assertBetween(held.length_ns, longest(process.task()), process.task()[-1].at - began)
        self.until(lambda: process.task()[-1][MAX] == 0, "nothing is in flight any more")


class Tables(Gate, Test):
    """What the collector keeps of requests: with room, without, and nothing when all is over."""

    ROOM, LOST = 16384, 1009  # of the table `requests`; how many more there are

    def setUp(self):
        super().setUp()
        self.own = self.collector()
        self.disk = Disk(32 * MIB)
        self.addCleanup(self.disk.close)

    def socket(self):
        return self.own.socket

    def watch(self, work, *args):
        reporter = self.reporter("-i", "0.2", "--metrics", MAX, "-p", str(work.pid), *args)
        self.until(reporter.task, "a row")
        return reporter

    def assertNothingIsKept(self):
        for name in "requests", "charges":
            self.until(lambda n=name: maps.entries(self.own, n) == 0,
                       lambda n=name: f"{n} is empty: {maps.entries(self.own, n)} are in it")

    def test_nothing_is_left(self):
        """By tasks that have ended, in time or with a request in flight, and by those that nobody watches any more."""
        for how in WAYS:
            work = self.workload("requests", self.disk.path, how, "31")
            work.fact("tid")
            reporter = self.watch(work, "-t")
            work.step("round", 1)
            work.end()
            self.assertEqual(reporter.wait(), 0)
        self.assertNothingIsKept()

        device = os.open(self.disk.path, os.O_RDONLY)  # whoever closes it last waits for what is in flight
        self.addCleanup(os.close, device)
        killed = self.workload("requests", self.disk.path, "cached", "1")
        other = self.workload("requests", self.disk.path, "cached", "2")
        self.assertTrue(killed.fact("tid") and other.fact("tid"))
        first, second = self.watch(killed, "-t"), self.watch(other, "-t")
        self.close_gate(self.disk, READ)
        killed.kill(signal.SIGUSR1)
        self.disk.wait_for_held()
        self.until(lambda: maps.entries(self.own, "requests") > 0, "a request is in the table")
        killed.kill(signal.SIGKILL)
        self.assertEqual(killed.wait(), -signal.SIGKILL)
        self.assertEqual(first.wait(), 0)
        self.disk.open_gate()
        self.until(lambda: maps.entries(self.own, "requests") == 0, "it is not any more")

        # nobody watches when this one is complete, and when its task ends
        self.close_gate(self.disk, READ)
        other.kill(signal.SIGUSR1)
        self.disk.wait_for_held()
        self.until(lambda: longest(second.task()) > 0, "it is seen")
        second.kill(signal.SIGINT)
        self.assertEqual(second.wait(), 0)
        self.until(lambda: self.own.event_links() == [], "nobody watches")
        self.disk.open_gate()
        other.fact("round")
        again = self.watch(other)
        seen = len(again.task())
        self.until(lambda: len(again.task()) > seen + 2, "rows")
        self.assertEqual(longest(again.task()[1:]), 0, "a request that was complete before")
        other.end()
        self.assertEqual(again.wait(), 0)
        self.assertNothingIsKept()

    def test_no_room(self):
        """More requests in flight than the table holds are told as a loss; those in it are measured."""
        disks, works = [self.disk, Disk(32 * MIB)], []
        self.addCleanup(disks[1].close)
        counts = self.ROOM - 1361, 1361 + self.LOST
        for disk, count in zip(disks, counts):
            disk.queue("nomerges", 0)  # it takes 128 at a time, but they can be of 128 each
            works.append(self.workload("requests", disk.path, "flood", str(count)))
            works[-1].fact("tid")
        reporter = self.watch(works[0], "-p", str(works[1].pid))
        for disk, work in zip(disks, works):
            self.close_gate(disk, READ)
            work.step("round", 1)
            disk.wait_for_held()
        self.assertEqual(maps.entries(self.own, "requests"), self.ROOM)
        held = [disk.open_gate()[0] for disk in disks]
        for work in works:
            work.step("round", 2)
            work.end()
        self.assertEqual(reporter.wait(), 0)
        losses = reporter.losses()
        skipped = losses.pop("skipped", 0)  # 7.x can preempt programs
        self.assertEqual(list(losses), ["table_full"])
        self.assertBetween(self.LOST - skipped, losses["table_full"], self.LOST)
        for work, first in zip(works, held):
            self.assertBetween(first.length_ns, longest(reporter.task(tid=work.pid)), work.fact("longest_ns"))
        self.assertNothingIsKept()


class PageCache(DiskTest):
    COUNT, ADD, DIRTY = "task_page_cache_count", "task_page_cache_add_count", "task_page_cache_dirty_count"
    PAGES = 1009

    def figures(self, reporter, tid):
        row = reporter.task(tid=tid)[-1]
        return row[self.ADD], row[self.DIRTY], row[self.COUNT]

    def check(self, path, metadata):
        """`metadata`: so many pages more may be added and dirtied by the file system on its own behalf."""
        work, tid = self.start("pages", path, str(self.PAGES))
        bystander, _ = self.start("pages", path, str(self.PAGES))
        metrics = ",".join((self.COUNT, self.ADD, self.DIRTY))
        process, threads = self.watch(work.pid, metrics), self.watch(work.pid, metrics, "-t")
        beside = self.watch(bystander.pid, metrics)
        work.step("round", 1)  # what the file system itself reads is in the cache now
        number = 1
        for sig, adds, dirties in (signal.SIGUSR1, 1, 0), (signal.SIGUSR2, 1, 1), (signal.SIGUSR1, 1, 0):
            self.settle(process, threads)
            before = self.figures(process, work.pid), self.figures(threads, tid)
            number += 1
            work.step("round", number, sig=sig)
            self.assertEqual(work.fact("dropped"), 0)
            self.assertBetween(1, work.fact("cached"), self.PAGES)  # the kernel may have taken some of them already
            self.settle(process, threads)
            for (reporter, row_of), then in zip(((process, work.pid), (threads, tid)), before):
                added, dirtied, both = (b - a for a, b in zip(then, self.figures(reporter, row_of)))
                self.assertBetween(adds * self.PAGES, added, adds * self.PAGES + metadata, "added")
                self.assertBetween(dirties * self.PAGES, dirtied, dirties * self.PAGES + metadata, "dirtied")
                self.assertEqual(both, added + dirtied)
            self.assertEqual(self.figures(threads, work.pid), (0, 0, 0), "the main thread uses no pages")
        self.settle(beside)
        self.assertEqual(self.figures(beside, bystander.pid), (0, 0, 0), "nor does another process")
        last = self.figures(process, work.pid)
        work.end()
        self.assertEqual((process.wait(), threads.wait()), (0, 0))
        self.assertEqual(self.figures(process, work.pid), last, "in the final row")

    def test_of_a_device(self):
        """Folios have one page there. What was dirtied is what the disk gets."""
        before = self.disk.sectors_written()
        self.check(self.disk.path, 1)  # the line that it prints
        self.assertEqual((self.disk.sectors_written() - before) * 512, self.PAGES * PAGE)

    def test_of_a_file(self):
        where = self.disk.mount("mkfs.ext4", "-q", "-b", str(PAGE))
        self.addCleanup(self.disk.unmount)
        path = os.path.join(where, "file")
        with open(path, "wb") as f:
            f.write(bytes(self.PAGES * PAGE))
        os.chmod(path, 0o666)
        self.check(path, 7)
