# SPDX-License-Identifier: BSD-2-Clause
"""The stream of system calls, -m syscall: beside strace call by call, at full speed without one missing that is not counted, and only
for those whose calls they are."""
import errno
import json
import os
import re
import signal

from harness import ALICE, NOBODY, ROOT, SLOW, Process, SharedCollector, Stat, Test, keyed, needs, threads_of

ENTER, LEAVE = "0", "1"
EXECVE, EXIT, EXIT_GROUP, GETPPID, PRCTL, SIGTIMEDWAIT, SIGRETURN, GETRESUID = 59, 60, 231, 110, 157, 128, 15, 118
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
GETPPID_32 = 64


class Call:
    """A call of a thread: number, first argument (None: not told) and result (None: it did not return)."""

    def __init__(self, number, argument, result=None):
        self.number, self.argument, self.result = number, argument, result


def signed(text, bits):
    value = int(text, 0) & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


class Strace:
    """What `strace -f -n -e raw=all -o FILE` wrote: calls by thread, threads in the order of their creation."""

    LINE = re.compile(r"(\d+) +\[ *(\d+|\?\?\?)\] (\w+)\((.*?)(?:\) += (.*)| <unfinished \.\.\.>)")
    RESUMED = re.compile(r"(\d+) +\[.*?\] <\.\.\. \w+ resumed>.*?\) += (.*)")

    def __init__(self, text):
        self.threads = {}
        for line in text.splitlines():
            if found := self.RESUMED.match(line):
                self.threads[int(found[1])][-1].result = self.result(found[2])
            elif found := self.LINE.match(line):
                number = signed(found[3][len("syscall_"):] if found[2] == "???" else found[2], 32)
                argument = int(found[4].split(",")[0], 0) if found[4] else None
                self.threads.setdefault(int(found[1]), []).append(Call(number, argument, found[5] and self.result(found[5])))

    @staticmethod
    def result(text):
        if text.startswith("?"):
            return None
        words = text.split()
        return -getattr(errno, words[1]) if words[0] == "-1" else signed(words[0], 64)


class Streams:
    """What tests of streams share."""

    def rows(self, reporter, name="syscall", **match):
        return [r for r in reporter.csv(name) if r["Ticks"] != "END" and all(r[k] == str(v) for k, v in match.items())]

    @staticmethod
    def count(reporter, pid, number=GETPPID):
        """How many rows there are by now of a call of a process."""
        with open(os.path.join(reporter.out_dir, "syscall.csv"), "rb") as f:
            return len(re.findall(rb"(?m)^[\d.]+,%d,[^,\n]*,[01],%d,.*\n" % (pid, number), f.read()))

    def calls(self, rows):
        """Rows as calls by thread, each left before the next is entered."""
        threads = {}
        for row in rows:
            calls = threads.setdefault(int(row["TID"]), [])
            if row["ACTION"] == ENTER:
                self.assertEqual(row["RET"], "")
                calls.append(Call(int(row["SYSCALL_ID"]), int(row["PARM1"])))
                calls[-1].left = False
            elif calls:
                self.assertEqual((int(row["SYSCALL_ID"]), row["PARM1"], calls[-1].left), (calls[-1].number, "", False), row)
                calls[-1].left, calls[-1].result = True, int(row["RET"])
            else:  # it was in it when all began, or it is a child in the call that made it
                self.assertNotEqual(int(row["SYSCALL_ID"]), EXIT)
        return threads

    def assertInOrder(self, rows):
        """The time of a thread never goes back, and it leaves what it has entered."""
        times = {}
        for row in rows:
            times.setdefault(row["TID"], []).append(row["Ticks"])
        for of_thread in times.values():
            self.assertEqual(of_thread, sorted(of_thread))
        return self.calls(rows)

    def assertWhole(self, rows, reporter, want):
        """All rows, or as many as the losses say are missing."""
        lost = reporter.losses()
        skipped = lost.pop("skipped", 0)  # 7.x: may have been anyone's
        self.assertBetween(want - sum(lost.values()) - skipped, len(rows), want - sum(lost.values()), lost)
        return lost

    def loop(self, *args, user=NOBODY):
        program = self.workload("calls", *map(str, args), user=user)
        self.until(lambda: program.facts() and self.at_rest(program), "it waits")
        return program

    @staticmethod
    def at_rest(program):
        return all(Stat(program.pid, tid).state == "S" for tid in threads_of(program.pid))

    def watch(self, program, *args, **how):
        """A reporter that is armed: it has written its files' headers and has a baseline."""
        reporter = self.reporter("-m", "task,syscall", "--metrics", "task_state", "-i", "0.2", "-p", str(program.pid), *args, **how)
        self.until(lambda: reporter.task(), "it is armed")
        return reporter

    def round(self, program, seconds=60):
        """Runs a round to its end, by the program's own clock of CPU time: it sleeps again and has run."""
        before = keyed(f"/proc/{program.pid}/status")["voluntary_ctxt_switches"]
        program.kill(signal.SIGUSR1)
        self.until(lambda: keyed(f"/proc/{program.pid}/status")["voluntary_ctxt_switches"] > before and self.at_rest(program),
                   "the round is over", seconds)

    def finish(self, program, *reporters):
        program.end()
        for reporter in reporters:
            self.assertEqual(reporter.wait(), 0, reporter.stderr)


class Stream(Streams, SharedCollector):
    pass


class Sequence(Stream):
    """Two runs of the same program, one with strace, without address space randomisation: setarch -R."""

    @staticmethod
    def told(threads):
        """Calls by the ordinal of their thread; thread ids in arguments and results as ordinals, too."""
        names = {tid: f"thread {n}" for n, tid in enumerate(threads)}
        return {names[tid]: [(c.number, names.get(c.argument, c.argument), names.get(c.result, c.result)) for c in calls]
                for tid, calls in threads.items()}

    @staticmethod
    def after_exec(calls):
        """What follows the last successful execve of the program that was started."""
        last = max(i for i, c in enumerate(calls[:200]) if c.number == EXECVE and c.result == 0)
        return calls[last + 1:]

    def beside(self, *command):
        command = ["/usr/bin/setarch", "-R", *command]
        with open("/dev/null", "wb") as nothing:
            log = os.path.join(self.out_dir(), "log")
            traced = self.keep(Process(["/usr/bin/strace", "-f", "-n", "-e", "raw=all", "-o", log, *command], user=NOBODY, stdout=nothing))
            self.assertEqual(traced.wait(), 0, traced.stderr)
            reporter = self.report("-m", "syscall", "--", *command, stdout=nothing)
        with open(log, encoding="utf-8") as f:
            want = Strace(f.read()).threads
        got = self.assertInOrder(self.rows(reporter))
        self.assertEqual(reporter.losses(), {})
        first = next(iter(want)), next(iter(got))
        want[first[0]], got[first[1]] = self.after_exec(want[first[0]]), self.after_exec(got[first[1]])
        want, got = self.told(want), self.told(got)
        self.assertEqual(list(got), list(want))
        for thread in want:
            # strace does not show arguments of calls that have none
            mine = [(n, None if w[1] is None else a, r) for (n, a, r), w in zip(got[thread], want[thread])]
            self.assertEqual(mine, want[thread], thread)
            self.assertEqual(len(got[thread]), len(want[thread]), thread)
        ends = [r for r in reporter.csv("syscall") if r["Ticks"] == "END"]
        self.assertEqual(len(ends), len({r["PID"] for r in self.rows(reporter)}))
        return sum(map(len, want.values())), reporter

    @needs("strace")
    def test_a_list_of_many_files(self):
        count, _ = self.beside("/bin/ls", "-lR", "/usr/share/doc")
        self.assertGreater(count, 1000)

    @needs("strace")
    def test_odd_calls_a_handler_a_thread_and_children(self):
        from harness import program
        count, reporter = self.beside(program("calls"), "script")
        self.assertGreater(count, 140)
        rows = self.rows(reporter)
        self.assertEqual({r["COMPAT"] for r in rows}, {"0"})
        self.assertEqual(sum(r["SYSCALL_ID"] == str(SIGRETURN) and r["ACTION"] == LEAVE for r in rows), 3)
        self.assertEqual([r["PARM1"] for r in rows if r["SYSCALL_ID"] == "-2147483647" and r["ACTION"] == ENTER],
                         [str(0xfedcba9876543210)])
        # who it is at each moment: before exec, the reporter's child and setarch
        names = [r["COMM"] for r in rows if r["SYSCALL_ID"] == str(EXECVE) and r["ACTION"] == LEAVE and r["RET"] == "0"]
        self.assertEqual(names, ["setarch", "calls", "true"])


class FullSpeed(Stream):
    COUNT = 200_003 if SLOW == 1 else 20_011

    def test_one_thread(self):
        """200003 calls in one go: a line each as it is entered and left, and nothing else between them."""
        program = self.loop("loop", self.COUNT)
        reporter = self.watch(program)
        self.round(program)
        self.finish(program, reporter)
        with open(os.path.join(reporter.out_dir, "syscall.csv"), encoding="ascii") as f:
            everything = f.read().splitlines()
        lines = [line.split(",", 1) for line in everything if f",{GETPPID}," in line]
        who = f"{program.pid},calls"
        lost = self.assertWhole(lines, reporter, 2 * self.COUNT)
        self.assertLessEqual(set(lost), {"stream_full", "queue_syscalls"})
        entered, left = f"{who},{ENTER},{GETPPID},1,{program.pid},,0", f"{who},{LEAVE},{GETPPID},,{program.pid},{os.getpid()},0"
        self.assertEqual({line[1] for line in lines}, {entered, left})
        if not reporter.losses():
            self.assertEqual([line[1] for line in lines[::2]], [entered] * self.COUNT)
            times = [line[0] for line in lines]
            self.assertEqual(times, sorted(times))
        self.assertTrue(everything[-2].endswith(f",{who},{ENTER},{EXIT_GROUP},0,{program.pid},,0"), everything[-2])
        self.assertEqual(everything[-1], f"END,{who},,,,{program.pid},,")

    def test_threads(self):
        """Each by itself in order; on all CPUs at the same time."""
        each, n_threads = 1009, 5
        program = self.loop("loop", each, n_threads)
        tids = {program.facts()[f"tid.{n}"]: n for n in range(1, n_threads + 1)}
        reporter = self.watch(program, "-t")
        for _ in range(2):
            self.round(program)
        self.finish(program, reporter)
        rows = self.rows(reporter, SYSCALL_ID=GETPPID)
        self.assertWhole(rows, reporter, 2 * 2 * each * sum(tids.values()))
        self.assertEqual({(int(r["TID"]), int(r["PARM1"])) for r in rows if r["ACTION"] == ENTER}, set(tids.items()))
        if not reporter.losses():
            for tid, calls in self.assertInOrder(self.rows(reporter)).items():
                self.assertEqual(sum(c.number == GETPPID for c in calls), 2 * each * tids[tid])
        ends = [r for r in reporter.csv("syscall") if r["Ticks"] == "END"]
        self.assertEqual(sorted(int(r["TID"]) for r in ends), sorted(tids))

    def test_json(self):
        program = self.loop("loop", 4999)
        csv = self.watch(program)
        reporter = self.reporter("-m", "syscall", "--json", "-", "-i", "0.2", "-p", str(program.pid), csv=False)
        self.until(lambda: len(self.shared.event_links()) and self.hears(program, reporter), "it is armed")
        self.round(program)
        self.finish(program, reporter, csv)
        calls = [o for o in map(json.loads, reporter.stdout.splitlines()) if o["type"] == "syscall" and o["syscall"] == GETPPID]
        self.assertWhole(calls, csv, 2 * 4999)
        for mine, row in zip(calls, self.rows(csv, SYSCALL_ID=GETPPID)):
            self.assertEqual((mine["action"] == "leave", mine["comm"], mine["tgid"], mine["compat"]),
                             (row["ACTION"] == LEAVE, row["COMM"], int(row["PID"]), False))
            self.assertEqual(mine.get("parm1"), int(row["PARM1"]) if row["PARM1"] else None)
            self.assertEqual(mine.get("ret"), int(row["RET"]) if row["RET"] else None)

    def hears(self, program, reporter):
        """Signals that the program handles by waiting on make it leave a call and enter it again."""
        os.kill(program.pid, signal.SIGWINCH)  # ignored by default: nothing is left, so nothing is changed
        return '"type":"sample"' in reporter.stdout


class Losses(Streams, Test):
    """What does not fit is counted, for those who miss it."""

    def socket(self):
        return self.own.socket

    def test_a_small_ring(self):
        self.own = self.collector({"stream_bytes": 65536})
        program = self.loop("loop", 50_021)
        reporter, late = self.watch(program), self.watch(program, "-t")
        without = self.reporter("-i", "0.2", "-p", str(program.pid))
        self.until(without.task, "it is armed")
        self.round(program)
        self.finish(program, reporter, late, without)
        self.assertNotIn("stream_full", without.losses(), "it has not asked for them")
        for watcher in (reporter, late):  # whose feeds are two, of the same watch
            lost = self.assertWhole(self.rows(watcher), watcher, 2 * 50_021 + 2 + 2)
            self.assertGreater(lost.get("stream_full", 0), 1000)

    def test_a_stopped_reporter(self):
        """Its calls wait in the ring; what does not fit there is lost to it. One that reads loses nothing by this."""
        self.own = self.collector({"queue_bytes": 65536, "stream_bytes": 64 << 20})
        program = self.loop("loop", 30_011)
        want = 2 * 30_011
        alone = self.watch(program)
        alone.stop()
        self.round(program)
        alone.resume()
        self.until(lambda: self.count(alone, program.pid) == want, "all have come")
        other = self.watch(program, "-t")
        alone.stop()
        self.round(program)
        self.until(lambda: self.count(other, program.pid) == want, "all have come")
        alone.resume()
        self.finish(program, alone, other)
        self.assertEqual(self.assertWhole(self.rows(other, SYSCALL_ID=GETPPID), other, want), {})
        lost = self.assertWhole(self.rows(alone), alone, 2 * want + 3 * 2)
        self.assertEqual(list(lost), ["queue_syscalls"])


class Compat(Stream):
    def test_marked(self):
        """int 0x80 from 64-bit code: another table of numbers, and an argument of 32 bits in another register."""
        program = self.workload("calls", "compat", "997")
        self.until(lambda: program.facts() and (program.status is not None or self.at_rest(program)), "it waits")
        if program.facts().get("compat") == 0:
            self.skipTest("the kernel has no 32-bit system calls")
        reporter = self.watch(program)
        self.round(program)
        self.finish(program, reporter)
        rows = self.rows(reporter)
        marked = [r for r in rows if r["COMPAT"] == "1"]
        self.assertWhole(marked, reporter, 2 * 997)
        self.assertEqual({r["SYSCALL_ID"] for r in marked}, {str(GETPPID_32)})
        self.assertEqual({r["PARM1"] for r in marked if r["ACTION"] == ENTER}, {str(0x87654321)})
        self.assertEqual({r["RET"] for r in marked if r["ACTION"] == LEAVE}, {str(os.getpid())})
        self.assertIn(str(SIGTIMEDWAIT), {r["SYSCALL_ID"] for r in rows if r["COMPAT"] == "0"})


class Own(Stream):
    """Arguments of system calls are as private as the process that makes them."""

    def test_of_somebody_else(self):
        program = self.loop("loop", 11, user=ROOT)
        reporter = self.report("-m", "syscall", "-p", str(program.pid), user=ALICE, status=4)
        self.assertOneLine(reporter.stderr, str(program.pid))
        self.assertEqual(reporter.csv("syscall"), [])

    def test_all_are_own(self):
        mine, root = self.loop("loop", 101, user=ALICE), self.loop("loop", 103, user=ROOT)
        reporter = self.reporter("-a", "-m", "task,syscall", "-i", "0.2", user=ALICE)
        everything = self.reporter("-a", "-m", "task,syscall", "-i", "0.2", user=ROOT)
        self.until(lambda: reporter.task(tid=mine.pid) and everything.task(tid=root.pid), "they are armed")
        self.round(root)
        self.round(mine)
        self.until(lambda: self.count(reporter, mine.pid) == 2 * 101, "all have come")
        # which sees all that the machine does, and may miss some of it
        self.until(lambda: self.count(everything, root.pid) == 2 * 103 or everything.losses(), "root sees them")
        if not everything.losses():
            self.assertEqual(self.count(everything, mine.pid), 2 * 101)
        self.assertLessEqual({int(r["PID"]) for r in self.rows(reporter)}, {mine.pid, reporter.pid})
        for watcher in (reporter, everything):
            watcher.kill(signal.SIGINT)
            self.assertEqual(watcher.wait(), 0)

    def test_not_while_it_is_not_dumpable(self):
        """Seen are the call that hides it being entered, and the one that ends that being left, and nothing between."""
        shy = self.workload("hide", user=ALICE)
        shy.fact("step")
        reporter = self.reporter("-m", "task,syscall", "-i", "0.2", "-p", str(shy.pid), user=ALICE)
        self.until(lambda: reporter.task(), "it is armed")
        shy.step("dumpable", 0)
        shy.step("dumpable", 1, sig=signal.SIGUSR2)
        self.finish(shy, reporter)
        rows = [(r["SYSCALL_ID"], r["ACTION"], r["PARM1"]) for r in self.rows(reporter) if r["SYSCALL_ID"] in (str(PRCTL), str(GETRESUID))]
        prctl, uid = str(PRCTL), str(GETRESUID)
        self.assertEqual([r[:2] for r in rows], [(prctl, ENTER), (prctl, LEAVE), (uid, ENTER), (uid, LEAVE), (prctl, ENTER), (prctl, LEAVE)])
        self.assertEqual([r[2] for r in rows if r[0] == prctl and r[1] == ENTER], [str(PR_SET_DUMPABLE), str(PR_GET_DUMPABLE)])


class Life(Stream):
    def test_attached_only_while_wanted(self):
        program = self.loop("loop", 101)
        quiet = self.reporter("-m", "task", "-i", "0.2", "-p", str(program.pid))
        self.until(quiet.task, "a row")
        self.assertNotIn("sys_enter", self.shared.event_links())
        reporter = self.watch(program)
        self.assertEqual([l for l in self.shared.event_links() if l.startswith("sys_")], ["sys_enter", "sys_exit"])
        self.round(program)
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0)
        self.assertEqual(len(self.rows(reporter, SYSCALL_ID=GETPPID)), 2 * 101)
        self.until(lambda: "sys_enter" not in self.shared.event_links(), "it is detached")
        self.assertFalse(os.path.exists(os.path.join(quiet.out_dir, "syscall.csv")))

    def test_configured(self):
        """The seed's keys. trace_multiprocess follows children, which end before their parent."""
        for follow in (True, False):
            path = os.path.join(self.out_dir(), "config.json")
            with open(path, "w", encoding="ascii") as f:
                json.dump({"snoop_cpu": "None", "snoop_syscall": "bcc", "syscall_output_file": "mine.csv", "interval": 1,
                           "trace_multiprocess": "true" if follow else "false"}, f)
            from harness import program
            reporter = self.report("-c", path, "--", program("calls"), "script")
            self.assertEqual(sorted(os.listdir(reporter.out_dir)), ["event.csv", "mine.csv"])
            rows, ends = self.rows(reporter, "mine"), [r for r in reporter.csv("mine") if r["Ticks"] == "END"]
            self.assertEqual(len(ends), 3 if follow else 1, (ends, reporter.events()))
            self.assertEqual({r["PID"] for r in rows}, {r["PID"] for r in ends})
            for end in ends:
                last = [r for r in reporter.csv("mine") if r["PID"] == end["PID"]][-1]
                self.assertEqual(last["Ticks"], "END", "nothing comes after it")
