# SPDX-License-Identifier: BSD-2-Clause
"""Outputs of long runs: rotation, continuation, logrotate, disks that are full, reporters that are killed."""
import glob
import os
import pty
import random
import signal

from harness import SharedCollector, json_lines, program, read_csv, select


def lines_of(path):
    """Lines of a file that must be whole."""
    with open(path, "rb") as f:
        data = f.read()
    assert data.endswith(b"\n"), f"{path}: {data[-80:]!r}"
    return data.decode().splitlines()


class Outputs(SharedCollector):
    def setUp(self):
        super().setUp()
        self.sleeper = self.workload("sleepers", "7")
        self.sleeper.fact("ready")
        self.watch = ("-t", "-i", "0.1", "-p", str(self.sleeper.pid))

    def end(self, reporter):
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)


class Rotation(Outputs):
    def series(self, path):
        """FILE.N ... FILE.1, FILE: the oldest first."""
        found = sorted(glob.glob(glob.escape(path) + ".*"), key=lambda p: -int(p.rsplit(".", 1)[1]))
        return [*found, path]

    def test_by_size(self):
        """Each file has the header and is no longer than asked for; together they are the whole report."""
        json_path = os.path.join(self.out_dir(), "all.json")
        reporter = self.reporter(*self.watch, "--json", json_path, "--rotate-bytes", "4K", "--keep", "50")
        cpu = os.path.join(reporter.out_dir, "cpu.csv")
        self.until(lambda: os.path.exists(cpu + ".3") and os.path.exists(json_path + ".5"), "some files", timeout=60)
        self.end(reporter)
        rows = []
        for path in self.series(cpu):
            self.assertLessEqual(os.path.getsize(path), 4096)
            self.assertEqual(lines_of(path)[0], "Ticks,PID,COMM,ON CPU,OFF CPU,CPU%,TID")
            rows += read_csv(path)
        samples = []
        for path in self.series(json_path):
            self.assertLessEqual(os.path.getsize(path), 4096)
            samples += json_lines("\n".join(lines_of(path)) + "\n")
        samples = [s for s in samples if s["type"] == "sample" and "window_ns" in s]
        self.assertEqual([int(r["TID"]) for r in rows], [s["tid"] for s in samples])
        self.assertGreater(len(rows), 200)
        self.assertFalse(os.path.exists(os.path.join(reporter.out_dir, "event.csv.1")))

    def test_what_is_kept(self):
        reporter = self.reporter(*self.watch, "--rotate-bytes", "4K", "--keep", "2")
        cpu = os.path.join(reporter.out_dir, "cpu.csv")
        self.until(lambda: os.path.exists(cpu + ".2"), "two old files", timeout=60)
        first = os.stat(cpu + ".2").st_ino
        self.until(lambda: os.stat(cpu + ".2").st_ino != first, "the next", timeout=60)
        self.end(reporter)
        self.assertFalse(os.path.exists(cpu + ".3"))

    def test_by_time(self):
        reporter = self.reporter(*self.watch, "--rotate-seconds", "1")
        cpu = os.path.join(reporter.out_dir, "cpu.csv")
        self.until(lambda: os.path.exists(cpu + ".2"), "two old files")
        self.end(reporter)
        ticks = [r["Ticks"] for path in self.series(cpu) for r in read_csv(path) if r["TID"] == str(self.sleeper.pid)]
        self.assertEqual(ticks, sorted(set(ticks)))
        for path in self.series(cpu)[:-1]:  # a tick is never torn
            self.assertEqual(len(read_csv(path)) % 7, 0, path)


class Append(Outputs):
    def test_two_runs_in_one_file(self):
        out, json_path = self.out_dir(), os.path.join(self.out_dir(), "out.json")
        runs = ("-m", "cpu,task", "--append", "--csv", out, "--json", json_path, "-i", "0.1")
        for _ in range(2):
            self.report(*runs, "--", program("burn"), "0.3", csv=False)
        for name in ("cpu", "task", "event"):
            lines = lines_of(os.path.join(out, name + ".csv"))
            self.assertEqual(lines.count(lines[0]), 1)
        self.assertEqual(len(select(read_csv(os.path.join(out, "cpu.csv")), Ticks="END")), 2)
        with open(json_path, encoding="utf-8") as f:
            self.assertEqual(len(select(json_lines(f.read()), type="end")), 2)

    def test_another_header_is_refused(self):
        out, marker = self.out_dir(), os.path.join(self.out_dir(), "started")
        self.report("-m", "task", "--csv", out, "--", "true", csv=False)
        before = lines_of(os.path.join(out, "task.csv"))
        refused = self.report("-m", "task", "--metrics", "task_fd_count", "--append", "--csv", out, "--", "touch", marker, csv=False,
                              status=2)
        self.assertOneLine(refused.stderr, out + "/task.csv", "header")
        self.assertFalse(os.path.exists(marker))
        self.assertEqual(lines_of(os.path.join(out, "task.csv")), before)
        refused = self.report("--append", "--json", out + "/task.csv", "--", "touch", marker, csv=False, status=2)
        self.assertOneLine(refused.stderr, out + "/task.csv", "JSON")

    def test_what_a_killed_reporter_left(self):
        out = self.out_dir()
        self.report("-m", "cpu", "--csv", out, "-i", "0.1", "--", program("burn"), "0.3", csv=False)
        path = os.path.join(out, "cpu.csv")
        whole = lines_of(path)
        os.truncate(path, os.path.getsize(path) - 5)
        self.report("-m", "cpu", "--append", "--csv", out, "-i", "0.1", "--", program("burn"), "0.3", csv=False)
        lines = lines_of(path)
        self.assertEqual(lines[:len(whole) - 1], whole[:-1])
        self.assertEqual(len(read_csv(path)), len(lines) - 1)


class Reopen(Outputs):
    def test_logrotate(self):
        """mv and SIGHUP: no row is lost, and none is in both."""
        json_path = os.path.join(self.out_dir(), "out.json")
        reporter = self.reporter(*self.watch, "--json", json_path)
        cpu = os.path.join(reporter.out_dir, "cpu.csv")
        self.until(reporter.cpu, "a row")
        for path in (cpu, json_path):
            os.rename(path, path + ".old")
        reporter.kill(signal.SIGHUP)
        self.until(lambda: os.path.exists(json_path) and len(reporter.cpu()) > 20, "the new files")
        self.end(reporter)
        header = lines_of(cpu)[0]
        self.assertEqual(lines_of(cpu + ".old")[0], header)
        rows = read_csv(cpu + ".old") + read_csv(cpu)
        samples = [s for path in (json_path + ".old", json_path) for s in json_lines("\n".join(lines_of(path)) + "\n")
                   if s["type"] == "sample" and "window_ns" in s]
        self.assertEqual([int(r["TID"]) for r in rows], [s["tid"] for s in samples])

    def test_a_directory_that_has_gone(self):
        reporter = self.reporter(*self.watch)
        self.until(reporter.cpu, "a row")
        os.rename(reporter.out_dir, reporter.out_dir + ".gone")
        reporter.kill(signal.SIGHUP)
        self.assertEqual(reporter.wait(), 1)
        self.assertIn(reporter.out_dir, reporter.stderr)

    def test_hangup_without_files(self):
        """A table has no files: SIGHUP ends its report."""
        reporter = self.reporter(*self.watch, csv=False)
        self.until(lambda: "sleepers" in reporter.stdout, "a row")
        reporter.kill(signal.SIGHUP)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)


class Failures(Outputs):
    def test_no_room_is_left(self):
        """One line that names the file, exit 1, whole lines."""
        out = self.out_dir()
        limited = self.workload("/bin/sh", "-c", 'ulimit -f 20; exec "$@"', "sh", program("taskmon-report"), "-s", self.socket(),
                                *self.watch, "--csv", out)
        self.assertEqual(limited.wait(), 1)
        self.assertOneLine(limited.stderr, out + "/")
        for name in os.listdir(out):
            path = os.path.join(out, name)
            self.assertGreater(len(lines_of(path)), 0)
            self.assertLessEqual(os.path.getsize(path), 20480)
            read_csv(path)  # checks that rows are whole

    def test_killed_at_any_moment(self):
        """SIGKILL: all complete lines parse."""
        moments = random.Random(59)
        many = self.workload("sleepers", "997")
        many.fact("ready")
        for _ in range(7):
            json_path = os.path.join(self.out_dir(), "out.json")
            reporter = self.reporter("-t", "-i", "0.1", "-m", "cpu,task", "--rotate-bytes", "100K", "--json", json_path, "-p", str(many.pid))
            size = moments.randrange(10_000, 400_000)
            written = lambda: sum(os.path.getsize(p) for p in glob.glob(json_path + "*"))
            self.until(lambda: written() > size, "some bytes")
            reporter.kill(signal.SIGKILL)
            reporter.wait()
            for name in ("cpu", "task"):
                self.assertTrue(glob.glob(os.path.join(reporter.out_dir, name + ".csv*")))
            for path in glob.glob(os.path.join(reporter.out_dir, "*.csv*")):
                read_csv(path)
            for path in glob.glob(json_path + "*"):
                with open(path, encoding="utf-8") as f:
                    json_lines(f.read())


    def test_cut_at_any_byte(self):
        """What a reporter has written, cut anywhere as by its end: all complete lines parse, and say what they said."""
        names = ['a"b,c', "two\nlines", "\u4e2d\u6587,\"", "'", b"\xff\xfe,\""]
        pids = [str(self.workload("rename", name).pid) for name in names]
        reporter = self.report("-i", "0.1", "-d", "0.3", "-m", "cpu,task", "--metrics", "task_state", "--json", "-", "-p", ",".join(pids))
        lines = json_lines(reporter.stdout)
        self.assertGreater(len(lines), 5)
        # what is left of a cut in the middle of a line are the lines before it: so cut after each, and within each
        whole = reporter.stdout.encode("utf-8", "surrogateescape")
        for cut in (i for i, byte in enumerate(whole) if byte == ord("\n")):
            before = whole[:cut + 1].decode("utf-8", "surrogateescape")
            self.assertEqual(json_lines(before[before[:-1].rfind("\n") + 1:]), [lines[before.count("\n") - 1]])
            self.assertEqual(len(json_lines(before[:-1])), before.count("\n") - 1)
        place = os.path.join(self.out_dir(), "cut.csv")
        for name in ("cpu", "task"):
            rows = reporter.csv(name)
            self.assertGreater(len(rows), 5)
            with open(os.path.join(reporter.out_dir, name + ".csv"), "rb") as f:
                whole = f.read()
            self.assertEqual(whole.count(b"\n"), len(rows) + 1)
            for cut in (c for i, byte in enumerate(whole) if byte == ord("\n") for c in (i, i + 1)):
                with open(place, "wb") as f:
                    f.write(whole[:cut])
                self.assertEqual(read_csv(place), rows[:max(0, whole[:cut].count(b"\n") - 1)])


class Progress(Outputs):
    def test_on_a_terminal(self):
        ours, its = pty.openpty()
        reporter = self.reporter(*self.watch, "-d", "2.5", stderr=its)
        os.close(its)
        told = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            told += part
        os.close(ours)
        self.assertEqual(reporter.wait(), 0)
        words = [w for w in told.decode().split("\r\x1b[K") if w]
        self.assertGreaterEqual(len(words), 2)
        self.assertRegex(words[-1], r"^2 of 3 s, [1-9]\d* rows, 0 lost, [\d.]+K? bytes written\r?\n$")

    def test_not_elsewhere(self):
        self.assertEqual(self.report(*self.watch, "-d", "0.5").stderr, "")
