# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of rules share: a collector with some, and shells under other names."""
import os
import shutil

from harness import BOB, ROOT_DIR, SharedCollector, Stat, run_dir

KNOWN_APPS = os.path.join(ROOT_DIR, "config", "known-apps.json")
PORT = 20000 + os.getpid() % 10000
RULES = {
    "exact": {"comm": "rule-exact"},
    "prefix": {"comm": ["rule-pre*", "rule-other"]},
    "java": {"comm": "rule-java", "argv": ["org.example.Main", "*/app.jar"]},
    "either": {"any": [{"comm": "rule-a"}, {"all": [{"comm": "rule-b"}, {"argv": "--yes"}]}]},
    "not": {"comm": "rule-n*", "except": {"comm": "rule-no"}},
    "family": {"comm": "rule-parent", "children": True},
    "kernel": {"kernel_thread": ["kswapd*", "ksoftirqd/*", "kworker/*"]},
    "tcp": {"connection": "tcp"}, "udp": {"connection": "udp"}, "port": {"connection": {"protocol": "tcp", "port": PORT}},
    "spin": {"limit": {"task_on_cpu_ns_rate": {"above": 0.02, "hold": 0.5}}},
    "busy": {"limit": {"task_on_cpu_ns_rate": {"above": 0.05, "hold": 1.5}}},
    "grown": {"limit": {"task_pm_size": {"above": 150000000, "hold": 1}}, "comm": "rule-grown"},
    "user": {"comm": "rule-user", "user": BOB},
}
IDLE = "while :; do sleep 1000; done"


def named(name):
    """A shell under another name: the kernel calls a program as its file."""
    path = os.path.join(run_dir(), "bin", name)
    if not os.path.exists(path):
        shutil.copy("/bin/dash", path)
        os.chmod(path, 0o755)
    return path


class RuleTest(SharedCollector):
    config = {"known_apps": KNOWN_APPS, "rules": RULES}

    def shell(self, name, *args, script=IDLE):
        """Runs until the test ends; `args` stand in its argv."""
        process = self.workload(named(name), "-c", script, *args)
        self.until(lambda: Stat(process.pid).comm == name.encode()[:15], f"{name} runs")
        return process

    def selected(self, rule, *wanted, unwanted=(), args=(), **how):
        """A reporter of a rule that has rows of all these, each of which names the rule; none of the others ever."""
        reporter = self.reporter("-i", "0.2", "--metrics", "task_state", "-r", rule, *args, **how)
        self.until(lambda: {row["tgid"] for row in reporter.task()} >= {p.pid for p in wanted}, "all are selected")
        for row in reporter.task():
            if row["tgid"] in {p.pid for p in wanted}:
                self.assertIn(rule, row["rules"].split(";"))
        self.assertEqual({row["tgid"] for row in reporter.task()} & {p.pid for p in unwanted}, set())
        return reporter

    @staticmethod
    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return set(map(int, f.read().split()))

    def fifo(self, name):
        path = os.path.join(run_dir(), f"fifo-{name}-{id(self)}")
        os.mkfifo(path, 0o666)
        os.chmod(path, 0o666)
        self.addCleanup(os.unlink, path)
        return path

    def open_fifo(self, name):
        with open(os.path.join(run_dir(), f"fifo-{name}-{id(self)}"), "w", encoding="ascii") as f:
            f.write("\n")
