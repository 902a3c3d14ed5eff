# SPDX-License-Identifier: BSD-2-Clause
"""What else tells of all threads, once: for each, what it costs and what it takes."""
import os
import re
import subprocess
import urllib.request

import bench
import servers
from bench import harness

READER, BARE = (os.path.join(harness.BUILD, "bench", name) for name in ("reader", "bare"))
CACHE = servers.CACHE  # where tests/servers/fetch has unpacked what would start a service if it were installed


def fetch():
    subprocess.run([os.path.join(harness.ROOT_DIR, "tests", "servers", "fetch"), CACHE, "atop", "process-exporter"], check=False)


def of_command(threads, snapshots, *argv):
    """Of a program that makes so many snapshots: us of CPU per thread and snapshot."""
    return lambda: bench.cpu_of_command(argv)[0] / snapshots / threads / 1e3


def bare_walk():
    """An iterator over all tasks that writes 64 bytes of each: us per task."""
    done = subprocess.run([BARE, "walk", "10"], capture_output=True, text=True, check=True)
    return float(re.search(r"walk_ns=(\S+)", done.stdout).group(1)) / 1e3


class Exporter:
    """process-exporter, which groups processes by name and is asked over HTTP; its threads' names are metrics, too."""

    def __init__(self, path):
        self.port = servers.free_port()
        self.process = harness.Process([path, "-procnames", "sleepers", "-gather-smaps=false", f"-web.listen-address=127.0.0.1:{self.port}"])
        harness.wait_until(self.answers, lambda: f"process-exporter answers: {self.process.stderr}", 60)

    def answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=120) as page:
                return b"num_threads" in page.read()
        except OSError:
            return False

    def per_scrape(self):
        before = harness.cpu_clock_ns(self.process.pid)
        assert self.answers(), self.process.stderr
        return harness.cpu_clock_ns(self.process.pid) - before


def of_exporter(threads, path):
    def measure():
        exporter = Exporter(path)
        try:
            return exporter.per_scrape() / threads / 1e3
        finally:
            exporter.process.close()
    return measure


def of_snapshots(page, sleepers):
    """{name: function}: us of CPU per thread and snapshot. atop and top begin with one more snapshot."""
    pids, count = ",".join(sleepers.pids), sleepers.threads
    unpacked = {"atop": os.path.join(CACHE, "atop/usr/bin"), "prometheus-process-exporter": os.path.join(CACHE, "process-exporter/usr/bin")}
    tools = {
        "pidstat": ("pidstat -t", lambda path: of_command(count, 1, path, "-t", "-p", pids)),
        "top": ("top -H", lambda path: of_command(count, 2, path, "-H", "-b", "-d", "1", "-n", "2")),
        "ps": ("ps -eL", lambda path: of_command(count, 1, path, "-eLo", "pid,tid,comm,state,time,min_flt,maj_flt,nlwp,vsz,rss")),
        "atop": ("atop -y", lambda path: of_command(count, 2, path, "-y", "-a", "1", "2")),
        "prometheus-process-exporter": ("process-exporter", lambda path: of_exporter(count, path)),
    }
    found = {}
    for program, (name, make) in tools.items():
        path = page.program(program, unpacked.get(program))
        if path:
            found[name] = make(path)
    return {**found, "/proc by hand": of_command(count, 1, READER, "proc", *sleepers.pids),
            "taskstats by hand": of_command(count, 1, READER, "taskstats", *sleepers.pids), "bare iterator": bare_walk}
