# SPDX-License-Identifier: BSD-2-Clause
"""The systemd units are valid, tight, and say the same as collector/privilege.c."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, ROOT_DIR, needs


def read(*path):
    with open(os.path.join(ROOT_DIR, *path), encoding="utf-8") as f:
        return f.read()


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def words(text, head):
    """Quoted words of a table of privilege.c."""
    return set(re.findall(r'"(\w+)"', re.search(re.escape(head) + r"(.*?)^};", text, re.S | re.M)[1]))


class Units(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="taskmon-units-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.units = {}
        for name, program, instance in (("taskmon-collector.service", "@sbindir@", "taskmon-collector.service"),
                                        ("taskmon-report@.service", "@bindir@", "taskmon-report@x.service")):
            text = read("deploy", "systemd", name + ".in").replace(program, os.path.abspath(BUILD))
            self.assertNotIn("@sbindir@", text)
            self.units[name] = os.path.join(self.dir, instance)
            with open(self.units[name], "w", encoding="utf-8") as f:
                f.write(text)

    def settings(self, name, key):
        with open(self.units[name], encoding="utf-8") as f:
            return re.findall(rf"(?m)^{key}=(.*)$", f.read())

    @needs("systemd-analyze")
    def test_valid_and_tight(self):
        for (name, path), threshold in zip(self.units.items(), (25, 10)):
            verified = run("systemd-analyze", "verify", "--man=no", path)
            self.assertEqual((verified.returncode, verified.stderr.strip()), (0, ""), name)
            security = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={threshold}", path)
            self.assertEqual(security.returncode, 0, security.stdout)

    @needs("systemd-analyze")
    def test_users_and_directories(self):
        dry = run("systemd-sysusers", "--dry-run", os.path.join(ROOT_DIR, "deploy", "systemd", "taskmon.sysusers"))
        self.assertEqual(dry.returncode, 0, dry.stderr)
        shutil.copy(os.path.join(ROOT_DIR, "deploy", "systemd", "taskmon.tmpfiles"), os.path.join(self.dir, "taskmon.conf"))
        made = run("systemd-tmpfiles", "--create", f"--root={self.dir}/root", os.path.join(self.dir, "taskmon.conf"))
        self.assertEqual((made.returncode, made.stderr.strip()), (0, ""))
        self.assertTrue(os.path.isdir(os.path.join(self.dir, "root", "etc", "taskmon")))

    def test_capabilities_are_those_that_are_kept(self):
        kept = re.findall(r"(?m)^\t\{ (CAP_\w+), (?:true|false)", read("collector", "privilege.c"))
        self.assertGreater(len(kept), 3)
        for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
            self.assertEqual(self.settings("taskmon-collector.service", key)[0].split(), kept, key)
        self.assertEqual(self.settings("taskmon-report@.service", "CapabilityBoundingSet"), [""])
        documented = re.findall(r"(?m)^\| `(CAP_\w+)` \|", read("deploy", "PRIVILEGES.md"))
        self.assertEqual(documented, kept)

    @needs("systemd-analyze")
    def test_system_calls_of_the_collector_are_let_through(self):
        """What privilege.c allows, and what it does itself: or the unit would be a collector that does not work."""
        groups = {}
        for line in run("systemd-analyze", "syscall-filter", "--no-pager").stdout.splitlines():
            if line.startswith("@"):
                groups[line.strip()] = current = []
            elif line.strip() and not line.strip().startswith("#"):
                current.append(line.strip())

        def expand(word):
            return set().union(*map(expand, groups[word])) if word.startswith("@") else {word}
        allowed = expand("@default")
        for setting in self.settings("taskmon-collector.service", "SystemCallFilter"):
            named = set().union(*map(expand, setting.lstrip("~").split()))
            allowed = allowed - named if setting.startswith("~") else allowed | named
        source = read("collector", "privilege.c")
        wanted = words(source, "*const allowed[] = {") | words(source, "} conditional[] = {")
        self.assertGreater(len(wanted), 80)
        start = {"capset", "seccomp", "prctl", "setrlimit", "prlimit64", "socket", "bind", "connect", "chmod", "flock", "mkdir", "bpf"}
        self.assertEqual((wanted | start) - allowed, set())
