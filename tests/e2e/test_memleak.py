# SPDX-License-Identifier: BSD-2-Clause
"""Calls of probed functions: each is a row, and so is its return, with what its thread has captured and changed."""
import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from harness import ALICE, BOB, NOBODY, Collector, Reporter, SharedCollector, json_losses, keyed, program, run_dir, sanitized, wait_until
from wire import ERROR, INVALID, LIMIT, SUBSCRIBE, SUBSCRIBED, Client, field, frame, unsubscribe, varint

CALL, RETURN = "0", "1"
PROBE_HITS = 25
COLUMNS = ["Ticks", "Size", "Times", "PID", "TID", "FUNC", "ACTION", "DEPTH", "SIZE_CHANGE", "TIMES_CHANGE"]


class Memleak(SharedCollector):
    def run_leaky(self, *mode, probes, binary="leaky", args=(), **how):
        """Runs a mode of the workload under a report; returns its rows without END."""
        options = [word for probe in probes for word in ("--probe", f"{program(binary)}:{probe}" if ":" not in probe.split("::")[0] else probe)]
        self.reported = self.report(*options, *args, "--", program(binary), *map(str, mode), **how)
        return [row for row in self.reported.csv("memleak") if row["Ticks"] != "END"]

    def actions(self, rows):
        return [(row["FUNC"], row["ACTION"], row["DEPTH"]) for row in rows]


class TestCalls(Memleak):
    def test_eleven_calls_are_22_rows(self):
        """Each call leaks 3 blocks of 100 bytes: 300 bytes a call, of the process and of the thread."""
        rows = self.run_leaky("leak", 11, 3, probes=["leak(int blocks)"])
        self.assertEqual(list(rows[0]), COLUMNS + ["blocks"])
        self.assertEqual(self.actions(rows), [("leak", CALL, "1"), ("leak", RETURN, "1")] * 11)
        self.assertEqual({row["blocks"] for row in rows if row["ACTION"] == CALL}, {"3"})
        self.assertEqual({row["blocks"] for row in rows if row["ACTION"] == RETURN}, {""})
        calls, returns = rows[::2], rows[1::2]
        for call, back in zip(calls, returns):
            self.assertEqual(int(back["Size"]) - int(call["Size"]), 300)
            self.assertEqual(int(back["Times"]) - int(call["Times"]), 3)
            self.assertEqual((back["SIZE_CHANGE"], back["TIMES_CHANGE"]), ("300", "3"))
            self.assertEqual((call["SIZE_CHANGE"], call["TIMES_CHANGE"]), ("", ""))
        self.assertEqual([int(row["Size"]) for row in returns], [int(returns[0]["Size"]) + 300 * i for i in range(11)])
        times = [float(row["Ticks"]) for row in rows]
        self.assertEqual(times, sorted(times))
        ends = self.reported.csv("memleak")[22:]
        self.assertEqual([(row["Ticks"], row["PID"]) for row in ends], [("END", rows[0]["PID"])])
        self.assertEqual(self.reported.losses(), {})

    def test_recursion(self):
        rows = self.run_leaky("recurse", 5, 2, probes=["recurse"])
        once = [("recurse", CALL, str(d)) for d in range(1, 6)] + [("recurse", RETURN, str(d)) for d in range(5, 0, -1)]
        self.assertEqual(self.actions(rows), once * 2)
        # what a call adds includes what the calls within it add
        self.assertEqual([row["SIZE_CHANGE"] for row in rows if row["ACTION"] == RETURN], ["10", "20", "30", "40", "50"] * 2)

    def test_deeper_than_the_kernel_follows(self):
        """The kernel shows the return of the 64 outermost calls; those that are deeper are counted."""
        rows = self.run_leaky("recurse", 70, 1, probes=["recurse"])
        calls, returns = [r for r in rows if r["ACTION"] == CALL], [r for r in rows if r["ACTION"] == RETURN]
        self.assertEqual(len(calls), 70)
        self.assertEqual(len(returns), sum(1 for r in calls if r["DEPTH"]))
        lost = self.reported.losses()
        self.assertEqual(lost.get("probe_return"), 70 - len(returns))
        self.assertEqual([r["DEPTH"] for r in returns], [str(d) for d in range(len(returns), 0, -1)])

    def test_tail_call(self):
        """`first` ends with a jump to `second`, which the workload sees in its own code: both return, the inner one first."""
        rows = self.run_leaky("tail", probes=["first(int bytes)", "second(int bytes)"])
        self.assertIn("tail_call=1\n", self.reported.stdout)
        self.assertEqual(self.actions(rows), [("first", CALL, "1"), ("second", CALL, "1"), ("second", RETURN, "1"), ("first", RETURN, "1")] * 5)
        self.assertEqual([r["bytes"] for r in rows if r["ACTION"] == CALL], [str(n) for n in (40, 41, 42, 43, 44) for _ in range(2)])
        changes = [(r["FUNC"], r["SIZE_CHANGE"]) for r in rows if r["ACTION"] == RETURN]
        self.assertEqual(changes, [pair for n in range(5) for pair in (("second", str(40 + n)), ("first", str(41 + n)))])

    def test_tail_called_alone(self):
        rows = self.run_leaky("tail", probes=["second"])
        self.assertEqual(self.actions(rows), [("second", CALL, "1"), ("second", RETURN, "1")] * 5)

    def test_left_by_longjmp(self):
        """What never returns has no return, and does not stay open."""
        rows = self.run_leaky("jump", 13, probes=["jump_out", "leak"])
        self.assertEqual(self.actions(rows), [("jump_out", CALL, "1")] * 13 + [("leak", CALL, "1"), ("leak", RETURN, "1")])

    def test_two_threads_in_the_same_function(self):
        """Each thread has its own depth and its own change, whatever the other does meanwhile."""
        rows = self.run_leaky("threads", probes=["leak(int blocks)"])
        by_thread = {}
        for row in rows:
            by_thread.setdefault(row["TID"], []).append(row)
        self.assertEqual(len(by_thread), 2)
        for thread in by_thread.values():
            self.assertEqual(self.actions(thread), [("leak", CALL, "1"), ("leak", RETURN, "1")] * 53)
            blocks = int(thread[0]["blocks"])
            self.assertEqual({r["SIZE_CHANGE"] for r in thread if r["ACTION"] == RETURN}, {str(100 * blocks)})
            self.assertEqual({r["TIMES_CHANGE"] for r in thread if r["ACTION"] == RETURN}, {str(blocks)})
        self.assertEqual({r["blocks"] for r in rows if r["ACTION"] == CALL}, {"2", "5"})
        self.assertEqual(self.reported.losses(), {})


class TestNames(Memleak):
    def test_static_function(self):
        rows = self.run_leaky("hidden", 7, probes=["hidden_leak(int bytes)"])
        self.assertEqual(self.actions(rows), [("hidden_leak", CALL, "1"), ("hidden_leak", RETURN, "1")] * 7)
        self.assertEqual({r["bytes"] for r in rows if r["ACTION"] == CALL}, {"17"})

    def test_program_at_a_fixed_address(self):
        with open(program("leaky-fixed"), "rb") as f:
            self.assertEqual(struct.unpack("<H", f.read(18)[16:])[0], 2, "ET_EXEC")
        rows = self.run_leaky("leak", 5, 2, probes=["leak"], binary="leaky-fixed")
        self.assertEqual(self.actions(rows), [("leak", CALL, "1"), ("leak", RETURN, "1")] * 5)
        self.assertEqual({r["SIZE_CHANGE"] for r in rows if r["ACTION"] == RETURN}, {"200"})

    def test_library_that_is_loaded_late(self):
        rows = self.run_leaky("library", program("leaky-library"), probes=[f"{program('leaky-library')}:library_leak(int bytes)"])
        self.assertEqual(self.actions(rows), [("library_leak", CALL, "1"), ("library_leak", RETURN, "1")] * 7)
        self.assertEqual({r["bytes"] for r in rows if r["ACTION"] == CALL}, {"31"})
        self.assertEqual({r["SIZE_CHANGE"] for r in rows if r["ACTION"] == RETURN}, {"31"})

    def test_names_of_cxx(self):
        """All functions of a name, one by its parameters, one by its mangled name, a template, a constructor."""
        binary = program("leaky-cxx")
        cases = {
            "shop::Cart::add": 5,
            "shop::Cart::add(int, const char *)()": 3,
            "shop::Cart::add(int, char const*)(void *self, int bytes)": 3,
            "shop::Cart::add(long)()": 2,
            "_ZN4shop4Cart3addEl": 2,
            "shop::Cart::Cart": 1,
            "void shop::keep<int>(int)(int x)": 1,
        }
        for name, calls in cases.items():
            with self.subTest(name):
                if "const char" in name:
                    name = name.replace("const char *", "char const*")
                rows = self.run_leaky(probes=[f"{binary}:{name}"], binary="leaky-cxx")
                self.assertEqual(len(rows), 2 * calls)
        rows = self.run_leaky(probes=[f"{binary}:shop::Cart::add(void *self, int bytes)"], binary="leaky-cxx")
        self.assertEqual([r["bytes"] for r in rows if r["ACTION"] == CALL], ["50", "51", "52", "70", "70"])
        self.assertEqual({r["FUNC"] for r in rows}, {"shop::Cart::add(int, char const*)", "shop::Cart::add(long)"})

    def test_names_without_a_path(self):
        """The command itself, and a library that it will load."""
        rows = self.run_leaky("leak", 3, 1, probes=["leaky:leak"])
        self.assertEqual(len(rows), 6)
        rows = self.run_leaky("leak", 3, 1, probes=["libc.so.6:calloc(size_t count, size_t size)"])
        self.assertGreaterEqual(self.reported.status, 0)

    def test_a_library_of_a_running_process(self):
        """By its name and by its soname, among what the process has mapped."""
        target = self.workload("leaky", "wait", "3", "1")
        target.fact("ready")
        reporter = self.reporter("-p", str(target.pid), "-i", "0.1", "-m", "task", "--probe", "libc.so.6:malloc(size_t size)")
        wait_until(lambda: reporter.status is not None or reporter.task(), "a first row")
        self.assertTrue(self.shared.uprobe_links())
        target.kill(signal.SIGUSR1)
        self.assertEqual(target.wait(), 0)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        sizes = [r["size"] if "size" in r else r["arg_Size"] for r in reporter.csv("memleak") if r["ACTION"] == CALL]
        self.assertEqual(sizes[:6], ["1000", "100"] * 3)



class TestArguments(Memleak):
    def test_typed(self):
        """Integers of all widths, texts, and what is passed on the stack from the seventh on. The text is in a page that nothing has touched."""
        args = ("int number, char [8] text, const char *name, unsigned long large, int8_t small, bool yes, long seventh, const char *eighth, "
                "unsigned short ninth")
        rows = self.run_leaky("typed", probes=[f"typed({args})"], args=["--json", "json"], cwd=(cwd := self.out_dir()))
        first, second = [r for r in rows if r["ACTION"] == CALL]
        names = ["number", "text", "name", "large", "small", "yes", "seventh", "eighth", "ninth"]
        self.assertEqual(list(first), COLUMNS + names)
        self.assertEqual([first[n] for n in names], ["-5", "01234567", "in a page that nobody has read", "18364758544493064720", "-128", "true",
                                                     "-7000000000", 'on, "the" stack', "65535"])
        self.assertEqual([second[n] for n in names], ["7", "", "b", "1", "127", "false", "0", "", "1"])
        with open(os.path.join(cwd, "json"), encoding="utf-8") as f:
            text = f.read()
        self.assertIn('"large":18364758544493064720', text)
        objects = [o for o in map(json.loads, text.splitlines()) if o["type"] == "probe"]
        self.assertEqual([o["action"] for o in objects], ["call", "return"] * 2)
        self.assertEqual([objects[0][n] for n in names], [-5, "01234567", "in a page that nobody has read", 0xfedcba9876543210, -128, True,
                                                          -7000000000, 'on, "the" stack', 65535])
        self.assertEqual({n for n in names if n not in objects[2]}, {"text", "eighth"}, "absent: they point nowhere")
        self.assertEqual((objects[0]["function"], objects[0]["depth"], objects[0]["binary"]), ("typed", 1, program("leaky")))

    def test_configuration(self):
        """memleak_probes as in the seed; a probe on the command line takes their place."""
        cwd = self.out_dir()
        os.mkdir(os.path.join(cwd, "mem_example"))
        os.symlink(program("leaky"), os.path.join(cwd, "mem_example", "main"))
        with open(os.path.join(cwd, "config.json"), "w", encoding="utf-8") as f:
            json.dump({"memleak_probes": {"probes": ["./mem_example/main:leak"], "output_file": "tmp.csv", "additional_var": "int parm1"},
                       "snoop_cpu": None}, f)
        reporter = self.report("-c", "config.json", "--", "./mem_example/main", "leak", "5", "2", csv=False, cwd=cwd)
        reporter.out_dir = cwd
        rows = reporter.csv("tmp")
        self.assertEqual(list(rows[0]), COLUMNS + ["parm1"])
        self.assertEqual([r["parm1"] for r in rows if r["ACTION"] == CALL], ["2"] * 5)
        self.assertEqual(rows[-1]["Ticks"], "END")
        self.report("-c", "config.json", "--probe", "./mem_example/main:second", "--", "./mem_example/main", "tail", csv=False, cwd=cwd)
        self.assertEqual(list(reporter.csv("tmp")[0]), COLUMNS)
        self.assertEqual({r["FUNC"] for r in reporter.csv("tmp")}, {"second", ""})


class TestChildren(Memleak):
    def test_child_is_followed(self):
        """A child that is created while its parent is probed."""
        reporter = self.reporter("--probe", "leaky:leak", "-i", "0.1", "--", program("leaky"), "fork")
        child = wait_until(lambda: next((int(l.split("=")[1]) for l in reporter.stdout.splitlines() if l.startswith("child=")), 0), "child=")
        # a tick after the fork shows that the collector has seen it
        wait_until(lambda: len(reporter.task(tid=child)) > 1, "ticks of the child")
        os.kill(child, signal.SIGUSR1)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        rows = [r for r in reporter.csv("memleak") if r["Ticks"] != "END"]
        self.assertEqual([(int(r["PID"]), r["ACTION"]) for r in rows], [(child, CALL), (child, RETURN)])
        self.assertEqual(reporter.losses()["probe_late"], 1)

    def test_calls_of_a_child_that_is_not_probed_yet_are_told(self):
        """Children that call the function at once, or end before they can be probed: what has no rows is said to be missing."""
        children = 7
        reporter = self.reporter("--probe", f"{program('leaky')}:leak", "-i", "0.1", "--children", "--", "/bin/sh", "-c",
                                 f"{program('leaky')} leak 1 1 & " * children + "wait")
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(reporter.losses().get("probe_late"), children)

    def test_only_the_probed_process_is_told(self):
        """Two processes of one program: each report has its own, with the same functions or others."""
        targets = [self.workload("leaky", "wait", str(n), "1") for n in (3, 5)]
        for target in targets:
            target.fact("ready")
        reporters = [self.reporter("-p", str(t.pid), "-i", "0.1", "--probe", "leaky:leak") for t in targets]
        for reporter in reporters:
            wait_until(lambda: reporter.status is not None or reporter.task(), "a first row")
        for target in targets:
            target.kill(signal.SIGUSR1)
        for target, reporter, calls in zip(targets, reporters, (3, 5)):
            self.assertEqual(target.wait(), 0)
            self.assertEqual(reporter.wait(), 0, reporter.stderr)
            rows = [r for r in reporter.csv("memleak") if r["Ticks"] != "END"]
            self.assertEqual([(int(r["PID"]), r["ACTION"]) for r in rows], [(target.pid, CALL), (target.pid, RETURN)] * calls)

    def test_nothing_stays_attached(self):
        self.run_leaky("leak", 2, 1, probes=["leak"])
        wait_until(lambda: not self.shared.uprobe_links(), "all probes are detached")


class TestGap(Memleak):
    def test_the_collector_is_restarted(self):
        """The probes are attached anew by the next one."""
        first = self.collector()
        target = self.workload("leaky", "wait", "5", "3")
        target.fact("ready")
        reporter = self.reporter("-p", str(target.pid), "-i", "0.1", "-m", "task", "--probe", "leaky:leak", socket=first.socket)
        wait_until(lambda: reporter.status is not None or reporter.task(), "a first row")
        first.kill(signal.SIGKILL)
        first.wait()
        self.collector(socket=first.socket)
        wait_until(lambda: reporter.events(event="gap"), "the gap is told")
        rows = len(reporter.task())
        wait_until(lambda: reporter.status is not None or len(reporter.task()) > rows + 1, "rows after the gap")
        target.kill(signal.SIGUSR1)
        self.assertEqual(target.wait(), 0)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        returns = [r for r in reporter.csv("memleak") if r["ACTION"] == RETURN]
        self.assertEqual([(r["SIZE_CHANGE"], r["TIMES_CHANGE"]) for r in returns], [("300", "3")] * 5)


class TestRefusals(Memleak):
    def refused(self, *args, status, words, **how):
        reporter = self.report(*args, status=status, **how)
        self.assertOneLine(reporter.stderr, *words)

    def test_declarations(self):
        cases = {
            "int a, double x": ["argument 2", "vector register"],
            "struct point p": ["argument 1", "structure by value"],
            "point_t p": ["type is not known"],
            "const char *f, ...": ["variable number"],
        }
        for declaration, words in cases.items():
            with self.subTest(declaration):
                self.refused("--probe", f"{program('leaky')}:leak({declaration})", "--", "true", status=2, words=["--probe", *words])

    def test_usage(self):
        for args, words in ((["--probe", "leaky", "--", "true"], ["BIN:FUNC"]), (["-m", "memleak", "--", "true"], ["no function is named"]),
                            (["--probe", "a:b", "-a"], ["--pid"]), (["--probe", "a:b", "-n", "x"], ["--pid"])):
            with self.subTest(args):
                self.refused(*args, status=2, words=words)

    def test_files(self):
        """What is no program is refused, whatever it is, and nothing hangs."""
        directory = tempfile.mkdtemp(dir=run_dir())
        os.chmod(directory, 0o755)
        path = lambda name: os.path.join(directory, name)
        os.mkfifo(path("fifo"), 0o644)
        os.mkdir(path("directory"))
        with open(path("text"), "w", encoding="ascii") as f:
            f.write("#!/bin/sh\n")
        with open(path("huge"), "wb") as f:
            f.truncate(1 << 40)
        with open(program("leaky"), "rb") as f, open(path("unreadable"), "wb") as copy:
            copy.write(f.read())
        os.chmod(path("unreadable"), 0o711)
        with open(program("leaky"), "rb") as f, open(path("torn"), "wb") as copy:
            copy.write(f.read(5000))
        for name, words in (("fifo", ["regular file"]), ("directory", ["regular file"]), ("text", ["not an ELF"]), ("huge", ["too large"]),
                            ("unreadable", ["cannot open", "permission"]), ("missing", ["cannot open", "no such file"]), ("torn", [])):
            with self.subTest(name):
                self.refused("--probe", f"{path(name)}:leak", "--", "true", status=1, words=words)
        self.refused("--probe", "/dev/zero:leak", "--", "true", status=1, words=["regular file"])
        self.refused("--probe", f"{program('leaky')}:no_such", "--", "true", status=1, words=["no function of that name"])
        self.refused("--probe", "libc.so.6:strlen", "--", "true", status=1, words=["ifunc"])
        self.refused("--probe", "nosuchlibrary.so:f", "--", "true", status=1, words=["no file of that name"])

    def test_symbolic_links_lead_to_the_file(self):
        directory = self.out_dir()
        os.symlink(program("leaky"), os.path.join(directory, "link"))
        dotted = os.path.join(directory, "..", os.path.basename(directory), "link")
        self.report("--probe", f"{dotted}:leak", "--", program("leaky"), "leak", "3", "1")

    def test_processes_of_others(self):
        """By a path and by a name: refused with 4, and nothing is attached."""
        target = self.workload("leaky", "wait", "1", "1", user=BOB)
        target.fact("ready")
        self.refused("-p", str(target.pid), "--probe", f"{program('leaky')}:leak", status=4, words=["not yours"], user=ALICE)
        self.refused("-p", str(target.pid), "--probe", "leaky:leak", status=4, words=["not yours"], user=ALICE)
        self.assertEqual(self.shared.uprobe_links(), [])


def probe(file, function, arguments=b""):
    return field(1, file) + field(2, function) + field(3, arguments) + field(4, b"test")


class TestWire(SharedCollector):
    """What a client of another kind may send."""

    def client(self):
        client = Client(self.socket())
        self.addCleanup(client.close)
        client.greet()
        return client

    def ask(self, client, probes, paths=(), pid=None, every=False, interval=10**8):
        body = (field(1, 1) + field(2, int(every)) + (b"" if every else field(3, varint(pid or os.getpid()))) + field(7, interval)
                + b"".join(field(14, p) for p in probes))
        fds = [os.open(p, os.O_RDONLY) for p in paths]
        data = frame(SUBSCRIBE, body)
        socket.send_fds(client.sock, [data[:1]], fds)
        client.send(data[1:])
        for fd in fds:
            os.close(fd)
        while (got := client.receive()) is not None:
            if got[0] in (SUBSCRIBED, ERROR):
                return got
        return None

    def refusal(self, got):
        self.assertEqual(got[0], ERROR, got)
        return got[1][1][0], got[1][2][0].decode()

    def test_refusals(self):
        leaky = program("leaky")
        many = b"int a, " * 20 + b"int b"
        for probes, paths, code, word in (
                ([probe(0, b"leak")], [], INVALID, "did not come"),
                ([probe(1, b"leak")], [leaky], INVALID, "did not come"),
                ([probe(99, b"leak")], [leaky], LIMIT, "too many files"),
                ([probe(0, b"nosuch")], [leaky], INVALID, "no function"),
                ([probe(0, b"")], [leaky], INVALID, "no function"),
                ([probe(0, b"leak", b"double x")], [leaky], INVALID, "vector register"),
                ([probe(0, b"leak", many)], [leaky], INVALID, "name"),
                ([probe(0, b"leak"), probe(0, b"leak")], [leaky], INVALID, "twice"),
                ([probe(0, b"leak")] * 17, [leaky], LIMIT, "too many probes"),
                ([probe(0, b"leak")], ["/dev/zero"], INVALID, "regular file"),
                ([probe(0, b"leak")], ["/etc"], INVALID, "regular file"),
                ([probe(0, b"leak")], [os.path.abspath(__file__)], INVALID, "ELF")):
            with self.subTest(word):
                client = self.client()
                got_code, text = self.refusal(self.ask(client, probes, paths))
                self.assertEqual(got_code, code, text)
                self.assertIn(word, text)
        code, text = self.refusal(self.ask(self.client(), [probe(0, b"leak")], [leaky], every=True))
        self.assertEqual(code, INVALID)

    def test_reading_is_bounded(self):
        """Who has large tables read again and again is told to wait, and others need not."""
        path = os.path.join(self.out_dir(), "large")
        symbols = 3_000_000
        with open(program("leaky"), "rb") as f:
            data = bytearray(f.read())
        at, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
        for i in range(count):
            header = at + 64 * i
            if struct.unpack_from("<I", data, header + 4)[0] == 2:  # SHT_SYMTAB: one of its functions many times
                offset, size = struct.unpack_from("<QQ", data, header + 24)
                rows = [data[offset + n:offset + n + 24] for n in range(0, size, 24)]
                function = next(bytes(r) for r in rows if r[4] & 15 == 2 and r[6:8] != b"\0\0")
                struct.pack_into("<QQ", data, header + 24, len(data), 24 * symbols)
        with open(path, "wb") as f:
            f.write(data)
            f.write(function * symbols)
        os.chmod(path, 0o644)
        collector = self.collector()
        for _ in range(1000):
            client = Client(collector.socket)
            self.addCleanup(client.close)
            client.greet()
            code, text = self.refusal(self.ask(client, [probe(0, b"nosuch")], [path]))
            if code == LIMIT:
                break
            self.assertEqual(code, INVALID, text)
        self.assertIn("too long", text)

    def test_damaged_files(self):
        """A program with a few bytes changed, mostly in its headers, 101 times: an answer to each, and nobody notices."""
        damage, answers = random.Random(67), {}
        with open(program("leaky"), "rb") as f:
            whole = f.read()
        sections = struct.unpack_from("<Q", whole, 40)[0]
        path = os.path.join(self.out_dir(), "damaged")
        memory = keyed(f"/proc/{self.shared.pid}/status")["VmHWM"]
        client = self.client()
        for _ in range(101):
            data = bytearray(whole)
            for _ in range(damage.randrange(1, 6)):
                begin, size = damage.choice(((0, 64), (64, 700), (sections, len(data) - sections), (0, len(data))))
                at = begin + damage.randrange(size - 8)
                data[at:at + 8] = damage.choice((b"\xff" * 8, bytes(8), damage.randbytes(8), struct.pack("<Q", len(data)), data[at:at + 4] + b"\xff\xff\xff\x7f"))
            with open(path, "wb") as f:
                f.write(data)
            got = self.ask(client, [probe(0, b"leak")], [path])
            answers[got[0]] = answers.get(got[0], 0) + 1
            if got[0] == SUBSCRIBED:
                client.send(unsubscribe(got[1][2][0]))
        self.assertGreater(answers[ERROR], 23)
        self.assertEqual(sum(answers.values()), 101)
        self.assertLess(keyed(f"/proc/{self.shared.pid}/status")["VmHWM"], memory + 64 * 1024 * (8 if sanitized() else 1))

    def test_a_file_that_cannot_be_read_is_not_looked_at(self):
        """A descriptor that is open for nothing gives no right to the collector's."""
        client = self.client()
        body = field(1, 1) + field(3, varint(os.getpid())) + field(7, 100_000_000) + field(14, probe(0, b"leak"))
        fd = os.open(program("leaky"), os.O_PATH)
        data = frame(SUBSCRIBE, body)
        socket.send_fds(client.sock, [data], [fd])
        os.close(fd)
        code, text = self.refusal(client.receive())
        self.assertEqual(code, INVALID, text)

    def test_descriptors_that_nobody_asked_for(self):
        """They do not pile up: too many end the connection, the others go with it."""
        before = len(os.listdir(f"/proc/{self.shared.pid}/fd"))
        clients = [self.client() for _ in range(3)]
        for client in clients:
            for _ in range(4):
                try:
                    socket.send_fds(client.sock, [b"\x00"], [0, 0, 0, 0, 0, 0])
                except (BrokenPipeError, ConnectionResetError):
                    break
            client.drain()
        wait_until(lambda: len(os.listdir(f"/proc/{self.shared.pid}/fd")) <= before, "the collector has closed them")

    def test_limit_of_a_user(self):
        """32 functions of a user, over all its connections; who asks for the same counts, too, if it is told at another interval."""
        target = self.workload("leaky", "wait", "1", "1")
        target.fact("ready")
        names = [b"leak", b"recurse", b"first", b"second", b"jump_out", b"typed", b"hidden_leak", b"many_leaks", b"run_leak", b"run_tail"]
        taken = 0
        for n in range(8):
            got = self.ask(self.client(), [probe(0, name) for name in names], [program("leaky")], pid=target.pid, interval=10**8 + n)
            if got[0] == ERROR:
                self.assertEqual(self.refusal(got)[0], LIMIT)
                break
            taken += len(names)
        self.assertEqual(taken, 30)


# Creates children that stay, so many at each signal.
BROOD = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready=1", flush=True)
for round in range(1, 10):
    signal.sigwait([signal.SIGUSR1])
    for i in range(7):
        if os.fork() == 0:
            while True:
                signal.pause()
    print(f"round={round}", flush=True)
"""


class TestLoss(Memleak):
    def many(self, collector, calls):
        """A reporter, and the process that is about to make so many calls."""
        reporter = self.reporter("--probe", "leaky:second", "-i", "3600", "--", program("leaky"), "many", str(calls), socket=collector.socket)
        wait_until(lambda: "begun=1" in reporter.stdout or reporter.status is not None, "the workload has begun")
        return reporter, int(next(l.split("=")[1] for l in reporter.stdout.splitlines() if l.startswith("pid=")))

    def test_a_collector_that_does_not_read(self):
        """What the kernel's ring has no room for is counted, and calls and returns add up."""
        collector = self.collector()
        calls = 40009
        reporter, pid = self.many(collector, calls)
        collector.stop()
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: "done=1" in reporter.stdout, "the calls are made", 120)
        collector.resume()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        rows = [r for r in reporter.csv("memleak") if r["Ticks"] != "END"]
        lost = reporter.losses()
        self.assertEqual(list(lost), ["probe_ring_full"])
        self.assertGreater(len(rows), 1000)
        self.assertEqual(len(rows) + lost["probe_ring_full"], 2 * calls)

    def test_children_that_cannot_be_probed(self):
        """A collector that may have no more descriptors probes no more of them; each that is left out counts once."""
        collector = self.collector()
        brood = self.workload(sys.executable, "-c", BROOD)
        brood.fact("ready")
        path = os.path.join(self.out_dir(), "out.json")
        reporter = self.reporter("--children", "--probe", f"{program('leaky')}:leak", "-m", "task,cpu", "-i", "0.1", "--json", path, "-p", str(brood.pid), socket=collector.socket)
        wait_until(reporter.task, "it watches")
        limits = resource.prlimit(collector.pid, resource.RLIMIT_NOFILE)
        has = set(map(int, os.listdir(f"/proc/{collector.pid}/fd")))
        resource.prlimit(collector.pid, resource.RLIMIT_NOFILE, (min(set(range(len(has) + 1)) - has), limits[1]))
        brood.step("round", 1)
        wait_until(lambda: reporter.losses().get("probe_process") == 7, lambda: f"{reporter.losses()}")
        resource.prlimit(collector.pid, resource.RLIMIT_NOFILE, limits)
        brood.step("round", 2)
        tids = len({r["tid"] for r in reporter.task()})
        wait_until(lambda: len(reporter.task(tid=brood.pid)) > 3 and len({r["tid"] for r in reporter.task()}) == 15, lambda: f"{tids} are watched")
        rows = len(reporter.task(tid=brood.pid))
        wait_until(lambda: len(reporter.task(tid=brood.pid)) > rows + 3, "ticks go on")
        reporter.kill(signal.SIGINT)
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        self.assertEqual(reporter.losses(), {"probe_process": 7})
        self.assertEqual(json_losses(path), reporter.losses())

    def test_a_report_that_does_not_read(self):
        """A small queue and a stopped report: what is missing is counted, and calls and returns add up."""
        collector = self.collector({"queue_bytes": 65536})
        calls = 40009
        reporter, pid = self.many(collector, calls)
        reporter.stop()
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: "done=1" in reporter.stdout, "the calls are made", 120)
        reporter.resume()
        self.assertEqual(reporter.wait(), 0, reporter.stderr)
        rows = [r for r in reporter.csv("memleak") if r["Ticks"] != "END"]
        lost = reporter.losses()
        self.assertGreater(lost.get("queue_probes", 0) + lost.get("probe_ring_full", 0), 0)
        self.assertEqual(len(rows) + lost.get("queue_probes", 0) + lost.get("probe_ring_full", 0), 2 * calls)
