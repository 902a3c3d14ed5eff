# SPDX-License-Identifier: BSD-2-Clause
"""Rules: which processes the kernel side selects, of those that exist and of those that begin."""
import json
import os
import signal
import socket
import sys

from harness import BOB, NS, SLOW, Canary, Stat, run_dir
from rules import IDLE, KNOWN_APPS, PORT, RuleTest, named


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

    def test_children_with_smaller_numbers(self):
        """Numbers begin anew now and then, so children may have smaller ones than their parents."""
        last = "/proc/sys/kernel/ns_last_pid"
        if not os.path.exists(last):
            self.skipTest(f"needs {last}")

        def begin_numbers_at(number):
            with open(last, "w", encoding="ascii") as f:
                f.write(str(number))
        begin_numbers_at(20000)
        parent = self.shell("rule-parent", script="while :; do sleep 1000 & echo child=$!; read x; kill $!; done < "
                            f"{self.fifo('again')}")
        path = os.path.join(run_dir(), f"fifo-again-{id(self)}")
        fd = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, fd)

        def has_smaller():
            children = [int(line[6:]) for line in parent.stdout.splitlines()]
            if children and children[-1] < parent.pid:
                return children[-1]
            begin_numbers_at(10000)
            os.write(fd, b"\n")
            self.until(lambda: len(parent.stdout.splitlines()) > len(children), "another child")
            return None
        child = self.until(has_smaller, "a child with a smaller number")
        self.until(lambda: Stat(child).comm == b"sleep", "its program")
        reporter = self.reporter("-i", "0.2", "--metrics", "task_state", "-r", "family")
        self.until(lambda: len(reporter.task(tgid=parent.pid)) > 2, "rows")
        self.assertEqual({row["rules"] for row in reporter.task(tgid=child)}, {"family"})

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
calm = time.time_ns()
if sys.argv[1] == "grow":
    memory = bytearray(200_000_000)
print("calm=%d began=%d" % (calm, time.time_ns()), flush=True)
wait((lambda: None) if sys.argv[1] == "spin" else lambda: time.sleep(0.02))
ended = time.time_ns()
memory = None
print("ended=%d again=%d" % (ended, time.time_ns()), flush=True)
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
        began, calm = process.fact("began"), process.fact("calm")
        self.until(lambda: len([t for t in ticks() if t > began]) > 4, "ticks")
        process.kill(signal.SIGUSR1)
        ended, again = process.fact("ended"), process.fact("again")
        self.until(lambda: ticks()[-1] > again + (hold + 5 * self.INTERVAL) * NS, "ticks after the hold time")
        rows = [row.at for row in reporter.task(tgid=process.pid)]
        for row in reporter.task(tgid=process.pid):
            self.assertEqual(row["rules"], rule)
        margin = min(0.05 * SLOW, self.INTERVAL / 2) * NS  # a pass takes some time, and rows have their own instants
        ticks = ticks()
        after = [t for t in ticks if t > began + margin]
        last_whole, first_calm = max(t for t in ticks if t < ended - margin), min(t for t in ticks if t > again + margin)
        has_row = lambda t: any(abs(r - t) < self.INTERVAL * NS / 3 for r in rows)
        self.assertFalse([t for t in ticks if t < calm - margin and has_row(t)], "selected before")
        must = [t for t in ticks if (after[1] if kind == "spin" else after[0]) <= t < last_whole + hold * NS - margin]
        self.assertGreater(len(must), 3)
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
