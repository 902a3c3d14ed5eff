# SPDX-License-Identifier: BSD-2-Clause
"""Who asks for what: allowed or refused. Each cell of the table in deploy/PRIVILEGES.md is asked for here, and the
table there is what came out."""
import functools
import os
import re
import shutil

import become
import wire
from harness import ALICE, BOB, GROUP, ROOT, ROOT_DIR, Collector, Reporter, SharedCollector, program, run_dir

DOCUMENT = os.path.join(ROOT_DIR, "deploy", "PRIVILEGES.md")
CAROL = BOB + 1
RULES = {"sleepy": {"comm": ["sleepers", "hide*"]}}

# Carol owns a set-uid program, Bob runs it: real user Bob, effective and saved user Carol.
WHO = {
    "root": functools.partial(become.user, ROOT),
    "a member of the group": functools.partial(become.user, ALICE, [GROUP]),
    "a user": functools.partial(become.user, ALICE),
    "a user, as root of a user namespace": functools.partial(become.in_namespace, ALICE),
    "who runs a set-uid program of another": functools.partial(become.user, BOB),
    "the owner of that set-uid program": functools.partial(become.user, CAROL),
}
OWNER = dict(zip(WHO, ("root", "alice", "alice", "alice", "bob", "carol")))
DENIED = "a user, with `\"others\": \"deny\"`"


class Table(SharedCollector):
    config = {"group": GROUP, "rules": RULES}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.denying = Collector({"group": GROUP, "rules": RULES, "others": "deny"})

    @classmethod
    def tearDownClass(cls):
        try:
            assert cls.denying.end() == 0, cls.denying.stderr
        finally:
            cls.denying.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        path = os.path.join(run_dir(), "hide-of-carol")
        if not os.path.exists(path):
            shutil.copy(program("hide"), path)
            os.chown(path, CAROL, CAROL)
            os.chmod(path, 0o4755)
        self.of = {name: self.workload("sleepers", "2", user=uid)
                   for name, uid in (("root", ROOT), ("alice", ALICE), ("bob", BOB), ("carol", CAROL))}
        self.of["set-uid"] = self.workload(path, user=BOB)
        for name, process in self.of.items():
            process.fact("step" if name == "set-uid" else "ready")
        if f"uid={BOB},{CAROL},{CAROL}" not in self.of["set-uid"].stdout:
            self.skipTest("the directory for temporary files is mounted nosuid")
        self.name_of = {process.pid: name for name, process in self.of.items()}

    def ask(self, become_, socket, **what):
        """The owners of the processes that one sees, or "refused"."""
        client = wire.Client(socket, become=become_)
        try:
            client.send(wire.hello())
            answer = client.receive()
            if answer[0] == wire.ERROR:
                self.assertEqual(answer[1][1], [wire.DENIED])
                return "refused"
            client.send(wire.subscribe(**what))
            while (answer := client.receive())[0] not in (wire.ERROR, wire.SAMPLES):
                pass
            if answer[0] == wire.ERROR:
                self.assertEqual(answer[1][1], [wire.DENIED], answer)
                return "refused"
            tgids, samples = set(), answer[1]
            while True:
                rows = wire.decode(samples[6][0])
                tgids |= set(wire.numbers(rows.get(7, [b""])[0]))
                if samples.get(5) == [1]:  # the last of the tick
                    break
                samples = client.receive_until(wire.SAMPLES)
            return {self.name_of[t] for t in tgids if t in self.name_of}
        finally:
            client.close()

    def one(self, seen, name):
        """Of a request for one process."""
        if seen == "refused":
            return "refused"
        self.assertEqual(seen, {name}, "allowed and not shown")
        return "allowed"

    def some(self, seen, owner):
        if seen == "refused":
            return "refused"
        everybody = set(self.name_of.values())
        self.assertIn(seen, (everybody, {owner}), "neither all nor one's own")
        return "everybody's" if seen == everybody else "one's own"

    def listed(self, become_, socket, owner):
        reporter = self.keep(Reporter("--list", "tasks", user=ROOT, socket=socket, preexec=become_))
        if reporter.wait() == 4:
            return "refused"
        self.assertEqual(reporter.status, 0, reporter.stderr)
        pids = {int(n) for n in re.findall(r"(?m)^ *(\d+)", reporter.stdout)}
        return self.some({self.name_of[p] for p in pids if p in self.name_of}, owner)

    def row(self, become_, socket, owner):
        pid = {name: process.pid for name, process in self.of.items()}
        other = "bob" if owner != "bob" else "alice"
        ask = functools.partial(self.ask, become_, socket)
        return {
            "its own process": self.one(ask(pids=[pid[owner]]), owner),
            "a process of root": self.one(ask(pids=[pid["root"]]), "root"),
            "of another user": self.one(ask(pids=[pid[other]]), other),
            "the set-uid program that runs": self.one(ask(pids=[pid["set-uid"]]), "set-uid"),
            "threads of its own": self.one(ask(pids=[pid[owner]], threads=True), owner),
            "threads of another": self.one(ask(pids=[pid[other]], threads=True), other),
            "its own and another's": "refused" if ask(pids=[pid[owner], pid[other]]) == "refused" else "allowed",
            "all": self.some(ask(every=True), owner),
            "by name": self.some(ask(names=[b"sleepers", b"hide*"]), owner),
            "by rule": self.some(ask(rules=[b"sleepy"]), owner),
            "`--list tasks`": self.listed(become_, socket, owner),
        }

    def table(self):
        rows = {who: self.row(become_, self.shared.socket, OWNER[who]) for who, become_ in WHO.items()}
        rows[DENIED] = self.row(WHO["a user"], self.denying.socket, "alice")
        heads = list(rows["root"])
        lines = ["| asks for | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
        return "\n".join(lines + [f"| {head} | " + " | ".join(row[head] for row in rows.values()) + " |" for head in heads])

    def test_each_cell(self):
        try:
            wire.connect_as(self.shared.socket, WHO["a user, as root of a user namespace"]).close()
        except ConnectionError:
            self.skipTest("users may not make user namespaces here")
        table = self.table()
        with open(DOCUMENT, encoding="utf-8") as f:
            document = f.read()
        self.assertIn(table, document, f"deploy/PRIVILEGES.md should have this table:\n{table}")

    def test_credentials_are_those_of_the_connection(self):
        """Whoever has the socket later: it is a right that can be handed on, like any open file; and none is gained by it."""
        bobs = self.of["bob"].pid

        def connect(first, then):
            client = wire.Client(self.shared.socket, become=first)
            self.addCleanup(client.close)
            ours = os.getresuid()
            os.seteuid(then)
            try:
                client.greet()
                client.send(wire.subscribe(pids=[bobs]))
                while (answer := client.receive())[0] not in (wire.ERROR, wire.SUBSCRIBED):
                    pass
                return answer[0]
            finally:
                os.seteuid(0)
                self.assertEqual(os.getresuid(), ours)
        self.assertEqual(connect(WHO["root"], ALICE), wire.SUBSCRIBED)
        self.assertEqual(connect(WHO["a user"], 0), wire.ERROR)
        self.assertEqual(connect(WHO["who runs a set-uid program of another"], ALICE), wire.SUBSCRIBED)

