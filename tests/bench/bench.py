# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks share: rounds that take turns, medians, a table as Markdown, a plot as SVG, CPU time and memory of
processes, and the tasks and collectors that they measure. Python's own library only.

Everything that is compared is measured in turns within one run, and CPU is what the scheduler counted for a process, not the
time that passed: the machine may have other things to do.
"""
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

BENCH_DIR = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(BENCH_DIR), "e2e"))
sys.dont_write_bytecode = True
import harness  # noqa: E402

OUT = os.environ.get("TASKMON_BENCH_OUT") or os.path.join(harness.BUILD, "bench")
QUICK = os.environ.get("TASKMON_BENCH_QUICK") == "1"  # a few seconds each, to see that they work
PER_PROCESS = 1000  # threads of a process that sleeps


def rounds(normal):
    return 1 if QUICK else normal


# ---------------------------------------------------------------------------------------------------------
# Measuring

def cpu_ns(pid):
    """CPU time of a process so far: of its threads that live."""
    total = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total


def cpu_of_command(argv, **how):
    """CPU time of a program and of what it waited for, in ns; its output goes nowhere."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C", "TERM": "dumb"}, **how)
    _, status, usage = os.wait4(process.pid, 0)
    if status not in (0, 256):  # 1: some tools say so when a task has ended meanwhile
        sys.exit(f"{' '.join(argv)}: failed with {status}")
    return (usage.ru_utime + usage.ru_stime) * 1e9


def rss_kib(pid):
    return harness.keyed(f"/proc/{pid}/status")["VmRSS"]


def map_kib(pid):
    """Kernel memory of the BPF maps that a process holds, as the kernel accounts for it."""
    maps = {}
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            info = harness.keyed(f"/proc/{pid}/fdinfo/{fd}")
        except FileNotFoundError:
            continue
        if "map_id" in info:
            maps[info["map_id"]] = info["memlock"]
    return sum(maps.values()) // 1024


def take_turns(measures, count):
    """{name: [value per round]} of {name: function}, each called once a round."""
    values = {name: [] for name in measures}
    for _ in range(count):
        for name, measure in measures.items():
            values[name].append(measure())
    return values


def spread(values, unit="", digits=2):
    """Median, and minimum and maximum, in print."""
    text = f"{statistics.median(values):.{digits}f}{unit}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


# ---------------------------------------------------------------------------------------------------------
# What is measured

class Sleepers:
    """Threads that do nothing."""

    def __init__(self, threads, per_process=PER_PROCESS):
        per_process = min(per_process, threads)
        self.threads = threads // per_process * per_process
        self.workload = harness.Workload("sleepers", str(per_process), str(threads // per_process), user=harness.ALICE)
        self.workload.fact("ready", 300)
        self.pids = [line[4:] for line in self.workload.stdout.splitlines() if line.startswith("pid=")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workload.close()


class Watch:
    """A collector, and reporters that ask it for the same; the figures of a number of snapshots. `witness`: a process whose main
    thread is in all of them; that of a list of processes is its first."""

    def __init__(self, *args, reporters=1, sees_all=False, out=True, witness=None):
        self.collector = harness.Collector()
        self.witness = str(witness or (args[args.index("-p") + 1].split(",")[0] if "-p" in args else "")).encode()
        self.dirs, self.reporters = [], []
        self.read = {}  # of the file of each reporter: bytes, column of the thread, snapshots
        for _ in range(reporters):
            self.add(*args, sees_all=sees_all, out=out)

    def add(self, *args, sees_all=False, out=True):
        if not self.witness:
            self.witness = args[args.index("-p") + 1].split(",")[0].encode()
        user = harness.ROOT if sees_all else harness.ALICE
        directory = os.path.join(harness.run_dir(), f"out{len(self.dirs)}-{os.getpid()}")
        shutil.rmtree(directory, ignore_errors=True)
        os.mkdir(directory)
        os.chown(directory, user, user)
        self.dirs.append(directory)
        where = ("--csv", directory) if out else ("--json", "/dev/null")
        self.reporters.append(harness.Reporter(*where, *args, user=user, socket=self.collector.socket, out=directory))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for reporter in self.reporters:
            reporter.close()
        self.collector.end()
        self.collector.close()
        for directory in self.dirs:
            shutil.rmtree(directory, ignore_errors=True)

    def file(self, which=0):
        """Of the first module."""
        for name in ("task.csv", "cpu.csv"):
            path = os.path.join(self.dirs[which], name)
            if os.path.exists(path):
                return path
        return None

    def ticks(self, which=0):
        """Snapshots in its file so far: rows of the task that was named as witness."""
        path = self.file(which)
        if not path:
            return 0
        offset, column, count = self.read.get(which, (0, None, 0))
        with open(path, "rb") as f:
            f.seek(offset)
            text = f.read()
        text = text[:text.rfind(b"\n") + 1]
        lines = text.splitlines()
        if lines and column is None:
            column = lines.pop(0).lower().split(b",").index(b"tid")
        count += sum(line.split(b",")[column] == self.witness for line in lines)
        self.read[which] = offset + len(text), column, count
        return count

    def measure(self, snapshots, seconds=300):
        """(collector, reporter) CPU in ns per snapshot, after the first."""
        harness.wait_until(lambda: all(self.ticks(i) >= 1 for i in range(len(self.reporters))), "the first snapshot", seconds)
        first, before = self.ticks(), (cpu_ns(self.collector.pid), cpu_ns(self.reporters[0].pid))
        harness.wait_until(lambda: self.ticks() >= first + snapshots, "all snapshots", seconds)
        taken = self.ticks() - first
        after = cpu_ns(self.collector.pid), cpu_ns(self.reporters[0].pid)
        for reporter in self.reporters:
            if reporter.losses():
                print(f"note: losses: {reporter.losses()}", file=sys.stderr)
        return [(b - a) / taken for a, b in zip(before, after)]

    def cpu_over(self, seconds):
        """CPU of the collector per second, while this time passes."""
        begin, before = time.monotonic(), cpu_ns(self.collector.pid)
        time.sleep(seconds)
        return (cpu_ns(self.collector.pid) - before) / (time.monotonic() - begin)


# ---------------------------------------------------------------------------------------------------------
# What is shown

def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{time.strftime('%Y-%m-%d')}, kernel {os.uname().release}, {os.cpu_count()} CPUs ({model})"


def version(program):
    """As Debian's package of a program has it; None: it is not installed."""
    path = shutil.which(program)
    if not path:
        print(f"{program} is not installed, and left out (deploy/deps --bench)", file=sys.stderr)
        return None
    owner = subprocess.run(["dpkg-query", "-S", os.path.realpath(path)], capture_output=True, text=True, check=False).stdout.partition(":")[0]
    found = subprocess.run(["dpkg-query", "-W", "-f=${Version}", owner], capture_output=True, text=True, check=False).stdout
    return f"{program} {found}".strip()


def write(name, text):
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        f.write(text)


class Report:
    """A page of build/bench: printed as it grows, and written at the end."""

    def __init__(self, name, title):
        self.name, self.text = name, ""
        self.say(f"# {title}\n\n{machine()}\n")

    def say(self, text=""):
        print(text, flush=True)
        self.text += text + "\n"

    def table(self, head, rows):
        self.say("| " + " | ".join(head) + " |")
        self.say("|" + "---|" * len(head))
        for row in rows:
            self.say("| " + " | ".join(map(str, row)) + " |")
        self.say()

    def must(self, what, met, figure):
        """A line of the design's table of musts."""
        self.say(f"- {'met' if met else 'NOT MET'}: {what}: {figure}")

    def plot(self, name, *args, **how):
        write(f"{self.name}-{name}.svg", svg(*args, **how))
        self.say(f"![{name}]({self.name}-{name}.svg)\n")

    def end(self):
        write(self.name + ".md", self.text)


def growth(points):
    """How y grows with x, in words: the exponent of the power law through the upper half of the points."""
    points = [(x, y) for x, y in points if x > 0 and y > 0]
    upper = points[len(points) // 2 - (len(points) < 4):] if len(points) > 2 else points
    if len(upper) < 2:
        return "too few points"
    xs, ys = [math.log(x) for x, _ in upper], [math.log(y) for _, y in upper]
    mx, my = statistics.mean(xs), statistics.mean(ys)
    square = sum((x - mx) ** 2 for x in xs)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / square if square else 0.0
    words = ((-1.2, "falls faster than its inverse"), (-0.8, "falls as its inverse"), (-0.1, "falls, slower than its inverse"),
             (0.1, "does not depend on it"), (0.8, "grows slower than in proportion"), (1.2, "grows in proportion"))
    return next((w for limit, w in words if slope < limit), "grows faster than in proportion") + f" (exponent {slope:.2f})"


def line(points):
    """(y at 0, y per x) of the straight line through points."""
    mx, my = statistics.mean(x for x, _ in points), statistics.mean(y for _, y in points)
    square = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / square if square else 0.0
    return my - slope * mx, slope


COLOURS = "#1b6ca8", "#d1495b", "#3c8d53", "#8a5fbf", "#c98a1b"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 80, 20, 40, 60


def ticks_of(low, high, log):
    if log:
        return [10 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    step = 10 ** math.floor(math.log10(max(high - low, 1e-9)))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (step * f) <= 8)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def svg(title, x_name, y_name, series, log_x=False, log_y=False):
    """A line for each {name: [(x, y)]}."""
    points = [p for line_ in series.values() for p in line_ if (not log_x or p[0] > 0) and (not log_y or p[1] > 0)]
    xs = ticks_of(min(x for x, _ in points), max(x for x, _ in points), log_x)
    ys = ticks_of(0 if not log_y else min(y for _, y in points), max(y for _, y in points), log_y)

    def place(value, ticks, log, begin, size):
        scale = math.log10 if log else float
        low, high = scale(ticks[0]), scale(ticks[-1])
        return begin + size * (scale(value) - low) / ((high - low) or 1)
    at = lambda x, y: (place(x, xs, log_x, LEFT, WIDTH - LEFT - RIGHT), place(y, ys, log_y, HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', f'<text x="{WIDTH / 2}" y="22" text-anchor="middle" font-size="15">{title}</text>']
    for x in xs:
        px, _ = at(x, ys[0])
        out += [f'<line x1="{px:.1f}" y1="{TOP}" x2="{px:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>',
                f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>']
    for y in ys:
        _, py = at(xs[0], y)
        out += [f'<line x1="{LEFT}" y1="{py:.1f}" x2="{WIDTH - RIGHT}" y2="{py:.1f}" stroke="#ddd"/>',
                f'<text x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>']
    out += [f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{x_name}</text>',
            f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{y_name}</text>']
    for i, (name, line_) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        placed = [at(x, y) for x, y in line_ if (not log_x or x > 0) and (not log_y or y > 0)]
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in placed) + '"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        out.append(f'<text x="{LEFT + 10}" y="{TOP + 16 + 16 * i}" fill="{colour}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main(name, title, measure):
    """Runs measure(report) as root and cleans up whatever happens."""
    if os.geteuid() != 0:
        sys.exit(f"{name}: must be run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing is left behind
    report = Report(name, title)
    try:
        measure(report)
    finally:
        harness.end_run()
        report.end()
