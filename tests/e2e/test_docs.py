# SPDX-License-Identifier: BSD-2-Clause
"""Man pages and shell completion say what the programs say."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, ROOT_DIR, sanitized

PAGES = {"taskmon-report": "taskmon-report.1", "taskmon-collector": "taskmon-collector.8"}
# Pages of files, and where their keys are: tables of struct json_setting.
FILES = {"taskmon-report.json.5": ("reporter/config.c", "reporter/config_thresholds.c"),
         "taskmon-collector.json.5": ("collector/config.c",)}


def output(*argv, **how):
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, **how)


def read(*path):
    with open(os.path.join(BUILD, *path), encoding="utf-8") as f:
        return f.read()


def options(program):
    """Of --help: long names with their arguments, and short names."""
    found = re.findall(r"(?m)^  (?:(-.), |    )(--[a-z-]+)(?:=(\S+))?", output(os.path.join(BUILD, program), "--help").stdout)
    assert len(found) > 4, found
    return found


def keys(path):
    with open(os.path.join(ROOT_DIR, path), encoding="utf-8") as f:
        found = re.findall(r'(?m)^\t\{ "(\w+)", apply_', f.read())
    assert len(found) > 4, found
    return found


def example(page):
    """The JSON object of its section EXAMPLES."""
    text = read("man", page)
    return text[text.index(".SH EXAMPLES\n.nf\n") + len(".SH EXAMPLES\n.nf\n"):].split(".fi\n")[0].replace("\\-", "-")


def metrics():
    with open(os.path.join(ROOT_DIR, "common", "metrics.def"), encoding="utf-8") as f:
        return re.findall(r"(?m)^METRIC\((\w+),", f.read())


@unittest.skipIf(not os.path.isdir(os.path.join(BUILD, "man")), "the documentation is not in this build")
class Docs(unittest.TestCase):
    def test_every_option_is_in_the_man_page(self):
        for program, page in PAGES.items():
            text = read("man", page).replace("\\-", "-")
            section = text[text.index(".SH OPTIONS"):]
            section = section[:section.index("\n.SH ", 5)]
            for short, name, argument in options(program):
                with self.subTest(program=program, option=name):
                    head = re.search(rf"(?m)(?<=^\.TP\n)\.(B|BR) .*{re.escape(name)}(?![a-z-]).*$", section)
                    self.assertIsNotNone(head)
                    self.assertEqual("=" in head.group(0), bool(argument), head.group(0))
                    if short:
                        self.assertIn(f"{short} ", head.group(0))
            told = set(re.findall(r"(?m)(?<=^\.TP\n)\.(?:B|BR) .*?(--[a-z][a-z-]*)", section))
            self.assertLessEqual(told, {name for _, name, _ in options(program)}, "in the man page only")

    def test_every_metric_is_in_the_man_page(self):
        text = read("man", "taskmon-report.1")
        self.assertGreater(len(metrics()), 40)
        for metric in metrics():
            self.assertIn(f"\n.B {metric}\n", text)
        self.assertNotIn("@METRICS@", text)
        self.assertNotIn("@VERSION@", text)

    def test_every_key_is_in_the_man_page(self):
        with open(os.path.join(ROOT_DIR, "config", "README.md"), encoding="utf-8") as f:
            readme = f.read()
        for page, paths in FILES.items():
            text, known = read("man", page), [key for path in paths for key in keys(path)]
            for key in known:
                with self.subTest(page=page, key=key):
                    self.assertRegex(text, rf"(?m)^\.BR? (.* )?{key}( |,|$)")
                    self.assertRegex(readme, rf'[`"]{key}[`"]')
            told = re.findall(r"(?m)(?<=^\.TP\n)\.BR (.*) \" \((?:text|number|true|list|object)", text)
            self.assertLessEqual(set(re.findall(r"\w+", " ".join(told))), set(known), "in the man page only")

    def test_examples_of_files_work(self):
        for page in FILES:
            with self.subTest(page=page), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                file.write(example(page))
                file.flush()
                json.loads(example(page))
                if page.startswith("taskmon-report"):
                    done = output(os.path.join(BUILD, "taskmon-report"), "-c", file.name, "--list", "modules")
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                else:
                    self.assertLessEqual(set(json.loads(example(page))), set(keys(FILES[page][0])))

    def test_costs_and_limits_are_told(self):
        for page in os.listdir(os.path.join(BUILD, "man")):
            for section in ("NAME", "OVERHEAD", "CAVEATS"):
                self.assertIn(f"\n.SH {section}\n", read("man", page), page)

    def test_man_pages_are_well_formed(self):
        tried = 0
        for page in sorted(os.listdir(os.path.join(BUILD, "man"))):
            path = os.path.join(BUILD, "man", page)
            if shutil.which("mandoc"):
                # TH has no date: it would be that of the build. The others are matters of style.
                told = output("mandoc", "-Tlint", "-Wwarning", path).stdout
                self.assertEqual([l for l in told.splitlines() if "missing date" not in l], [])
                tried += 1
            if shutil.which("man") and shutil.which("groff"):
                shown = output("man", "--warnings", "-E", "UTF-8", "-l", path, env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"})
                self.assertEqual(shown.stderr, "")
                self.assertIn("NAME", shown.stdout)
                tried += 1
        if not tried:
            self.skipTest("neither mandoc nor man with groff is here")

    def bash(self, *words):
        """What bash would offer for the last word."""
        script = (f"source {BUILD}/completions/{words[0]}; compopt() {{ :; }}; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
                  f"_{words[0].replace('-', '_')}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        done = output("bash", "-c", script, "bash", *words)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    @unittest.skipIf(shutil.which("bash") is None, "needs bash")
    def test_bash_completion(self):
        for program in PAGES:
            self.assertEqual(set(self.bash(program, "--")), {name for _, name, _ in options(program)})
        self.assertEqual(self.bash("taskmon-report", "--rotate-b"), ["--rotate-bytes"])
        self.assertEqual(self.bash("taskmon-report", "--list", "m"), ["metrics", "modules"])
        self.assertEqual(self.bash("taskmon-report", "--list", "=", "t"), ["tasks"])
        self.assertEqual(set(self.bash("taskmon-report", "--metrics", "=")), {*metrics(), "free", "all"})
        self.assertEqual(self.bash("taskmon-report", "--metrics", "task_fd_count,task_vm"), ["task_fd_count,task_vm_size"])
        self.assertEqual(self.bash("taskmon-report", "--sort", "task_cpu"), ["task_cpu_percent"])
        self.assertIn("task", self.bash("taskmon-report", "-m", ""))
        self.assertIn(str(os.getpid()), self.bash("taskmon-report", "--pid", ""))
        self.assertIn("root", self.bash("taskmon-report", "-u", "ro"))
        self.assertEqual(self.bash("taskmon-report", "-i", ""), [])
        self.assertIn("bash", self.bash("taskmon-report", "--", "bas"))

    def test_zsh_completion(self):
        for program in PAGES:
            text = read("completions", "_" + program)
            self.assertTrue(text.startswith(f"#compdef {program}\n"))
            for short, name, argument in options(program):
                self.assertIn(f"{name}{'=' if argument else ''}", text)
                if short:
                    self.assertIn(f"{{'{short}", text)
            if shutil.which("zsh"):
                done = output("zsh", "-n", os.path.join(BUILD, "completions", "_" + program))
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_install(self):
        """All of it, below DESTDIR."""
        if not shutil.which("make") or not os.path.exists(os.path.join(ROOT_DIR, "Makefile")):
            self.skipTest("needs make and the tree")
        make = ["make", "-C", ROOT_DIR, f"B={os.path.abspath(BUILD)}"] + (["SANITIZE=-fsanitize=address,undefined"] if sanitized() else [])
        self.addCleanup(output, *make, "all")  # what says where it is, for here again
        with tempfile.TemporaryDirectory() as root:
            done = output(*make, f"DESTDIR={root}", "prefix=/usr", "install")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(root, "usr", "sbin", "taskmon-collector"), "rb") as f:
                self.assertTrue(b"\0/usr/share/taskmon/" in f.read(), "it looks for known applications elsewhere")
            with open(os.path.join(root, "usr", "lib", "systemd", "system", "taskmon-collector.service"), encoding="utf-8") as f:
                self.assertIn("\nExecStart=/usr/sbin/taskmon-collector\n", f.read())
            for path in ("sbin/taskmon-collector", "bin/taskmon-report", "share/man/man1/taskmon-report.1",
                         "share/man/man8/taskmon-collector.8", "share/man/man5/taskmon-collector.json.5",
                         "share/man/man5/taskmon-report.json.5",
                         "share/bash-completion/completions/taskmon-report", "share/zsh/site-functions/_taskmon-collector"):
                self.assertTrue(os.path.isfile(os.path.join(root, "usr", path)), path)
