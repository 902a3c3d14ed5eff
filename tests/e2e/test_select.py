# SPDX-License-Identifier: BSD-2-Clause
"""What the reporter selects itself: any glob, regular expressions, users, cgroups; and that it says so."""
import os
import signal
import time
import unittest

from harness import NOBODY, Stat, run_dir
from test_config import WithFile
from test_rules import named

MORE = "the collector sends more than is shown"
IDLE = "while :; do sleep 1000; done"


def cgroup2():
    """Where it is mounted, or None."""
    with open("/proc/mounts", encoding="utf-8") as f:
        return next((line.split()[1] for line in f if line.split()[2] == "cgroup2"), None)


class SelectTest(WithFile):
    config = {"rules": {"picked": {"comm": "sel-pick*"}}}

    def shell(self, name, script=IDLE, **how):
        process = self.workload(named(name), "-c", script, **how)
        self.until(lambda: Stat(process.pid).comm == name.encode()[:15], f"{name} runs")
        return process

    def selected(self, *args, wanted, unwanted=(), more=True):
        """Until all of `wanted` have rows; then none of the others have. For all ways of asking that are given as rows."""
        reporter = self.reporter("-i", "0.2", "-m", "cpu,task", "--metrics", "task_state", *args)
        self.until(lambda: {r["tgid"] for r in reporter.task()} >= {p.pid for p in wanted}, "all are selected")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        told = {r["tgid"] for r in reporter.task()} | {r.pid for r in reporter.cpu()}
        self.assertEqual(told & {p.pid for p in unwanted}, set())
        self.assertEqual(reporter.stderr.count(MORE), int(more), reporter.stderr)
        return reporter


class Patterns(SelectTest):
    def test_globs_and_expressions(self):
        ab, ac, b = self.shell("sel-a-b"), self.shell("sel-a-c"), self.shell("sel-b")
        self.selected("-n", "sel-?-[bx]", wanted=[ab], unwanted=[ac, b])
        self.selected("-n", "*l-a-*", "-a", wanted=[ab, ac], unwanted=[b])
        self.selected("--regex", "^sel-(a-b|b)$", wanted=[ab, b], unwanted=[ac])
        self.selected("--regex", "-a-", "--regex", "^sel-b", wanted=[ab, ac, b])
        self.selected("-t", "--regex", "l-a-c", wanted=[ac], unwanted=[ab, b])
        self.selected("--cpu", "stat", "--regex", "^sel-[ab]$", wanted=[b], unwanted=[ab, ac], more=False)
        self.selected("--regex", "sel-b", "-n", "sel-a-c", wanted=[b, ac], unwanted=[ab])
        self.selected("-n", "sel-a*", wanted=[ab, ac], unwanted=[b], more=False)
        root = self.shell("sel-b", user=0)
        self.selected("-n", "sel-b", "-u", str(NOBODY), wanted=[b], unwanted=[ab, ac, root])

    def test_changes_of_name_and_the_list_of_tasks(self):
        """By exec into a name that an expression selects and out of it; --list tasks takes the same filters."""
        fifo = os.path.join(self.out_dir(), "go")
        os.mkfifo(fifo)
        os.chmod(os.path.dirname(fifo), 0o755)
        os.chmod(fifo, 0o666)
        wait = f"until read x < {fifo}; do :; done"  # a writer that has not closed yet makes the next read find an end
        script = f"{wait}; exec {named('sel-after')} -c '{wait}; exec sleep 1000'"
        changes, other, first = self.shell("sel-before", script=script), self.shell("sel-other"), self.shell("sel-xx")
        reporter = self.reporter("-i", "0.1", "-m", "cpu,task", "--metrics", "task_state", "--regex", "^sel-(after|x+)$", "-a")
        self.until(lambda: MORE in reporter.stderr and reporter.task(tgid=first.pid), "it says so, and watches")
        for name in (b"sel-after", b"sleep"):
            with open(fifo, "w", encoding="ascii") as f:
                f.write("go\n")
            self.until(lambda: Stat(changes.pid).comm == name, lambda: f"{name}, now {Stat(changes.pid).comm}; {changes.stderr}")
            if name == b"sel-after":
                self.until(lambda: reporter.task(tgid=changes.pid), "a row")
                listed = self.report("--list", "tasks", "--regex", "^sel-(after|x+)$", csv=False).stdout
                self.assertIn(f"{changes.pid}", listed)
                self.assertNotIn(f"{other.pid}", listed)
            else:
                self.until(lambda: len(reporter.events(event="exec", tgid=changes.pid)) == 2, "both changes")
        reporter.kill(signal.SIGINT)
        reporter.wait()
        self.assertEqual({(r["comm"], r["tgid"]) for r in reporter.task()}, {("sel-after", changes.pid), ("sel-xx", first.pid)})

    def test_a_threshold_about_a_rule(self):
        """Of two that are alike, the one that the rule selects has the alarm: with --all, which names no rule."""
        picked, other = self.shell("sel-picked"), self.shell("sel-left")
        rule = {"metric": "task_thread_count", "method": "static", "above": 0, "for": 0, "match": {"rule": "picked"}}
        path = self.file({"thresholds": [rule]})
        reporter = self.reporter("-c", path, "-i", "0.2", "-p", f"{picked.pid},{other.pid}")
        self.until(lambda: reporter.events(event="alarm") and len(reporter.task(tgid=other.pid)) > 3, "an alarm")
        self.assertEqual({r["tgid"] for r in reporter.events(event="alarm")}, {str(picked.pid)})


@unittest.skipIf(cgroup2() is None, "needs cgroup v2")
class Cgroups(SelectTest):
    def setUp(self):
        super().setUp()
        self.top = os.path.join(cgroup2(), os.path.basename(run_dir()) + "-sel")
        for path in (self.top, self.group("a"), self.group("a/deep"), self.group("ab")):
            os.mkdir(path)
            self.addCleanup(self.remove, path)

    def group(self, name):
        return os.path.join(self.top, name)

    def remove(self, path):
        """Its processes end with the test, some time after it."""
        end = time.monotonic() + 10
        while True:
            try:
                return os.rmdir(path)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def within(self, name, group, **how):
        process = self.shell(name, **how)
        with open(os.path.join(self.group(group), "cgroup.procs"), "w", encoding="ascii") as f:
            f.write(str(process.pid))
        self.addCleanup(process.close)
        return process

    def test_a_cgroup_and_what_is_below_it(self):
        a, deep, ab = self.within("sel-a", "a"), self.within("sel-deep", "a/deep"), self.within("sel-ab", "ab")
        outside = self.shell("sel-out")
        path = "/" + os.path.relpath(self.group("a"), cgroup2())
        for args, more in ((("-a",), True), (("-t",), True), (("--cpu", "stat"), False)):
            self.selected("--cgroup", path, *args, wanted=[a, deep], unwanted=[ab, outside], more=more)
        self.selected("--cgroup", "*/a/d*p", wanted=[deep], unwanted=[a, ab, outside])
        self.selected("--cgroup", path + "*", "-n", "sel-?", wanted=[a], unwanted=[deep, ab, outside])
        self.selected("--cgroup", path, "-p", f"{a.pid},{ab.pid}", wanted=[a], unwanted=[ab])

    def test_events_are_of_the_cgroup(self):
        """Of children that are too short for a row, too."""
        script = "while :; do /bin/true; sleep 0.05; done"
        a, ab = self.within("sel-loop", "a", script=script), self.within("sel-loop", "ab", script=script)
        path = "/" + os.path.relpath(self.group("a"), cgroup2())
        reporter = self.reporter("-i", "0.2", "-m", "cpu", "--cgroup", path, "-a")
        ready = lambda: reporter.cpu(PID=a.pid) and len(reporter.events(event="exec", comm="true")) >= 3
        self.until(ready, "execs of its children")
        by = {r["detail"] for r in reporter.events(event="fork") if r["comm"] == "sel-loop"}
        self.assertIn(f"by={a.pid} (sel-loop)", by)
        self.assertNotIn(f"by={ab.pid} (sel-loop)", by)
