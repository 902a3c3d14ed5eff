# SPDX-License-Identifier: BSD-2-Clause
"""What is counted on events: system calls beside a ledger and beside strace, signals, offspring, victims of the OOM killer; and
that nothing is counted for nobody."""
import os
import re
import signal

from harness import NOBODY, Process, SharedCollector, Stat, Test, bpf_program_exists, keyed, needs, number, threads_of

CALLS, FAILS, HARD = COUNTED = ("task_syscall_count", "task_syscall_fails", "task_syscall_fails_hard")
SIGNALS = "task_signal_count"
METRICS = ",".join((*COUNTED, SIGNALS))


def total(rows, metric):
    return sum(row[metric] for row in rows)


class Counted(SharedCollector):
    def refusals(self, threads):
        """The program and its thread ids, by their number."""
        program = self.workload("refusals", str(threads))
        program.fact(f"tid.{threads}")
        self.until(lambda: self.at_rest(program), "all threads wait")
        return program, {program.facts()[f"tid.{n}"]: n for n in range(1, threads + 1)}

    @staticmethod
    def at_rest(program):
        return all(Stat(program.pid, tid).state == "S" for tid in threads_of(program.pid))

    def round(self, program, sig):
        io = f"/proc/{program.pid}/io"
        writes = keyed(io)["syscw"] + len(threads_of(program.pid))
        program.kill(sig)
        self.until(lambda: keyed(io)["syscw"] == writes and self.at_rest(program), "the round is over")

    def next_row(self, reporter, **match):
        """One that was measured after this moment."""
        seen = len(reporter.task(**match))
        return self.until(lambda: len(reporter.task(**match)) > seen + 1 and reporter.task(**match)[-1], "a row")

    def assertCounted(self, row, want, reporter, before=None):
        """Growth since `before`. Where programs can be preempted (7.x) the kernel may leave out events, and says how many."""
        skipped = reporter.losses().get("skipped", 0)
        for metric, count in want.items():
            grown = row[metric] - (before[metric] if before else 0)
            self.assertBetween(count - skipped, grown, count, f"{metric} of {row['tid']}")


class Ledger(Counted):
    """System calls and signals of three threads, which make once, twice and three times as many."""

    @staticmethod
    def refused(n, threads):
        """A round of thread n: 23 failures, of which 7 say EAGAIN, 41 others, and what ends the round."""
        orders = threads - 1 if n == 1 else 0
        return {CALLS: n * (23 + 41) + 2 + orders, FAILS: n * 23, HARD: n * 16, SIGNALS: 0}

    @staticmethod
    def signalled(n, threads):
        orders = threads - 1 if n == 1 else 0
        return {CALLS: 2 * 31 * n + 2 + orders, FAILS: 0, HARD: 0, SIGNALS: n * 31}

    @staticmethod
    def added(*wants):
        return {metric: sum(want[metric] for want in wants) for metric in wants[0]}

    def test_one_thread(self):
        program, _ = self.refusals(1)
        reporter = self.reporter("-i", "0.2", "--metrics", METRICS, "-p", str(program.pid))
        thread = self.reporter("-t", "-i", "0.2", "--metrics", METRICS, "-p", str(program.pid))
        self.until(lambda: reporter.task() and thread.task(), "rows")
        for rounds in (1, 2, 3):
            self.round(program, signal.SIGUSR1)
            for watcher in (reporter, thread):
                want = {metric: rounds * count for metric, count in self.refused(1, 1).items()}
                self.assertCounted(self.next_row(watcher), want, watcher)

    def test_three_threads(self):
        """Thread rows each their own, the process row their sum: while they live, and when they are gone."""
        program, threads = self.refusals(3)
        reporter = self.reporter("-i", "0.2", "--metrics", METRICS, "-p", str(program.pid))
        each = self.reporter("-t", "-i", "0.2", "--metrics", METRICS, "-p", str(program.pid))
        self.until(lambda: reporter.task() and len({r["tid"] for r in each.task()}) == 3, "rows")
        done = {n: {metric: 0 for metric in (*COUNTED, SIGNALS)} for n in threads.values()}
        for sig, one in ((signal.SIGUSR1, self.refused), (signal.SIGUSR2, self.signalled), (signal.SIGUSR1, self.refused)):
            self.round(program, sig)
            for tid, n in threads.items():
                done[n] = self.added(done[n], one(n, 3))
                self.assertCounted(self.next_row(each, tid=tid), done[n], each)
            self.assertCounted(self.next_row(reporter), self.added(*done.values()), reporter)

        program.kill(signal.SIGHUP)
        self.until(lambda: len(threads_of(program.pid)) == 1 and self.at_rest(program), "two threads have exited")
        row, main = self.next_row(reporter), self.next_row(each, tid=program.pid)
        ended = [r for r in each.task() if r.end]
        self.assertEqual({r["tid"] for r in ended}, set(threads) - {program.pid})
        for metric in (*COUNTED, SIGNALS):
            self.assertEqual(row[metric], main[metric] + total(ended, metric), metric)
        for last in ended:
            # they also leave their wait, give back their stack and exit
            self.assertGreater(last[CALLS], done[threads[last["tid"]]][CALLS])

        # the counts of threads that are gone stay
        self.round(program, signal.SIGUSR1)
        self.assertCounted(self.next_row(reporter), self.refused(1, 1), reporter, before=row)
        program.end()
        self.assertEqual((reporter.wait(), each.wait()), (0, 0))
        last, ended = reporter.task()[-1], [r for r in each.task() if r.end]
        self.assertEqual((last.end, len(ended)), (True, 3))
        for metric in (*COUNTED, SIGNALS):
            self.assertEqual(last[metric], total(ended, metric), metric)
        for rows in [reporter.task(), *(each.task(tid=tid) for tid in threads)]:
            for metric in (*COUNTED, SIGNALS):
                counts = [r[metric] for r in rows]
                self.assertEqual(counts, sorted(counts), f"{metric} went back")

    def test_killed_within_a_window(self):
        """What it did since the last tick comes with the final records."""
        program, threads = self.refusals(3)
        reporter = self.reporter("-i", "2.3", "--metrics", METRICS, "-p", str(program.pid))
        each = self.reporter("-t", "-i", "2.3", "--metrics", METRICS, "-p", str(program.pid))
        self.until(lambda: reporter.task() and len(each.task()) >= 3, "both watch")
        self.round(program, signal.SIGUSR1)
        self.round(program, signal.SIGUSR2)
        os.kill(program.pid, signal.SIGKILL)
        self.assertEqual((reporter.wait(), each.wait()), (0, 0))
        last, ended = reporter.task()[-1], [r for r in each.task() if r.end]
        self.assertEqual((last.end, {r["tid"] for r in ended}), (True, set(threads)))
        for row in ended:
            n = threads[row["tid"]]
            want = self.added(self.refused(n, 3), self.signalled(n, 3))
            self.assertCounted(row, {metric: want[metric] for metric in (CALLS, HARD)}, each)
            self.assertBetween(want[FAILS], row[FAILS], want[FAILS] + 1, "SIGKILL may interrupt the wait: EINTR")
        self.assertEqual(last[SIGNALS], total(ended, SIGNALS))
        self.assertBetween(31 * 6, last[SIGNALS], 31 * 6 + 3)  # SIGKILL counts where the kernel says that it was delivered
        for metric in COUNTED:
            self.assertEqual(last[metric], total(ended, metric), metric)

    def test_counted_from_the_first_subscription(self):
        """Counts begin when somebody wants them, not at the task's birth, and go on for who comes later."""
        program, _ = self.refusals(1)
        self.round(program, signal.SIGUSR1)
        free = self.reporter("-i", "0.2", "-p", str(program.pid))
        self.until(free.task, "a row")
        self.assertNotIn(CALLS, free.task()[-1])
        self.round(program, signal.SIGUSR1)
        first = self.reporter("-i", "0.2", "--metrics", METRICS, "-p", str(program.pid))
        row = self.until(first.task, "a row")[-1]
        self.assertEqual([row[metric] for metric in (*COUNTED, SIGNALS)], [0, 0, 0, 0])
        self.round(program, signal.SIGUSR1)
        second = self.reporter("-i", "0.3", "--metrics", METRICS, "-p", str(program.pid))
        self.until(second.task, "a row")
        self.round(program, signal.SIGUSR1)
        twice = {metric: 2 * count for metric, count in self.refused(1, 1).items()}
        self.assertCounted(self.next_row(first), twice, first)
        self.assertCounted(self.next_row(second), twice, second)


class Strace(Counted):
    """A real program beside strace -f -c. That does not count a call that never returns: exit_group, of each process."""

    @staticmethod
    def summary(text):
        """calls and errors of each system call, and in total"""
        found = {}
        for line in text.splitlines():
            words = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(\d+)?\s+(\S+)", line)
            if words:
                found[words.group(3)] = int(words.group(1)), number(words.group(2)) or 0
        return found

    def beside(self, *command, processes):
        """One run with each. Both start the program from nothing but its exec."""
        with open("/dev/null", "wb") as nothing:
            log = os.path.join(self.out_dir(), "summary")
            traced = self.keep(Process(["/usr/bin/strace", "-f", "-c", "-o", log, *command], user=NOBODY, stdout=nothing))
            self.assertEqual(traced.wait(), 0, traced.stderr)
            reporter = self.report("-i", "0.5", "--metrics", f"{METRICS},task_exec_count", "--", *command, stdout=nothing)
        with open(log, encoding="utf-8") as f:
            want = self.summary(f.read())
        ended = [r for r in reporter.task() if r.end]
        self.assertEqual(len(ended), processes)
        self.assertEqual(len(reporter.events(event="exit")), processes)
        skipped = reporter.losses().get("skipped", 0)
        calls, errors = want["total"]
        # The reporter's child comes to its exec through a close, a read of one byte and, where it is slow, their beginning.
        self.assertBetween(calls + processes - skipped, total(ended, CALLS), calls + processes + 2, want)
        self.assertBetween(errors - skipped, total(ended, FAILS), errors, want)
        self.assertBetween(0, total(ended, HARD), total(ended, FAILS))
        self.assertEqual(total(ended, "task_exec_count"), want["execve"][0] - want["execve"][1])
        self.assertGreater(errors, 0)
        return want

    @needs("strace")
    def test_a_list_of_many_files(self):
        want = self.beside("/bin/ls", "-lR", "/usr/share/doc", processes=1)
        self.assertGreater(want["total"][0], 1000)

    @needs("strace")
    def test_a_shell_with_children(self):
        script = "for i in 1 2 3 4 5 6 7; do /bin/cat /nonexistent/$i; done 2> /dev/null; exec /bin/true"
        want = self.beside("/bin/sh", "-c", script, processes=8)
        self.assertEqual(want["execve"], (9, 0))


class Offspring(Counted):
    METRICS = ("task_fork_count", "task_thread_create_count", "task_exec_count")

    def counts(self, row):
        return [row[metric] for metric in self.METRICS]

    def test_forks_threads_and_execs(self):
        parent = self.workload("offspring")
        parent.fact("pid")
        watch = "-i", "0.2", "--metrics", ",".join(self.METRICS), "-p", str(parent.pid)
        reporter, thread = self.reporter(*watch), self.reporter("-t", *watch)
        self.until(lambda: reporter.task() and thread.task(), "rows")
        self.assertEqual(self.counts(reporter.task()[-1]), [0, 0, 0])
        parent.step("rounds", 1)
        self.assertEqual(self.counts(self.next_row(reporter)), [17, 19, 0])
        parent.step("rounds", 2)
        self.assertEqual(self.counts(self.next_row(reporter)), [34, 38, 0])
        parent.step("execs", 5, sig=signal.SIGUSR2)
        self.assertEqual(self.counts(self.next_row(reporter)), [34, 38, 5])
        self.assertEqual(self.counts(self.next_row(thread)), [None, None, None], "these are the process's")
        parent.end()
        self.assertEqual((reporter.wait(), thread.wait()), (0, 0))
        self.assertEqual(self.counts(reporter.task()[-1]), [34, 38, 5])
        self.assertTrue(reporter.task()[-1].end)

    def test_each_process_has_its_own(self):
        """Children are followed, and have counts from nothing: their parent's do not come with them."""
        reporter = self.report("--metrics", ",".join(self.METRICS), "--", "/bin/sh", "-c",
                               "/bin/true; (/bin/true; /bin/true; /bin/true; :); exec /bin/true")
        ended = sorted(self.counts(r) for r in reporter.task() if r.end)
        # three in the subshell and one beside it; the first shell, executed twice; the subshell
        self.assertEqual(ended, [[0, 0, 1]] * 4 + [[2, 0, 2], [3, 0, 0]])


class Victims(Counted):
    """task_oom_count in a small memory cgroup: who is killed, not who asked for one page too many."""

    LIMIT = 32 << 20

    def cgroup(self):
        name = f"taskmon-e2e-{os.getpid()}"
        if os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            path, limit = f"/sys/fs/cgroup/memory/{name}", "memory.limit_in_bytes"
            settings = {"memory.swappiness": 0}
        elif os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as f:
                if "memory" not in f.read().split():
                    self.skipTest("no memory controller in cgroup v2")
            with open("/sys/fs/cgroup/cgroup.subtree_control", "w", encoding="ascii") as f:
                f.write("+memory")
            path, limit, settings = f"/sys/fs/cgroup/{name}", "memory.max", {"memory.swap.max": 0}
        else:
            self.skipTest("no memory cgroup")
        os.mkdir(path)

        def remove():
            def gone():
                try:
                    os.rmdir(path)
                except OSError:
                    return False
                return True
            self.until(gone, f"{path} is empty")
        self.addCleanup(remove)
        for file, value in {limit: self.LIMIT, **settings}.items():
            if os.path.exists(os.path.join(path, file)):
                with open(os.path.join(path, file), "w", encoding="ascii") as f:
                    f.write(str(value))
        return path

    def test_the_victim_and_the_others(self):
        path = self.cgroup()
        fat, late, calm = eaters = [self.workload("gorge", mib) for mib in ("23", "13", "3")]
        for eater in eaters:
            eater.fact("pid")
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write(str(eater.pid))
        pids = ",".join(str(eater.pid) for eater in eaters)
        reporter = self.reporter("-i", "0.2", "--metrics", "all", "-p", pids)
        thread = self.reporter("-t", "-i", "0.2", "--metrics", "task_oom_count,task_on_cpu_ns", "-p", pids)
        fat.step("ate", 23)
        self.until(lambda: reporter.task(tid=late.pid) and thread.task(tid=late.pid), "rows")
        self.assertEqual({r["task_oom_count"] for r in reporter.task()}, {0})
        late.kill(signal.SIGUSR1)
        self.assertEqual(fat.wait(), -signal.SIGKILL)
        self.until(lambda: late.status is not None or late.facts().get("ate") == 13, "the other is served, or killed too")
        self.assertEqual(self.next_row(reporter, tid=calm.pid)["task_oom_count"], 0)
        for eater in (late, calm):
            if eater.status is None:
                eater.end()
        self.assertEqual((reporter.wait(), thread.wait()), (0, 0))
        # who asked is rarely killed as well: the kernel looks again before it has the memory of its victim
        for eater in eaters:
            last = reporter.task(tid=eater.pid)[-1]
            self.assertEqual((last.end, last["task_oom_count"]), (True, 1 if eater.status == -signal.SIGKILL else 0))
        self.assertEqual((fat.status, calm.status), (-signal.SIGKILL, 0))
        self.assertEqual({r["task_oom_count"] for r in thread.task()}, {None}, "it is the process's")


class Hooks(Test):
    """Programs are on events only while somebody wants what they count."""

    HOT = {"sched_switch", "sys_enter", "sys_exit", "signal_deliver", "block_bio_queue", "block_bio_complete", "block_rq_complete",
           "mm_filemap_add_to_page_cache", "writeback_dirty_folio", "writeback_dirty_page", "sock_send_length", "sock_recv_length",
           "inet_sock_set_state", "tcp_retransmit_skb"}

    def socket(self):
        return self.service.socket

    def test_they_come_and_go(self):
        self.service = service = self.collector()
        idle = service.program_ids()
        self.assertEqual(service.event_links(), [])
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        free = self.reporter("-i", "0.2", "--metrics", "free", "-p", str(sleeper.pid))
        self.until(free.task, "a row")
        lifecycle = service.event_links()
        self.assertEqual(set(lifecycle) & self.HOT, set())
        self.assertTrue(all(link.startswith(("sched_process_", "task_rename")) for link in lifecycle), lifecycle)
        self.assertEqual(service.program_ids(), idle, "no program is loaded that is not needed")

        for metrics, wanted in ((CALLS, {"sys_enter"}), (FAILS, {"sys_exit"}), (HARD, {"sys_exit"}), (SIGNALS, {"signal_deliver"}),
                                ("task_switch_offcpu_time_max", {"sched_switch"}), ("task_run_delay_max", {"sched_switch"}),
                                ("task_fork_count,task_thread_create_count,task_exec_count,task_oom_count", set())):
            one = self.reporter("-i", "0.2", "--metrics", metrics, "-p", str(sleeper.pid))
            self.until(one.task, "a row")
            self.assertEqual(set(service.event_links()) - set(lifecycle), wanted, metrics)
            one.kill(signal.SIGINT)
            self.assertEqual(one.wait(), 0)
            self.until(lambda: service.event_links() == lifecycle, lambda: f"{metrics}: {service.event_links()}")

        everything = [self.reporter("-i", "0.2", "--metrics", "all", "-p", str(sleeper.pid)) for _ in range(2)]
        self.until(lambda: all(r.task() for r in everything), "rows")
        links = set(service.event_links())
        self.assertLessEqual({"sched_switch", "sys_enter", "sys_exit", "signal_deliver"}, links)
        for family in ("block_", "inet_sock_set_state", "mm_filemap_add_to_page_cache"):
            self.assertTrue(any(link.startswith(family) for link in links), family)
        everything[0].kill(signal.SIGINT)
        self.assertEqual(everything[0].wait(), 0)
        seen = len(everything[1].task())
        self.until(lambda: len(everything[1].task()) > seen + 2, "the other goes on")
        self.assertEqual(set(service.event_links()), links, "the last one still wants them")
        held = service.program_ids()
        everything[1].kill(signal.SIGINT)
        self.assertEqual(everything[1].wait(), 0)
        self.until(lambda: service.event_links() == lifecycle and service.program_ids() == idle, "the hooks are gone")
        self.until(lambda: not any(map(bpf_program_exists, held - idle)), "and unloaded")
        sleeper.end()
        self.assertEqual(free.wait(), 0)
        self.until(lambda: service.event_links() == [], "nobody is left")
        self.assertEqual(service.program_ids(), idle)
