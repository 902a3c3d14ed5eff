# SPDX-License-Identifier: BSD-2-Clause
"""Heaps: what a program has outstanding equals its own ledger at every checkpoint, whatever allocator it has, wherever its libraries are,
whether it was launched or attached to, and whoever its children are."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import maps
from harness import ALICE, BOB, BUILD, NOBODY, ROOT, SharedCollector, Stat, Test, bpf_program_exists, program, read_csv, run_dir, select

SIZE, TIMES, COUNT, BYTES = FIGURES = ("task_heap_size", "task_heap_times", "task_heap_alloc_count", "task_heap_alloc_bytes")
OF_LEDGER = {SIZE: "size", TIMES: "times", COUNT: "count", BYTES: "bytes"}
THREADS = "4"
FOREIGN = 5  # blocks of 1009 bytes that `blocks` has from its beginning
TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"


def needs_tool(name):
    return unittest.skipUnless(shutil.which(name), f"needs {name}")


def needs_file(path, why):
    return unittest.skipUnless(os.path.exists(path), why)


def workload_file(name):
    return os.path.join(BUILD, "workloads", name)


class Watching:
    """What these tests do with reporters and `blocks`; mixed into tests."""

    def watch(self, *args, pid=None, user=NOBODY, **how):
        reporter = self.reporter("--json", "-", "-m", "task,mem", "--metrics", ",".join(FIGURES), "-i", "0.1", *args, csv=False, user=user, **how)
        if pid:
            self.until(lambda: self.heap(reporter, pid), "the process is probed")
        return reporter

    @staticmethod
    def lines(reporter, **match):
        """Of its JSON; a launched command writes to the same place."""
        text = reporter.stdout
        return select([json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines() if line.startswith("{")], **match)

    @classmethod
    def losses(cls, reporter):
        """But for programs on events, which 7.x skips now and then: heaps need none of them but those of forks, execs and exits."""
        return [(loss["cause"], loss["count"]) for loss in cls.lines(reporter, type="loss") if loss["cause"] != "skipped"]

    @classmethod
    def heap(cls, reporter, pid):
        """The latest figures of a process; None while they are absent."""
        rows = [r for r in cls.lines(reporter, tgid=pid) if r["type"] in ("sample", "end")]
        return {f: rows[-1][f] for f in FIGURES} if rows and SIZE in rows[-1] else None

    @staticmethod
    def ledger(facts, prefix=""):
        return {f: facts[prefix + key] for f, key in OF_LEDGER.items()}

    def blocks(self, *args, name="blocks", prefix=(), **how):
        argv = [*prefix, program(name)] if prefix else [name]
        process = self.workload(*argv, *(args or (THREADS,)), **how)
        process.fact("pid")
        return process

    def expect(self, reporter, pid, figures, what):
        self.until(lambda: self.heap(reporter, pid) == figures,
                   lambda: f"{what}: {self.heap(reporter, pid)} is {figures}; {self.lines(reporter, type='loss')}")

    def checkpoint(self, reporter, process, number, base=None, prefix="", pid=None, facts=None):
        """One more round: the same in the ledger and in the figures, but for a constant `base`."""
        pid, facts = pid or process.pid, facts or process.facts
        os.kill(pid, signal.SIGUSR1)
        self.until(lambda: facts().get(prefix + "round") == number, lambda: f"round {number}: {facts()}")
        ledger = self.ledger(facts(), prefix)
        self.expect(reporter, pid, {f: ledger[f] + (base or {}).get(f, 0) for f in FIGURES}, f"round {number}")

    def follow(self, process, reporter=None, rounds=3, user=NOBODY):
        """Attach to it, and compare for some rounds."""
        reporter = reporter or self.watch("-p", str(process.pid), pid=process.pid, user=user)
        for number in range(1, rounds + 1):
            self.checkpoint(reporter, process, number)
        return reporter

    def launch(self, *command):
        reporter = self.watch("--", *command)
        pid = self.until(lambda: (self.lines(reporter, event="exec") or [{}])[0].get("tgid"), "the command is executed")
        facts = lambda: {k: int(v) for line in reporter.stdout.splitlines() if "=" in line and not line.startswith("{")
                         for k, _, v in (word.partition("=") for word in line.split())}
        return reporter, pid, facts


class Shared(Watching, SharedCollector):
    pass


class Allocators(Shared):
    def test_glibc(self):
        process = self.blocks(THREADS, "free")
        reporter = self.follow(process)
        before = self.heap(reporter, process.pid)
        process.step("action", 1, signal.SIGUSR2)  # blocks from before the watch: in no ledger
        self.checkpoint(reporter, process, 4)
        self.assertEqual(self.heap(reporter, process.pid)[TIMES] - before[TIMES], 4 * 6)
        process.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual({f: reporter.json(type="end")[0][f] for f in FIGURES}, self.ledger(process.facts()))
        self.assertEqual(self.losses(reporter), [])

    def test_threads_that_take_turns(self):
        """Many rounds of more threads than CPUs: wherever one thread is preempted, the next one goes on in the same functions."""
        process = self.blocks(THREADS)
        reporter = self.watch("-p", str(process.pid), pid=process.pid)
        for number in range(1, 42):
            process.step("round", number)
        self.checkpoint(reporter, process, 42)
        self.assertEqual(self.losses(reporter), [])

    @needs_file(workload_file("blocks-static"), "needs a static libc")
    def test_static(self):
        self.follow(self.blocks(name="blocks-static"))

    @needs_file(workload_file("blocks-musl"), "needs musl-gcc")
    def test_musl(self):
        self.follow(self.blocks(name="blocks-musl"))

    @needs_file(workload_file("blocks-jemalloc"), "needs jemalloc")
    def test_jemalloc(self):
        self.follow(self.blocks(name="blocks-jemalloc"))

    @needs_file(TCMALLOC, "needs tcmalloc")
    @needs_tool("env")
    def test_tcmalloc_preloaded(self):
        self.follow(self.blocks(prefix=(shutil.which("env"), f"LD_PRELOAD={TCMALLOC}")))


class Launched(Shared):
    """From the first allocation on."""

    def test_every_allocation(self):
        reporter, pid, facts = self.launch(program("counted_malloc"))
        self.until(lambda: "pid" in facts(), "it takes signals")
        for number in (1, 2, 3):
            os.kill(pid, signal.SIGUSR1)
            self.until(lambda: facts().get("round") == number, lambda: f"round {number}: {facts()}")
            self.until(lambda: (self.heap(reporter, pid) or {}).get(COUNT) == facts()["count"],
                       lambda: f"{self.heap(reporter, pid)} is {facts()}")
            self.assertEqual(self.heap(reporter, pid)[TIMES], facts()["times"])
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def compare(self, name, foreign_only):
        """What the libraries allocate themselves is a constant; blocks from the beginning are known here."""
        reporter, pid, facts = self.launch(program(name), THREADS)
        self.until(lambda: "pid" in facts(), "it begins")
        os.kill(pid, signal.SIGUSR1)
        self.until(lambda: facts().get("round") == 1, "a round")
        seen = len(self.lines(reporter, type="sample"))
        self.until(lambda: len(self.lines(reporter, type="sample")) > seen + 2, "samples since then")
        ledger, heap = self.ledger(facts()), self.heap(reporter, pid)
        base = {f: heap[f] - ledger[f] for f in FIGURES}
        if foreign_only:
            self.assertEqual(base, {SIZE: FOREIGN * 1009, TIMES: FOREIGN, COUNT: FOREIGN, BYTES: FOREIGN * 1009})
        for number in (2, 3):
            self.checkpoint(reporter, None, number, base, pid=pid, facts=facts)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_glibc(self):
        self.compare("blocks", False)

    @needs_file(workload_file("blocks-static"), "needs a static libc")
    def test_static(self):
        self.compare("blocks-static", False)

    @needs_file(workload_file("blocks-musl"), "needs musl-gcc")
    def test_musl(self):
        self.compare("blocks-musl", True)


class Offspring(Shared):
    def probes(self):
        """Links on functions, by their ids."""
        return {info["link_id"] for info in self.shared.fdinfo()
                if "link_type" in info and info["link_type"] not in ("iter", "tracing", "raw_tracepoint", "cgroup")}

    def act(self, process):
        """Two rounds, then its action. Also returns how to tell that a child has as many probes."""
        others = self.probes()  # of earlier tests: the kernel takes its time to detach
        reporter = self.follow(process, self.watch("--children", "-p", str(process.pid), pid=process.pid), rounds=2)
        count = len(self.probes() - others)
        process.step("action", 1, signal.SIGUSR2)
        return reporter, lambda: len(self.probes() - others) >= 2 * count

    def test_fork(self):
        process = self.blocks("1", "fork")
        reporter, child_is_probed = self.act(process)
        child = process.fact("c.pid")
        self.until(child_is_probed, "the child is probed, too")
        ledger = self.ledger(process.facts())
        # the child gives back blocks of its parent's, and the parent its own after that, in any order
        self.checkpoint(reporter, process, 3, {COUNT: -ledger[COUNT], BYTES: -ledger[BYTES]}, "c.", child)
        self.expect(reporter, process.pid, ledger, "the parent")
        self.checkpoint(reporter, process, 3)
        self.checkpoint(reporter, process, 4, {COUNT: -ledger[COUNT], BYTES: -ledger[BYTES]}, "c.", child)
        self.checkpoint(reporter, process, 4)
        os.kill(child, signal.SIGTERM)

    def test_what_a_child_does_at_once_is_told(self):
        """It cannot be probed before it runs."""
        process = self.blocks("1", "fork")
        reporter, _ = self.act(process)
        self.until(lambda: self.heap(reporter, process.fact("c.pid")), "the child is probed")
        self.until(lambda: self.lines(reporter, type="loss", cause="heap_late"), "its first calls are told to be missing")
        os.kill(process.fact("c.pid"), signal.SIGTERM)
        process.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual({cause for cause, _ in self.losses(reporter)}, {"heap_late"})

    def test_child_of_a_shell(self):
        """It is followed over its fork and its exec."""
        reporter, _, facts = self.launch("/bin/sh", "-c", f"{program('blocks')} 2 & wait")
        pid = self.until(lambda: facts().get("pid"), "the child begins")
        self.until(lambda: self.heap(reporter, pid), "it is probed")
        for number in (1, 2, 3):
            os.kill(pid, signal.SIGUSR1)
            self.until(lambda: facts().get("round") == number, "a round")
            ledger = self.ledger(facts())
            self.until(lambda: self.heap(reporter, pid)[COUNT] >= ledger[COUNT], "the round is seen")
            if number == 1:
                seen = len(self.lines(reporter, tgid=pid, type="sample"))
                self.until(lambda: len(self.lines(reporter, tgid=pid, type="sample")) > seen + 2, "samples since then")
                base = {f: self.heap(reporter, pid)[f] - ledger[f] for f in FIGURES}
            self.expect(reporter, pid, {f: ledger[f] + base[f] for f in FIGURES}, f"round {number}")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_vfork(self):
        """The child has its parent's memory, and probes of its own, until it executes something."""
        process = self.blocks("1", "vfork")
        reporter, _ = self.act(process)
        self.checkpoint(reporter, process, 3)
        self.until(lambda: self.lines(reporter, comm="true", type="end"), "the child has ended")
        self.checkpoint(reporter, process, 4)

    def test_exec(self):
        process = self.blocks("2", "exec")
        reporter = self.follow(process, rounds=2)
        process.kill(signal.SIGUSR2)
        process.fact("x.pid")
        before = self.heap(reporter, process.pid)
        # absent while it is probed anew
        self.until(lambda: (self.heap(reporter, process.pid) or before)[TIMES] < before[TIMES], "the heap begins anew")
        self.checkpointed_after_exec(reporter, process)

    def checkpointed_after_exec(self, reporter, process):
        process.kill(signal.SIGUSR1)
        self.until(lambda: process.facts().get("x.round") == 1, "a round")
        ledger = self.ledger(process.facts(), "x.")
        self.until(lambda: self.heap(reporter, process.pid)[TIMES] >= ledger[TIMES] + FOREIGN, "the round is seen")
        heap = self.heap(reporter, process.pid)
        base = {f: heap[f] - ledger[f] for f in FIGURES}
        self.assertBetween(FOREIGN, base[TIMES], FOREIGN + 20)  # and what the libraries have
        self.checkpoint(reporter, process, 2, base, "x.")

    def test_main_thread_leaves(self):
        process = self.blocks("2", "leave")
        reporter = self.follow(process, rounds=2)
        before = self.probes()
        process.step("action", 1, signal.SIGUSR2)
        self.until(lambda: self.probes() and not self.probes() & before, "another thread has its probes")
        seen = len(self.lines(reporter, type="sample"))
        self.until(lambda: len(self.lines(reporter, type="sample")) > seen + 2, "samples since then")
        heap, ledger = self.heap(reporter, process.pid), self.ledger(process.facts())
        base = {f: heap[f] - ledger[f] for f in FIGURES}
        self.assertBetween(0, base[TIMES], 20)  # to end a thread, glibc loads libgcc_s
        for number in (3, 4):
            self.checkpoint(reporter, process, number, base)

    def test_main_thread_has_left(self):
        process = self.blocks("2", "leave")
        process.step("action", 1, signal.SIGUSR2)
        self.until(lambda: Stat(process.pid).state == "Z", "the main thread has exited")
        self.follow(process)

    @needs_tool("setarch")
    def test_same_addresses(self):
        """Two processes that get the same addresses, in different rounds."""
        first, second = (self.blocks("1", prefix=(shutil.which("setarch"), "-R")) for _ in range(2))
        reporter = self.watch("-p", f"{first.pid},{second.pid}", pid=first.pid)
        self.until(lambda: self.heap(reporter, second.pid), "both are probed")
        for number in (1, 2):
            self.checkpoint(reporter, first, number)
        nothing = dict.fromkeys(FIGURES, 0)
        self.expect(reporter, second.pid, nothing, "the other one")
        self.checkpoint(reporter, second, 1)
        self.checkpoint(reporter, first, 3)
        self.checkpoint(reporter, second, 2)


class Places(Shared):
    """Programs whose libraries are not where the collector's are."""

    def closed_room(self):
        """A directory with `blocks` and the libraries that it needs."""
        room = tempfile.mkdtemp(dir=run_dir())
        os.chmod(room, 0o755)
        found = subprocess.run(["ldd", program("blocks")], capture_output=True, text=True, check=True).stdout
        libraries = [word for word in found.split() if word.startswith("/")]
        for path in [program("blocks"), *libraries]:
            at = room + path
            os.makedirs(os.path.dirname(at), exist_ok=True)
            shutil.copy(path, at)
        return room

    @needs_tool("ldd")
    def test_chroot(self):
        process = self.workload(shutil.which("chroot"), self.closed_room(), program("blocks"), THREADS, user=ROOT)
        process.fact("pid")
        self.follow(process, user=ROOT)

    @needs_tool("ldd")
    @needs_tool("unshare")
    def test_mount_namespace(self):
        room, hidden = self.closed_room(), tempfile.mkdtemp(dir=run_dir())
        process = self.workload(shutil.which("unshare"), "-m", "--propagation", "private", "/bin/sh", "-c",
                                f"mount -t tmpfs hidden {hidden} && cp -a {room}/. {hidden}/ && "
                                f"exec chroot {hidden} {program('blocks')} {THREADS}", user=ROOT)
        process.fact("pid")
        self.assertEqual(os.listdir(hidden), [])
        self.follow(process, user=ROOT)


class Ends(Watching, Test):
    def socket(self):
        return self.served.socket

    def uprobes(self):
        return [i for i in self.served.fdinfo() if "link_type" in i and i["link_type"] in ("perf", "uprobe_multi", "<unknown>", "12")]

    def setUp(self):
        super().setUp()
        self.served = self.collector({"heap_blocks": 1024, "heap_processes": 2, "heap_processes_per_user": 1})

    def test_nothing_stays(self):
        before, links = self.served.program_ids(), self.served.event_links()
        process = self.blocks("1")
        reporter = self.watch("-p", str(process.pid), pid=process.pid)
        ids = self.served.program_ids() - before
        self.assertTrue(ids)
        reporter.kill(signal.SIGINT)
        reporter.wait()
        self.until(lambda: self.served.program_ids() <= before and self.served.event_links() == links, "the probes are gone")
        self.until(lambda: not any(bpf_program_exists(i) for i in ids), "the programs are gone")
        reporter = self.watch("-p", str(process.pid), pid=process.pid)  # and come again
        process.kill(signal.SIGUSR1)
        self.until(lambda: self.heap(reporter, process.pid)[TIMES] == 7, "it is probed again")
        process.end()
        self.assertEqual(reporter.wait(), 0)
        self.until(lambda: not any(bpf_program_exists(i) for i in self.served.program_ids() - before), "the probes are gone again")

    def test_limits(self):
        first, second, of_root = self.blocks("1"), self.blocks("1"), self.blocks("1", user=ROOT)
        reporter = self.watch("-p", f"{first.pid},{second.pid},{of_root.pid}", user=ROOT)
        self.until(lambda: reporter.json(type="loss", cause="heap_full"), "one was left out, and that is told")
        probed = lambda: [p for p in (first, second) if self.heap(reporter, p.pid)]
        self.until(lambda: probed() and self.heap(reporter, of_root.pid), "the others are probed")
        self.assertEqual(len(probed()), 1)

    def test_an_environment_that_takes_long(self):
        """Thousands of libraries in thousands of directories, none of which exists: it is not looked for all of them."""
        env = {"LD_LIBRARY_PATH": "/x:" * 20011, "LD_PRELOAD": ":".join(f"l{i}" for i in range(4001))}
        process = self.workload("blocks", "1", env=env)
        process.fact("pid")
        other = self.blocks("1", user=ROOT)
        self.watch("-p", str(process.pid), pid=process.pid)
        self.watch("-p", str(other.pid), pid=other.pid, user=ROOT)

    def test_what_has_no_room_is_counted(self):
        """Each block that the ledger cannot hold, no more and no less."""
        blocks = 2003
        process = self.workload("leaky", "many", str(blocks))
        process.fact("begun")
        reporter = self.watch("-p", str(process.pid), pid=process.pid)
        process.kill(signal.SIGUSR1)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        end, = reporter.json(type="end")
        full = sum(loss["count"] for loss in reporter.json(type="loss", cause="heap_full"))
        self.assertEqual(end[COUNT], blocks)
        self.assertEqual(end[TIMES] + full, blocks)
        self.assertBetween(1000, end[TIMES], 1024)

    def test_full_table(self):
        process = self.workload(sys.executable, "-c", "import ctypes, signal\n"
                                "get = ctypes.CDLL(None).malloc\n"
                                "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
                                "print('begun=1', flush=True)\n"
                                "while signal.sigwait([signal.SIGUSR1]):\n"
                                "    for _ in range(2003): get(10)\n"
                                "    print('round=1', flush=True)\n")
        process.fact("begun")
        reporter = self.watch("-p", str(process.pid), pid=process.pid)
        process.step("round", 1)
        full = lambda: sum(loss["count"] for loss in reporter.json(type="loss", cause="heap_full"))
        self.until(lambda: self.heap(reporter, process.pid)[COUNT] >= 2003 and full() >= 2003 - 1024, lambda: f"{full()} blocks had no room")
        self.assertLessEqual(self.heap(reporter, process.pid)[TIMES], 1024)
        self.assertLessEqual(full(), self.heap(reporter, process.pid)[COUNT] - 1000)


class Large(Watching, Test):
    """More blocks than the kernel has a table for in each process."""

    def socket(self):
        return self.served.socket

    def test_shared_ledger(self):
        self.served = self.collector({"heap_blocks": 65536})
        process = self.workload(sys.executable, "-c", "import ctypes, itertools, signal\n"
                                "libc = ctypes.CDLL(None)\n"
                                "libc.malloc.restype = ctypes.c_void_p\n"
                                "kept = (ctypes.c_void_p * 50021)()\n"
                                "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
                                "def get(n):\n"
                                "    for i in range(n): kept[i] = libc.malloc(11)\n"
                                "def give(n):\n"
                                "    for i in range(n): libc.free(ctypes.c_void_p(kept[i]))\n"
                                "print('pid=1', flush=True)\n"
                                "for round in itertools.count(1):\n"
                                "    signal.sigwait([signal.SIGUSR1])\n"
                                "    (get if round % 2 else give)(50021)\n"
                                "    print(f'round={round}', flush=True)\n")
        process.fact("pid")
        other = self.blocks("1")  # whose watch keeps the ledgers
        self.watch("-p", str(other.pid), pid=other.pid)
        reporter = self.watch("-p", str(process.pid), pid=process.pid)
        before = self.heap(reporter, process.pid)
        for number, blocks in ((1, 50021), (2, 0), (3, 50021)):
            process.step("round", number)
            self.until(lambda: abs(self.heap(reporter, process.pid)[TIMES] - before[TIMES] - blocks) < 20,  # Python has some itself
                       lambda: f"round {number}: {before} and {blocks} blocks: {self.heap(reporter, process.pid)}")
            self.assertNear(self.heap(reporter, process.pid)[SIZE] - before[SIZE], 11 * blocks, 20_000)
        self.assertGreater(maps.entries(self.served, "ledger"), 50_000)
        process.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(self.losses(reporter), [])
        self.until(lambda: maps.entries(self.served, "ledger") < 1000, "its blocks are gone")


class Users(Shared):
    config = {"rules": {"mine": {"comm": "blocks"}}}

    def test_what_selects_processes_of_others_too(self):
        """A name, and a rule: those of others are neither shown nor probed."""
        own, other = self.blocks("1", user=BOB), self.blocks("1", user=ALICE)
        for how in (("-n", "blocks"), ("-r", "mine"), ("-a",)):
            reporter = self.watch(*how, user=BOB)
            self.until(lambda: self.heap(reporter, own.pid), "its own is probed")
            seen = len(self.lines(reporter, type="sample"))
            self.until(lambda: len(self.lines(reporter, type="sample")) > seen + 2, "samples since then")
            self.assertEqual(self.lines(reporter, tgid=other.pid), [])
            self.assertEqual(maps.entries(self.shared, "heaps"), 1 + (how == ("-a",)))  # the reporter itself is BOB's, too
            reporter.kill(signal.SIGINT)
            reporter.wait()
            self.until(lambda: maps.entries(self.shared, "heaps") == 0, "no heap is left")

    def test_of_another_user(self):
        process = self.blocks("1", user=ALICE)
        reporter = self.report("-m", "mem", "-p", str(process.pid), user=BOB, status=4)
        self.assertOneLine(reporter.stderr, "not yours to see")

    def test_seed_configuration(self):
        """As the seed writes it; the file is where it says, with an END."""
        process = self.blocks("1")
        out = self.out_dir()
        path = os.path.join(out, "config.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"snoop_cpu": None, "snoop_mem": "bcc", "mem_output_file": "mem_snoop.csv", "interval": 0.1, "trace_multiprocess": "false"}, f)
        reporter = self.reporter("-c", path, "-p", str(process.pid), csv=False, cwd=out)
        rows = lambda: read_csv(os.path.join(out, "mem_snoop.csv"))
        self.until(rows, "a row")
        process.step("round", 1)
        self.until(lambda: rows()[-1]["Times"] == "7", "the round")
        process.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        with open(os.path.join(out, "mem_snoop.csv"), encoding="utf-8") as f:
            self.assertEqual(f.readline(), "Ticks,PID,COMM,Size(B),Times\n")
        last = {"Ticks": "END", "PID": str(process.pid), "COMM": "blocks", "Size(B)": str(process.facts()["size"]), "Times": "7"}
        self.assertEqual(rows()[-1], last)

    def test_python_under_load(self):
        """A real program that allocates all the time: it lives, and its table is as large as what it has."""
        process = self.workload(sys.executable, "-c", "import json, time\n"
                                "end = time.monotonic() + 3\n"
                                "turns = 0\n"
                                "while time.monotonic() < end:\n"
                                "    kept = [json.loads(json.dumps({str(i): [i] * (i % 97) for i in range(500)})) for _ in range(3)]\n"
                                "    turns += 1\n"
                                "print(f'turns={turns}', flush=True)\n")
        reporter = self.watch("-p", str(process.pid), pid=process.pid)
        self.assertEqual(process.wait(), 0, process.stderr)
        self.assertGreater(process.fact("turns"), 1)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        end = reporter.json(type="end")[0]
        self.assertGreater(end[COUNT], 1000)
        self.assertLess(end[TIMES], 100_000)
        self.assertEqual(self.losses(reporter), [])
