# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks show: a page of Markdown each, in build/bench, with plots; and of all pages that there are, index.md and table.md,
which README.md shows. `page.py` alone makes these two.
"""
import glob
import os
import shutil
import statistics
import subprocess
import time

from bench import OUT, harness
from plot import growth, svg

ORDER = "snapshot", "idle", "syscall", "sustained", "heap", "rules", "subscribers", "memory", "csv", "growth"  # as the design has them
MUST = "what", "must", "measured: median (min to max)", "beside it", ""
WORDS = "CPU of the collector with", "from", "to", "it"
VERSIONS = "With "


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{time.strftime('%Y-%m-%d')}, kernel {os.uname().release}, {os.cpu_count()} CPUs ({model})"


def version(path):
    """As Debian has it: of the package that a program belongs to, or of the one that it was unpacked of."""
    paths = os.path.realpath(path), os.path.realpath(path).removeprefix("/usr")  # as packages from before the merge of /usr know it
    known = subprocess.run(["dpkg-query", "-S", *paths], capture_output=True, text=True, check=False).stdout.splitlines()
    owner = next((line.partition(":")[0] for line in known if not line.startswith("diversion")), None)
    query = ["dpkg-query", "-W", "-f=${Version}", owner] if owner else ["apt-cache", "show", "--no-all-versions", os.path.basename(path)]
    text = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    text = next((line.partition(" ")[2] for line in text.splitlines() if line.startswith("Version: ")), text)
    return f"{os.path.basename(path)} {text}".strip()


def spread(values, digits=2):
    """Median, and minimum and maximum, in print."""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratios(values, base):
    """Of each round, if both were measured in the same ones."""
    if len(values) == len(base):
        return [a / b for a, b in zip(values, base)]
    return [statistics.median(values) / statistics.median(base)]


def against(values, base):
    """(the smaller of two ratios, both in print): that of the leasts, since others on the machine make all slower and never faster, and
    the median of those of the rounds. A cost is in both; what only one shows is the machine's.
    """
    least, of_rounds = min(values) / min(base), ratios(values, base)
    return min(least, statistics.median(of_rounds)), f"{least:.2f} × by the least; of the rounds {spread(of_rounds)}"


def table(head, rows):
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def write(name, text):
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        f.write(text)


class Page:
    """Printed as it grows, and written at the end."""

    def __init__(self, name, title):
        self.name, self.text, self.began = name, "", time.monotonic()
        self.musts, self.words, self.programs = [], [], {}
        self.say(f"# {title}\n\n{machine()}\n")

    def say(self, text=""):
        print(text, flush=True)
        self.text += text + "\n"

    def table(self, head, rows):
        self.say(table(head, rows))

    def program(self, name, unpacked=None):
        """Where a program that is compared with is, or None. Some packages are not installed but unpacked: tests/servers/fetch."""
        path = shutil.which(name) or (unpacked and shutil.which(name, path=unpacked))
        if path:
            self.programs[name] = version(path)
        else:
            print(f"{name} is not here, and left out (deploy/deps --bench)", flush=True)
        return path

    def compare(self, what, unit, values, base, digits=2):
        """A table of {name: values of the rounds}, with the ratio to one of them."""
        self.table((what, unit, f"ratio to {base}"),
                   [(name, spread(found, digits), "1" if name == base else spread(ratios(found, values[base]))) for name, found in values.items() if found])

    def must(self, what, limit, measured, met, beside=""):
        """A row of the design's table of what must be."""
        self.musts.append((what, limit, measured, beside, "met" if met else "**not met**"))

    def plot(self, name, *args, **how):
        write(f"{self.name}-{name}.svg", svg(*args, **how))
        self.say(f"![{name}]({self.name}-{name}.svg)\n")

    def curve(self, name, title, x_name, y_name, points, **how):
        """A table, a plot and the slope in words of points (x, values of the rounds)."""
        self.say(f"## {name}\n")
        self.table((x_name, y_name), [(f"{x:g}", spread(values, 3)) for x, values in points])
        words = growth(points, y_name)
        self.say(f"It {words}.\n")
        self.plot(name, title, x_name, y_name, {y_name: points}, **how)
        ends = [f"{points[i][0]:g}: {statistics.median(points[i][1]):.3g} {y_name}" for i in (0, -1)]
        self.words.append((x_name, *ends, words))

    def end(self):
        if self.musts:
            self.say("## What it must\n")
            self.table(MUST, self.musts)
        if self.words:
            self.say("## In words\n")
            self.table(WORDS, self.words)
        taskmon = subprocess.run([os.path.join(harness.BUILD, "taskmon-report"), "--version"], capture_output=True, text=True, check=False).stdout
        self.say(VERSIONS + ", ".join([taskmon.strip(), *sorted(self.programs.values())]))
        self.say(f"\nTook {time.monotonic() - self.began:.0f} s.")
        write(self.name + ".md", self.text)


def rows_below(lines, head):
    """Of the table in a page that has this head."""
    first = table(head, []).split("\n")[0]
    if first not in lines:
        return []
    rest = lines[lines.index(first) + 2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rest[:rest.index("")]]


def index():
    pages = {}
    for name in ORDER:
        path = os.path.join(OUT, name + ".md")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                pages[name] = f.read().splitlines()
    musts, words = ([row for lines in pages.values() for row in rows_below(lines, head)] for head in (MUST, WORDS))
    versions = {part for lines in pages.values() for line in lines if line.startswith(VERSIONS) for part in line[len(VERSIONS):].split(", ")}
    machines = sorted({lines[2] for lines in pages.values()})
    text = "; ".join(machines) + ".\n" + VERSIONS + ", ".join(sorted(versions)) + ".\n\n" + table(MUST, musts)
    if words:
        text += "\nHow the cost grows:\n\n" + table(WORDS, words)
    write("table.md", text)
    links = [f"- [{lines[0][2:]}]({name}.md): {lines[-1]}" for name, lines in pages.items()]
    plots = [f"![{os.path.basename(path)}]({os.path.basename(path)})" for path in sorted(glob.glob(os.path.join(OUT, "*.svg")))]
    took = sum(int(lines[-1].split()[1]) for lines in pages.values())
    write("index.md", "# Benchmarks\n\n" + text + "\n## Pages\n\n" + "\n".join([*links, f"- all of them: {took} s", "", *plots]) + "\n")
    print(text)
    print(f"All of it: {os.path.join(OUT, 'index.md')}")


if __name__ == "__main__":
    index()
