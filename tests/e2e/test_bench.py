# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks of tests/bench make of their figures; one of them; and what README.md has of it."""
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import harness
from harness import ROOT_DIR

BENCH = os.path.join(ROOT_DIR, "tests", "bench")


@unittest.skipIf(harness.GUEST or harness.sanitized(), "benchmarks are not in guests, and not of programs with sanitizers")
class Bench(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        sys.path.insert(0, BENCH)
        self.addCleanup(sys.path.remove, BENCH)
        import page
        import plot
        self.page, self.plot = page, plot
        self.addCleanup(setattr, page, "OUT", page.OUT)
        page.OUT = self.dir

    def text(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as f:
            return f.read()

    def quick(self, *argv):
        return subprocess.run([os.path.join(BENCH, "run"), *argv], capture_output=True, text=True, check=False, timeout=140,
                              env={**os.environ, "TASKMON_BENCH_QUICK": "1", "TASKMON_BENCH_OUT": self.dir, "TASKMON_BUILD": harness.BUILD})

    def test_words(self):
        for points, word in (([(1, 7), (10, 7), (100, 7), (1000, 7)], "does not depend"), ([(1, 3), (10, 30), (100, 300), (1000, 3000)], "in proportion"),
                             ([(1, 3), (100, 0.03), (1000, 0.003)], "its inverse"), ([(1, 1), (10, 100), (100, 10000)], "faster than in proportion"),
                             ([(1, 1), (100, 10), (10000, 100)], "slower than in proportion")):
            self.assertIn(word, self.plot.growth([(x, [y]) for x, y in points]))
        self.assertIn("3 ms for each and 5 besides", self.plot.growth([(x, [3 * x + 5, 0, 1e9]) for x in (2, 200, 2000)], "ms"))

    def test_medians_and_ratios(self):
        self.assertEqual(self.page.spread([7, 3, 500]), "7.00 (3.00 to 500.00)")
        self.assertEqual(self.page.spread([7], 0), "7")
        self.assertEqual(self.page.ratios([2, 9, 8], [1, 3, 2]), [2, 3, 4])  # of the same rounds
        self.assertEqual(self.page.ratios([8], [1, 2, 3]), [4])
        self.assertEqual(self.page.against([30, 22, 90], [20, 40, 22])[0], 1.1)

    def test_page_and_index(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            page = self.page.Page("heap", "A title")
            page.compare("what", "ns", {"a": [10, 12, 11], "b": [20, 36, 22]}, "a")
            page.must("is fast", "≤ 7", "23", False, "others 29")
            page.curve("tasks", "title", "tasks", "ms", [(1, [3, 4, 2]), (10, [30]), (100, [300])], log_x=True, log_y=True)
            page.end()
            self.page.index()
        self.assertIn("# A title\n", printed.getvalue())
        self.assertIn("| b | 22.00 (20.00 to 36.00) | 2.00 (2.00 to 3.00) |", self.text("heap.md"))
        self.assertIn("| is fast | ≤ 7 | 23 | others 29 | **not met** |", self.text("table.md"))
        self.assertIn("| tasks | 1: 3 ms | 100: 300 ms | grows in proportion", self.text("table.md"))
        self.assertIn("[A title](heap.md)", self.text("index.md"))
        self.assertIn("heap-tasks.svg", self.text("index.md"))
        drawn = xml.etree.ElementTree.parse(os.path.join(self.dir, "heap-tasks.svg")).getroot()
        self.assertEqual(sum(e.tag.endswith("circle") for e in drawn.iter()), 3)

    def test_each_row_has_a_program(self):
        for name in self.page.ORDER:
            self.assertTrue(os.access(os.path.join(BENCH, name), os.X_OK), name)

    def test_one_of_them(self):
        done = self.quick("csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(self.text("table.md"), r"(?m)^\| rows of cpu.csv .* \| ≥ 1 M \| \d+\.\d+ M \|")

    def test_readme(self):
        """Between its marks is what table.md has, and nothing else has changed."""
        with open(os.path.join(ROOT_DIR, "README.md"), encoding="utf-8") as f:
            readme = f.read()
        self.assertEqual(len(re.findall(r"(?m)^<!-- bench(: end)? -->$", readme)), 2)
        tree = os.path.join(self.dir, "tree")
        shutil.copytree(BENCH, os.path.join(tree, "tests", "bench"))
        with open(os.path.join(tree, "README.md"), "w", encoding="utf-8") as f:
            f.write(readme)
        with open(os.path.join(self.dir, "table.md"), "w", encoding="utf-8") as f:
            f.write("| a table |\n")
        subprocess.run([os.path.join(tree, "tests", "bench", "run"), "--readme"], check=True, timeout=60,
                       env={**os.environ, "TASKMON_BENCH_OUT": self.dir})
        with open(os.path.join(tree, "README.md"), encoding="utf-8") as f:
            self.assertEqual(f.read(), re.sub(r"(?s)(<!-- bench -->\n).*?(<!-- bench: end -->)", r"\1| a table |\n\2", readme))
