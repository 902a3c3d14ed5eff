# SPDX-License-Identifier: BSD-2-Clause
"""What the design says of faults, each forced: whoever is hit is told, and everybody else notices nothing."""
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
import unittest

import maps
import memory
import noise
import wire
from harness import ALICE, BOB, GUEST, NOBODY, NS, ROOT, SLOW, Collector, Reporter, SharedCollector, Test, json_lines, json_losses, keyed, read_csv, sanitized, wall_ns
from netns import SocketTest

def kernel():
    return tuple(int(re.match("[0-9]*", n).group()) for n in os.uname().release.split(".")[:2])


ALL = "task_fork_count,task_exec_count,task_thread_create_count"


class Service(Test):
    def socket(self):
        return self.service.socket


class NoMemory(Service):
    """The kernel gives no memory for the state of a task."""

    FORKS = 1009

    @unittest.skipIf(kernel() < (6, 4), "before Linux 6.4 it comes from the kernel's reserve, which no cgroup limits")
    @unittest.skipIf(memory.cause_of_skip(), memory.cause_of_skip() or "")
    def test_tasks_without_state_are_counted(self):
        group = memory.MemoryGroup()
        self.addCleanup(group.close)
        self.service = service = self.collector(prefix=group.prefix())
        forks = self.workload("forks", str(self.FORKS), "together")
        forks.fact("pid")
        path = os.path.join(self.out_dir(), "out.json")
        reporter = self.reporter("--children", "-i", "0.5", "-m", "cpu", "--json", path, "-p", str(forks.pid))
        self.until(reporter.cpu, "it watches")
        group.fill(service)
        forks.step("forks", self.FORKS)
        self.until(reporter.losses, "its losses")
        group.release()
        forks.step("forks", 2 * self.FORKS)
        forks.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        losses, begun = reporter.losses(), len(reporter.events(event="fork"))
        skipped = losses.pop("skipped", 0)  # on 7.x; then all tasks are judged again, and what has no memory counts again
        self.assertEqual(list(losses), ["state_full"])
        self.assertGreater(losses["state_full"], 0)
        self.assertGreaterEqual(begun, self.FORKS - skipped)  # those with memory
        if skipped:
            self.assertGreaterEqual(losses["state_full"], 2 * self.FORKS - begun - skipped)
        else:
            self.assertEqual(losses["state_full"], 2 * self.FORKS - begun)
            self.assertEqual(len(reporter.cpu(Ticks="END")), begun + 1)
            self.assertEqual(len(reporter.events(event="exit")), begun + 1)
        self.assertEqual(json_losses(path), reporter.losses())


class NoRoomForSockets(SocketTest):
    def test_their_use_is_counted(self):
        """What the kernel does not let us keep with a socket, and so count of its packets, is told."""
        namespace = self.namespace()
        try:
            namespace.set("core/optmem_max", 1)
        except FileNotFoundError:
            self.skipTest("a namespace has no such limit of its own before Linux 6.7")
        talk = self.talk(namespace, "socket inet dgram bind 127.0.0.1 wait " + "socket inet dgram connect 127.0.0.1 0 send 1 7 " * 23)
        reporter = self.follow(talk.pid)
        self.go(talk)
        losses = self.until(reporter.losses, "its losses")
        talk.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        losses = reporter.losses()
        self.assertEqual(set(losses) - {"skipped"}, {"table_full"})
        self.assertGreaterEqual(losses["table_full"], 23 - losses.get("skipped", 0))


class Together(Service):
    """A task begins while a pass judges it: two programs make its state at the same moment."""

    FORKS = 503 if GUEST else 7001

    def judge(self, pid, done):
        client = wire.Client(self.socket(), timeout=30 * SLOW)
        client.greet()
        while not done.is_set():
            client.send(wire.subscribe(pids=[pid], threads=True))
            feed = client.receive_until(wire.SUBSCRIBED)[2][0]
            client.send(wire.frame(wire.UNSUBSCRIBE, wire.field(1, feed)))
            self.passes += client.receive_until(wire.UNSUBSCRIBED) is not None
        client.close()

    def test_none_is_lost(self):
        self.service, self.passes = self.collector(), 0
        forks = [self.workload("forks", str(self.FORKS)) for _ in range(2)]
        pids = [work.fact("pid") for work in forks]
        reporters = [self.reporter("-t", "--children", "-i", "1", "-m", "cpu", "-p", str(pid)) for pid in pids]
        for reporter in reporters:
            self.until(reporter.cpu, "it watches")
        done = threading.Event()
        judges = [threading.Thread(target=self.judge, args=(os.getpid(), done)) for _ in range(2)]
        for thread in judges:
            thread.start()
        try:
            for work in forks:
                work.kill(signal.SIGUSR1)
            for work in forks:
                self.until(lambda w=work: w.facts().get("forks") == self.FORKS, "all forks")
        finally:
            done.set()
            for thread in judges:
                thread.join()
        self.assertGreater(self.passes, 10)
        for work, reporter in zip(forks, reporters):
            work.end()
            self.assertEqual(reporter.wait(), 0, reporter.stderr)
            self.assertLessEqual(set(reporter.losses()), {"skipped"})
            self.assertEqual(len(reporter.events(event="fork")), self.FORKS)
            self.assertEqual(len(reporter.cpu(Ticks="END")), self.FORKS + 1)


class Skipped(Service):
    """7.x can preempt programs, and then skips them."""

    METRICS = "task_syscall_count,task_switch_offcpu_time_max,task_fork_count,task_signal_count"

    def misses(self):
        """The kernel's count; a program can have several descriptors."""
        return sum({info["prog_id"]: int(info["recursion_misses"]) for info in self.service.fdinfo() if "recursion_misses" in info}.values())

    def test_the_kernels_own_count_is_told(self):
        self.service = self.collector()
        storm = self.workload("storm", "5", "101", "53")
        storm.fact("pid")
        path = os.path.join(self.out_dir(), "out.json")
        reporter = self.reporter("--children", "-i", "0.5", "-m", "task", "--metrics", self.METRICS, "--json", path, "-p", str(storm.pid))
        self.until(reporter.task, "it watches")
        for i in range(1, 8):
            storm.step("storms", i)
            if self.misses():
                break
        if not self.misses():
            storm.end()
            self.assertEqual(reporter.wait(), 0, reporter.stderr)
            self.assertNotIn("skipped", reporter.losses())
            self.skipTest(f"Linux {os.uname().release} has skipped no program")
        self.until(lambda: reporter.losses().get("skipped", 0) == self.misses(), lambda: f"{reporter.losses()}, {self.misses()}")
        self.assertEqual(json_losses(path), reporter.losses())


class Storms(Service):
    """A fork bomb, a thread storm and an exec storm at once: each figure is attributed to its own process."""

    DEPTH, THREADS, EXECS = (6, 503, 53) if GUEST else (9, 4001, 401)

    def test_all_at_once(self):
        self.service = self.collector()
        storm = self.workload("storm", str(self.DEPTH), str(self.THREADS), str(self.EXECS))
        storm.fact("pid")
        reporter = self.reporter("--children", "-i", "0.2", "-m", "cpu,task", "--metrics", ALL, "-p", str(storm.pid))
        self.until(reporter.cpu, "it watches")
        storm.step("storms", 1, timeout=120)
        facts = storm.facts()
        storm.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

        processes = 2 ** (self.DEPTH + 1) - 1 + 3
        losses = reporter.losses()
        skipped = losses.pop("skipped", 0)  # on 7.x
        self.assertEqual(losses, {})
        ends = {row["tid"]: row for row in reporter.task() if row.end}
        self.assertBetween(processes - skipped, len(ends), processes)
        self.assertBetween(processes - 1 - skipped, len(reporter.events(event="fork")), processes - 1)
        self.assertBetween(processes - skipped, len(reporter.events(event="exit")), processes)
        self.assertBetween(self.EXECS - skipped, len(reporter.events(event="exec", tid=facts["execs"])), self.EXECS)
        for name, metric, want in (("threads", "task_thread_create_count", self.THREADS), ("execs", "task_exec_count", self.EXECS),
                                   ("bomb", "task_fork_count", 2), ("pid", "task_fork_count", 3)):
            if facts[name] in ends or not skipped:
                self.assertBetween(want - skipped, ends[facts[name]][metric], want, name)
        self.assertBetween(processes - 1 - skipped, sum(row["task_fork_count"] for row in ends.values()), processes - 1)
        parents = {row["tid"]: row["ppid"] for row in ends.values()}
        bomb = {facts["bomb"]}
        for _ in range(self.DEPTH):
            bomb |= {tid for tid, parent in parents.items() if parent in bomb}
        self.assertEqual(bomb & {facts["threads"], facts["execs"], facts["pid"]}, set())
        self.assertBetween(processes - 3 - 2 * skipped, len(bomb), processes - 3)


class Crowd(Service):
    """64 reporters of which 8 are stopped until their queues have overflowed."""

    REPORTERS, STOPPED, THREADS = 64, 8, 601

    def test_the_others_miss_nothing(self):
        self.service = self.collector({"queue_bytes": 98304})
        sleeper = self.workload("sleepers", str(self.THREADS))
        sleeper.fact("ready")
        narrow = ("-i", "0.2", "-m", "cpu", "-p", str(sleeper.pid))
        wide = ("-t", "-i", "0.2", "-m", "cpu,task", "-p", str(sleeper.pid))
        others = [self.reporter(*narrow) for _ in range(self.REPORTERS - self.STOPPED - 1)]
        twin, *stopped = [self.reporter(*wide) for _ in range(self.STOPPED + 1)]
        for reporter in others + stopped + [twin]:
            self.until(reporter.cpu, "it watches", timeout=60)
        for reporter in stopped:
            reporter.stop()
        ticks = lambda reporter: [r.time for r in reporter.cpu(TID=sleeper.pid) if not r.end]
        before = len(ticks(twin))
        self.until(lambda: len(ticks(twin)) >= before + 17, "ticks while they are stopped", timeout=60)
        for reporter in stopped:
            reporter.resume()
        for reporter in stopped:
            self.until(reporter.losses, "it is told its losses")
        sleeper.end()
        for reporter in others + stopped + [twin]:
            self.assertEqual(reporter.wait(), 0, reporter.stderr)

        all_ticks = max(map(ticks, others), key=len)
        for reporter in others:
            mine = ticks(reporter)
            self.assertEqual(mine[1:], all_ticks[len(all_ticks) - len(mine) + 1:])  # its first window begins with it
            self.assertEqual(reporter.losses(), {})
            self.assertEqual(len(reporter.cpu(Ticks="END")), 1)
        self.assertEqual(twin.losses(), {})
        rows = [r for r in twin.task() if not r.end]
        for reporter in stopped:
            losses, mine = reporter.losses(), reporter.task()
            first = min(r.at for r in mine)
            self.assertGreater(losses["queue_samples"], 0)
            self.assertEqual(len([r for r in mine if not r.end]) + losses["queue_samples"], len([r for r in rows if r.at >= first]), losses)
            self.assertEqual(len([r for r in mine if r.end]) + losses.get("queue_ended", 0), self.THREADS, losses)


class Deaths(Service):
    """However a collector dies, and whenever, nothing of it stays in the kernel."""

    AT_ONCE, ROUNDS = 5, 10
    # sanitizers catch the signals of crashes
    WAYS = [signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1] + (
        [] if sanitized() else [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGQUIT])

    def die(self, path, pid, number):
        """One life: what it had in the kernel."""
        moments = random.Random(number)
        service = Collector(socket=path, wait=number % 3 != 1)
        self.addCleanup(service.close)
        resource.prlimit(service.pid, resource.RLIMIT_CORE, (0, 0))
        if number % 3 == 1:
            time.sleep(moments.uniform(0, 0.5))  # wherever its start is then
        else:
            client = wire.Client(path, timeout=30 * SLOW)
            known = client.greet()[5]
            client.send(wire.subscribe(pids=[pid], metrics=range(len(known) if number % 3 else 3), events=True))
            self.assertIsNotNone(client.receive_until(wire.SUBSCRIBED))
            client.close()
        service.stop()
        held = maps.objects(service)
        sig = self.WAYS[number // 2 % len(self.WAYS)] if number % 2 else signal.SIGKILL
        service.kill(sig)
        service.resume()
        self.assertIn(service.wait(), (0, -sig), service.stderr)
        return held

    def test_killed_50_times_under_load(self):
        self.service = self.collector()
        load = self.workload("/bin/sh", "-c", "while :; do /bin/true; done")
        reporter = self.reporter("--children", "-i", "0.2", "-m", "cpu,task", "--metrics", "all", "-p", str(load.pid))
        self.until(reporter.cpu, "it watches")
        paths = [self.service.socket] + [os.path.join(self.out_dir(ROOT), "sock") for _ in range(self.AT_ONCE - 1)]
        self.service.kill(signal.SIGKILL)
        self.service.wait()

        def lives(i):
            return [self.die(paths[i], load.pid, self.ROUNDS * i + n) for n in range(self.ROUNDS)]
        with concurrent.futures.ThreadPoolExecutor(self.AT_ONCE) as pool:
            held = set().union(*(o for objects in pool.map(lives, range(self.AT_ONCE)) for o in objects))
        for kind in "prog", "map", "link":
            self.assertGreater(len([1 for k, _ in held if k == kind]), 7 * self.ROUNDS, kind)
        self.until(lambda: not any(maps.exists(*o) for o in held), lambda: f"left: {[o for o in held if maps.exists(*o)]}")

        self.service = self.collector(socket=paths[0])
        seen = len(reporter.cpu(PID=load.pid))
        self.until(lambda: len(reporter.cpu(PID=load.pid)) > seen + 2, "the reporter goes on")
        self.assertBetween(1, len(reporter.events(event="gap")), self.ROUNDS + 1)
        self.assertIsNone(load.status)


class Targets(SharedCollector):
    def test_a_stopped_process(self):
        """Its rows go on: it is stopped, and uses nothing."""
        duty = self.workload("duty", "120", "10", "33")
        duty.fact("tid.duty-33")
        reporter = self.reporter("-i", "0.2", "-m", "cpu,task", "-p", str(duty.pid))
        self.until(reporter.task, "a row")
        duty.stop()
        stopped = lambda: [r for r in reporter.task() if r["task_state"] == "T"]
        self.until(lambda: len(stopped()) > 5, "rows of it")
        duty.resume()
        ran = len(reporter.task())
        self.until(lambda: len(reporter.task()) > ran + 3, "rows after it")
        duty.kill(signal.SIGKILL)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        rows = stopped()
        self.assertEqual(len({r["task_on_cpu_ns"] for r in rows}), 1)
        for earlier, later in zip(rows, rows[1:]):
            self.assertNear(later["task_off_cpu_ns"] - earlier["task_off_cpu_ns"], (later.at - earlier.at) * later["task_thread_count"],
                            2_000_000 * SLOW)
        last = reporter.task()[-1]
        self.assertGreater(last["task_on_cpu_ns"], rows[0]["task_on_cpu_ns"])
        self.assertEqual(reporter.losses().get("state_full", 0), 0)

    def test_a_process_that_unmaps_its_c_library(self):
        barren = self.workload("barren")
        barren.fact("pid")
        reporter = self.reporter("-i", "0.2", "-m", "cpu,task", "--metrics", "all", "-p", str(barren.pid))
        before = self.until(reporter.task, "a row")[0]
        for i in 1, 2, 3:
            barren.step("round", i)
        with open(f"/proc/{barren.pid}/maps", encoding="utf-8") as f:
            self.assertNotIn("libc", f.read())
        seen = len(reporter.task())
        self.until(lambda: len(reporter.task()) > seen + 3, "its rows go on")
        row = reporter.task()[-1]
        self.assertEqual(row["task_rchar_bytes"] - before["task_rchar_bytes"], 3 * 23 * 101)
        self.assertLess(row["task_vm_size"], before["task_vm_size"])
        self.assertEqual(barren.end(), 0)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertTrue(reporter.task()[-1].end)
        self.assertEqual(reporter.events(event="exit")[0]["detail"], "status=0")


class Outputs(SharedCollector):
    """Files that cannot take what is written."""

    def setUp(self):
        super().setUp()
        self.sleeper = self.workload("sleepers", "53")
        self.sleeper.fact("ready")

    def watch(self):
        return "-t", "-i", "0.1", "-m", "cpu,task", "-p", str(self.sleeper.pid)

    def mount(self, size):
        path = self.out_dir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "taskmon-e2e", path], check=True)
        self.addCleanup(subprocess.run, ["umount", path], check=True)
        return path

    def test_a_full_disk(self):
        """The file is named, the report ends with 1, and what was written are whole lines."""
        for name in "csv", "json":
            with self.subTest(name):
                disk = self.mount("64k")
                out = disk if name == "csv" else os.path.join(disk, "out.json")
                reporter = self.report(*self.watch(), "--" + name, out, csv=False, status=1)
                self.assertOneLine(reporter.stderr, disk + "/", "no space left")
                size = 0
                for file in os.listdir(disk):
                    path = os.path.join(disk, file)
                    size += os.path.getsize(path)
                    with open(path, "rb") as f:
                        self.assertIn(f.read()[-1:], (b"", b"\n"))
                    if name == "csv":
                        read_csv(path)
                    else:
                        with open(path, encoding="utf-8") as f:
                            self.assertGreater(len(json_lines(f.read())), 0)
                self.assertGreater(size, 32 * 1024)

    def test_others_have_room(self):
        """One whose disk is full takes nothing from one beside it."""
        other = self.reporter(*self.watch())
        self.until(other.cpu, "it watches")
        self.report(*self.watch(), "--csv", self.mount("64k"), csv=False, status=1)
        seen = len(other.cpu())
        self.until(lambda: len(other.cpu()) > seen + 53, "it goes on")
        self.sleeper.end()
        self.assertEqual(other.wait(), 0, other.stderr)
        self.assertEqual(other.losses(), {})

    def test_the_directory_is_removed(self):
        reporter = self.reporter(*self.watch())
        self.until(reporter.cpu, "a row")
        for name in os.listdir(reporter.out_dir):
            os.unlink(os.path.join(reporter.out_dir, name))
        # it may just have begun a file anew
        self.until(lambda: self.removed(reporter.out_dir), "the directory is gone")
        self.assertEqual(reporter.wait(), 1, reporter.stderr)
        self.assertIn(reporter.out_dir + "/", reporter.stderr)

    @staticmethod
    def removed(path):
        subprocess.run(["rm", "-rf", path], check=False, stderr=subprocess.DEVNULL)
        return not os.path.exists(path)

    def test_a_file_is_removed(self):
        """It is begun anew, and the others go on."""
        reporter = self.reporter(*self.watch())
        self.until(reporter.cpu, "a row")
        kept = len(reporter.csv("task"))
        os.unlink(os.path.join(reporter.out_dir, "cpu.csv"))
        self.until(lambda: len(reporter.cpu()) > 53, "rows in a new file")
        self.assertGreater(len(reporter.csv("task")), kept)
        self.sleeper.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(len(reporter.cpu(Ticks="END")), 53)


class Clock(SharedCollector):
    @unittest.skipUnless(GUEST, "the wall clock is the whole machine's: only guests may set it")
    def test_a_step_of_the_wall_clock(self):
        """Windows come from the monotonic clock: they are as long as before, none is missing, and no figure goes back."""
        burn = self.workload("duty", "600", "10", "33")
        burn.fact("tid.duty-33")
        path = os.path.join(self.out_dir(), "out.json")
        reporter = self.reporter("-i", "0.5", "-m", "cpu,task", "--json", path, "-p", str(burn.pid))
        steps = (3600, -7200, 3600)
        try:
            for step in steps:
                self.until(lambda: reporter.cpu(), "a row")
                seen = len(reporter.cpu())
                self.until(lambda: len(reporter.cpu()) > seen + 2, "rows before the step")
                time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + step * NS)
                steps = steps[1:]
            seen = len(reporter.cpu())
            self.until(lambda: len(reporter.cpu()) > seen + 2, "rows after it")
        finally:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + sum(steps) * NS)
        burn.kill(signal.SIGKILL)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        with open(path, encoding="utf-8") as f:
            samples = [s for s in json_lines(f.read()) if s["type"] == "sample" and "window_ns" in s]
        walls = [wall_ns(s["time"]) for s in samples]
        jumps = [round((later - earlier) / NS / 1800) * 1800 for earlier, later in zip(walls, walls[1:])]
        self.assertEqual([j for j in jumps if j], [3600, -7200, 3600])
        for s in samples:
            self.assertBetween(0.25 * NS, s["window_ns"], 0.75 * NS * SLOW, s)
            self.assertBetween(0, s["task_cpu_percent"], 100 * s["task_thread_count"], s)
        for earlier, later in zip(samples, samples[1:]):
            self.assertLessEqual(earlier["task_on_cpu_ns"], later["task_on_cpu_ns"])
            self.assertLessEqual(earlier["task_off_cpu_ns"], later["task_off_cpu_ns"])


class Noise(Service):
    """Fuzzed frames to a live collector: who keeps the protocol notices nothing. tests/fuzz/live sends many more."""

    FRAMES = 20011 if not sanitized() else 5003
    USERS = ALICE, ALICE + 1, BOB, BOB + 1  # what one user's requests may cost is limited

    def begin_noise(self):
        """Its processes: id -> the file of its figures."""
        senders = {}
        for seed, user in enumerate(self.USERS, 101):
            own = self.workload("sleepers", "3", user=user)
            own.fact("ready")
            out = os.path.join(self.out_dir(), "figures")
            senders[noise.start(self.socket(), seed, self.FRAMES // len(self.USERS), [own.pid] * 2, user, out)] = out
        return senders

    def test_nobody_notices_it(self):
        self.service = self.collector()
        churn = self.workload("churn", "3", "7", "23")
        churn.fact("pid")
        path = os.path.join(self.out_dir(), "out.json")
        threads = self.reporter("-t", "-i", "0.2", "-m", "cpu,task", "--json", path, "-p", str(churn.pid))
        processes = self.reporter("-i", "0.5", "-m", "cpu,task", "-p", str(churn.pid))
        everything = self.reporter("-i", "1", "-m", "cpu", "-a")
        counting = wire.Client(self.socket(), timeout=30 * SLOW)
        self.addCleanup(counting.close)
        counting.greet()
        counting.send(wire.subscribe(pids=[churn.pid], metrics=[0]))
        self.until(lambda: threads.task() and processes.task(), "both watch")
        before = processes.task()[0]

        senders, rounds, ticks, self.figures = self.begin_noise(), 0, [], []
        while senders:
            for pid in list(senders):
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    with open(senders.pop(pid), encoding="ascii") as f:
                        self.figures.append(json.loads(f.read()))
            rounds += 1
            churn.step("round", rounds)
            ticks += counting.ticks()
        seen = len(processes.task())
        self.until(lambda: len(processes.task()) > seen + 2, "it goes on")
        ticks += counting.ticks()
        churn.end()
        self.assertEqual((threads.wait(), processes.wait()), (0, 0), threads.stderr + processes.stderr)
        everything.kill(signal.SIGINT)
        self.assertEqual(everything.wait(), 0, everything.stderr)
        self.assertIsNone(self.service.status, self.service.stderr)

        self.assertGreater(sum(f["frames"] for f in self.figures), 0.99 * self.FRAMES)
        self.assertGreater(sum(f["subscribed"] for f in self.figures), self.FRAMES / 100)
        self.assertEqual(ticks, list(range(len(ticks))))
        for reporter in threads, processes, everything:
            self.assertLessEqual(set(reporter.losses()), {"skipped"})
        skipped = threads.losses().get("skipped", 0)
        last = processes.task()[-1]
        self.assertTrue(last.end)
        self.assertEqual(last["task_syscr_count"] - before["task_syscr_count"], rounds * 3 * 7 * 23)
        ends = [row for row in threads.task() if row.end and row["tid"] != churn.pid]
        self.assertEqual(len(ends), rounds * 3 * 7)
        self.assertEqual({row["task_syscr_count"] for row in ends} if not skipped else {23}, {23})
        with open(path, encoding="utf-8") as f:
            samples = [s for s in json_lines(f.read()) if s["type"] == "sample" and s["tid"] == churn.pid]
        # programs on events are loaded between two ticks, which takes as long as it takes: no single one is judged
        times = [wall_ns(s["tick"]) for s in samples]
        self.assertGreater(len(times), (times[-1] - times[0]) / NS / 0.2 / 2)
        self.ticks, self.longest_ns = len(times), max(later - earlier for earlier, later in zip(times, times[1:]))


class Churn(Service):
    """Processes, threads and reporters come and go and rules change, round after round. tests/bench/soak goes on for minutes."""

    WARM_UP, ROUNDS = 3, 4
    GROWTH_KB = 400 if not sanitized() else 1 << 20  # what is freed is kept there, to catch its use
    RULES = ({"first": {"comm": ["churn"]}, "both": {"comm": ["forks", "storm*"], "children": True}},
             {"first": {"argv": ["churn", "7"]}, "both": {"any": [{"comm": ["forks"]}, {"comm": ["storm"]}], "children": True}})

    def begin(self):
        self.service = self.collector({"rules": self.RULES[0]})
        self.config = self.service.argv[self.service.argv.index("-c") + 1]
        self.forks, self.churn, self.storm = (self.workload(*words) for words in (("forks", "101"), ("churn", "3", "7", "23"),
                                                                                  ("storm", "4", "53", "23")))
        for work in self.forks, self.churn, self.storm:
            work.fact("pid")
        with open(f"/proc/{self.churn.pid}/maps", encoding="utf-8") as f:
            self.libc = next(line.split()[-1] for line in f if "libc.so" in line)
        self.stays = self.reporter("-a", "-t", "-i", "0.5", "-m", "cpu,task", "--rotate-bytes", "1M", "--keep", "1", user=ROOT)
        self.until(self.stays.cpu, "it watches")
        self.rounds = 0

    def visit(self, *args, sig=None):
        """A reporter that comes, sees something and goes."""
        reporter = Reporter("-i", "0.1", "--json", "-", *args, user=NOBODY, socket=self.socket())
        try:
            self.until(lambda: '"sample"' in reporter.stdout, lambda: f"a row of {args}: {reporter.stderr}")
            if sig:
                reporter.kill(sig)
            self.assertEqual(reporter.wait(), -sig if sig == signal.SIGKILL else 0, reporter.stderr)
        finally:
            reporter.close()
            shutil.rmtree(reporter.dir)

    def round(self):
        self.rounds += 1
        for work in self.forks, self.churn, self.storm:
            work.kill(signal.SIGUSR1)
        self.visit("-n", "churn", "-t", "-d", "0.3")
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"rules": self.RULES[self.rounds % 2]}, f)
        self.service.kill(signal.SIGHUP)
        self.until(lambda: self.service.stderr.count("reloaded") == self.rounds, "it reads its rules again")
        self.visit("-r", "first", "-r", "both", "--metrics", "all", sig=signal.SIGKILL)
        self.visit("-p", f"{self.storm.pid},{self.forks.pid}", "--children", "-m", "net,cpu,task", sig=signal.SIGINT)
        self.visit("-p", f"{self.churn.pid},{self.forks.pid}", "--children", "-m", "mem,syscall", sig=signal.SIGKILL)
        self.visit("-p", str(self.churn.pid), "--probe", f"{self.libc}:read(int fd)", "-m", "task", "-d", "0.3")
        client = wire.Client(self.socket())
        client.greet()
        client.send(wire.subscribe(pids=[self.churn.pid])[:-2])
        client.close()
        for work, key, value in ((self.forks, "forks", 101 * self.rounds), (self.churn, "round", self.rounds), (self.storm, "storms", self.rounds)):
            self.until(lambda w=work, k=key, v=value: w.facts().get(k) == v, f"{key}={value}")
        self.until(lambda: not self.service.uprobe_links(), "all probes are detached")

    @staticmethod
    def used(process):
        """(kB of memory, descriptors)."""
        return keyed(f"/proc/{process.pid}/status")["VmRSS"], len(os.listdir(f"/proc/{process.pid}/fd"))

    def test_memory_and_descriptors_stay(self):
        self.begin()
        for _ in range(self.WARM_UP):
            self.round()
        both = (self.service, self.stays)
        before, after = [self.used(p) for p in both], []
        for _ in range(self.ROUNDS):
            self.round()
            after.append([self.used(p)[0] for p in both])
        for process, (rss, fds), then in zip(both, before, zip(*after)):
            self.until(lambda p=process, n=fds: self.used(p)[1] <= n, f"descriptors of {process}: {fds} before")
            # what is loaded for a while, and what the C library keeps of it, goes up and down
            self.assertLess(min(then), rss + self.GROWTH_KB, process)
        self.assertIsNone(self.stays.status, self.stays.stderr)
        self.assertLessEqual(set(self.stays.losses()), {"skipped"})
