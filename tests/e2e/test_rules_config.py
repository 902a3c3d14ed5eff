# SPDX-License-Identifier: BSD-2-Clause
"""Rules as people meet them: lists, why one selects a process, reloads, and how many there may be."""
import json
import os
import signal
import socket

import wire
from harness import BOB, NOBODY, NS, ROOT, Stat, Test, keyed
from rules import IDLE, KNOWN_APPS, RULES, RuleTest, named


class Lists(RuleTest):
    @staticmethod
    def known():
        with open(KNOWN_APPS, encoding="utf-8") as f:
            return json.load(f)["rules"]

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
        self.assertEqual(set(rules), {*RULES, *self.known()})
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
        """Who asks and does not read is refused, and disconnected before its answers fill the memory."""
        mine = self.shell("rule-exact")
        client = wire.Client.as_user(self.shared.socket, NOBODY)
        self.addCleanup(client.close)
        client.greet()
        client.send(wire.subscribe(1, pids=[mine.pid], explain=True, interval_ns=3600 * NS))
        client.receive_until(wire.SAMPLES)
        before = keyed(f"/proc/{self.shared.pid}/status")["VmHWM"]
        client.send(wire.explain(9, mine.pid) * 200)
        self.assertEqual({client.receive()[0] for _ in range(20)}, {wire.EXPLAINED})
        while (got := client.receive())[0] != wire.ERROR:
            client.send(wire.explain(9, mine.pid) * 20)
        self.assertEqual(got[1][1], [wire.LIMIT])
        while not client.closed:
            client.send(wire.explain(9, mine.pid) * 1000)
        self.assertLess(keyed(f"/proc/{self.shared.pid}/status")["VmHWM"] - before, 160 << 10)
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
        """One more is refused, and nobody else notices; those that are alike share one; what is given up can be had again.
        Asked for by root, whose requests are never made to wait."""
        self.server = self.collector(config={"rules": {f"r{i}": {"comm": f"rule-{i}"} for i in range(65)}})
        target = self.workload(named("rule-0"), "-c", IDLE)
        first = self.reporter("-i", "0.2", "-m", "task", "-r", "r0", user=ROOT)  # a subscription of another interval, but the same watch
        self.until(lambda: first.task(tgid=target.pid), "a row")
        clients, feeds = [], {}
        for i in range(64):
            if i % 16 == 0:  # as many as a connection may have
                clients.append(wire.Client.as_user(self.server.socket, ROOT))
                self.addCleanup(clients[-1].close)
                clients[-1].greet()
            clients[-1].send(wire.subscribe(i, rules=[f"r{i}"], interval_ns=NS // 2))
            feeds[i] = clients[-1].receive_until(wire.SUBSCRIBED)[2][0]
        self.assertEqual(len(set(feeds.values())), 64)
        extra = wire.Client.as_user(self.server.socket, ROOT)
        self.addCleanup(extra.close)
        extra.greet()
        for _ in range(3):
            extra.send(wire.subscribe(100, rules=["r64"], interval_ns=NS // 2))
            error = extra.receive_until(wire.ERROR)
            self.assertEqual((error[1], error[3]), ([wire.LIMIT], [100]))
            self.assertIn(b"64 watches", error[2][0])
        refused = self.report("-i", "0.2", "-m", "task", "-r", "r64", csv=False, status=1, user=ROOT)
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
        self.until(lambda: wire.numbers(wire.decode(rows()[6][0]).get(7, [b""])[0]) == [late.pid], "it selects")
