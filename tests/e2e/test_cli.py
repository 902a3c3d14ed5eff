# SPDX-License-Identifier: BSD-2-Clause
"""The command lines: exit statuses, one clear line, and what a COMMAND gets."""
import os
import signal
import stat

from harness import ALICE, GROUP, ROOT, SharedCollector, Test, json_lines, program, run_dir, select


class Usage(SharedCollector):
    def refused(self, *args, words=(), status=2):
        reporter = self.report(*args, status=status, csv=False)
        self.assertOneLine(reporter.stderr, *words)
        self.assertEqual(reporter.stdout, "")

    def test_wrong_values(self):
        for args, words in (
                (("--interval", "0", "-a"), ("interval", "0.1")),
                (("--interval", "0.05", "-a"), ("interval",)),
                (("--interval", "3601", "-a"), ("interval", "3600")),
                (("--interval", "nan", "-a"), ("interval",)),
                (("--interval", "1x", "-a"), ("interval",)),
                (("--duration", "-1", "-a"), ("duration",)),
                (("--pid", "abc"), ("pid", "abc")),
                (("--pid", "0"), ("pid",)),
                (("--pid", "-3"), ("pid",)),
                (("--pid", "1,,2"), ("pid",)),
                (("--pid", "99999999999"), ("pid",)),
                (("--metrics", "task_no_such_thing", "-a"), ("task_no_such_thing",)),
                (("--metrics", "task_fd_count,nonsense", "-a"), ("nonsense",)),
                (("-m", "cpu,nonsense", "-a"), ("nonsense",)),
                (("--list", "nonsense"), ("nonsense", "metrics")),
                (("--user", "no-such-user-here", "-a"), ("no-such-user-here",)),
                (("--sort", "task_nonsense", "-a"), ("sort", "task_nonsense")),
                (("--sort", "task_fd_cout", "-a"), ("sort", "task_fd_count")),
                (("--top", "0", "-a"), ("top",)),
                (("--rotate-bytes", "17", "-a"), ("rotate-bytes", "4096")),
                (("--rotate-bytes", "1X", "-a"), ("rotate-bytes",)),
                (("--rotate-seconds", "0", "-a"), ("rotate-seconds",)),
                (("--keep", "0", "-a"), ("keep",)),
                (("--nonsense",), ("nonsense",)),
                (("-i",), ("",)),
                ((), ("",))):
            with self.subTest(args=args):
                self.refused(*args, words=words)

    def test_no_such_process(self):
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        sleeper.end()  # and is waited for
        self.refused("--pid", str(sleeper.pid), words=(str(sleeper.pid),), status=1)

    def test_unwritable_directory(self):
        """Told before the COMMAND is started."""
        mine = self.out_dir(ROOT)
        os.chmod(mine, 0o755)
        marker = os.path.join(self.out_dir(), "started")
        for directory in (mine, "/proc/nowhere", os.path.join(program("burn"), "x")):
            with self.subTest(directory=directory):
                reporter = self.report("--csv", directory, "--", "touch", marker, csv=False, status=1)
                self.assertOneLine(reporter.stderr, directory)
                self.assertFalse(os.path.exists(marker))
        reporter = self.report("--json", mine + "/x.json", "--", "touch", marker, csv=False, status=1)
        self.assertOneLine(reporter.stderr, mine)
        self.assertFalse(os.path.exists(marker))

    def test_directory_is_created(self):
        out = os.path.join(self.out_dir(), "new")
        self.report("--csv", out, "--", program("burn"), "0.1", csv=False)
        self.assertEqual(sorted(os.listdir(out)), ["cpu.csv", "event.csv", "task.csv"])

    def test_help_and_version(self):
        for name in ("taskmon-report", "taskmon-collector"):
            for option in ("--help", "--version"):
                with self.subTest(name=name, option=option):
                    process = self.workload(program(name), option)
                    self.assertEqual(process.wait(), 0)
                    self.assertEqual(process.stderr, "")
                    self.assertIn(name, process.stdout)
            self.assertEqual(self.workload(program(name), "--version").wait(), 0)
        helped = self.workload(program("taskmon-report"), "--help")
        helped.wait()
        for word in ("--pid", "--name", "--user", "--all", "--children", "--threads", "--modules", "--metrics", "--interval",
                     "--duration", "--csv", "--json", "--config", "--explain-threshold", "--socket", "--list", "--version"):
            self.assertIn(word, helped.stdout)

    def test_lists(self):
        modules = self.report("--list", "modules", csv=False).stdout
        self.assertIn("cpu", modules)
        self.assertIn("task", modules)
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        tasks = self.report("--list", "tasks", csv=False).stdout
        line = [l for l in tasks.splitlines() if str(sleeper.pid) in l.split()]
        self.assertEqual(len(line), 1, tasks)
        self.assertIn("sleepers", line[0])


class NoCollector(Test):
    def test_exit_3_and_how_to_start_it(self):
        path = os.path.join(run_dir(), "no-such-socket")
        marker = os.path.join(self.out_dir(), "started")
        for args in (("-a",), ("-p", str(os.getpid())), ("--", "touch", marker)):
            with self.subTest(args=args):
                reporter = self.report(*args, socket=path, status=3)
                self.assertOneLine(reporter.stderr, path, "taskmon-collector")
        self.assertFalse(os.path.exists(marker))

    def test_a_file_that_is_no_socket(self):
        path = os.path.join(run_dir(), "no-socket")
        with open(path, "w", encoding="ascii"):
            pass
        os.chmod(path, 0o666)
        self.assertOneLine(self.report("-a", socket=path, status=3).stderr, path)


class Command(SharedCollector):
    def test_status_is_the_commands(self):
        plain = os.path.join(run_dir(), "plain-file")
        with open(plain, "w", encoding="ascii") as f:
            f.write("not a program\n")
        os.chmod(plain, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        for command, status in (
                (("true",), 0), (("false",), 1), (("sh", "-c", "exit 23"), 23), ((program("burn"), "0.1", "2", "47"), 47),
                (("sh", "-c", "kill -9 $$"), 137), (("sh", "-c", "kill -15 $$"), 143), (("sh", "-c", "exit 255"), 255),
                (("no-such-program-anywhere",), 127), (("/no/such/program",), 127), ((plain,), 126), ((run_dir(),), 126)):
            with self.subTest(command=command):
                reporter = self.report("--", *command, status=status)
                if status in (126, 127):
                    self.assertOneLine(reporter.stderr, command[0])
                else:
                    self.assertEqual(reporter.stderr, "")

    def test_it_runs_as_who_called_with_its_arguments(self):
        told = self.report("--", "sh", "-c", 'id -u; id -G; for a; do echo "<$a>"; done; pwd; umask', "sh", "a b", "", "-x", "--csv",
                           user=ALICE, groups=[GROUP], cwd="/").stdout.splitlines()
        self.assertEqual(told[0], str(ALICE))
        self.assertEqual(set(told[1].split()), {str(ALICE), str(GROUP)})
        self.assertEqual(told[2:7], ["<a b>", "<>", "<-x>", "<--csv>", "/"])

    def test_it_inherits_nothing_of_the_reporter(self):
        """No descriptors, no blocked signals, no new privileges lost."""
        told = self.report("--", "sh", "-c", "ls /proc/self/fd | wc -l; grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status").stdout
        lines = told.split()
        plain = self.workload("/bin/sh", "-c", "ls /proc/self/fd | wc -l; grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status")
        plain.wait()
        self.assertEqual(lines, plain.stdout.split())

    def test_nothing_of_its_life_is_missed(self):
        """The first exec and all page faults since are there, though it ends at once."""
        for _ in range(7):
            reporter = self.report("-m", "cpu,task", "--", "true")
            self.assertEqual(len(reporter.events(event="exec", comm="true")), 1)
            exit_event, = reporter.events(event="exit")
            row, = [r for r in reporter.cpu() if r.end]
            self.assertEqual((row.comm, str(row.pid)), ("true", exit_event["tid"]))

    def test_a_signal_to_the_reporter_ends_both(self):
        """Ctrl-C reaches both; the last rows are written."""
        reporter = self.reporter("-i", "0.2", "--", program("burn"), "60")
        self.until(reporter.cpu, "a row")
        os.killpg(reporter.pid, signal.SIGINT)
        self.assertIn(reporter.wait(), (130, 0), reporter.stderr)
        self.assertEqual(len([r for r in reporter.cpu() if r.end]), 1)

    def test_duration_leaves_the_command_alone(self):
        """The reporter is done after -d; what it says and what becomes of COMMAND is in --help."""
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.report("-i", "0.2", "-d", "1", "-p", str(sleeper.pid))
        self.assertGreaterEqual(len(reporter.cpu()), 4)
        self.assertIsNone(sleeper.status)


class Outputs(SharedCollector):
    def test_cpu_csv_header_and_line_ends(self):
        reporter = self.report("-i", "0.2", "-m", "cpu,task", "--", program("burn"), "0.5")
        heads = {}
        for name in ("cpu", "task", "event"):
            with open(os.path.join(reporter.out_dir, name + ".csv"), "rb") as f:
                data = f.read()
            self.assertTrue(data.endswith(b"\n"))
            heads[name] = data.splitlines()[0].decode()
            self.assertEqual(data.count(b"\r\n") in (0, data.count(b"\n")), True, "mixed line ends")
        self.assertEqual(heads["cpu"], "Ticks,PID,COMM,ON CPU,OFF CPU,CPU%,TID")
        self.assertEqual(heads["event"], "time,event,tid,tgid,comm,detail")
        self.assertTrue(heads["task"].startswith("time,tid,tgid,ppid,comm,start_time,uid,cgroup,rules,task_"))
        for row in reporter.cpu():
            self.assertRegex(row.ticks, r"^(END|\d{10}\.\d{6})$")

    def test_json_says_what_csv_says(self):
        path = os.path.join(self.out_dir(), "out.json")
        reporter = self.report("-i", "0.2", "-m", "cpu,task", "--json", path, "--", program("burn"), "0.7")
        with open(path, encoding="utf-8") as f:
            lines = json_lines(f.read())
        samples, end = select(lines, type="sample"), select(lines, type="end")
        tasks = reporter.task()
        self.assertEqual(len(end), 1)
        self.assertEqual(len(samples) + 1, len(tasks))
        for line, row in zip(samples + end, tasks):
            for key, value in row.items():
                if key.startswith("task_") or key in ("tid", "tgid", "ppid", "uid", "comm", "start_time"):
                    if value is None:
                        self.assertNotIn(key, line)
                    else:
                        self.assertEqual(str(line[key]), str(value), key)
        self.assertEqual([(e["event"], str(e["tid"])) for e in select(lines, type="event")],
                         [(e["event"], e["tid"]) for e in reporter.events()])
        for line, row in zip(samples + end, reporter.cpu()):
            self.assertNear(line["task_cpu_percent"], row.percent, 0.011)

    def test_table_on_the_terminal(self):
        sleeper = self.workload("rename", "odd \x1b[31mname")
        sleeper.fact("pid")
        reporter = self.report("-i", "0.3", "-d", "1.5", "-t", "-p", str(sleeper.pid), csv=False)
        self.assertIn(str(sleeper.pid), reporter.stdout)
        self.assertIn("odd ", reporter.stdout)
        self.assertNotIn("\x1b[31m", reporter.stdout, "a name must not steer the terminal")
        self.assertIn("CPU", reporter.stdout.upper())

    def test_output_pipe_that_closes(self):
        """`taskmon-report --json - | head -1` ends quietly enough: no crash, and it does end."""
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reader, writer = os.pipe()
        reporter = self.reporter("-i", "0.1", "--json", "-", "-p", str(sleeper.pid), csv=False, stdout=writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as f:
            f.readline()
        self.assertIn(reporter.wait(), (0, 1, -signal.SIGPIPE), reporter.stderr)

    def test_disk_full(self):
        """/dev/full: one line that names the file, exit 1."""
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        reporter = self.report("-i", "0.1", "--json", "/dev/full", "-p", str(sleeper.pid), csv=False, status=1)
        self.assertOneLine(reporter.stderr, "/dev/full")
