# SPDX-License-Identifier: BSD-2-Clause
"""What the collector and the reporter may do once they run, and what is lacking without each privilege."""
import os
import signal
import sys

from become import CAPABILITIES
from harness import ALICE, ROOT, ROOT_DIR, Process, SharedCollector, Test, keyed, program, threads_of

BECOME = os.path.join(ROOT_DIR, "tests", "e2e", "become.py")
OWN = 100_013 + 10 * os.getpid()  # the collector's own user


def status_of(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8", errors="replace") as f:
        return dict((k, v.strip()) for k, _, v in (line.partition(":") for line in f))


def mask(names):
    return sum(1 << CAPABILITIES[n] for n in names)


class AsRoot(SharedCollector):
    def test_every_thread_has_given_up_the_rest(self):
        """Capabilities, also those that a program it executed would get; new privileges; system calls."""
        sleeper = self.workload("sleepers", "1", user=ALICE)
        sleeper.fact("ready")
        reporter = self.reporter("-i", "0.2", "-p", str(sleeper.pid), "-m", "task", "--metrics", "task_pss_size", user=ROOT)
        self.until(lambda: [r for r in reporter.task() if r["task_pss_size"]], "the worker reads")
        tids = threads_of(self.shared.pid)
        self.assertGreater(len(tids), 1, "there is a thread that reads smaps")
        for tid in tids:
            status = status_of(self.shared.pid, tid)
            for which in ("CapPrm", "CapEff", "CapBnd"):
                self.assertEqual(int(status[which], 16), mask(CAPABILITIES), f"{which} of {status['Name']}")
            self.assertEqual((int(status["CapInh"], 16), int(status["CapAmb"], 16)), (0, 0))
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Seccomp"], "2")
        with open(f"/proc/{self.shared.pid}/limits", encoding="ascii") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        self.assertEqual(core.split()[4:6], ["0", "0"])
        self.assertEqual(keyed(f"/proc/{self.shared.pid}/status")["Uid"], 0)

    def test_reload_of_what_only_root_may_read(self):
        """As root, by ownership; see AsUser for the other."""
        reload_private_rules(self, self.collector, ROOT)

    def test_the_socket_in_anothers_directory(self):
        """Root has given up what it would need to remove it there; that is told, and the next collector takes it over."""
        directory = self.out_dir(ALICE)
        path = os.path.join(directory, "sock")
        for _ in range(2):
            process = Process([program("taskmon-collector"), "-s", path])
            self.addCleanup(process.close)
            self.until(lambda p=process: "ready on" in p.stderr or p.status is not None, "it is ready")
            self.assertIn(f"belongs to user {ALICE}", process.stderr)
            process.kill(signal.SIGTERM)
            self.assertEqual(process.wait(), 0, process.stderr)


def reload_private_rules(test, start, owner):
    """Rules in a file that only root may read, read again on SIGHUP."""
    rules = os.path.join(test.out_dir(ROOT), "rules.json")
    os.chmod(os.path.dirname(rules), 0o700)

    def write(name):
        with open(rules, "w", encoding="ascii") as f:
            f.write('{"rules": {"%s": {"comm": "sleepers"}}}' % name)
        os.chmod(rules, 0o600)
    write("before")
    service = start({"known_apps": rules})
    write("after")
    service.kill(signal.SIGHUP)
    test.until(lambda: "reloaded: 1 rules" in service.stderr, lambda: f"it reloads: {service.stderr}")
    lists = test.keep(Process([program("taskmon-report"), "-s", service.socket, "--list", "rules"], user=ALICE))
    test.assertEqual(lists.wait(), 0, lists.stderr)
    test.assertIn("after", lists.stdout)
    test.assertNotIn("before", lists.stdout)


class AsUser(Test):
    """A user of its own, with ambient capabilities instead of root."""

    def own(self, config=None, without=()):
        names = [n for n in CAPABILITIES if n not in without]
        directory = self.out_dir(OWN)
        os.chmod(directory, 0o755)
        return self.collector(config, prefix=(sys.executable, BECOME, str(OWN), ",".join(names)), socket=os.path.join(directory, "sock"))

    def doctor(self, names):
        process = Process([sys.executable, BECOME, str(OWN), ",".join(names) or "-", program("taskmon-collector"), "--doctor"])
        self.addCleanup(process.close)
        return process.wait(), process

    def socket(self):
        return self.service.socket

    def row(self):
        """A reporter of root on a process of Alice, with three rows: a figure of cost walk is for the second and later ones."""
        reporter = self.reporter("-i", "0.2", "-p", str(self.alices.pid), "-m", "task", "--metrics", "task_pss_size,task_on_cpu_ns", user=ROOT)
        self.until(lambda: len(reporter.task()) >= 3, "rows")
        return reporter

    def test_it_can_do_all(self):
        self.alices = self.workload("sleepers", "1", user=ALICE)
        self.alices.fact("ready")
        self.service = self.own()
        for tid in threads_of(self.service.pid):
            status = status_of(self.service.pid, tid)
            self.assertEqual(int(status["CapEff"], 16), mask(CAPABILITIES))
            self.assertEqual((int(status["CapInh"], 16), int(status["CapAmb"], 16)), (0, 0))
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(keyed(f"/proc/{self.service.pid}/status")["Uid"], OWN)
        self.assertEqual(os.stat(f"/proc/{self.service.pid}/stat").st_uid, 0, "it can be dumped by its user")
        self.assertNotIn("warning", self.service.stderr)
        reporter = self.row()
        self.until(lambda: [r for r in reporter.task() if r["task_pss_size"] is not None], "another user's smaps_rollup")
        if has_cgroup():
            self.assertTrue(all(r["cgroup"] for r in reporter.task()))

    def test_it_says_what_is_missing(self):
        lacking = {"net_admin": "net", "sys_ptrace": "smaps_rollup", "dac_read_search": "cgroup"}
        status, process = self.doctor([n for n in CAPABILITIES if n not in lacking])
        self.assertEqual(status, 1, process.stderr)
        for name in CAPABILITIES:
            what = lacking.get(name)
            self.assertRegex(process.stdout, rf"(?m)^CAP_{name.upper()} +" + (f"no: .*{what}" if what else "yes: "))
            if what:
                self.assertRegex(process.stderr, rf"CAP_{name.upper()} is missing: .*{what}")
        for name in ("bpf", "perfmon"):
            with self.subTest(name):
                status, process = self.doctor([n for n in CAPABILITIES if n != name])
                self.assertEqual(status, 1)
                self.assertOneLine(process.stderr, f"CAP_{name}", "root")
        status, process = self.doctor([])
        self.assertOneLine(process.stderr, *(f"CAP_{n}" for n in CAPABILITIES))

    def test_each_is_needed(self):
        """Evidence for the table of privilege.c: without it, this is absent; and the rest works."""
        self.alices = self.workload("sleepers", "1", user=ALICE)
        self.alices.fact("ready")
        self.service = self.own(without=("net_admin",))
        link = self.report("-m", "net", "-i", "0.2", "-d", "0.5", "-p", str(self.alices.pid), "--json", "-", user=ALICE)
        self.assertRegex(self.service.stderr, "cgroup_skb/ingress: .*not permitted")
        rows = link.json(type="sample")
        self.assertTrue(rows)
        self.assertEqual([r for r in rows if "task_link_rx_bytes" in r], [])
        self.service = self.own(without=("sys_ptrace", "dac_read_search"))
        reporter = self.row()
        for row in reporter.task():
            self.assertIsNone(row["cgroup"])
            self.assertIsNotNone(row["task_on_cpu_ns"])
        if self.kernel() < (6, 13):  # since when CAP_PERFMON is enough to read smaps_rollup, see may_access_mm()
            self.until(lambda: "smaps_rollup of process" in self.service.stderr, "the worker was refused")
            self.assertEqual([r for r in reporter.task() if r["task_pss_size"] is not None], [])

    @staticmethod
    def kernel():
        return tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])

    def test_reload_of_what_only_root_may_read(self):
        reload_private_rules(self, self.own, OWN)


def has_cgroup():
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return any(line.split()[2] == "cgroup2" for line in f)
