# SPDX-License-Identifier: BSD-2-Clause
"""Many reporters at once: each its own tasks, its own interval and its own losses."""
import os
import signal

import wire
from harness import ALICE, BOB, NS, SLOW, SharedCollector, Test, json_losses, wall_ns


def ticks_of(reporter, **match):
    """Wall times of the rows of a task in cpu.csv, without the END."""
    return [r.time for r in reporter.cpu(**match) if not r.end]


class Intervals(SharedCollector):
    def test_windows_are_the_interval_and_sum_to_the_duration(self):
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.report("-i", "0.5", "-d", "5.75", "-m", "cpu,task", "--json", "-", "-p", str(sleeper.pid))
        rows, samples = reporter.cpu(), reporter.json(type="sample")
        self.assertEqual(len(rows), len(samples))
        self.assertGreaterEqual(len(rows), 11)
        # Each row tells the window that it is about: the first one too.
        for row, sample in zip(rows, samples):
            self.assertNear((row.on_ms + row.off_ms) * 1e6, sample["window_ns"], 3_000_000 + sample.get("task_run_delay_ns", 0), row)
        for earlier, sample in zip(samples, samples[1:]):
            self.assertNear(wall_ns(sample["time"]) - wall_ns(earlier["time"]), sample["window_ns"], 1_000_000)
        # A tick may be late, but the next one does not shift with it.
        whole, slack = samples[:11], SLOW * 0.3 * NS
        for i, sample in enumerate(whole):
            self.assertNear(wall_ns(sample["tick"]) - wall_ns(whole[0]["tick"]), i * NS / 2, slack)
            self.assertNear(sample["window_ns"], NS / 2, slack, sample)
        self.assertNear(sum(s["window_ns"] for s in whole), 5.5 * NS, slack)
        self.assertNear(sum(s["window_ns"] for s in samples), 5.75 * NS, slack)

    def test_more_than_32_bits_of_nanoseconds_off(self):
        """One window of 5 s, in milliseconds."""
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.report("-d", "5.5", "-p", str(sleeper.pid))
        row = reporter.cpu()[0]
        self.assertNear(row.off_ms, 5000, 200 * SLOW)
        self.assertNear(row.on_ms, 0, 5)

    def test_identical_subscriptions(self):
        """Reporters that ask for the same see the same, at the same instants, whenever they came."""
        sleeper = self.workload("sleepers", "7")
        sleeper.fact("ready")
        reporters = []
        for i in range(3):
            reporters.append(self.reporter("-t", "-i", "0.2", "-m", "cpu,task", "-p", str(sleeper.pid)))
            self.until(lambda: len(reporters[-1].cpu()) >= 7 * 3, "three ticks")
        sleeper.end()
        for reporter in reporters:
            self.assertEqual(reporter.wait(), 0, reporter.stderr)
            self.assertEqual(len([r for r in reporter.cpu() if r.end]), 7)
            self.assertEqual(reporter.losses(), {})
        # from the first row of the last one on, row by row
        last = ticks_of(reporters[-1], TID=sleeper.pid)
        for reporter in reporters[:-1]:
            self.assertEqual([t for t in ticks_of(reporter, TID=sleeper.pid) if t >= last[1]], last[1:])

    def test_a_reporter_that_goes_takes_nothing_with_it(self):
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        stays = self.reporter("-i", "0.2", "-p", str(sleeper.pid))
        goes = self.reporter("-i", "0.2", "-p", str(sleeper.pid))
        self.until(lambda: stays.cpu() and goes.cpu(), "both see it")
        os.kill(goes.pid, signal.SIGKILL)
        goes.wait()
        seen = len(stays.cpu())
        self.until(lambda: len(stays.cpu()) > seen + 5, "the other goes on")
        sleeper.end()
        self.assertEqual(stays.wait(), 0)
        self.assertNoTickMissing(ticks_of(stays, TID=sleeper.pid), 0.2)
        self.until(lambda: self.shared.event_links() == [], lambda: f"hooks are detached: {self.shared.event_links()}")


class Three(Test):
    """Three reporters with three intervals and two users; one is stopped until its queue has overflowed."""

    THREADS = 1009

    def socket(self):
        return self.service.socket

    def test_one_is_stopped(self):
        self.service = self.collector({"queue_bytes": 131072})
        alices = self.workload("sleepers", str(self.THREADS), user=ALICE)
        bobs = self.workload("duty", "120", "10", "33", user=BOB)
        alices.fact("ready"), bobs.fact("tid.duty-33")
        one = ("-t", "-i", "0.5", "-m", "cpu,task", "-p", str(alices.pid))
        twin = self.reporter(*one, user=ALICE)
        self.until(lambda: len(twin.cpu()) >= self.THREADS, "its first tick")
        stopped = self.reporter(*one, user=ALICE)
        bob = self.reporter("-t", "-i", "1", "-p", str(bobs.pid), user=BOB)
        slow = self.reporter("-i", "3", "-a", user=BOB)
        self.until(lambda: len(stopped.cpu()) >= self.THREADS and bob.cpu(), "all have rows")

        stopped.stop()
        before = len(twin.cpu(TID=alices.pid))
        self.until(lambda: len(twin.cpu(TID=alices.pid)) >= before + 20, "20 ticks while one is stopped", timeout=60)
        stopped.resume()
        self.until(lambda: stopped.losses(), "it is told its losses")
        after = len(stopped.cpu(TID=alices.pid))
        self.until(lambda: len(stopped.cpu(TID=alices.pid)) >= after + 2, "it goes on")
        self.until(lambda: len(slow.cpu(TID=bobs.pid)) >= 3, "three rows of the slow one")
        alices.end(), bobs.end()
        self.assertEqual((twin.wait(), stopped.wait(), bob.wait()), (0, 0, 0), twin.stderr + stopped.stderr + bob.stderr)
        slow.kill(signal.SIGINT)
        self.assertEqual(slow.wait(), 0, slow.stderr)

        # Each sees its own tasks and nothing else.
        self.assertEqual({r.pid for r in twin.cpu()}, {alices.pid})
        self.assertEqual({r.pid for r in stopped.cpu()}, {alices.pid})
        self.assertEqual({r.pid for r in bob.cpu()}, {bobs.pid})
        self.assertLessEqual({r.pid for r in slow.cpu() if r.comm != "taskmon-report"}, {bobs.pid})
        self.assertIn(bobs.pid, {r.pid for r in slow.cpu()})

        # The others miss nothing.
        for reporter, pid, interval in ((twin, alices.pid, 0.5), (bob, bobs.pid, 1), (slow, bobs.pid, 3)):
            self.assertEqual(reporter.losses(), {}, reporter)
            self.assertNoTickMissing(ticks_of(reporter, TID=pid), interval)
        self.assertEqual(len(twin.cpu(Ticks="END")), self.THREADS)

        # What the stopped one got and what it was told to have lost is what its twin got.
        losses = stopped.losses()
        self.assertLessEqual(set(losses), {"queue_samples", "queue_ended", "queue_events"})
        self.assertGreater(losses["queue_samples"], self.THREADS)
        first = min(r.at for r in stopped.task())
        got = len([r for r in stopped.task() if not r.end])
        want = len([r for r in twin.task() if r.at >= first and not r.end])
        self.assertEqual(got + losses["queue_samples"], want, losses)
        self.assertEqual(len([r for r in stopped.task() if r.end]) + losses.get("queue_ended", 0), self.THREADS)
        self.assertEqual(len(stopped.events(event="exit")) + losses.get("queue_events", 0), len(twin.events(event="exit")))


class Inheritance(Test):
    """A selection ends, and the next one gets its place: what was of the first one is not told to the second."""

    def test_threads_that_end_later(self):
        """The first one's threads are still known to the kernel side, but to nobody else."""
        self.service = self.collector()
        target, other = self.workload("sleepers", "7"), self.workload("sleepers", "1")
        target.fact("ready"), other.fact("ready")
        first, second = (wire.Client(self.service.socket, timeout=30 * SLOW) for _ in range(2))
        self.addCleanup(first.close), self.addCleanup(second.close)
        metric = first.metric_ids()["task_state"]
        second.greet()
        first.send(wire.subscribe(pids=[target.pid], metrics=[metric], threads=True, events=True))
        self.assertIsNotNone(first.receive_until(wire.SAMPLES))
        first.close()
        self.until(lambda: not self.service.event_links(), "the first one's place is free")
        second.send(wire.subscribe(pids=[other.pid], metrics=[metric], threads=True, events=True))
        self.assertIsNotNone(second.receive_until(wire.SAMPLES))
        target.end()
        for _ in range(5):
            while (got := second.receive())[0] != wire.SAMPLES:
                self.fail(f"told to a stranger: {got}")


class Losses(Test):
    def socket(self):
        return self.service.socket

    def test_events_and_ends_dropped_from_a_queue_are_counted(self):
        """A reporter that is stopped while thousands of processes end."""
        self.service = self.collector({"queue_bytes": 16384})
        forks = self.workload("forks", "4001")
        forks.fact("pid")
        path = os.path.join(self.out_dir(), "out.json")
        twin, stopped = (self.reporter("--children", "-i", "0.5", "-m", "cpu,task", "-p", str(forks.pid), *json)
                         for json in ((), ("--json", path)))
        self.until(lambda: twin.cpu() and stopped.cpu(), "both watch")
        stopped.stop()
        forks.step("forks", 4001)
        stopped.resume()
        losses = self.until(stopped.losses, "its losses")
        forks.end()
        self.assertEqual((twin.wait(), stopped.wait()), (0, 0), twin.stderr + stopped.stderr)
        # Nobody reads as fast as nobody ends: the twin is served from the same small queue.
        for reporter in (twin, stopped):
            losses = reporter.losses()
            self.assertNotIn("ring_full", losses)
            exits, forked = (len(reporter.events(event=e)) for e in ("exit", "fork"))
            ends = len([r for r in reporter.task() if r.end])
            self.assertEqual(ends + losses.get("queue_ended", 0), 4002, losses)
            self.assertEqual(exits + forked + losses.get("queue_events", 0), 4002 + 4001, losses)
        self.assertGreater(stopped.losses()["queue_ended"], 0)
        self.assertGreater(stopped.losses()["queue_events"], 0)
        self.assertEqual(json_losses(path), stopped.losses())

    def test_events_that_did_not_fit_into_the_kernels_buffer_are_counted(self):
        """The collector itself is stopped while processes come and go."""
        count = 30011
        self.service = self.collector()
        forks = self.workload("forks", str(count))
        forks.fact("pid")
        path = os.path.join(self.out_dir(), "out.json")
        reporter = self.reporter("--children", "-i", "0.5", "-m", "cpu", "--json", path, "-p", str(forks.pid))
        self.until(reporter.cpu, "it watches")
        self.service.stop()
        forks.step("forks", count, timeout=120)
        self.service.resume()
        losses = self.until(reporter.losses, "its losses")
        forks.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        losses = reporter.losses()
        self.assertGreater(losses["ring_full"], 0)
        self.assertEqual(json_losses(path), losses)
        ends = len([r for r in reporter.cpu() if r.end])
        forked = len(reporter.events(event="fork"))
        got = ends + forked + losses.get("queue_ended", 0)
        self.assertEqual(got + losses["ring_full"], 2 * count + 1, losses)
        # It works as before when it is over.
        again = self.workload("forks", "53")
        again.fact("pid")
        second = self.reporter("--children", "-i", "0.5", "-p", str(again.pid))
        self.until(second.cpu, "it watches")
        again.step("forks", 53)
        again.end()
        self.assertEqual(second.wait(), 0)
        self.assertEqual(len(second.events(event="exit")), 54)
        self.assertEqual(second.losses(), {})
