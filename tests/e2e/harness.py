# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests share: a private collector, reporters run by an unprivileged user, workloads, readers
of what they write, and conditions to wait for. Python's own library only: the tests also run in small guests.

Every process started here is ended and checked at the end of its test. Nothing sleeps for a fixed time to
synchronise: `wait_until` polls a condition, and its time limit only bounds a test that fails.

TASKMON_BUILD  the directory of the programs (default: build/ of this tree). Programs with sanitizers, build/asan, are
               asked to end rather than killed, so that leaks are found, and a report of one fails its test
TASKMON_WALK   handed to the collector: "iter" makes its passes go the way of old kernels (collector/walk.h)
TASKMON_SLOW   factor on all time limits, for emulated machines (default 1)
TASKMON_GUEST  set in a machine that is there for these tests only
"""
import csv
import ctypes
import fnmatch
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

ROOT_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TASKMON_BUILD") or os.path.join(ROOT_DIR, "build")
SLOW = float(os.environ.get("TASKMON_SLOW", "1"))
GUEST = "TASKMON_GUEST" in os.environ

# Users that own nothing else on the machine, not even what another run of these tests has started.
NOBODY = 65534
ALICE, BOB = 100_003 + 10 * os.getpid(), 100_007 + 10 * os.getpid()
GROUP = 100_009 + 10 * os.getpid()  # stands for the group whose members see everything
ROOT = 0

NS = 1_000_000_000
SANITIZER_STATUS = 99  # exit status of a program that a sanitizer has stopped, or that leaks
# What nohup or a shell in the background ignores for us, all whom we start would ignore as well, but not what has a handler.
for _number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)
CLK_TCK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def kernel_hz():
    """CONFIG_HZ of the running kernel; 100, the coarsest, if it does not tell."""
    import gzip
    for path, opener in (("/proc/config.gz", gzip.open), (f"/boot/config-{os.uname().release}", open)):
        try:
            with opener(path, "rt") as f:
                found = re.search(r"^CONFIG_HZ=(\d+)$", f.read(), re.M)
                if found:
                    return int(found.group(1))
        except OSError:
            pass
    return 100


TICK_NS = NS // kernel_hz()  # of the scheduler


def wait_until(condition, what, timeout=30):
    """Polls until condition() is true and returns its value; fails with `what` after timeout seconds."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout * SLOW:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------------------------
# The run: one directory that every user may enter, with the programs in it (the tree itself may be private).

_run_dir = None


def run_dir():
    global _run_dir
    if _run_dir is None:
        _run_dir = tempfile.mkdtemp(prefix="taskmon-e2e-")
        os.chmod(_run_dir, 0o755)
        bin_dir = os.path.join(_run_dir, "bin")
        os.mkdir(bin_dir, 0o755)
        programs = [os.path.join(BUILD, p) for p in ("taskmon-collector", "taskmon-report")]
        workloads = os.path.join(BUILD, "workloads")
        programs += [os.path.join(workloads, w) for w in sorted(os.listdir(workloads)) if "." not in w]
        for path in programs:
            shutil.copy(path, bin_dir)
            os.chmod(os.path.join(bin_dir, os.path.basename(path)), 0o755)
    return _run_dir


@functools.lru_cache(maxsize=None)
def sanitized():
    """Are the programs built with sanitizers?"""
    with open(os.path.join(BUILD, "taskmon-collector"), "rb") as f:
        return b"__asan_init" in f.read()


def program(name):
    return os.path.join(run_dir(), "bin", name)


def leftovers():
    """Processes whose program is one of this run's: pid -> name. All of them were started by the tests."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if _run_dir and exe.startswith(_run_dir + "/"):
            found[int(pid)] = os.path.basename(exe)
    return found


def end_run():
    """Kills what is left, removes the directory, returns what was left."""
    Canary.stop()
    left = leftovers()
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if _run_dir:
        shutil.rmtree(_run_dir, ignore_errors=True)
    return left


def cause_of_skip(need):
    """Why this machine cannot do `need`, or None."""
    if need == "two CPUs" and len(os.sched_getaffinity(0)) < 2:
        return "needs two CPUs"
    if need in ("strace", "systemd-analyze") and not shutil.which(need):
        return f"needs {need}"
    return None


def needs(what):
    why = cause_of_skip(what)
    return unittest.skipIf(why is not None, why or "")


# ---------------------------------------------------------------------------------------------------------
# Processes

class Canary(threading.Thread):
    """Wakes up every 50 ms and remembers when it was late: then the machine was too busy, or stood still."""

    STEP = 0.05
    _only = None

    def __init__(self):
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.late = []  # (wall clock in ns, seconds late)

    def run(self):
        while not self.done.is_set():
            due = time.monotonic() + self.STEP
            time.sleep(self.STEP)
            if time.monotonic() - due > self.STEP:
                self.late.append((time.time_ns(), time.monotonic() - due))

    @classmethod
    def start_once(cls):
        if cls._only is None:
            cls._only = cls()
            cls._only.start()

    @classmethod
    def stop(cls):
        """A daemon thread that runs at Python's exit needs libgcc_s for its own."""
        if cls._only:
            cls._only.done.set()
            cls._only.join()

    @classmethod
    def latest(cls, begin, end):
        """The longest delay around this stretch of time, in seconds."""
        return max([s for at, s in cls._only.late if begin - NS / 2 <= at <= end + NS], default=0)


SANITIZER_OPTIONS = {"ASAN_OPTIONS": f"exitcode={SANITIZER_STATUS}:detect_stack_use_after_return=1",
                     "UBSAN_OPTIONS": f"exitcode={SANITIZER_STATUS}:print_stacktrace=1"} if sanitized() else {}


class Process:
    """A child with its output in files, in a session of its own so that it can be ended with all it started."""

    def __init__(self, argv, user=ROOT, groups=(), cwd=None, stdout=None, stderr=None, env=None, preexec=None):
        self.argv = argv
        self.dir = tempfile.mkdtemp(dir=run_dir())
        os.chmod(self.dir, 0o755)
        self.out_path, self.err_path = os.path.join(self.dir, "stdout"), os.path.join(self.dir, "stderr")
        self.resumed = True
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or out, stderr=stderr or err, cwd=cwd or self.dir,
                                          user=user, group=user, extra_groups=list(groups), start_new_session=True, preexec_fn=preexec,
                                          env={**(env or {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": self.dir}), **SANITIZER_OPTIONS,
                                               **{k: v for k, v in os.environ.items() if k == "TASKMON_WALK"}})
        self.pid = self.popen.pid

    @property
    def stdout(self):
        with open(self.out_path, "rb") as f:
            return f.read().decode("utf-8", "surrogateescape")

    @property
    def stderr(self):
        with open(self.err_path, "rb") as f:
            return f.read().decode("utf-8", "surrogateescape")

    @property
    def status(self):
        """Exit status as Popen gives it (negative: a signal), None while it runs."""
        return self.popen.poll()

    def kill(self, sig):
        self.popen.send_signal(sig)

    def wait(self, timeout=60):
        """Waits for its end and returns its exit status."""
        try:
            return self.popen.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} still runs after {timeout * SLOW:g} s; stderr: {self.stderr!r}") from None

    def prefer(self):
        """It and what it has started get ten times as much of the CPU as others of a busy machine: for tests in which it must not get little."""
        os.setpriority(os.PRIO_PGRP, self.pid, -10)
        try:
            with open(f"/proc/{self.pid}/autogroup", "w", encoding="ascii") as f:
                f.write("-10")  # of its session, beside those of others
        except FileNotFoundError:
            pass  # there are no such groups

    def stop(self):
        """SIGSTOP, and waits until it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: Stat(self.pid).state == "T", f"{self} stopped")

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def __str__(self):
        return " ".join(os.fsdecode(a) for a in self.argv)

    def close(self):
        if SANITIZER_OPTIONS and self.status is None and self.argv[0].startswith(program("taskmon-")):
            self.end_with_leak_check()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.popen.wait()
        if self.status == SANITIZER_STATUS or re.search("Sanitizer|runtime error: ", self.stderr):
            raise AssertionError(f"a sanitizer reports {self}: {self.stderr}")

    def end_with_leak_check(self):
        """What is killed leaks nothing that could be seen."""
        try:
            self.resume()
            self.kill(signal.SIGINT)
            self.popen.wait(10 * SLOW)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


class Workload(Process):
    """One of tests/workloads, or another program; facts() reads the key=value lines it prints."""

    def __init__(self, name, *args, **how):
        super().__init__([program(name) if b"/" not in os.fsencode(name) else name, *args], **how)

    def facts(self):
        return {key: number(value) for line in self.stdout.splitlines() if "=" in line and not line.startswith("w ")
                for key, _, value in (word.partition("=") for word in line.split()) if key}

    def fact(self, key, timeout=30):
        """The value of a key, as soon as it has been printed."""
        def what():
            return f"{self} prints {key}=; it printed {self.stdout!r} {self.stderr!r}"
        wait_until(lambda: self.status is not None or key in self.facts(), what, timeout)
        facts = self.facts()
        if key not in facts:
            raise AssertionError(f"not before its end with {self.status}: {what()}")
        return facts[key]

    def step(self, key, value, sig=signal.SIGUSR1, timeout=60):
        """Sends it a signal, once it has begun and so handles it, and waits until it prints key=value."""
        wait_until(self.facts, lambda: f"{self} begins", timeout)
        self.kill(sig)
        wait_until(lambda: self.facts().get(key) == value, lambda: f"{self} prints {key}={value}: {self.stdout!r}", timeout)

    def end(self, timeout=30):
        self.kill(signal.SIGTERM)
        return self.wait(timeout)


class Reporter(Process):
    def __init__(self, *args, user=NOBODY, groups=(), socket=None, out=None, **how):
        self.out_dir = out
        super().__init__([program("taskmon-report"), *(["-s", socket] if socket else []), *args], user=user, groups=groups, **how)

    def csv(self, name):
        """Complete rows of one of its CSV files so far, as dicts; [] while there is no such file."""
        return read_csv(os.path.join(self.out_dir, name + ".csv"))

    def cpu(self, **match):
        return [CpuRow(r) for r in select(self.csv("cpu"), **match)]

    def task(self, **match):
        """Rows of task.csv. The final row of a task looks like any other there: it is the last one of its identity, if
        cpu.csv has an END for it."""
        rows = [TaskRow(r) for r in self.csv("task")]
        ends = {}
        for row in self.csv("cpu"):
            if row["Ticks"] == "END":
                ends[int(row["TID"])] = ends.get(int(row["TID"]), 0) + 1
        last = {(row["tid"], row["start_time"]): row for row in rows}
        for (tid, _), row in last.items():
            if ends.get(tid, 0) > 0:
                ends[tid] -= 1
                row.end = True
        return select(rows, **match)

    def events(self, **match):
        return select(self.csv("event"), **match)

    def losses(self):
        """cause -> count, summed over the loss events."""
        total = {}
        for row in self.events(event="loss"):
            for word in row["detail"].split():
                cause, _, count = word.partition("=")
                total[cause] = total.get(cause, 0) + int(count)
        return total

    def json(self, **match):
        return select(json_lines(self.stdout), **match)


class Collector(Process):
    """A collector on a private socket, ready for clients. `socket`: where an earlier one served."""

    def __init__(self, config=None, args=(), wait=True, prefix=(), socket=None):
        self.socket = socket or os.path.join(tempfile.mkdtemp(dir=run_dir()), "sock")
        os.chmod(os.path.dirname(self.socket), 0o755)
        argv = [program("taskmon-collector"), "-s", self.socket, *args]
        if config is not None:
            path = os.path.join(os.path.dirname(self.socket), "collector.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(config, f)
            argv += ["-c", path]
        super().__init__([*prefix, *argv])
        self.prefer()  # late ticks shall be its own fault, not that of a busy machine
        if wait:
            ready = f"taskmon-collector: ready on {self.socket}\n"
            wait_until(lambda: ready in self.stderr or self.status is not None, f"{self} is ready")
            if self.status is not None:
                raise AssertionError(f"{self} ended with {self.status}: {self.stderr}")

    def end(self, sig=signal.SIGINT, timeout=30):
        self.kill(sig)
        return self.wait(timeout)

    def fdinfo(self):
        """What /proc/PID/fdinfo says of its descriptors: a list of dicts."""
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fdinfo"):
            try:
                with open(f"/proc/{self.pid}/fdinfo/{fd}", encoding="utf-8") as f:
                    found.append(dict((k, v.strip()) for k, _, v in (line.partition(":") for line in f)))
            except FileNotFoundError:
                pass
        return found

    def program_ids(self):
        """Ids of the BPF programs that it holds."""
        return {int(info["prog_id"]) for info in self.fdinfo() if "prog_id" in info}

    def event_links(self):
        """Names of the events that its BPF programs are attached to; iterators are not on an event."""
        return sorted(info.get("tp_name") or info["link_type"] + info["link_id"] for info in self.fdinfo()
                      if "link_type" in info and info["link_type"] != "iter")


    def uprobe_links(self):
        """Its links to functions; what the kernel calls those of uprobe_multi differs."""
        return [info for info in self.fdinfo() if info.get("link_type") in ("perf", "uprobe_multi", "<unknown>", "12")]


class Test(unittest.TestCase):
    """A test with its own processes: all are ended, newest first, when it is over."""

    maxDiff = 4000

    def setUp(self):
        Canary.start_once()
        self.kept = []

    def keep(self, process):
        self.kept.append(process)
        self.addCleanup(process.close)
        return process

    def workload(self, name, *args, user=NOBODY, **how):
        """Starts a workload, by default as the user that reporters run as."""
        return self.keep(Workload(name, *args, user=user, **how))

    def collector(self, config=None, args=(), prefix=(), socket=None):
        """With a prefix: what execs it."""
        collector = Collector(config, args, prefix=prefix, socket=socket)

        def finish():
            try:
                if collector.status is None:
                    self.assertEqual(collector.end(), 0, collector.stderr)
                if collector.status != -signal.SIGKILL:  # by the test
                    self.assertFalse(os.path.exists(collector.socket), "the collector left its socket")
            finally:
                collector.close()
        self.addCleanup(finish)
        return collector

    def out_dir(self, user=NOBODY):
        path = tempfile.mkdtemp(dir=run_dir())
        os.chown(path, user, user)
        return path

    def reporter(self, *args, user=NOBODY, csv=True, socket=None, **how):
        """Starts a reporter; with csv it writes CSV files, else what the arguments say."""
        out = None
        if csv:
            out = self.out_dir(user)
            args = ("--csv", out, *args)
        return self.keep(Reporter(*args, user=user, socket=socket or self.socket(), out=out, **how))

    def report(self, *args, status=0, timeout=60, **how):
        """Runs a reporter to its end and expects that exit status."""
        reporter = self.reporter(*args, **how)
        got = reporter.wait(timeout)
        self.assertEqual(got, status, f"{reporter}: exit status; stderr: {reporter.stderr}")
        return reporter

    def socket(self):
        """Of the collector that reporters talk to; fixtures override it."""
        raise NotImplementedError

    def until(self, condition, what, timeout=30):
        try:
            return wait_until(condition, what, timeout)
        except AssertionError as error:
            ended = [f"{p}: exit status {p.status}: {p.stderr}" for p in self.kept if p.status is not None]
            raise AssertionError("; ".join([str(error), *ended])) from None

    def assertBetween(self, low, value, high, msg=""):
        self.assertTrue(low <= value <= high, f"{value} is not within {low} .. {high} {msg}")

    def assertNear(self, value, want, within, msg=""):
        self.assertTrue(abs(value - want) <= within, f"{value} is not within {within} of {want} {msg}")

    def assertNoTickMissing(self, times, interval):
        """Wall times of ticks in ns. A machine that stands still for longer than an interval may cost a tick: as long as
        it did is allowed for."""
        for earlier, later in zip(times, times[1:]):
            self.assertLess(later - earlier, (1.95 * interval + 2 * Canary.latest(earlier, later)) * NS * SLOW, "a tick is missing")

    def assertOneLine(self, text, *words):
        """One line for a person, that holds these words."""
        self.assertEqual(text.count("\n"), 1, f"not one line: {text!r}")
        self.assertTrue(text.endswith("\n"), text)
        for word in words:
            self.assertIn(word.lower(), text.lower())


class SharedCollector(Test):
    """Tests that share one collector with the built-in settings; it must survive all of them."""

    config = None

    @classmethod
    def setUpClass(cls):
        cls.shared = Collector(cls.config)

    @classmethod
    def tearDownClass(cls):
        try:
            status = cls.shared.status
            assert status is None, f"the collector ended with {status}: {cls.shared.stderr}"
            assert cls.shared.end() == 0, cls.shared.stderr
            assert not os.path.exists(cls.shared.socket), "the collector left its socket"
        finally:
            cls.shared.close()

    def socket(self):
        return self.shared.socket


# ---------------------------------------------------------------------------------------------------------
# What the reporter writes

def number(text):
    try:
        return int(text)
    except (TypeError, ValueError):
        try:
            return float(text)
        except (TypeError, ValueError):
            return text


def read_csv(path):
    """Complete lines of a CSV file as dicts; checks that every line has as many cells as the header."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except FileNotFoundError:
        return []
    data = data[:data.rfind(b"\n") + 1].decode("utf-8", "surrogateescape")
    rows = list(csv.reader(io.StringIO(data, newline=""), strict=True))
    if not rows:
        return []
    for row in rows[1:]:
        assert len(row) == len(rows[0]), f"{path}: {len(row)} cells, header has {len(rows[0])}: {row}"
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def json_losses(path):
    """cause -> count, summed over the loss lines of a file of JSON Lines."""
    total = {}
    with open(path, encoding="utf-8") as f:
        for line in json_lines(f.read()):
            if line["type"] == "loss":
                total[line["cause"]] = total.get(line["cause"], 0) + line["count"]
    return total


def json_lines(text):
    """Complete lines of JSON Lines."""
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


def select(rows, **match):
    """Rows whose cells have these values (compared as text; a `*` in a value is a glob)."""
    def fits(row):
        return all((fnmatch.fnmatchcase(str(row.get(k, "")), v) if isinstance(v, str) and "*" in v else str(row.get(k, "")) == str(v))
                   for k, v in match.items())
    return [row for row in rows if fits(row)]


def wall_ns(text):
    """RFC 3339 with nanoseconds, or seconds since the epoch with decimals, as ns since the epoch."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if not found:
        seconds, _, decimals = text.partition(".")
        return int(seconds) * NS + int(decimals.ljust(9, "0")[:9] or 0)
    import datetime
    zone = found.group(4).replace("Z", "+00:00")
    at = datetime.datetime.fromisoformat(f"{found.group(1)}T{found.group(2)}{zone}")
    return int(at.timestamp()) * NS + int((found.group(3) or "0").ljust(9, "0"))


def lived_on_ns(boottime_ns, row):
    """How long after a time that a program printed (CLOCK_BOOTTIME) a row of its was measured."""
    offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return max(0, row.at - offset - boottime_ns)


class CpuRow:
    """A row of cpu.csv."""

    def __init__(self, row):
        self.ticks = row["Ticks"]
        self.end = row["Ticks"] == "END"
        self.time = None if self.end else wall_ns(row["Ticks"])
        self.pid, self.tid, self.comm = int(row["PID"]), int(row["TID"]), row["COMM"]
        # empty in the final row of a task that was seen only then: it has no window
        self.on_ms, self.off_ms, self.percent = (float(row[c] or "nan") for c in ("ON CPU", "OFF CPU", "CPU%"))

    def __repr__(self):
        return f"<{self.ticks} {self.pid}/{self.tid} {self.comm} on={self.on_ms} off={self.off_ms} {self.percent}%>"


class TaskRow(dict):
    """A row of task.csv: cells are numbers where they are numbers, None where they are empty."""

    def __init__(self, row):
        super().__init__({k: None if v == "" else v if k in ("comm", "task_state") else number(v) for k, v in row.items()})
        self.end = False
        self.at = wall_ns(row["time"])


# ---------------------------------------------------------------------------------------------------------
# What /proc says

class Stat:
    """/proc/PID/stat, or of a thread; the name may hold anything."""

    def __init__(self, pid, tid=None):
        path = f"/proc/{pid}/stat" if tid is None else f"/proc/{pid}/task/{tid}/stat"
        with open(path, "rb") as f:
            text = f.read()
        self.comm = text[text.index(b"(") + 1:text.rindex(b")")]
        f = text[text.rindex(b")") + 2:].split()
        self.state = f[0].decode()
        field = lambda n: int(f[n - 3])  # numbered as proc(5) does
        self.ppid, self.minflt, self.majflt = field(4), field(10), field(12)
        self.utime, self.stime, self.threads, self.start_ticks = field(14), field(15), field(20), field(22)
        self.vsize, self.rss = field(23), field(24) * PAGE


def keyed(path, sep=":"):
    """A /proc file of `key: value` lines; the first number of each value."""
    with open(path, "rb") as f:
        text = f.read().decode("utf-8", "surrogateescape")
    return {k: number((v.split() or [""])[0]) for k, _, v in (line.partition(sep) for line in text.splitlines())}


def cpu_clock_ns(pid):
    """CPU time of a process, to the nanosecond and with what its exited threads used: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def proc_figures(pid):
    """What the kernel says of a process, by the names of our metrics."""
    stat, status, io_, run_delay, switches = Stat(pid), keyed(f"/proc/{pid}/status"), keyed(f"/proc/{pid}/io"), 0, [0, 0]
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as f:
                delay = int(f.read().split()[1])
            per_thread = keyed(f"/proc/{pid}/task/{tid}/status")
        except FileNotFoundError:
            continue
        run_delay += delay
        switches = [switches[0] + per_thread["voluntary_ctxt_switches"], switches[1] + per_thread["nonvoluntary_ctxt_switches"]]
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        vm_pages, rss_pages = map(int, f.read().split()[:2])
    return {
        "task_utime_jiffies": stat.utime, "task_stime_jiffies": stat.stime,
        "task_minor_pagefault_count": stat.minflt, "task_major_pagefault_count": stat.majflt,
        "task_vm_size": vm_pages * PAGE, "task_pm_size": rss_pages * PAGE,
        "task_rchar_bytes": io_["rchar"], "task_wchar_bytes": io_["wchar"],
        "task_syscr_count": io_["syscr"], "task_syscw_count": io_["syscw"],
        "task_read_bytes": io_["read_bytes"], "task_write_bytes": io_["write_bytes"],
        "task_cancelled_write_bytes": io_["cancelled_write_bytes"],
        "task_fd_count": len(os.listdir(f"/proc/{pid}/fd")), "task_thread_count": stat.threads,
        "task_state": stat.state, "ppid": stat.ppid, "uid": status["Uid"],
        "task_on_cpu_ns": cpu_clock_ns(pid),
        # live threads only: what exited ones left is not told by these files
        "task_run_delay_ns": run_delay,
        "task_voluntary_switch_count": switches[0], "task_involuntary_switch_count": switches[1],
    }


def threads_of(pid):
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


# ---------------------------------------------------------------------------------------------------------
# BPF programs, without bpftool

_BPF_PROG_GET_FD_BY_ID = 13
_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}.get(os.uname().machine)


def bpf_program_exists(program_id):
    libc = ctypes.CDLL(None, use_errno=True)
    attr = ctypes.create_string_buffer(program_id.to_bytes(4, "little"), 120)
    fd = libc.syscall(_SYS_BPF, _BPF_PROG_GET_FD_BY_ID, attr, 12)
    if fd >= 0:
        os.close(fd)
        return True
    if ctypes.get_errno() == 2:  # ENOENT
        return False
    raise OSError(ctypes.get_errno(), "bpf(BPF_PROG_GET_FD_BY_ID)")
