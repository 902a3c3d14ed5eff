# SPDX-License-Identifier: BSD-2-Clause
"""Who may see what: decided from the credentials of the client, never from what it says."""
import os
import shutil
import signal

import wire
from harness import ALICE, BOB, GROUP, ROOT, SLOW, SharedCollector, program, run_dir


PRCTL = 157


class Own(SharedCollector):
    """The built-in default: others see their own processes only."""

    config = {"group": GROUP, "others": "own"}

    def pids(self, reporter):
        return {r.pid for r in reporter.cpu()}

    def mixed(self):
        alice, bob, root = (self.workload("sleepers", "2", user=u) for u in (ALICE, BOB, ROOT))
        for w in (alice, bob, root):
            w.fact("ready")
        return alice, bob, root

    def test_all_of_a_user_are_its_own(self):
        alice, bob, root = self.mixed()
        for extra in ((), ("-t",)):
            reporter = self.report("-a", "-i", "0.2", "-d", "1.3", *extra, user=ALICE)
            self.assertEqual(self.pids(reporter) - {reporter.pid}, {alice.pid})
            self.assertEqual({e["tgid"] for e in reporter.events()} - {str(reporter.pid), str(alice.pid)}, set())

    def test_root_and_the_group_see_everything(self):
        alice, bob, root = self.mixed()
        for who in (dict(user=ROOT), dict(user=ALICE, groups=[GROUP])):
            reporter = self.report("-a", "-i", "0.2", "-d", "1.3", **who)
            self.assertLessEqual({alice.pid, bob.pid, root.pid, os.getpid(), self.shared.pid}, self.pids(reporter))
        by_pid = self.report("-p", f"{root.pid},{bob.pid}", "-i", "0.2", "-d", "1.3", user=ALICE, groups=[GROUP])
        self.assertEqual(self.pids(by_pid), {root.pid, bob.pid})

    def test_a_process_of_somebody_else_is_refused(self):
        alice, bob, root = self.mixed()
        for pid in (root.pid, bob.pid, os.getpid()):
            reporter = self.report("-p", str(pid), user=ALICE, status=4)
            self.assertOneLine(reporter.stderr, str(pid))
            self.assertEqual(reporter.cpu(), [])
        self.assertEqual(self.pids(self.report("-p", str(alice.pid), "-i", "0.2", "-d", "1", user=ALICE)), {alice.pid})

    def test_selection_by_user(self):
        alice, bob, root = self.mixed()
        reporter = self.report("-u", str(BOB), "-i", "0.2", "-d", "1.3", user=ROOT)
        self.assertEqual(self.pids(reporter), {bob.pid})
        nothing = self.report("-u", str(BOB), "-i", "0.2", "-d", "1.3", user=ALICE)
        self.assertNotIn(bob.pid, self.pids(nothing))

    def test_not_dumpable_is_not_shown(self):
        """As ptrace has it: a process that made itself non-dumpable is nobody's business."""
        open_, shy = self.workload("hide", user=ALICE), self.workload("hide", user=ALICE)
        open_.fact("step"), shy.fact("step")
        reporter = self.reporter("-a", "-i", "0.2", user=ALICE)
        self.until(lambda: {open_.pid, shy.pid} <= self.pids(reporter), "both are seen")
        shy.step("dumpable", 0)
        self.assert_unseen(reporter, shy, open_)
        self.report("-p", str(shy.pid), user=ALICE, status=4)
        shy.step("dumpable", 1, sig=signal.SIGUSR2)
        seen = len(reporter.cpu(PID=shy.pid))
        self.until(lambda: len(reporter.cpu(PID=shy.pid)) > seen, "it is seen again")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0)

    def test_what_becomes_visible_has_no_past(self):
        """The first row of a task that could not be seen before is about one interval, not about its life."""
        shy, open_ = self.workload("hide", user=ALICE), self.workload("sleepers", "1", user=ALICE)
        shy.step("dumpable", 0)
        for step in range(2, 9):
            shy.step("step", step)  # 11 ms each
        reporter = self.reporter("-a", "-i", "0.5", user=ALICE)
        self.until(lambda: len(reporter.cpu(PID=open_.pid)) >= 3, "ticks")
        self.assertNotIn(shy.pid, self.pids(reporter))
        shy.step("dumpable", 1, sig=signal.SIGUSR2)
        self.until(lambda: len(reporter.cpu(PID=shy.pid)) >= 2, "it is seen")
        for row in reporter.cpu(PID=shy.pid):
            self.assertLess(row.on_ms, 50, row)
            self.assertLess(row.off_ms, 500 * (1.5 + SLOW), row)

    def set_uid(self):
        """The path of a set-uid program."""
        path = os.path.join(self.out_dir(ROOT), "hide-setuid")
        os.chmod(os.path.dirname(path), 0o755)
        shutil.copy(program("hide"), path)
        os.chmod(path, 0o4755)
        return path

    def test_calls_of_a_set_uid_program_are_not_told(self):
        """System calls and calls of functions; root, who sees the same things, is the witness that there are some."""
        shy = self.workload("hide", self.set_uid(), user=ALICE)
        shy.fact("step")
        with open(f"/proc/{shy.pid}/maps", encoding="utf-8") as f:
            libc = next(line.split()[-1] for line in f if "libc.so" in line)
        watch = ("-i", "0.1", "-m", "task,syscall", "--probe", f"{libc}:getresuid", "-p", str(shy.pid))
        alice, root = (self.reporter(*watch, user=user) for user in (ALICE, ROOT))
        for reporter in (alice, root):
            self.until(reporter.task, "it watches")
        shy.kill(signal.SIGUSR1)
        self.until(lambda: shy.stdout.count("step=0") == 2, "it has executed the program")
        if f"uid={ALICE},{ALICE},{ALICE}" in shy.stdout.splitlines()[-1]:
            self.skipTest("the directory for temporary files is mounted nosuid")
        for step in (1, 2, 3):
            shy.step("step", step, sig=signal.SIGUSR2)
        calls = lambda reporter: len([r for r in reporter.csv("memleak") if r["FUNC"] == "getresuid"])
        prctls = lambda reporter: len([r for r in reporter.csv("syscall") if r["SYSCALL_ID"] == str(PRCTL)])
        self.until(lambda: calls(root) >= 3 and prctls(root) >= 3, lambda: f"{calls(root)}, {prctls(root)}")
        shy.kill(signal.SIGTERM)
        self.assertEqual(root.wait(), 0, root.stderr)
        self.assertEqual((calls(alice), prctls(alice)), (0, 0))
        self.assertEqual(alice.task()[-1]["uid"], ALICE)

    def other_credentials(self, uids, *words):
        """A process of hers executes a set-uid program and becomes somebody else's."""
        path = self.set_uid()
        open_, shy = self.workload("hide", user=ALICE), self.workload("hide", path, *words, user=ALICE)
        open_.fact("step"), shy.fact("step")
        by_all = self.reporter("-a", "-i", "0.2", user=ALICE)
        by_pid = self.reporter("-i", "0.2", "-p", f"{open_.pid},{shy.pid}", user=ALICE)
        for reporter in (by_all, by_pid):
            self.until(lambda: {open_.pid, shy.pid} <= self.pids(reporter), "both are seen")
        shy.kill(signal.SIGUSR1)
        self.until(lambda: shy.stdout.count("step=0") == 2, "it has executed the program")
        if f"uid={ALICE},{ALICE},{ALICE}" in shy.stdout.splitlines()[-1]:
            self.skipTest("the directory for temporary files is mounted nosuid")
        self.assertIn(f"uid={uids}", shy.stdout.splitlines()[-1])
        for reporter in (by_all, by_pid):
            self.assert_unseen(reporter, shy, open_)
        self.report("-p", str(shy.pid), user=ALICE, status=4)

    def test_another_effective_user_is_not_shown(self):
        self.other_credentials(f"{ALICE},0,0")

    def test_another_saved_user_is_not_shown(self):
        """Though it is dumpable and acts as her at the moment."""
        self.other_credentials(f"{ALICE},{ALICE},0 dumpable=1", "saved")

    def assert_unseen(self, reporter, shy, open_):
        """From a moment on no row of `shy` comes, though ticks go on; and work that it does then is not told."""
        seen = len(reporter.cpu(PID=open_.pid))
        self.until(lambda: len(reporter.cpu(PID=open_.pid)) > seen + 2, "ticks go on")
        rows = len(reporter.cpu(PID=shy.pid))
        seen = len(reporter.cpu(PID=open_.pid))
        self.until(lambda: len(reporter.cpu(PID=open_.pid)) > seen + 3, "ticks go on")
        self.assertEqual(len(reporter.cpu(PID=shy.pid)), rows, "it is still shown")

    def test_another_users_children_are_not_followed(self):
        """Root's child of a followed process: `--children` of one's own process shows none that became root's."""
        path = os.path.join(run_dir(), "hide-setuid-child")
        shutil.copy(program("hide"), path)
        os.chmod(path, 0o4755)
        shell = self.reporter("-i", "0.2", "--", "sh", "-c", f"{path}; exit 7", user=ALICE)
        self.until(lambda: "step=0" in shell.stdout, "the child runs")
        if f"uid={ALICE},0,0" not in shell.stdout:
            self.skipTest("the directory for temporary files is mounted nosuid")
        child = int(shell.stdout.split("pid=")[1].split()[0])
        seen = len(shell.cpu())
        self.until(lambda: len(shell.cpu()) > seen + 3, "some ticks")
        rows = len(shell.cpu(PID=child))
        os.kill(child, signal.SIGUSR1)
        self.until(lambda: "step=1" in shell.stdout, "it works")
        seen = len(shell.cpu(COMM="sh"))
        self.until(lambda: len(shell.cpu(COMM="sh")) > seen + 3, "some ticks")
        self.assertEqual(len(shell.cpu(PID=child)), rows)
        os.kill(child, signal.SIGTERM)
        self.assertEqual(shell.wait(), 7)
        self.assertEqual([r for r in shell.cpu(PID=child) if r.end], [])

    def test_what_a_client_may_see_is_told(self):
        """Welcome.sees_all, for a client of our own."""
        client = wire.Client(self.shared.socket)
        self.addCleanup(client.close)
        self.assertEqual(client.greet().get(4), [1])


class Deny(SharedCollector):
    config = {"group": GROUP, "others": "deny"}

    def test_others_see_nothing(self):
        own = self.workload("sleepers", "1", user=ALICE)
        own.fact("ready")
        for select in (("-p", str(own.pid)), ("-a", "-d", "1")):
            reporter = self.report(*select, user=ALICE, status=4)
            self.assertOneLine(reporter.stderr)
            self.assertEqual(reporter.cpu(), [])
        reporter = self.report("-i", "0.2", "-d", "1", "-p", str(own.pid), user=BOB, groups=[GROUP])
        self.assertEqual({r.pid for r in reporter.cpu()}, {own.pid})

    def test_a_command_is_not_started(self):
        marker = os.path.join(self.out_dir(ALICE), "started")
        reporter = self.report("--", "sh", "-c", f"touch {marker}", user=ALICE, status=4)
        self.assertOneLine(reporter.stderr)
        self.assertFalse(os.path.exists(marker))
