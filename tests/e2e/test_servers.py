# SPDX-License-Identifier: BSD-2-Clause
"""Known applications, with the real programs under load: each rule selects the processes of its server and nothing else, of servers that
ran before the rule came into use and of such that are started afterwards."""
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import servers
from harness import ALICE, ROOT_DIR, Collector, Stat, Test, threads_of, wait_until

KNOWN_APPS = os.path.join(ROOT_DIR, "config", "known-apps.json")
USER = ALICE + 1  # of the servers and their clients
COMMS = {"tomcat": {"java"}, "postgresql": {"postgres"}, "mysql": {"mariadbd"}, "redis": {"redis-server"}, "nginx": {"nginx"},
         "apache": {"apache2"}, "haproxy": {"haproxy"}, "influxdb": {"influxd"}}


class Load(threading.Thread):
    """A client that asks a server again and again."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.done, self.count, self.error = server, threading.Event(), 0, None

    def run(self):
        try:
            while not self.done.is_set():
                self.server.request()
                self.count += 1
                self.done.wait(0.02)
        except Exception as error:
            self.error = error


class Servers(Test):
    @classmethod
    def setUpClass(cls):
        cls.missing = servers.fetch()
        names = [name for name in servers.NAMES if name not in cls.missing]
        cls.old, cls.new, cls.errors, cls.loads = {}, {}, {}, []
        cls.together(names, cls.prepare)
        cls.together(names, lambda name: cls.start(cls.old[name]))
        cls.server = Collector({"known_apps": KNOWN_APPS})

    @classmethod
    def tearDownClass(cls):
        try:
            assert cls.server.end() == 0, cls.server.stderr
        finally:
            cls.server.close()
            for load in cls.loads:
                load.done.set()
                load.join()
            servers.end_all(USER)

    @classmethod
    def together(cls, names, step):
        """For all servers at the same time; one that fails leaves the others alone."""
        def one(name):
            try:
                step(name)
            except Exception as error:
                cls.errors[name] = error
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(one, names))

    @classmethod
    def prepare(cls, name):
        cls.old[name], cls.new[name] = servers.Server(name, USER), servers.Server(name, USER)

    @classmethod
    def start(cls, server):
        server.start()
        cls.loads.append(Load(server))
        cls.loads[-1].start()

    def socket(self):
        return self.server.socket

    def selects(self, reporter, server):
        """Rows of all of its processes; those of the others never: a row's process is the server, or a child of such a one."""
        self.until(lambda: {row["tgid"] for row in reporter.task()} >= server.processes(), f"all processes of {server.rule}")
        return {server.pid} | server.processes()

    def judge(self, reporter, rule, tree):
        rows = reporter.task()
        for row in rows:
            self.assertTrue(row["tgid"] in tree or row["ppid"] in tree, f"{rule} selects another process: {row}")
            tree.add(row["tgid"])
            self.assertIn(row["comm"], COMMS[rule], f"{rule} selects another program: {row}")
            self.assertEqual(row["rules"], rule)

    def test_each_selects_its_own(self):
        """Before and after, all at the same time, while clients come and go."""
        reporters = {name: self.reporter("-i", "0.3", "-m", "task", "--metrics", "task_state", "-r", name, user=USER) for name in self.old}
        trees = {}
        for name in self.old:
            if name not in self.errors:
                with self.subTest(name, servers="before"):
                    trees[name] = self.selects(reporters[name], self.old[name])
        self.together([name for name in self.old if name not in self.errors], lambda name: self.start(self.new[name]))
        for name in trees:
            with self.subTest(name, servers="after"):
                self.assertNotIn(name, self.errors)
                trees[name] |= self.selects(reporters[name], self.new[name])
        for name in servers.NAMES:
            with self.subTest(name):
                self.assertNotIn(name, self.missing)
                self.assertNotIn(name, self.errors)
                self.judge(reporters[name], name, trees[name])
        for load in self.loads:
            self.assertIsNone(load.error, load.server.rule)
            wait_until(lambda: load.count > 10, f"{load.server.rule} is asked")

    def test_threads_of_a_java_machine(self):
        """They have names of their own, and take others; the process stays what it is."""
        self.assertNotIn("tomcat", {**self.missing, **self.errors})
        tomcat = self.old["tomcat"]
        names = {Stat(tomcat.pid, tid).comm for tid in threads_of(tomcat.pid)} - {b"java"}
        self.assertGreater(len(names), 10)
        reporter = self.reporter("-t", "-i", "0.3", "-m", "task", "--metrics", "task_state", "-r", "tomcat", user=USER)
        self.until(lambda: {row["comm"].encode() for row in reporter.task(tgid=tomcat.pid)} >= names, "its threads")
        self.assertEqual({row["rules"] for row in reporter.task()}, {"tomcat"})
