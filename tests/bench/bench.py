# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks share: rounds that take turns, CPU time and memory of processes, and the tasks and collectors that they measure
(what they show is in page.py). Python's own library only.

Everything that is compared is measured in turns within one run, and CPU is what the scheduler counted for a process, not the
time that passed: the machine may have other things to do.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BENCH_DIR = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(BENCH_DIR), "e2e"))
sys.dont_write_bytecode = True
import harness  # noqa: E402

OUT = os.environ.get("TASKMON_BENCH_OUT") or os.path.join(harness.BUILD, "bench")
QUICK = os.environ.get("TASKMON_BENCH_QUICK") == "1"  # a few seconds each, to see that they work
PER_PROCESS = 1000  # threads of a process that sleeps


def rounds(normal):
    return 1 if QUICK else normal


# ---------------------------------------------------------------------------------------------------------
# Measuring

def cpu_of_command(argv, **how):
    """(CPU time in ns, memory that was resident at most in KiB) of a program and of what it waited for; its output goes nowhere."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C", "TERM": "dumb"}, **how)
    _, status, usage = os.wait4(process.pid, 0)
    if status not in (0, 256):  # 1: some tools say so when a task has ended meanwhile
        sys.exit(f"{' '.join(argv)}: failed with {status}")
    return (usage.ru_utime + usage.ru_stime) * 1e9, usage.ru_maxrss


def rss_kib(pid):
    return harness.keyed(f"/proc/{pid}/status")["VmRSS"]


def map_kib(pid):
    """Kernel memory of the BPF maps that a process holds, as the kernel accounts for it."""
    maps = {}
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            info = harness.keyed(f"/proc/{pid}/fdinfo/{fd}")
        except FileNotFoundError:
            continue
        if "map_id" in info:
            maps[info["map_id"]] = info["memlock"]
    return sum(maps.values()) // 1024


def take_turns(measures, count, longest=float("inf")):
    """{name: [value per round]} of {name: function}, each called once a round; one that takes longer than `longest` seconds only once,
    and one that has nothing to say (None) says nothing."""
    values, slow = {name: [] for name in measures}, set()
    for _ in range(count):
        for name, measure in measures.items():
            if name in slow:
                continue
            began = time.monotonic()
            value = measure()
            values[name] += [] if value is None else [value]
            if time.monotonic() - began > longest:
                slow.add(name)
    return values


# ---------------------------------------------------------------------------------------------------------
# What is measured

class Sleepers:
    """Threads that do nothing."""

    def __init__(self, threads, per_process=PER_PROCESS):
        per_process = min(per_process, threads)
        self.threads = threads // per_process * per_process
        self.workload = harness.Workload("sleepers", str(per_process), str(threads // per_process), user=harness.ALICE)
        self.workload.fact("ready", 300)
        self.pids = [line[4:] for line in self.workload.stdout.splitlines() if line.startswith("pid=")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workload.close()
        # the next ones may need their numbers
        harness.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in self.pids), "the threads end", 300)


def out_dir(user, below=None):
    """A directory that this user writes into."""
    directory = tempfile.mkdtemp(dir=below or harness.run_dir())
    os.chown(directory, user, user)
    return directory


class Watch:
    """A collector, and reporters that ask it for the same; the figures of a number of snapshots. `witness`: a process whose main
    thread is in all of them; that of a list of processes is its first."""

    def __init__(self, *args, reporters=1, sees_all=False, out=True, witness=None):
        self.collector = harness.Collector()
        self.witness = str(witness or (args[args.index("-p") + 1].split(",")[0] if "-p" in args else "")).encode()
        self.dirs, self.reporters = [], []
        self.read = {}  # of the file of each reporter: bytes, column of the thread, snapshots
        for _ in range(reporters):
            self.add(*args, sees_all=sees_all, out=out)

    def add(self, *args, sees_all=False, out=True):
        if not self.witness:
            self.witness = args[args.index("-p") + 1].split(",")[0].encode()
        user = harness.ROOT if sees_all else harness.ALICE
        directory = out_dir(user)
        self.dirs.append(directory)
        where = ("--csv", directory) if out else ("--json", "/dev/null")
        self.reporters.append(harness.Reporter(*where, *args, user=user, socket=self.collector.socket, out=directory))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for reporter in self.reporters:
            reporter.close()
        self.collector.end()
        self.collector.close()
        for directory in self.dirs:
            shutil.rmtree(directory, ignore_errors=True)

    def file(self, which=0):
        """Of the first module."""
        for name in ("task.csv", "cpu.csv"):
            path = os.path.join(self.dirs[which], name)
            if os.path.exists(path):
                return path
        return None

    def ticks(self, which=0):
        """Snapshots in its file so far: rows of the task that was named as witness."""
        path = self.file(which)
        if not path:
            return 0
        offset, column, count = self.read.get(which, (0, None, 0))
        with open(path, "rb") as f:
            f.seek(offset)
            text = f.read()
        text = text[:text.rfind(b"\n") + 1]
        lines = text.splitlines()
        if lines and column is None:
            column = lines.pop(0).lower().split(b",").index(b"tid")
        count += sum(line.split(b",")[column] == self.witness for line in lines)
        self.read[which] = offset + len(text), column, count
        return count

    def measure(self, snapshots, seconds=300):
        """(collector, reporter) CPU in ns per snapshot, after the first."""
        harness.wait_until(lambda: all(self.ticks(i) >= 1 for i in range(len(self.reporters))), "the first snapshot", seconds)
        first, before = self.ticks(), (harness.cpu_clock_ns(self.collector.pid), harness.cpu_clock_ns(self.reporters[0].pid))
        harness.wait_until(lambda: self.ticks() >= first + snapshots, "all snapshots", seconds)
        taken = self.ticks() - first
        after = harness.cpu_clock_ns(self.collector.pid), harness.cpu_clock_ns(self.reporters[0].pid)
        for reporter in self.reporters:
            if reporter.losses():
                print(f"note: losses: {reporter.losses()}", file=sys.stderr)
        return [(b - a) / taken for a, b in zip(before, after)]

    def cpu_over(self, seconds):
        """CPU of the collector per second, while this time passes."""
        begin, before = time.monotonic(), harness.cpu_clock_ns(self.collector.pid)
        time.sleep(seconds)
        return (harness.cpu_clock_ns(self.collector.pid) - before) / (time.monotonic() - begin)


def main(name, title, measure):
    """Runs measure(page) as root and cleans up whatever happens."""
    from page import Page
    if os.geteuid() != 0:
        sys.exit(f"{name}: must be run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing is left behind
    page = Page(name, title)
    try:
        measure(page)
        page.end()
    finally:
        harness.end_run()
