# SPDX-License-Identifier: BSD-2-Clause
"""What the collector and the reporter may do once they run, and what is lacking without each privilege."""
import ctypes
import os
import signal
import sys

from become import CAPABILITIES
from harness import ALICE, NOBODY, ROOT, ROOT_DIR, Process, SharedCollector, Test, keyed, program, sanitized, threads_of

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
        with open(f"/proc/{self.shared.pid}/task/{self.shared.pid}/children", encoding="ascii") as f:
            opener, = map(int, f.read().split())
        status = status_of(opener, opener)
        self.assertEqual(status["Name"], "taskmon-uprobes")
        self.assertEqual({int(status[which], 16) for which in ("CapPrm", "CapEff")}, {1 << 21})  # CAP_SYS_ADMIN
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(len(os.listdir(f"/proc/{opener}/fd")), 4, "it has its socket, and nothing of the collector's")

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


class Confined(SharedCollector):
    """The reporter: what Landlock keeps it from shows where a directory is exchanged under its feet."""

    def setUp(self):
        super().setUp()
        self.landlock = ctypes.CDLL(None).syscall(444, None, 0, 1)  # the version of the interface
        if self.landlock < 1:
            self.skipTest("this kernel has no Landlock")
        self.sleeper = self.workload("sleepers", "1")
        self.sleeper.fact("ready")
        self.dir = self.out_dir()

    def begin(self, *args, **how):
        reporter = self.reporter("-i", "0.2", "-p", str(self.sleeper.pid), *args, csv=False, **how)
        self.assertEqual(status_of(self.sleeper.pid, self.sleeper.pid)["NoNewPrivs"], "0")
        self.until(lambda: os.path.exists(os.path.join(self.dir, "out")) and status_of(reporter.pid, reporter.pid)["NoNewPrivs"] == "1",
                   "it has begun")
        return reporter

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def lines(self, *names):
        try:
            with open(self.path(*names), encoding="utf-8") as f:
                return f.read().count("\n")
        except FileNotFoundError:
            return 0

    def exchange(self, path):
        """Another directory of the same name, in which the user may do as it likes."""
        os.rename(path, path + ".old")
        os.mkdir(path)
        os.chown(path, NOBODY, NOBODY)

    def test_outputs_and_nothing_else(self):
        """Files are rotated and opened anew in their directories. In another one they cannot be made, though the user may."""
        for option, name in (("--csv", "cpu.csv"), ("--json", "x.json")):
            with self.subTest(option):
                self.dir = self.out_dir()
                out = self.path("out")
                os.mkdir(out)
                os.chown(out, NOBODY, NOBODY)
                reporter = self.begin(option, out if option == "--csv" else os.path.join(out, name))
                self.until(lambda: self.lines("out", name) > 2, "rows")
                os.rename(os.path.join(out, name), os.path.join(out, name + ".1"))
                reporter.kill(signal.SIGHUP)
                self.until(lambda: self.lines("out", name) > 2, "rows in the new file")
                os.rename(out, out + ".old")  # and another one of the same name, where this user may do as it likes
                os.mkdir(out)
                os.chown(out, NOBODY, NOBODY)
                reporter.kill(signal.SIGHUP)
                self.assertEqual(reporter.wait(), 1, reporter.stderr)
                self.assertRegex(reporter.stderr, rf"{name}: Permission denied")
                self.assertEqual(os.listdir(out), [])

    def test_rotation(self):
        many = self.workload("sleepers", "97")
        many.fact("ready")
        reporter = self.reporter("--csv", self.path("out"), "--rotate-bytes", "4096", "--keep", "2", "-t", "-i", "0.2", "-p", str(many.pid), csv=False)
        self.until(lambda: all(self.lines("out", name) > 1 for name in ("cpu.csv", "cpu.csv.1", "cpu.csv.2")), "it rotates")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_a_link_leads_to_where_the_file_is(self):
        """It may be written, and opened anew, where it really is."""
        os.mkdir(self.path("real"))
        os.chown(self.path("real"), NOBODY, NOBODY)
        with open(self.path("real", "x.json"), "w", encoding="ascii"):
            pass
        os.chown(self.path("real", "x.json"), NOBODY, NOBODY)
        os.symlink(self.path("real", "x.json"), self.path("out"))
        reporter = self.begin("--json", self.path("out"))
        self.until(lambda: self.lines("real", "x.json") > 1, "rows")
        reporter.kill(signal.SIGHUP)
        before = self.lines("real", "x.json")
        self.until(lambda: self.lines("real", "x.json") > before + 2, "more rows")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)

    def test_the_command_inherits_nothing(self):
        """It writes where it likes, executes, and gains privileges as ever."""
        elsewhere = self.out_dir()
        reporter = self.reporter("--csv", self.path("out"), "--", "sh", "-c", f"echo x > {elsewhere}/x && grep NoNewPrivs /proc/self/status",
                                 csv=False)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(os.listdir(elsewhere), ["x"])
        self.assertRegex(reporter.stdout, r"NoNewPrivs:\s*0")

    def test_only_the_collectors_socket(self):
        """Since Linux 7.1 a confined process may be kept from sockets: one in another directory is none for it."""
        if self.landlock < 9:
            self.skipTest("this kernel's Landlock knows nothing of sockets")
        link = self.path("link")
        first, second = self.collector(), self.collector(args=("-v",))
        os.symlink(os.path.dirname(first.socket), link)
        reporter = self.reporter("-i", "0.2", "-p", str(self.sleeper.pid), socket=os.path.join(link, "sock"))
        self.until(reporter.cpu, "rows")
        os.remove(link)
        os.symlink(os.path.dirname(second.socket), link)
        self.assertEqual(first.end(), 0)
        self.until(lambda: reporter.events(event="gap"), "it notes the gap")
        clock = self.reporter("-i", "0.2", "-p", str(self.sleeper.pid), socket=second.socket)
        self.until(lambda: len(clock.cpu()) > 15, "time for some attempts")
        self.assertEqual(second.stderr.count("client of uid"), 1, "another collector was asked")
        self.collector(socket=first.socket)  # a new socket in the old directory
        os.remove(link)
        os.symlink(os.path.dirname(first.socket), link)
        rows = len(reporter.cpu())
        self.until(lambda: len(reporter.cpu()) > rows + 2, "it goes on where it may")
        for each in (reporter, clock):
            each.kill(signal.SIGINT)
            self.assertEqual(each.wait(), 0, each.stderr)


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
        if not sanitized():  # LeakSanitizer looks at it
            self.assertEqual(os.stat(f"/proc/{self.service.pid}/stat").st_uid, 0, "it can be dumped by its user")
        self.assertNotIn("warning", self.service.stderr)
        reporter = self.row()
        self.until(lambda: [r for r in reporter.task() if r["task_pss_size"] is not None], "another user's smaps_rollup")
        if has_cgroup():
            self.assertTrue(all(r["cgroup"] for r in reporter.task()))

    def test_it_says_what_is_missing(self):
        lacking = {"checkpoint_restore": "containers", "net_admin": "net", "sys_ptrace": "smaps_rollup", "dac_read_search": "cgroup"}
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
