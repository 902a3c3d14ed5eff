# SPDX-License-Identifier: BSD-2-Clause
"""Rules: which processes the kernel side selects, of those that exist and of those that begin."""
import json
import os
import shutil
import signal
import socket
import sys

import wire
from harness import BOB, NOBODY, NS, ROOT_DIR, SLOW, Canary, SharedCollector, Stat, Test, keyed, run_dir, wait_until

KNOWN_APPS = os.path.join(ROOT_DIR, "config", "known-apps.json")
PF_KTHREAD = 0x00200000
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


def varints(data):
    """Packed numbers."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(value)
            value = shift = 0
    return found


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

    def is_selected(self, reporter, process):
        """By the rows of a tick that begins after this call."""
        seen = len(reporter.task(tgid=process.pid))
        return lambda: len(reporter.task(tgid=process.pid)) > seen + 1


class Names(RuleTest):
    def test_whole_and_beginning(self):
        """Of processes from before and after; longer names, shorter names and others are not selected."""
        old = [self.shell("rule-exact"), self.shell("rule-exact-not"), self.shell("rule-pre"), self.shell("rule-prefix-x"), self.shell("rule-pr")]
        exact = self.selected("exact", old[0], unwanted=old[1:])
        prefix = self.selected("prefix", old[2], old[3], unwanted=(old[0], old[1], old[4]))
        new = [self.shell("rule-exact"), self.shell("rule-premium"), self.shell("rule-other"), self.shell("rule-others")]
        self.until(lambda: exact.task(tgid=new[0].pid), "a new one")
        self.until(lambda: prefix.task(tgid=new[1].pid) and prefix.task(tgid=new[2].pid), "new ones")
        self.assertEqual({row["tgid"] for row in exact.task() if row["comm"] != "rule-exact"}, set())
        self.assertEqual({row["tgid"] for row in prefix.task()} & {new[0].pid, new[3].pid, old[4].pid}, set())

    def test_exec_into_another_program(self):
        """What executes something else is not watched any more, what becomes it is; the name at fork does not decide."""
        leaves = self.shell("rule-exact", script=f"read x < {self.fifo('leave')}; exec sleep 1000")
        comes = self.shell("rule-before", script=f"read x < {self.fifo('come')}; exec {named('rule-exact')} -c '{IDLE}'")
        reporter = self.selected("exact", leaves, unwanted=(comes,))
        self.open_fifo("leave")
        self.until(lambda: Stat(leaves.pid).comm == b"sleep", "the other program")
        self.open_fifo("come")
        self.until(lambda: reporter.task(tgid=comes.pid), "the new one")
        event, = self.until(lambda: reporter.events(event="exec", tgid=comes.pid), "its event")
        self.assertEqual((event["comm"], event["detail"]), ("rule-exact", "from=rule-before"))
        event, = reporter.events(event="exec", tgid=leaves.pid)
        self.assertEqual((event["comm"], event["detail"]), ("sleep", "from=rule-exact"))
        seen, others = len(reporter.task(tgid=leaves.pid)), len(reporter.task(tgid=comes.pid))
        self.until(lambda: len(reporter.task(tgid=comes.pid)) > others + 3, "ticks")
        self.assertEqual(len(reporter.task(tgid=leaves.pid)), seen)

    def test_children_of_a_shell(self):
        """They are judged by what they execute, not by the shell's name."""
        named_so = self.shell("rule-exact", script=f"sleep 1000 & {named('rule-other-one')} -c '{IDLE}' & wait")
        other = self.shell("rule-sh", script=f"sleep 1000 & {named('rule-exact')} -c '{IDLE}' & wait")
        child = self.until(lambda: [p for p in self.children(other.pid) if Stat(p).comm == b"rule-exact"], "the child")[0]
        reporter = self.reporter("-i", "0.2", "--metrics", "task_state", "-r", "exact")
        late = self.shell("rule-sh", script=f"sleep 1000 & {named('rule-exact')} -c '{IDLE}' & wait")
        late_child = self.until(lambda: [p for p in self.children(late.pid) if Stat(p).comm == b"rule-exact"], "the child")[0]
        self.until(lambda: {row["tgid"] for row in reporter.task()} >= {named_so.pid, child, late_child}, "rows")
        self.assertEqual({row["tgid"] for row in reporter.task()} & ({other.pid, late.pid} | self.children(named_so.pid)), set())

    def test_rename(self):
        """The name of the process decides, also when it takes another; that of a thread never does."""
        rename = "import ctypes,signal,threading,time\n" \
                 "def name(n): ctypes.CDLL(None).prctl(15, n, 0, 0, 0)\n" \
                 "signal.signal(signal.SIGUSR1, lambda *_: name(b'rule-exact'))\n" \
                 "def other(): name(b'rule-exact'); print('thread=1', flush=True); time.sleep(1000)\n" \
                 "threading.Thread(target=other, daemon=True).start()\n" \
                 "while True: time.sleep(0.05)\n"
        process = self.workload(sys.executable if sys.executable.startswith("/usr") else "/usr/bin/python3", "-c", rename)
        process.fact("thread")
        witness = self.shell("rule-exact")
        reporter = self.selected("exact", witness, unwanted=(process,))
        process.kill(signal.SIGUSR1)
        self.until(lambda: reporter.task(tgid=process.pid), "it has the name")

    def fifo(self, name):
        path = os.path.join(run_dir(), f"fifo-{name}-{id(self)}")
        os.mkfifo(path, 0o666)
        os.chmod(path, 0o666)
        self.addCleanup(os.unlink, path)
        return path

    def open_fifo(self, name):
        with open(os.path.join(run_dir(), f"fifo-{name}-{id(self)}"), "w", encoding="ascii") as f:
            f.write("\n")

    def test_names_of_the_command_line(self):
        """-n with whole names and beginnings is judged in the kernel; any other glob in the reporter, which says so."""
        one, two = self.shell("rule-cli-one"), self.shell("rule-two")
        simple = self.reporter("-i", "0.2", "-m", "task", "-n", "rule-cli*")
        glob = self.reporter("-i", "0.2", "-m", "task", "-n", "rule-*-one")
        regex = self.reporter("-i", "0.2", "-m", "task", "--regex", "^rule-cli-(one|two)$", "--regex", "no-such")
        for reporter in (simple, glob, regex):
            self.until(lambda r=reporter: r.task(tgid=one.pid), "a row")
            self.assertEqual({row["comm"] for row in reporter.task()}, {"rule-cli-one"})
            self.assertEqual(reporter.task(tgid=two.pid), [])
        self.assertIn("more than is shown", glob.stderr)
        self.assertIn("more than is shown", regex.stderr)
        self.assertEqual(simple.stderr, "")


    def test_cgroups(self):
        """--cgroup is judged in the reporter, which says so."""
        one = self.shell("rule-cgroup")
        every = self.reporter("-i", "0.2", "-m", "task", "-n", "rule-cgroup")
        path = self.until(lambda: every.task(tgid=one.pid), "a row")[0]["cgroup"] or ""
        same = self.reporter("-i", "0.2", "-m", "task", "-n", "rule-cgroup", "--cgroup", "/no-such", "--cgroup", path[:1] + "*")
        other = self.reporter("-i", "0.2", "-m", "task", "-n", "rule-cgroup", "--cgroup", "/no-such/*")
        self.until(lambda: same.task(tgid=one.pid), "a row")
        self.until(lambda: "more than is shown" in other.stderr, "its warning")
        other.kill(signal.SIGINT)
        self.assertEqual(other.wait(), 0)
        self.assertEqual(other.task(), [])


class Arguments(RuleTest):
    def test_a_main_class_behind_a_long_class_path(self):
        """Whole tokens and last parts of paths, wherever they stand; never a part of a token. Old and new processes."""
        path = ":".join(f"/opt/app/lib/some-library-{i}.jar" for i in range(1000))
        self.assertGreater(len(path), 30000)
        old = self.shell("rule-java", "java", "-cp", path, "org.example.Main", "--port", "1")
        other = [self.shell("rule-java", "java", "-cp", path, "org.example.MainX"), self.shell("rule-java", "x", "-Dx=org.example.Main"),
                 self.shell("rule-jav", "java", "org.example.Main")]
        reporter = self.selected("java", old, unwanted=other)
        new = [self.shell("rule-java", "java", "-cp", path, "org.example.Main"), self.shell("rule-java", "java", "-jar", "/srv/x/app.jar")]
        late = [self.shell("rule-java", "java", "-jar", "/srv/x/app.jar.old"), self.shell("rule-java", "java")]
        for process in new:
            self.until(lambda p=process: reporter.task(tgid=p.pid), "a new one")
        self.assertEqual({row["tgid"] for row in reporter.task()} & {p.pid for p in [*other, *late]}, set())


class Combined(RuleTest):
    def test_any_all_except(self):
        yes = [self.shell("rule-a"), self.shell("rule-b", "x", "--yes")]
        no = [self.shell("rule-b", "x", "--no"), self.shell("rule-c", "x", "--yes")]
        self.selected("either", *yes, unwanted=no)
        self.selected("user", self.workload(named("rule-user"), "-c", IDLE, user=BOB), unwanted=(self.shell("rule-user"),), args=(), user=0)
        self.selected("not", self.shell("rule-n"), self.shell("rule-now"), unwanted=(self.shell("rule-no"),))

    def test_children(self):
        """Of a rule that follows them: also those of a parent that has died, of before and after, to any depth. Their rows name the
        rule. Those of another rule in the same subscription are not followed."""
        family = f"{named('rule-child')} -c '{named('rule-grandchild')} -c \"{IDLE}\" & wait' & wait"
        old, plain = self.shell("rule-parent", script=family), self.shell("rule-exact", script="sleep 1000 & wait")
        child = self.until(lambda: [r for r in self.children(old.pid) if Stat(r).comm == b"rule-child"], "its child")[0]
        grandchild = self.until(lambda: [r for r in self.children(child) if Stat(r).comm == b"rule-grandchild"], "its child's child")[0]
        reporter = self.reporter("-i", "0.2", "--metrics", "task_state", "-r", "family,exact")
        new = self.shell("rule-parent", script=family)
        self.until(lambda: len({r["tgid"] for r in reporter.task() if r["comm"] == "rule-grandchild"}) == 2, "grandchildren")
        self.until(lambda: reporter.task(tgid=plain.pid), "the other rule")
        self.assertLessEqual({old.pid, new.pid, child, grandchild}, {r["tgid"] for r in reporter.task()})
        self.assertEqual({r["rules"] for r in reporter.task() if r["tgid"] != plain.pid}, {"family"})
        self.assertEqual([r for r in reporter.task(ppid=plain.pid) if r["comm"] == "sleep"], [])
        os.kill(old.pid, signal.SIGKILL)
        old.wait()
        seen = len(reporter.task(tgid=grandchild))
        self.until(lambda: len(reporter.task(tgid=grandchild)) > seen + 2, "rows of the orphan")

    def test_kernel_threads(self):
        """By flag and name; a process with such a name is none."""
        fake = self.shell("kswapd0")
        reporter = self.keep(self.reporter("-i", "0.2", "--metrics", "task_state", "-r", "kernel", user=0))
        self.until(lambda: len({r["tgid"] for r in reporter.task()}) > 2, "rows")
        self.assertEqual(reporter.task(tgid=fake.pid), [])
        for row in reporter.task():
            self.assertTrue(row["comm"].startswith(("kswapd", "ksoftirqd/", "kworker/")), row)
        running = {int(p) for p in filter(str.isdigit, os.listdir("/proc")) if self.comm(p).startswith((b"kswapd", b"ksoftirqd/"))}
        self.until(lambda: running - {fake.pid} <= {r["tgid"] for r in reporter.task()}, "all of them")

    @staticmethod
    def comm(pid):
        try:
            return Stat(pid).comm
        except (FileNotFoundError, ProcessLookupError):
            return b""


class Connections(RuleTest):
    def test_from_the_first_connection_on(self):
        """A process without one is not sent; after its first connect it is. One that is connected already is found."""
        server = "import socket\ns=socket.create_server(('127.0.0.1',0))\nprint('port=%d'%s.getsockname()[1],flush=True)\n" \
                 "held=[]\nwhile True: held.append(s.accept())\n"
        client = "import signal,socket,sys,time\ndef go(*_): global c; c=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n" \
                 "signal.signal(signal.SIGUSR1, go)\nprint('ready=1',flush=True)\nwhile True: time.sleep(0.05)\n"
        port = self.workload("/usr/bin/python3", "-c", server).fact("port")
        old, new = (self.workload("/usr/bin/python3", "-c", client, str(port)) for _ in range(2))
        for process in (old, new):
            process.fact("ready")
        old.kill(signal.SIGUSR1)
        self.until(lambda: os.path.exists(f"/proc/{old.pid}/fd/3"), "it is connected")
        reporter = self.selected("tcp", old, unwanted=(new,))
        new.kill(signal.SIGUSR1)
        self.until(lambda: reporter.task(tgid=new.pid), "the new connection")


    TALK = """
import signal, socket, sys, time
kind, port = sys.argv[1], int(sys.argv[2])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
if kind == "accept":
    s = socket.create_server(("127.0.0.1", port))
elif kind.startswith("udp"):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if kind == "udp-receive":
        s.bind(("127.0.0.1", 0))
print("port=%d" % (s.getsockname()[1] if kind != "connect" else 0), flush=True)
signal.sigwait([signal.SIGUSR1])
print("at=%d" % time.time_ns(), flush=True)
if kind == "connect":
    s = socket.create_connection(("127.0.0.1", port))
elif kind == "accept":
    s = s.accept()[0]
    s.recv(1)
elif kind == "udp-send":
    s.sendto(b"x", ("127.0.0.1", port))
else:
    s.recv(1)
signal.pause()
"""

    def test_each_kind(self):
        """connect, accept and the first use of it, the first datagram sent or received, a port: selected from then on, within one interval."""
        interval = 0.5
        servers = [socket.create_server(("127.0.0.1", port)) for port in (PORT, 0)]
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind(("127.0.0.1", 0))
        for s in (*servers, sink):
            self.addCleanup(s.close)
        other, udp = servers[1].getsockname()[1], sink.getsockname()[1]
        cases = {"tcp;port": ("connect", PORT), "tcp": ("connect", other), "tcp ": ("accept", 0), "udp": ("udp-send", udp), "udp ": ("udp-receive", 0)}
        witness = self.shell("rule-exact")
        reporter = self.selected("exact", witness, args=("-i", str(interval), "-r", "tcp,udp,port"))
        talkers = {rules: self.workload("/usr/bin/python3", "-c", self.TALK, kind, str(port)) for rules, (kind, port) in cases.items()}
        ports = {rules: talker.fact("port") for rules, talker in talkers.items()}
        client = socket.create_connection(("127.0.0.1", ports["tcp "]))
        self.addCleanup(client.close)
        client.sendall(b"x")
        sink.sendto(b"x", ("127.0.0.1", ports["udp "]))
        for rules, talker in talkers.items():
            seen = len(reporter.task(tgid=witness.pid))
            self.until(lambda: len(reporter.task(tgid=witness.pid)) > seen + 1, "a tick")
            self.assertEqual(reporter.task(tgid=talker.pid), [])
            talker.kill(signal.SIGUSR1)
            row = self.until(lambda: reporter.task(tgid=talker.pid), "its connection")[0]
            self.assertEqual(row["rules"], rules.strip())
            self.assertBetween(talker.fact("at"), row.at, talker.fact("at") + (interval + 0.1) * NS * SLOW + 2 * NS * Canary.latest(talker.fact("at"), row.at))


class Limits(RuleTest):
    INTERVAL, HOLD_OF_BUSY, HOLD_OF_GROWN = 0.25, 1.5, 1
    LOAD = """
import signal, sys, time
def named(name): open('/proc/self/comm', 'w').write(name)
signal.signal(signal.SIGUSR1, lambda *_: globals().update(told=True))
told = False
def wait(step):
    global told
    while not told: step()
    told = False
if sys.argv[1] == "grow": named('rule-grown')
print("ready=1", flush=True)
wait(lambda: time.sleep(0.02))
if sys.argv[1] == "grow":
    memory = bytearray(200_000_000)
print("began=%d" % time.time_ns(), flush=True)
wait((lambda: None) if sys.argv[1] == "spin" else lambda: time.sleep(0.02))
before = time.time_ns()
memory = None
print("ended=%d" % (before if sys.argv[1] == "grow" else time.time_ns()), flush=True)
wait(lambda: time.sleep(0.02))
"""

    def crosses(self, kind, rule, hold):
        """Ticks (as a witness has them) at which the process has a row: from the first whole window beyond the limit on, until the hold time is
        over. Ticks that were about to come at that moment may be either."""
        process, witness = self.workload("/usr/bin/python3", "-c", self.LOAD, kind), self.shell("rule-exact")
        process.fact("ready")
        reporter = self.reporter("-i", str(self.INTERVAL), "--metrics", "task_state", "-r", f"{rule},exact")
        ticks = lambda: [row.at for row in reporter.task(tgid=witness.pid)]
        self.until(lambda: len(ticks()) > 4, "ticks")
        process.kill(signal.SIGUSR1)
        began = process.fact("began")
        self.until(lambda: len([t for t in ticks() if t > began]) > 4, "ticks")
        process.kill(signal.SIGUSR1)
        ended = process.fact("ended")
        self.until(lambda: ticks()[-1] > ended + (hold + 5 * self.INTERVAL) * NS, "ticks after the hold time")
        rows = [row.at for row in reporter.task(tgid=process.pid)]
        for row in reporter.task(tgid=process.pid):
            self.assertEqual(row["rules"], rule)
        margin = 0.05 * NS * SLOW  # a pass takes some time, and rows have their own instants
        ticks = ticks()
        after = [t for t in ticks if t > began + margin]
        last_whole, first_calm = max(t for t in ticks if t < ended - margin), min(t for t in ticks if t > ended + margin)
        has_row = lambda t: any(abs(r - t) < self.INTERVAL * NS / 3 for r in rows)
        self.assertFalse([t for t in ticks if t < began - margin and has_row(t)], "selected before")
        must = [t for t in ticks if (after[1] if kind == "spin" else after[0]) <= t < last_whole + hold * NS - margin]
        self.assertGreater(len(must), 5)
        self.assertEqual([t - began for t in must if not has_row(t)], [], "not selected")
        may_not = [t for t in ticks if t > first_calm + hold * NS + margin]
        self.assertGreater(len(may_not), 1)
        self.assertEqual([t - ended for t in may_not if has_row(t)], [], "not released")

    def test_a_spin_is_released(self):
        self.crosses("spin", "busy", self.HOLD_OF_BUSY)

    def test_growth_is_released(self):
        self.crosses("grow", "grown", self.HOLD_OF_GROWN)

    def test_a_spin(self):
        """Selected while it spins, released after the hold time."""
        calm = self.shell("rule-calm")
        reporter = self.reporter("-i", "0.2", "-m", "task", "-r", "spin")
        burn = self.workload("burn", "2")
        self.until(lambda: reporter.task(tgid=burn.pid), "the spin")
        self.assertEqual(reporter.task(tgid=calm.pid), [])
        self.assertIn("spin", reporter.task(tgid=burn.pid)[0]["rules"])

    def test_a_child_without_a_program_of_its_own(self):
        """That forks and spins after the rule came into use."""
        fork = "import os,signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\nprint('ready=1', flush=True)\n" \
               "signal.sigwait([signal.SIGUSR1])\nif os.fork() == 0:\n    while True: pass\nsignal.pause()\n"
        parent = self.workload("/usr/bin/python3", "-c", fork)
        parent.fact("ready")
        reporter = self.reporter("-i", "0.2", "-m", "task", "-r", "spin")
        witness = self.workload("burn", "2")
        self.until(lambda: reporter.task(tgid=witness.pid), "the rule is in use")
        parent.kill(signal.SIGUSR1)
        self.until(lambda: reporter.task(ppid=parent.pid), "its child")

    def test_memory(self):
        """A gauge, and a name beside it."""
        grow = "import signal,sys,time\nprint('ready=1',flush=True)\ndef go(*_): global x; x=bytearray(200000000)\n" \
               "def free(*_): global x; x=None; print('free=1',flush=True)\n" \
               "signal.signal(signal.SIGUSR1, go); signal.signal(signal.SIGUSR2, free)\n" \
               "open('/proc/self/comm','w').write('rule-grown')\nprint('named=1',flush=True)\nwhile True: time.sleep(0.05)\n"
        process = self.workload("/usr/bin/python3", "-c", grow)
        process.fact("named")
        reporter = self.reporter("-i", "0.2", "--metrics", "task_pm_size", "-r", "grown")
        other = self.reporter("-i", "0.2", "-m", "task", "-p", str(process.pid))
        self.until(lambda: len(other.task()) > 3, "ticks")
        self.assertEqual(reporter.task(), [])
        process.kill(signal.SIGUSR1)
        self.until(lambda: reporter.task(tgid=process.pid), "it has grown")


class Known(RuleTest):
    """Applications that Debian has not are stood in for by their command line."""

    STAND_INS = {
        "tomcat": ("java", "-classpath", "/usr/share/tomcat10/bin/bootstrap.jar", "org.apache.catalina.startup.Bootstrap", "start"),
        "jboss": ("java", "-D[Standalone]", "-jar", "/opt/wildfly/jboss-modules.jar", "-mp", "/opt/wildfly/modules", "org.jboss.as.standalone"),
        "weblogic": ("java", "-Dweblogic.Name=AdminServer", "weblogic.Server"),
        "kafka": ("java", "-cp", ":".join(f"/opt/kafka/libs/library-{i}.jar" for i in range(400)), "kafka.Kafka", "config/server.properties"),
        "zookeeper": ("java", "-cp", "zookeeper.jar", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"),
        "cassandra": ("java", "-ea", "org.apache.cassandra.service.CassandraDaemon"),
        "neo4j": ("java", "-cp", "/usr/share/neo4j/lib/*", "org.neo4j.server.Neo4jCommunity", "--home-dir=/var/lib/neo4j"),
        "oracle": ("ora_pmon_ORCL",), "sqlserver": ("sqlservr",), "mongodb": ("mongod", "--config", "/etc/mongod.conf"),
        "couchdb": ("beam.smp", "-root", "/opt/couchdb", "-s", "couch"), "influxdb": ("influxd",), "mysql": ("mariadbd",),
        "postgresql": ("postgres", "-D", "/var/lib/postgresql"), "redis": ("redis-server", "*:6379"), "nginx": ("nginx",),
        "apache": ("apache2", "-k", "start"), "haproxy": ("haproxy", "-Ws"),
    }

    def test_each_is_tested(self):
        with open(KNOWN_APPS, encoding="utf-8") as f:
            rules = json.load(f)["rules"]
        self.assertEqual({*self.STAND_INS, "kernel"}, set(rules))
        self.assertGreater(len(self.STAND_INS["kafka"][2]), 8192)

    def test_each_selects_its_own(self):
        processes = {rule: self.shell(words[0], *words) for rule, words in self.STAND_INS.items()}
        plain = self.shell("java", "java", "-jar", "something-else.jar", "xkafka.Kafka")
        rules = list(self.STAND_INS)
        for some in (rules[:9], rules[9:]):
            reporter = self.reporter("-i", "0.3", "--metrics", "task_state", "-r", ",".join(some))
            mine = {processes[rule].pid: rule for rule in some}
            self.until(lambda: {r["tgid"] for r in reporter.task()} >= set(mine), "all")
            for row in reporter.task():
                if row["tgid"] in mine:
                    self.assertEqual(row["rules"], mine[row["tgid"]])
            self.assertEqual(reporter.task(tgid=plain.pid), [])
            reporter.kill(signal.SIGINT)
            self.assertEqual(reporter.wait(), 0)


class Lists(RuleTest):
    def test_rules_and_why(self):
        exact = self.shell("rule-exact")
        rules = self.report("--list", "rules", csv=False)
        names = [line.split()[0] for line in rules.stdout.splitlines()[1:]]
        self.assertLess({*RULES, "postgresql", "kafka"}, {*names, ""})
        tasks = self.report("--list", "tasks", csv=False)
        line, = [line for line in tasks.stdout.splitlines() if line.split()[0] == str(exact.pid)]
        self.assertTrue(line.endswith("  exact"), line)

    def why(self, pid, **how):
        """What --list tasks -p says: rule -> (selected, lines below it)."""
        text = self.report("--list", "tasks", "-p", str(pid), csv=False, **how).stdout
        rows, _, text = text.partition(f"Which rules select {pid}, ")
        self.assertEqual([line.split()[0] for line in rows.splitlines()[1:] if line], [str(pid)])
        rules = {}
        for line in text.splitlines()[1:]:
            if line.startswith(" "):
                lines.append(" ".join(line.split()))
            else:
                selected, name = line.split()
                lines = rules.setdefault(name, (selected, []))[1]
        return rules

    def test_why(self):
        """Each condition of each rule, for a process: whether it holds."""
        parent = self.shell("rule-parent", "x", "--yes", script=f"{named('rule-no')} -c '{IDLE}' & echo child=$!; wait")
        child = parent.fact("child")
        self.until(lambda: Stat(child).comm == b"rule-no", "the child")
        rules = self.why(parent.pid)
        self.assertEqual(set(rules), {*RULES, *json.load(open(KNOWN_APPS, encoding="utf-8"))["rules"]})
        self.assertEqual(rules["family"], ("yes", ["yes comm rule-parent", "or", "no started by a process that family selects"]))
        self.assertEqual(rules["either"], ("no", ["no comm rule-a", "or", "no comm rule-b", "yes argv --yes"]))
        self.assertEqual(rules["exact"], ("no", ["no comm rule-exact"]))
        self.assertEqual({name for name, (selected, _) in rules.items() if selected == "yes"}, {"family"})
        rules = self.why(child)
        self.assertEqual(rules["family"], ("yes", ["no comm rule-parent", "or", "yes started by a process that family selects"]))
        self.assertEqual(rules["not"], ("no", ["yes comm rule-n*", "no not comm rule-no"]))
        burn = self.workload("burn", "20")
        rules = self.why(burn.pid)
        self.assertEqual(rules["spin"], ("yes", ["yes limit task_on_cpu_ns_rate above 0.02 hold 0.5 s"]))
        self.assertEqual(rules["tcp"], ("no", ["no connection tcp"]))

    def test_why_of_another_user(self):
        mine, theirs = self.shell("rule-exact"), self.workload(named("rule-exact"), "-c", IDLE, user=BOB)
        refused = self.report("--list", "tasks", "-p", str(theirs.pid), csv=False, status=4)
        self.assertOneLine(refused.stderr, str(theirs.pid), "not yours")
        self.assertEqual(refused.stdout.count("rule-"), 0)
        self.assertEqual(self.why(theirs.pid, user=0)["exact"][0], "yes")
        # nor by a client that asks without having subscribed to it, or at all
        client = wire.Client(self.shared.socket)
        self.addCleanup(client.close)
        client.greet()
        client.send(wire.explain(7, os.getpid()))
        self.assertEqual(client.receive_until(wire.ERROR)[1], [wire.INVALID])
        client.close()

        def ask(user):
            """In a process of that user: the answers to Explain of three processes."""
            child = wire.Client.as_user(self.shared.socket, user)
            self.addCleanup(child.close)
            child.greet()
            child.send(wire.subscribe(1, pids=[mine.pid] if user == NOBODY else [], every=user != NOBODY, explain=True))
            child.receive_until(wire.SUBSCRIBED)
            answers = []
            for pid in (mine.pid, theirs.pid, 0x7FFFFFFF):
                child.send(wire.explain(9, pid))
                while (got := child.receive())[0] not in (wire.ERROR, wire.EXPLAINED):
                    pass
                answers.append(got[1][1][0] if got[0] == wire.ERROR else 0)
            return answers
        self.assertEqual(ask(NOBODY), [0, wire.DENIED, wire.NO_SUCH_PROCESS])
        self.assertEqual(ask(BOB), [wire.DENIED, 0, wire.NO_SUCH_PROCESS])

    def test_questions_without_end(self):
        """Who asks and does not read is disconnected, before its answers fill the memory."""
        mine = self.shell("rule-exact")
        client = wire.Client.as_user(self.shared.socket, NOBODY)
        self.addCleanup(client.close)
        client.greet()
        client.send(wire.subscribe(1, pids=[mine.pid], explain=True, interval_ns=3600 * NS))
        client.receive_until(wire.SAMPLES)
        before = keyed(f"/proc/{self.shared.pid}/status")["VmHWM"]
        questions = wire.explain(9, mine.pid) * 1000
        while not client.closed:
            client.send(questions)
        self.assertLess(keyed(f"/proc/{self.shared.pid}/status")["VmHWM"] - before, 64 << 10)
        self.why(mine.pid)

    def test_an_unknown_rule(self):
        reporter = self.report("-r", "nonsense", csv=False, status=1)
        self.assertOneLine(reporter.stderr, "nonsense", "--list rules")


class Configuration(Test):
    def socket(self):
        return self.server.socket

    def write(self, rules):
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump({"known_apps": KNOWN_APPS, "rules": rules}, f, indent=1)

    def test_reload(self):
        """SIGHUP takes over new rules; a file with a mistake changes nothing and says where."""
        self.server = self.collector(config={"known_apps": KNOWN_APPS, "rules": {"one": {"comm": "rule-one"}}})
        self.path = os.path.join(os.path.dirname(self.server.socket), "collector.json")
        one, two = (self.workload(named(name), "-c", IDLE) for name in ("rule-one", "rule-two"))
        reporter = self.reporter("-i", "0.2", "-m", "task", "-r", "one")
        self.until(lambda: reporter.task(tgid=one.pid), "a row")
        self.write({"one": {"comm": ["rule-two"]}})
        self.server.kill(signal.SIGHUP)
        self.until(lambda: reporter.task(tgid=two.pid), "the new rule")
        seen, others = len(reporter.task(tgid=one.pid)), len(reporter.task(tgid=two.pid))
        self.until(lambda: len(reporter.task(tgid=two.pid)) > others + 3, "ticks")
        self.assertLessEqual(len(reporter.task(tgid=one.pid)), seen + 1)
        self.write({"one": {"comm": "a-name-that-is-too-long"}})
        self.server.kill(signal.SIGHUP)
        self.until(lambda: "the old ones stay" in self.server.stderr, "a refusal")
        self.assertIn(f"{self.path}:", self.server.stderr)
        others = len(reporter.task(tgid=two.pid))
        self.until(lambda: len(reporter.task(tgid=two.pid)) > others + 2, "ticks")

    def test_reload_to_other_kinds(self):
        """What a rule asks for after a reload is found out of processes that exist, and of what they do from then on."""
        listener = "import socket,signal,time\ndef go(*_): global c; c=socket.create_connection(s.getsockname())\n" \
                   "s=socket.create_server(('127.0.0.1',0))\nsignal.signal(signal.SIGUSR1, go)\nprint('ready=1',flush=True)\n" \
                   "while True: time.sleep(0.05)\n"
        self.server = self.collector(config={"known_apps": KNOWN_APPS, "rules": {"one": {"comm": "rule-one"}}})
        self.path = os.path.join(os.path.dirname(self.server.socket), "collector.json")
        one = self.workload(named("rule-one"), "-c", IDLE)
        argv = self.workload(named("rule-two"), "-c", f"trap 'exec sleep 1000' USR1; while :; do sleep 0.1; done", "x", "--mark")
        old, new = (self.workload("/usr/bin/python3", "-c", listener) for _ in range(2))
        for process in (old, new):
            process.fact("ready")
        old.kill(signal.SIGUSR1)
        self.until(lambda: os.path.exists(f"/proc/{old.pid}/fd/4"), "it is connected")
        reporter = self.reporter("-i", "0.2", "-m", "task", "-r", "one")
        self.until(lambda: reporter.task(tgid=one.pid), "a row")
        self.write({"one": {"any": [{"connection": "tcp"}, {"argv": "--mark"}]}})
        self.server.kill(signal.SIGHUP)
        self.until(lambda: reporter.task(tgid=old.pid) and reporter.task(tgid=argv.pid), "those that exist")
        self.assertEqual(reporter.task(tgid=new.pid), [])
        new.kill(signal.SIGUSR1)
        self.until(lambda: reporter.task(tgid=new.pid), "a new connection")
        # its argument was that of an earlier program: no later reload brings it back
        argv.kill(signal.SIGUSR1)
        self.until(lambda: Stat(argv.pid).comm == b"sleep", "another program")
        self.server.kill(signal.SIGHUP)
        self.until(lambda: self.server.stderr.count("reloaded") == 2, "the reload")
        seen, others = len(reporter.task(tgid=argv.pid)), len(reporter.task(tgid=new.pid))
        self.until(lambda: len(reporter.task(tgid=new.pid)) > others + 3, "ticks")
        self.assertLessEqual(len(reporter.task(tgid=argv.pid)), seen + 1)

    def reload(self, rules):
        count = self.server.stderr.count("reloaded")
        self.write(rules)
        self.server.kill(signal.SIGHUP)
        self.until(lambda: self.server.stderr.count("reloaded") > count, "the reload")

    def ticks_without(self, reporter, process, witness):
        """Some ticks pass in which the witness has rows; the process has none, but for one that was on its way."""
        seen, others = len(reporter.task(tgid=process)), len(reporter.task(tgid=witness))
        self.until(lambda: len(reporter.task(tgid=witness)) > others + 3, "ticks")
        self.assertLessEqual(len(reporter.task(tgid=process)), seen + 1)

    def test_reload_of_children(self):
        """A rule that begins to follow children, or ends to, of those that exist."""
        self.server = self.collector(config={"known_apps": KNOWN_APPS, "rules": {"one": {"comm": "rule-one"}}})
        self.path = os.path.join(os.path.dirname(self.server.socket), "collector.json")
        parent = self.workload(named("rule-one"), "-c", "sleep 1000 & echo child=$!; wait")
        child = parent.fact("child")
        self.until(lambda: Stat(child).comm == b"sleep", "its program")
        reporter = self.reporter("-i", "0.2", "-m", "task", "-r", "one")
        self.until(lambda: len(reporter.task(tgid=parent.pid)) > 2, "rows")
        self.assertEqual(reporter.task(tgid=child), [])
        self.reload({"one": {"comm": "rule-one", "children": True}})
        self.until(lambda: reporter.task(tgid=child), "the child")
        self.assertEqual(reporter.task(tgid=child)[0]["rules"], "one")
        self.reload({"one": {"comm": "rule-one"}})
        self.ticks_without(reporter, child, parent.pid)

    def test_reload_again_and_again(self):
        """What a process was known for by a rule that has gone is not taken for what a new rule asks."""
        rules = {"one": {"argv": "--first"}, "witness": {"comm": "rule-witness"}}
        self.server = self.collector(config={"known_apps": KNOWN_APPS, "rules": rules})
        self.path = os.path.join(os.path.dirname(self.server.socket), "collector.json")
        first = self.workload(named("rule-first"), "-c", IDLE, "x", "--first")
        witness = self.workload(named("rule-witness"), "-c", IDLE)
        reporter = self.reporter("-i", "0.2", "-m", "task", "-r", "one,witness")
        self.until(lambda: reporter.task(tgid=first.pid) and reporter.task(tgid=witness.pid), "rows")
        for condition in ({"comm": "rule-nobody"}, {"argv": "--second"}, {"user": 7}, {"argv": "--third"}, {"connection": {"port": 9}}):
            self.reload({**rules, "one": condition})
            self.ticks_without(reporter, first.pid, witness.pid)

    def test_64_watches(self):
        """One more is refused, and nobody else notices; those that are alike share one; what is given up can be had again."""
        self.server = self.collector(config={"rules": {f"r{i}": {"comm": f"rule-{i}"} for i in range(65)}})
        target = self.workload(named("rule-0"), "-c", IDLE)
        first = self.reporter("-i", "0.2", "-m", "task", "-r", "r0")  # a subscription of another interval, but the same watch
        self.until(lambda: first.task(tgid=target.pid), "a row")
        clients, feeds = [], {}
        for i in range(64):
            if i % 16 == 0:  # as many as a connection may have
                clients.append(wire.Client.as_user(self.server.socket, NOBODY))
                self.addCleanup(clients[-1].close)
                clients[-1].greet()
            clients[-1].send(wire.subscribe(i, rules=[f"r{i}"], interval_ns=NS // 2))
            feeds[i] = clients[-1].receive_until(wire.SUBSCRIBED)[2][0]
        self.assertEqual(len(set(feeds.values())), 64)
        extra = wire.Client.as_user(self.server.socket, NOBODY)
        self.addCleanup(extra.close)
        extra.greet()
        for _ in range(3):
            extra.send(wire.subscribe(100, rules=["r64"], interval_ns=NS // 2))
            error = extra.receive_until(wire.ERROR)
            self.assertEqual((error[1], error[3]), ([wire.LIMIT], [100]))
            self.assertIn(b"64 watches", error[2][0])
        refused = self.report("-i", "0.2", "-m", "task", "-r", "r64", csv=False, status=1)
        self.assertOneLine(refused.stderr, "64 watches")
        # one that exists already is shared, even now
        extra.send(wire.subscribe(101, rules=["r63"], interval_ns=NS // 2))
        self.assertEqual(extra.receive_until(wire.SUBSCRIBED)[2], [feeds[63]])
        # all go on
        for at, client in enumerate(clients):
            want = {feeds[i] for i in range(16 * at, 16 * at + 16)}
            while want:
                tick = client.receive_until(wire.SAMPLES)
                if tick.get(2, [0])[0] > 1:
                    want.discard(tick[1][0])
        seen = len(first.task())
        self.until(lambda: len(first.task()) > seen + 2, "ticks")
        self.assertEqual((first.losses(), first.status), ({}, None))
        # the place of one that has gone
        clients[0].send(wire.frame(wire.UNSUBSCRIBE, wire.field(1, feeds[7])))
        clients[0].receive_until(wire.UNSUBSCRIBED)
        extra.send(wire.subscribe(102, rules=["r64"], interval_ns=NS // 2))
        late = self.workload(named("rule-64"), "-c", IDLE)
        feed = extra.receive_until(wire.SUBSCRIBED)[2]
        rows = lambda: next(t for t in iter(lambda: extra.receive_until(wire.SAMPLES), None) if t[1] == feed)
        self.until(lambda: varints(wire.decode(rows()[6][0]).get(7, [b""])[0]) == [late.pid], "it selects")
