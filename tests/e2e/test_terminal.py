# SPDX-License-Identifier: BSD-2-Clause
"""The table on real terminals: tmux shows what a person would see."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import unicodedata
import unittest

from harness import NOBODY, SharedCollector, Test, program, run_dir

TITLE = r"^\d\d:\d\d:\d\d  \d+ (thread|process)"


def columns_of(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class Screen:
    """A terminal of this size, in which a command runs as nobody."""

    def __init__(self, width, height, argv, env=None):
        self.socket = os.path.join(run_dir(), f"tmux-{os.urandom(4).hex()}")
        words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", "env",
                 *[f"{k}={v}" for k, v in (env or {}).items()], *argv]
        command = " ".join(map(shlex.quote, words)) + "; echo status=$?; exec cat > /dev/null"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), command)

    def tmux(self, *args):
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"}
        return subprocess.run(["tmux", "-u", "-S", self.socket, *args], check=True, capture_output=True, env=env).stdout.decode()

    def lines(self, escapes=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if escapes else [])).split("\n")[:-1]

    def history(self):
        return int(self.tmux("display-message", "-p", "#{history_size}"))

    def pid(self):
        """Of the reporter, a child of the shell in the terminal."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as f:
            return int(f.read().split()[0])

    def close(self):
        try:
            self.tmux("kill-server")
        except subprocess.CalledProcessError:
            pass


class Terminal(Test):
    def screen(self, width, height, *args, env=None, socket=None):
        screen = Screen(width, height, [program("taskmon-report"), "-s", socket or self.socket(), *args], env)
        self.addCleanup(screen.close)
        return screen

    def shown(self, screen, pattern, timeout=30):
        """Waits until a line matches; returns all."""
        seen = []

        def matches():
            seen[:] = screen.lines()
            return any(re.search(pattern, line) for line in seen)
        self.until(matches, lambda: f"{pattern!r} on the screen:\n" + "\n".join(seen), timeout)
        return seen

    def check_picture(self, lines, width, height, columns):
        """Title, header, rows up to the footer, an empty last line."""
        self.assertEqual(len(lines), height)
        for line in lines:
            self.assertLessEqual(columns_of(line), width - 1)
        self.assertRegex(lines[0], TITLE)
        self.assertEqual(lines[1].split(), columns)
        footer = [i for i, line in enumerate(lines) if "lost:" in line]
        self.assertEqual(len(footer), 1, lines)
        self.assertTrue(all(re.match(r" *\d+ ", line) for line in lines[2:footer[0]]), lines)
        self.assertEqual("".join(lines[footer[0] + 1:]).strip(), "")
        return lines[2:footer[0]], lines[footer[0]]


@unittest.skipIf(shutil.which("tmux") is None, "needs tmux")
class Table(SharedCollector, Terminal):
    def setUp(self):
        super().setUp()
        self.sleeper = self.workload("sleepers", "41")
        self.sleeper.fact("ready")
        self.watch = ("-i", "0.2", "-p", str(self.sleeper.pid))

    def test_80x24(self):
        screen = self.screen(80, 24, "-t", *self.watch)
        lines = self.shown(screen, "shown: 20 of 41")
        header = "PID TID USER S CPU% RSS THR READ/s WRIT/s COMM".split()
        rows, footer = self.check_picture(lines, 80, 24, header)
        self.assertEqual(len(rows), 20)
        scrolled = screen.history()  # when the screen was cleared for the first picture
        self.assertIn("lost: nothing", footer)
        self.assertTrue(all("sleepers" in row for row in rows))
        # It stays in its place: nothing scrolls, whatever number of pictures.
        for _ in range(3):
            before = screen.lines()[0][:8]
            self.until(lambda: screen.lines()[0][:8] not in ("", before), "the clock goes on")
            self.check_picture(screen.lines(), 80, 24, header)
        self.assertEqual(screen.history(), scrolled)
        self.sleeper.end()
        lines = self.shown(screen, "^status=0")  # and the last picture is left, above what comes next
        self.assertTrue(any(line.split() == header for line in lines[:2]), lines)

    def test_200x50(self):
        screen = self.screen(200, 50, "-t", *self.watch)
        lines = self.shown(screen, "shown: 41 of 41")
        rows, _ = self.check_picture(lines, 200, 50, "PID TID USER S CPU% RSS THR READ/s WRIT/s DELAY% CSW/s FLT/s COMM CGROUP".split())
        self.assertEqual(len(rows), 41)

    def test_the_window_changes(self):
        screen = self.screen(200, 50, "-t", *self.watch)
        self.shown(screen, "shown: 41 of 41")
        screen.tmux("resize-window", "-x", "60", "-y", "15")
        self.until(lambda: len(screen.lines()) == 15, "the size")
        lines = self.shown(screen, "shown: 11 of 41")
        self.check_picture(lines, 60, 15, "PID TID USER S CPU% RSS THR COMM".split())
        screen.tmux("resize-window", "-x", "30", "-y", "6")
        self.until(lambda: len(screen.lines()) == 6, "the size")
        self.until(lambda: re.match(TITLE, screen.lines()[0]) and len([l for l in screen.lines() if "sleepers" in l]) == 2, "two rows")
        for line in screen.lines():
            self.assertLessEqual(columns_of(line), 29)
        screen.tmux("resize-window", "-x", "80", "-y", "24")
        self.until(lambda: len(screen.lines()) == 24, "the size")
        self.check_picture(self.shown(screen, "shown: 20 of 41"), 80, 24, "PID TID USER S CPU% RSS THR READ/s WRIT/s COMM".split())

    def test_a_new_size_is_shown_at_once(self):
        """Not only at the next tick."""
        screen = self.screen(80, 24, "-t", "-i", "5", "-p", str(self.sleeper.pid))
        self.shown(screen, "shown: 20 of 41")
        clock = screen.lines()[0][:8]
        screen.tmux("resize-window", "-x", "80", "-y", "12")
        lines = self.shown(screen, "shown: 8 of 41")
        if lines[0][:8] != clock:
            self.skipTest("the machine was too busy to tell")

    def test_sorted_and_cut(self):
        large = self.workload("churn", "1", "1", "1")
        large.fact("pid")
        screen = self.screen(80, 24, "-i", "0.2", "--sort", "task_thread_count", "--top", "1", "-p", f"{large.pid},{self.sleeper.pid}")
        lines = self.shown(screen, "shown: 1 of 2")
        self.assertIn("task_thread_count", lines[0])
        self.assertIn("sleepers", lines[2])

    def test_colour(self):
        plain = self.screen(80, 24, *self.watch, env={"NO_COLOR": "1"})
        colour = self.screen(80, 24, *self.watch)
        dumb = self.screen(80, 24, *self.watch, env={"TERM": "dumb"})
        for screen in (plain, colour, dumb):
            self.shown(screen, "sleepers")
        self.assertNotIn("\x1b[", "\n".join(plain.lines(escapes=True)))
        self.assertIn("\x1b[7m", "\n".join(colour.lines(escapes=True)))
        self.assertNotIn("\x1b[", "\n".join(dumb.lines(escapes=True)))
        self.until(lambda: len([l for l in dumb.lines() if re.match(TITLE, l)]) > 1, "one table after the other")

    def test_names_of_all_kinds(self):
        """Wide characters count twice, and what would steer the terminal does not."""
        names = [self.workload("rename", n) for n in ("中文中文中", b"\x1b[2Jgone", b"\xff\xfe")]
        for n in names:
            n.fact("pid")
        pids = ",".join(str(n.pid) for n in names)
        screen = self.screen(60, 24, "-i", "0.2", "-p", pids)
        lines = self.shown(screen, "shown: 3 of 3")
        rows, _ = self.check_picture(lines, 60, 24, "PID USER S CPU% RSS THR READ/s COMM".split())
        self.assertIn("中文中文中", "".join(rows))

    def test_interrupted(self):
        screen = self.screen(80, 24, *self.watch)
        self.shown(screen, "sleepers")
        os.kill(screen.pid(), signal.SIGINT)
        self.shown(screen, "^status=0")

    def test_in_a_pipe(self):
        """One table after the other, without any escapes, in 80 columns."""
        reporter = self.reporter("-t", *self.watch, csv=False)
        self.until(lambda: len(re.findall("(?m)" + TITLE, reporter.stdout)) > 2, "some tables")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0)
        self.assertNotIn("\x1b", reporter.stdout)
        self.assertGreater(len(re.findall("(?m)" + TITLE, reporter.stdout)), 2)
        for line in reporter.stdout.splitlines():
            self.assertLessEqual(columns_of(line), 80)


@unittest.skipIf(shutil.which("tmux") is None, "needs tmux")
class GapOnScreen(Terminal):
    def test_the_footer_says_so(self):
        service = self.collector()
        sleeper = self.workload("sleepers", "1")
        sleeper.fact("ready")
        screen = self.screen(100, 24, "-i", "0.2", "-p", str(sleeper.pid), socket=service.socket)
        self.shown(screen, "shown: 1 of 1")
        service.kill(signal.SIGKILL)
        service.wait()
        lines = self.shown(screen, "no collector since")
        self.assertTrue(any("sleepers" in line for line in lines))
        self.collector(socket=service.socket)
        self.shown(screen, "gaps: 1, last at .*shown: 1 of 1")
