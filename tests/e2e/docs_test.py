"""Every command in the docs runs: blocks fenced as sh, and lines that begin with "$ ", of the README and of ops/docs.

Each block is a script of its own, in a folder that has ops/ and proto/ as a checkout has, with a daemon that has learned the shipped data.
What the docs call by its usual name (/etc/freshet/freshet.conf, port 9464 ...) is this daemon's. Marks for a block:

    <!-- daemon: stopped -->      on the line before it: the daemon is stopped for it and started again
    # not run: why                as its first line: it cannot run here
"""
import itertools
import lzma
import os
import re
import shutil
import subprocess
import textwrap
import unittest

import testbed

PAGES = [testbed.SOURCE / "README.md", *sorted((testbed.SOURCE / "ops" / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<mark><!-- daemon: (?P<daemon>\w+) -->\n)?(?P<indent> *)```sh\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
DOLLAR = re.compile(r"^ {4}\$ (?P<text>.+)$", re.M)
EVENTS = 60000


def blocks(page):
    """(line, whether the daemon is stopped, text), in order."""
    text = page.read_text()
    found = [(match.start(), match["daemon"], textwrap.dedent(match["text"])) for match in FENCE.finditer(text)]
    found += [(match.start(), None, match["text"]) for match in DOLLAR.finditer(text)]
    for at, daemon, block in sorted(found):
        assert daemon in (None, "stopped"), f"{page.name}: no such mark: {daemon}"
        yield text.count("\n", 0, at) + 1, daemon == "stopped", block


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = testbed.scratch("docs")
        shutil.copytree(testbed.SOURCE / "ops", cls.folder / "ops")
        shutil.copytree(testbed.SOURCE / "proto", cls.folder / "proto")
        data = cls.folder / "ops" / "data" / "online-retail" / "purchases.tsv"
        with lzma.open(f"{data}.xz", "rt") as packed:
            data.write_text("".join(itertools.islice(packed, EVENTS)))
        cls.kafka = testbed.MockKafka("events", "freshet.dead-letters", 16)
        (cls.folder / "bin").mkdir()
        # The user of `sudo -u USER` is the test's own, as all that is there is.
        cls.make_program("sudo", '[ "$1" = -u ] && shift 2 && exec "$@"\n')
        cls.config = cls.folder / "freshet.conf"
        cls.store = cls.folder / "state"
        cls.config.write_text(f"[kafka]\nbootstrap.servers = {cls.kafka.address}\n[store]\npath = {cls.store}\n")
        cls.daemon = testbed.Daemon(cls.kafka, {"store.path": cls.store})
        cls.daemon.start("--config", cls.config)
        # What systemd says of the unit is in its journal, too, and what the daemon says on stdout.
        cls.make_program("journalctl", "echo 'Starting freshetd.service - Freshet, a streaming recommender...'\n"
                         f"echo 'ready grpc={cls.daemon.addresses['grpc']}'\ncat '{cls.daemon.log}'\n")
        published = cls.run_block(f"freshet publish {data} --format online-retail --wait")
        assert published.returncode == 0, published.stdout
        cls.run_block("freshet backup")
        cls.kafka.publish("events", [("nobody", b"junk")])  # so that there is a dead letter

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    @classmethod
    def make_program(cls, name, script):
        """One that the commands find instead of the system's."""
        program = cls.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)

    @classmethod
    def run_block(cls, text):
        """As a user's shell would, but that any failing command ends it."""
        addresses = cls.daemon.addresses
        for usual, here in {"/etc/freshet/freshet.conf": cls.config, "/var/lib/freshet": cls.store, "127.0.0.1:9464": addresses["http"],
                            "127.0.0.1:50051": addresses["grpc"], "127.0.0.1:50052": addresses["admin_grpc"],
                            "127.0.0.1:9092": cls.kafka.address}.items():
            text = text.replace(usual, str(here))
        assert not re.search(r"(^|\s)/(etc|var|usr)/", text), f"it would touch this machine: {text}"
        programs = [cls.folder / "bin", testbed.BIN, os.path.dirname(os.environ["FRESHET_GRPCURL"]), os.environ["PATH"]]
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=cls.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=testbed.PATIENCE_S,
            env={**os.environ, "PATH": ":".join(map(str, programs)), "FRESHET_SERVER": addresses["grpc"],
                 "FRESHET_ADMIN": addresses["admin_grpc"], "FRESHET_BROKERS": cls.kafka.address})

    def test_commands(self):
        """all commands of the README and of ops/docs run and exit with 0"""
        ran = skipped = 0
        for page in PAGES:
            for line, stopped, text in blocks(page):
                with self.subTest(page=page.name, line=line):
                    why = re.match(r"# not run: (\S.*)", text)
                    if why:
                        skipped += 1
                        continue
                    self.check(text, stopped)
                    ran += 1
        self.assertGreater(ran, 20)
        print(f"     {ran} blocks run, {skipped} marked as not to be run", flush=True)

    def test_whose_a_store_is(self):
        """what makes a store is shown as the daemon's user: root, as whom people read these pages, is refused, or makes one that the daemon cannot enter"""
        shown = [(page.name, line) for page in PAGES for _, _, text in blocks(page) for line in text.splitlines()
                 if re.search(r"freshet restore\b|--(restore|rebuild)\b", line)]
        self.assertGreater(len(shown), 2)
        for page, line in shown:
            self.assertTrue(line.startswith("sudo -u freshet "), f"{page}: {line}")

    def check(self, text, stopped):
        if stopped:
            self.daemon.stop()
        try:
            done = self.run_block(text)
            self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout[-3000:]}")
        finally:
            if stopped:
                self.daemon.start("--config", self.config).wait_applied("events")


class Quickstart(unittest.TestCase):
    """ops/quickstart of a checkout whose programs are this build's."""

    def setUp(self):
        self.folder = testbed.scratch("quickstart")
        (self.folder / "clone" / "ops").mkdir(parents=True)
        (self.folder / "clone" / "build").mkdir()
        (self.folder / "clone" / "build" / "bin").symlink_to(testbed.BIN.resolve())
        self.script = shutil.copy(testbed.SOURCE / "ops" / "quickstart", self.folder / "clone" / "ops")
        built = self.folder / "clone" / "ops" / "build"
        built.write_text("#!/bin/sh\n")
        built.chmod(0o755)

    def run_in(self, folder, *command):
        return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=testbed.PATIENCE_S)

    def test_from_elsewhere(self):
        """ops/quickstart takes a file's name as who calls it means it, and shows how much was learned"""
        (self.folder / "data").mkdir()
        (self.folder / "data" / "u.data").write_text("".join(f"{user}\t{item}\t4\t88125094{item % 10}\n"
                                                             for user in (196, 405, 655, 7) for item in (50, 51, 52)))
        ran = self.run_in(self.folder / "data", self.script, "--movielens", "u.data")
        self.assertEqual(ran.returncode, 0, ran.stdout[-3000:])
        self.assertRegex(ran.stdout, r"\nStatus\nfreshetd .*\nusers 4   items 3   pairs \d+\nmodel ")
        ran = self.run_in(self.folder, "clone/ops/quickstart", "--movielens", "u.data")
        self.assertEqual((ran.returncode, ran.stdout), (1, f"ops/quickstart: cannot read '{self.folder}/u.data'\n"))

    def test_help(self):
        """and tells of itself from any folder"""
        ran = self.run_in(self.folder / "clone" / "ops", "./quickstart", "--help")
        self.assertEqual(ran.returncode, 0, ran.stdout)
        self.assertIn("--movielens FILE", ran.stdout)


class Links(unittest.TestCase):
    def test_links(self):
        """every link within the docs leads to a file, and to a heading where it names one"""
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
                if re.match(r"https?://", target):
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                self.assertTrue(file.exists(), f"{page.name}: {target}")
                if anchor:
                    self.assertIn(anchor, self.anchors(file), f"{page.name}: {target}")

    @staticmethod
    def anchors(page):
        """As GitHub makes them of headings."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.M)}


if __name__ == "__main__":
    testbed.main()
