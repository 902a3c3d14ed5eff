# SPDX-License-Identifier: BSD-2-Clause
"""CPU time from the collector, from /proc/PID/stat and from top: beside each other, and each by itself."""
import json
import os
import pwd
import shutil
import signal
import subprocess
import unittest

from harness import CLK_TCK, NOBODY, NS, SLOW, TICK_NS, Canary, Process, SharedCollector, Stat, Test, needs, program, read_csv, wall_ns

STAT_TICK_NS = NS // CLK_TCK
MS = NS // 1000


def has_top():
    """That of procps: others do not know its options."""
    try:
        return b"procps" in subprocess.run(["top", "-V"], capture_output=True, check=False).stdout
    except FileNotFoundError:
        return False


class Alone(Test):
    """Without a collector."""

    def socket(self):
        return "/nonexistent/taskmon.sock"

    def facts_of(self, reporter):
        return {k: int(v) for k, _, v in (line.partition("=") for line in reporter.stdout.splitlines())}

    def around_main(self):
        """What a program uses before and after its main(), in ns, at most: emulated machines need long for that."""
        longest = 0
        for _ in range(3):
            process = subprocess.Popen([program("burn"), "0.001"], stdout=subprocess.PIPE)
            told = dict(line.split(b"=") for line in process.stdout.read().splitlines())
            process.stdout.close()
            usage = os.wait4(process.pid, 0)[2]
            process.returncode = 0
            longest = max(longest, (usage.ru_utime + usage.ru_stime) * NS - int(told[b"cpu_ns"]))
        return 3 * longest + 5 * SLOW * MS


class StatAlone(Alone):
    def test_a_command_to_its_end(self):
        reporter = self.report("--cpu", "stat", "-i", "0.3", "--", program("burn"), "1", "1", "7", status=7)
        told, rows = self.facts_of(reporter), reporter.cpu()
        self.assertEqual(reporter.stderr, "")
        self.assertEqual(sorted(os.listdir(reporter.out_dir)), ["cpu.csv", "event.csv", "task.csv"])
        self.assertEqual([r.end for r in rows], [False] * (len(rows) - 1) + [True], rows)
        self.assertEqual({(r.pid, r.tid) for r in rows}, {(told["pid"], told["pid"])})
        self.assertEqual(rows[-1].comm, "burn")
        for row in rows:
            self.assertLessEqual(row.percent, 100, row)
        # its rusage, less what a window may have taken for a tick too many
        used_ns, around_ns = told["cpu_ns"], self.around_main()
        self.assertBetween(used_ns - 2 * STAT_TICK_NS, sum(r.on_ms for r in rows) * 1e6, used_ns * 1.01 + around_ns)
        life_ns = sum(r.on_ms + r.off_ms for r in rows) * 1e6
        self.assertBetween(told["ended_ns"] - told["started_ns"] - MS, life_ns, told["ended_ns"] - told["started_ns"] + SLOW * NS)
        last = reporter.task()[-1]
        self.assertBetween(used_ns - 3 * STAT_TICK_NS, (last["task_utime_jiffies"] + last["task_stime_jiffies"]) * STAT_TICK_NS,
                           used_ns * 1.01 + around_ns)
        self.assertNotIn("task_fd_count", last)
        self.assertNotIn("task_off_cpu_ns", last)

    def test_the_last_window_of_a_command_is_exact(self):
        """13 ms, of which the ticks show 10 at most."""
        reporter = self.report("--cpu", "stat", "-i", "3600", "-m", "cpu", "--", program("burn"), "0.013")
        row, = reporter.cpu()
        self.assertTrue(row.end)
        used_ns = self.facts_of(reporter)["cpu_ns"]
        self.assertBetween(max(13, used_ns / MS - 1), row.on_ms, (used_ns + self.around_main()) / MS)

    def test_rows_are_about_whom_they_name(self):
        """Children have rows of their own; each has its END; those of others have none."""
        other = self.workload("burn", "60")
        script = f"{program('burn')} 0.53 & {program('burn')} 0.53; wait"
        reporter = self.report("--cpu", "stat", "-i", "0.1", "-m", "cpu", "--", "sh", "-c", script)
        pids = [int(line.partition("=")[2]) for line in reporter.stdout.splitlines() if line.startswith("pid=")]
        self.assertEqual(len(pids), 2)
        for pid in pids:
            rows = [r for r in reporter.cpu(PID=pid) if r.comm == "burn"]
            self.assertGreaterEqual(len(rows), 3)
            self.assertTrue(rows[-1].end)
            # sh has waited for it, so its last window is not known, and not 0
            last = rows[-1]
            used_ms = sum(r.on_ms for r in rows if r.on_ms == r.on_ms)
            self.assertBetween(0, used_ms, 540 + self.around_main() / MS)
            self.assertEqual(last.on_ms == last.on_ms, last.percent == last.percent)
        self.assertEqual({r.pid for r in reporter.cpu()} & {other.pid}, set())
        self.assertTrue(reporter.cpu(COMM="sh")[-1].end)

    def test_names_that_look_like_more_fields(self):
        name = "x) R 9 (y"
        workload = self.workload("rename", name)
        self.until(lambda: Stat(workload.pid).comm == name.encode(), "its name")
        reporter = self.report("--cpu", "stat", "-i", "0.1", "-d", "0.5", "-p", str(workload.pid))
        self.assertEqual({r.comm for r in reporter.cpu()}, {name})
        last = reporter.task()[-1]
        self.assertEqual((last["ppid"], last["uid"], last["task_state"]), (os.getpid(), NOBODY, "S"))

    def test_selected_by_name_and_user(self):
        mine = self.workload("sleepers", "3")
        root = self.workload("sleepers", "3", user=0)
        for workload in (mine, root):
            workload.fact("ready")
        user = pwd.getpwuid(NOBODY).pw_name
        reporter = self.report("--cpu", "stat", "-t", "-i", "0.1", "-d", "0.5", "-m", "cpu", "-n", "sleep*", "-u", user)
        pids = {r.pid for r in reporter.cpu()}
        self.assertIn(mine.pid, pids)
        self.assertNotIn(root.pid, pids)
        self.assertEqual(len({r.tid for r in reporter.cpu(PID=mine.pid)}), 3)
        self.assertEqual({r.comm for r in reporter.cpu(PID=mine.pid)}, {"sleepers"})

    def test_a_number_that_is_used_again(self):
        first = self.workload("sleepers", "1")
        first.fact("ready")
        reporter = self.reporter("--cpu", "stat", "-i", "0.1", "-m", "cpu,task", "-a")
        self.until(lambda: reporter.cpu(PID=first.pid), "a row of the first")
        by_pid = self.reporter("--cpu", "stat", "-i", "3600", "-m", "cpu", "-p", str(first.pid))
        self.until(lambda: by_pid.csv("cpu") == [] and os.path.exists(os.path.join(by_pid.out_dir, "cpu.csv"))
                   and os.path.getsize(os.path.join(by_pid.out_dir, "cpu.csv")), "its header")
        first.end()
        self.assertEqual(by_pid.wait(), 0, by_pid.stderr)  # at once, not at the next tick
        self.assertTrue(by_pid.cpu()[-1].end)
        second = self.workload("pid_reuse", str(first.pid), user=0)
        if second.fact("took") != first.pid:
            self.skipTest("somebody else took the number")
        self.until(lambda: reporter.cpu(PID=first.pid, COMM="pid_reuse"), "a row of the second")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        rows = reporter.cpu(PID=first.pid)
        names = [r.comm for r in rows]
        self.assertEqual(names, ["sleepers"] * names.count("sleepers") + ["pid_reuse"] * names.count("pid_reuse"))
        self.assertEqual([r.comm for r in rows if r.end][:1], ["sleepers"])
        self.assertEqual(len({r["start_time"] for r in reporter.task(tgid=first.pid)}), 2)
        second.end()

    def test_threads_have_their_own_time_and_end(self):
        duty = self.workload("duty", "60", "0", "50", "100")
        tids = {name: duty.fact("tid." + name) for name in ("duty-0", "duty-50", "duty-100")}
        reporter = self.reporter("--cpu", "stat", "-t", "-i", "0.2", "-m", "cpu,task", "-p", str(duty.pid))
        self.until(lambda: len(reporter.cpu(TID=tids["duty-100"])) >= 7, "rows")
        duty.end()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        for name, tid in tids.items():
            rows = reporter.cpu(TID=tid)
            self.assertEqual({r.comm for r in rows}, {name})
            self.assertEqual([r.end for r in rows].count(True), 1)
            self.assertTrue(rows[-1].end)
            for row in rows[:-1]:
                self.assertBetween(0, row.percent, 100, row)
            # beside the CPU clock of the thread, as the program has read it before and after
            clock = [(int(w[1]), int(w[2]), int(ns)) for w in map(str.split, duty.stdout.splitlines()) if w[:1] == ["w"]
                     for t, _, ns in (word.partition(":") for word in w[3:]) if int(t) == tid]
            checked = 0
            for row in reporter.task(tid=tid):
                before, after = [r[2] for r in clock if r[1] <= row.at], [r[2] for r in clock if r[0] >= row.at]
                if before and after and row["task_on_cpu_ns"] is not None:
                    self.assertBetween(before[-1] - 2 * STAT_TICK_NS - TICK_NS, row["task_on_cpu_ns"], after[0] + TICK_NS, f"{name} {row}")
                    checked += 1
            self.assertGreaterEqual(checked, 5)

    def test_what_cannot_be(self):
        self.assertOneLine(self.report("--cpu", "stat", "-p", "4194304", status=1).stderr, "no process 4194304")
        self.assertOneLine(self.report("--cpu", "stat", "-r", "busy", status=2).stderr, "--rule", "collector")
        self.assertOneLine(self.report("--cpu", "ps", "-a", status=2).stderr, "--cpu", "bpf, stat or top")
        told = self.report("--cpu", "stat", "--metrics", "task_state,task_fd_count", "-i", "0.1", "-d", "0.1", "-p", "1")
        self.assertOneLine(told.stderr, "task_fd_count stays empty")
        self.report("--cpu", "stat", "-i", "0.1", "--", "/no/such", status=127)
        # net needs one
        self.assertOneLine(self.report("--cpu", "stat", "-m", "cpu,net", "-a", status=3).stderr, "no collector")


@unittest.skipIf(not has_top(), "needs the top of procps")
class TopAlone(Alone):
    def top_of(self, reporter):
        def find():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    stat = Stat(pid)
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if stat.ppid == reporter.pid and stat.comm == b"top":
                    return int(pid)
            return None
        return self.until(find, "top runs")

    def test_a_command_to_its_end(self):
        reporter = self.report("--cpu", "top", "-i", "0.2", "--", program("burn"), "1")
        rows = reporter.csv("cpu")
        self.assertEqual({(r["ON CPU"], r["OFF CPU"]) for r in rows}, {("-1", "-1")})
        self.assertEqual([r["Ticks"] == "END" for r in rows], [False] * (len(rows) - 1) + [True])
        self.assertEqual({(r["PID"], r["COMM"]) for r in rows}, {(str(self.facts_of(reporter)["pid"]), "burn")})
        self.assertEqual(rows[-1]["CPU%"], "")
        self.assertGreater(sum(float(r["CPU%"] or 0) for r in rows), 0)
        self.assertNotIn("task_on_cpu_ns", reporter.csv("task")[0])

    def test_a_command_that_there_is_not(self):
        self.assertOneLine(self.report("--cpu", "top", "-i", "0.1", "--", "/no/such", status=127).stderr, "/no/such")

    def test_top_inherits_nothing(self):
        """No file and no ignored signal, also not those that the reporter got from its parent; as a script in its place sees it."""
        out, place = self.out_dir(), self.out_dir()
        self.script(place, f'while read -r k v; do echo "$k $v"; done < /proc/$$/status > {out}/status\n'
                    f'ls -l /proc/$$/fd | cat > {out}/fds\necho $HOME $LC_ALL > {out}/env\nexec {shutil.which("top")} "$@"')
        reporter = self.keep(Process(["sh", "-c", 'trap "" USR1 PIPE; exec 9> held; PATH=$0:$PATH exec "$@"', place, program("taskmon-report"),
                                      "--cpu", "top", "-i", "0.1", "-d", "0.3", "-m", "cpu", "--csv", out, "-p", "1"], user=NOBODY, cwd=out))
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        with open(os.path.join(out, "status"), encoding="utf-8") as f:
            status = dict(line.split(": ", 1) for line in f if ": " in line)
        for key in ("SigIgn", "SigBlk"):
            self.assertEqual(int(status[key], 16), 0, key)
        with open(os.path.join(out, "fds"), encoding="utf-8") as f:
            files = dict(line.split()[-3::2] for line in f if " -> " in line)
        self.assertEqual((files["0"], files["1"]), ("/dev/null", files["2"]))
        self.assertTrue(files["1"].startswith("pipe:"), files)
        # but for the script itself and the pipe of its list
        others = {where for n, where in files.items() if n not in "012" and not where.startswith("pipe:")}
        self.assertLessEqual(others, {os.path.join(place, "top")})
        with open(os.path.join(out, "env"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "/nonexistent C\n")
        self.assertGreaterEqual(len(read_csv(os.path.join(out, "cpu.csv"))), 1)

    def test_top_ends_with_us(self):
        """However we end, and long before it would print again."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            reporter = self.reporter("--cpu", "top", "-i", "3000", "-m", "cpu", "--", "sh", "-c", "echo begun; exec sleep 1000")
            top = self.top_of(reporter)
            self.until(lambda: "begun" in reporter.stdout, "top has printed")
            self.assertNotEqual(os.getpgid(top), os.getpgid(reporter.pid))
            reporter.kill(sig)
            reporter.wait()
            self.until(lambda: not self.runs(top), "top has gone")

    def script(self, directory, text):
        path = os.path.join(directory, "top")
        with open(path, "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)
        os.chmod(directory, 0o755)

    @staticmethod
    def runs(pid):
        try:
            return Stat(pid).state not in "ZX" and Stat(pid).comm == b"top"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def test_without_a_top_that_works(self):
        for path, words in (("/nonexistent", ("top:", "No such file")), (self.bad_top(), ("top:", "it has ended", "bad option"))):
            process = self.keep(Process(["env", f"PATH={path}", program("taskmon-report"), "--cpu", "top", "-i", "0.2", "-p", "1"], user=NOBODY))
            self.assertEqual(process.wait(), 1)
            self.assertOneLine(process.stderr, *words)

    def bad_top(self):
        directory = self.out_dir()
        self.script(directory, "echo bad option; exit 1")
        return directory


class Curve:
    """CPU time of a process as the collector tells it again and again: what it can have been at any instant between, as it
    never goes back and grows by at most `rate` times the time that passes."""

    def __init__(self, rows, rate):
        self.points = sorted((wall_ns(r["time"]), r["task_on_cpu_ns"]) for r in rows)
        self.rate = rate

    def at(self, t):
        before = [p for p in self.points if p[0] <= t]
        after = [p for p in self.points if p[0] >= t]
        if not before or not after:
            return None
        (t1, used1), (t2, used2) = before[-1], after[0]
        return max(used1, used2 - self.rate * (t2 - t)), min(used2, used1 + self.rate * (t - t1))


@unittest.skipIf(not has_top(), "needs the top of procps")
class Beside(SharedCollector):
    @needs("two CPUs")
    def test_the_three_agree(self):
        """On one that sleeps, one that uses half of a CPU, one of two that are bound to the same CPU, and 16 threads on two."""
        cpus = sorted(os.sched_getaffinity(0))[:2]
        loads = {name: self.workload(*argv) for name, argv in (
            ("sleeps", ("sleepers", "3")), ("half", ("duty", "60", "50")), ("pinned", ("burn", "60")), ("rival", ("burn", "60")),
            ("many", ("burn", "60", "16")))}
        for name in ("pinned", "rival"):
            os.sched_setaffinity(loads[name].pid, cpus[:1])
        os.sched_setaffinity(loads["many"].pid, cpus)
        self.until(lambda: len(os.listdir(f"/proc/{loads['many'].pid}/task")) == 16, "threads")
        for tid in os.listdir(f"/proc/{loads['many'].pid}/task"):
            os.sched_setaffinity(int(tid), cpus)
        loads["half"].fact("tid.duty-50")
        loads["sleeps"].fact("ready")
        pids = ",".join(str(load.pid) for load in loads.values())
        reporters = {cpu: self.reporter("--cpu", cpu, "-i", interval, "-m", "cpu", "--json", "-", "-p", pids, csv=False)
                     for cpu, interval in (("bpf", "0.1"), ("stat", "0.5"), ("top", "0.5"))}
        threads = self.reporter("--cpu", "stat", "-t", "-i", "0.2", "-m", "cpu", "-p", str(loads["many"].pid))
        many = loads["many"].pid
        self.until(lambda: all(len(r.json(type="sample", tid=many)) >= 8 for r in reporters.values()), "rows of each")
        begun = wall_ns(reporters["bpf"].json(type="sample")[0]["time"])
        for reporter in (reporters["stat"], reporters["top"], threads, reporters["bpf"]):
            reporter.kill(signal.SIGINT)
            self.assertEqual(reporter.wait(), 0, reporter.stderr)

        checked = 0
        for name, load in loads.items():
            rate = min(len(os.listdir(f"/proc/{load.pid}/task")), os.cpu_count())
            curve = Curve(reporters["bpf"].json(type="sample", tid=load.pid), rate)
            rows = reporters["stat"].json(type="sample", tid=load.pid)
            for row in rows:
                self.assertBetween(0, row["task_cpu_percent"], 100 * rate, f"{name} {row}")
                possible = curve.at(wall_ns(row["time"]))
                if possible:
                    low, high = possible
                    self.assertBetween(low - 2 * STAT_TICK_NS - rate * TICK_NS - 2 * MS, row["task_on_cpu_ns"],
                                       high + rate * TICK_NS + 2 * MS, f"{name} {row}")
                    checked += 1
            self.compare_top(name, curve, reporters["top"].json(type="sample", tid=load.pid), rate, begun)
        self.assertGreaterEqual(checked, 5 * 5)
        for row in threads.cpu():
            self.assertBetween(0, row.percent, 100, row)
        self.assertEqual(len({r.tid for r in threads.cpu()}), 16)

    def compare_top(self, name, curve, rows, rate, begun):
        """On the whole: when in a window top has read what it tells is not known."""
        known = [r for r in rows if curve.at(wall_ns(r["time"]) - r["window_ns"]) and curve.at(wall_ns(r["time"]))]
        self.assertGreaterEqual(len(known), 4, name)
        self.assertFalse([r for r in known if "task_on_cpu_ns" in r], "top tells no times")
        first, last = wall_ns(known[0]["time"]) - known[0]["window_ns"], wall_ns(known[-1]["time"])
        told = sum(r["task_cpu_percent"] / 100 * r["window_ns"] for r in known)
        used = curve.at(last)[1] - curve.at(first)[0]
        late = Canary.latest(begun, last) * NS
        self.assertNear(told, used, used / 10 + rate * (100 * MS + 2 * late) + 2 * STAT_TICK_NS * len(known) / 4, f"{name}: {known}")

    def test_beside_a_module_of_the_collector(self):
        """cpu.csv is what stat tells, net.csv what the collector does; in JSON the rows say where they are from."""
        reporter = self.report("--cpu", "stat", "-m", "cpu,net", "--json", "-", "-i", "0.2", "--", program("burn"), "0.7")
        self.assertEqual(sorted(os.listdir(reporter.out_dir)), ["cpu.csv", "event.csv", "net.csv"])
        lines = [line for line in reporter.stdout.splitlines() if line.startswith("{")]
        told = int(next(line for line in reporter.stdout.splitlines() if line.startswith("cpu_ns=")).partition("=")[2])
        rows = reporter.cpu()
        self.assertTrue(rows[-1].end)
        self.assertBetween(told - 2 * STAT_TICK_NS, sum(r.on_ms for r in rows) * 1e6, told * 1.01 + 100 * SLOW * MS)
        self.assertEqual(reporter.csv("net")[-1]["Ticks"], "END")
        samples = [row for row in map(json.loads, lines) if row["type"] in ("sample", "end")]
        self.assertEqual({row.get("source") for row in samples}, {None, "stat"})
        for row in samples:
            self.assertEqual("task_on_cpu_ns" in row, row.get("source") == "stat")
            self.assertEqual("task_link_rx_bytes" in row, row.get("source") is None)
        self.assertEqual({row["event"] for row in reporter.csv("event")}, {"exec", "exit"})
