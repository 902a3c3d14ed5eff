# SPDX-License-Identifier: BSD-2-Clause
"""A getppid loop whose system calls are recorded into syscall.csv: shared by those benchmarks that are about events."""
import os
import shutil
import subprocess

import bench
from bench import harness

GETPPID = os.path.join(harness.BUILD, "bench", "getppid")
NUMBER = "110"  # getppid(2) on x86-64
PER_CALL = 2  # events: entered and left


class Recorded:
    """`calls` of them, at most `per_second` (0: at full speed), by a reporter that writes below a directory (None: that of all);
    `meanwhile` is called when the first are written; `prefer`: it is about what the programs can do, not about who else wants the CPU."""

    def __init__(self, collector, calls, per_second=0, below=None, meanwhile=None, prefer=False):
        shutil.copy(GETPPID, harness.program("getppid"))
        out = bench.out_dir(harness.ALICE, below)
        before = harness.cpu_clock_ns(collector.pid)
        reporter = harness.Reporter("-m", "syscall", "-i", "1", "--csv", out, "--", harness.program("getppid"), str(calls), str(per_second),
                                    user=harness.ALICE, socket=collector.socket, out=out)
        path = os.path.join(out, "syscall.csv")
        try:
            if prefer:
                reporter.prefer()
                collector.prefer()
            if meanwhile:
                harness.wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 1000, "the first rows")
                meanwhile()
            _, status, usage = os.wait4(reporter.pid, 0)
            assert status == 0, f"the reporter failed: {reporter.stderr}"
            rows = subprocess.run(["grep", "-c", f",{NUMBER},", path], stdout=subprocess.PIPE, check=True)
            self.ns, self.cpu_ns = told(reporter.stderr)  # of a call
            self.rows = int(rows.stdout)
            self.lost, self.losses = PER_CALL * calls - self.rows, reporter.losses()
            self.bytes = os.path.getsize(path)
            loop_ns = self.cpu_ns * calls  # wait4() counts it, too
            self.collector_ns = harness.cpu_clock_ns(collector.pid) - before
            self.reporter_ns = (usage.ru_utime + usage.ru_stime) * 1e9 - loop_ns
        finally:
            reporter.popen.returncode = 0
            reporter.close()
            shutil.rmtree(out)

    @property
    def per_second(self):
        return PER_CALL * 1e9 / self.ns


def told(text):
    """(ns, CPU ns) per call; None if the loop did not come to its end."""
    for line in text.splitlines():
        if line.startswith("ns="):
            return tuple(float(word.split("=")[1]) for word in line.split())
    return None
