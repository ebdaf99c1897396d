"""The clients of ops/examples, built and run as their READMEs say, each compared with what the daemon answers there and then.

A README has two blocks fenced as sh: the first builds, the second runs. What was built stays in the user's cache folder, by what it was
built from.
"""
import contextlib
import hashlib
import itertools
import lzma
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

import testbed
from testbed import admin_pb2, events_pb2, pb

EXAMPLES = testbed.SOURCE / "ops" / "examples"
DATA = testbed.SOURCE / "ops" / "data" / "online-retail" / "purchases.tsv.xz"
NEEDS = {"python": ["python3"], "go": ["go", "protoc"], "java": ["mvn", "javac"], "c": ["cc", "make", "pkg-config", "protoc-c"]}
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "freshet"
BUILD_PATIENCE_S = 900  # the first time, with downloads
USER, ITEM = "ann", "85123A"


def sources(*folders):
    return sorted(f for folder in folders for f in folder.rglob("*") if f.is_file() and "build" not in f.parts[len(folder.parts):])


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = testbed.Kafka()
        cls.kafka.create_topic("events", 16)  # many, so that a partitioner that is not Java's hardly lands on the same by chance
        cls.kafka.create_topic("aside", 16)
        # By SAR: what a program prints is compared to the last digit with what is asked a moment later, and EASE may be solved between.
        cls.daemon = testbed.Daemon(cls.kafka, {"recommend.models": "sar"}).start()
        with lzma.open(DATA, "rt") as packed:
            history = "".join(itertools.islice(packed, 20000))
        subprocess.run([testbed.BIN / "freshet", "publish", "-", "--format", "online-retail"], input=history, text=True, check=True,
                       timeout=testbed.PATIENCE_S, stdout=subprocess.DEVNULL, env={**os.environ, "FRESHET_BROKERS": cls.kafka.address})
        cls.daemon.wait_applied("events")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def shell(self, text, folder, patience_s=testbed.PATIENCE_S, meanwhile=lambda _: None):
        """Runs it as a user's shell would, but that any failing command ends it; meanwhile is told the process."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment.update(FRESHET_BROKERS=self.kafka.address, FRESHET_SERVER=self.daemon.addresses["grpc"])
        with subprocess.Popen(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                meanwhile(process)
                out, err = process.communicate(timeout=patience_s)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        self.assertEqual(process.returncode, 0, f"{text}\n{out}{err}")
        return out

    def let_it_wait(self, process):
        """The daemon reads nothing until the example's question is there: it must wait for its own click."""
        testbed.until(lambda: process.poll() is not None or self.daemon.metrics().value("freshet_rpc_inflight", method="Recommend"),
                      "the example asks")
        self.assertIsNone(process.poll(), "it waits for its click")
        self.daemon.admin.ResumeIngest(admin_pb2.ResumeIngestRequest(), timeout=testbed.PATIENCE_S)

    def built(self, language, build):
        """A copy of the example in the cache, built."""
        digest = hashlib.sha256(language.encode())
        for file in sources(EXAMPLES / language, testbed.SOURCE / "proto"):
            digest.update(f"{file.relative_to(testbed.SOURCE)}\n".encode() + file.read_bytes())
        copy = CACHE / f"example-{language}-{digest.hexdigest()[:12]}"
        folder = copy / "ops" / "examples" / language
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            for file in sources(EXAMPLES / language, testbed.SOURCE / "proto"):
                to = copy / file.relative_to(testbed.SOURCE)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, to)
            self.shell(build, folder, BUILD_PATIENCE_S)
            (copy / "complete").touch()
        return folder

    def expected(self):
        """What they print, from the daemon's own answer."""
        answer = self.daemon.api.Recommend(pb.RecommendRequest(user_id=USER, k=5, explain=True), timeout=testbed.PATIENCE_S)
        return "".join(f"{r.item_id} {r.score:.6f} because of " + ", ".join(f"{x.item_id} {x.contribution:+.6f}" for x in r.reasons) + "\n"
                       for r in answer.items)

    def ends(self):
        return {p.partition: p.offset for p in self.kafka.positions("events")}

    def check(self, language):
        missing = [program for program in NEEDS[language] if not shutil.which(program)]
        if missing:
            self.skipTest(f"the example in {language}: no {', '.join(missing)} here; ops/dev/install test installs it")
        build, run = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLES / language / "README.md").read_text(), re.M | re.S)
        self.assertIn(f" {USER} {ITEM}\n", run)
        folder = self.built(language, build)

        before = self.ends()
        self.daemon.admin.PauseIngest(admin_pb2.PauseIngestRequest(), timeout=testbed.PATIENCE_S)
        printed = self.shell(run, folder, meanwhile=self.let_it_wait)
        grown = [(p, offset) for p, offset in self.ends().items() if offset != before[p]]
        self.assertEqual(len(grown), 1, "one record in one partition")
        (partition, end), = grown
        self.assertEqual(partition, self.partition_of(USER), "the partitioner is Java's")
        message = self.kafka.read_one("events", partition, end - 1)
        event = events_pb2.Event.FromString(message.value())
        self.assertEqual((message.key().decode(), event.user_id, event.item_id, event.type), (USER, USER, ITEM, "click"))

        expected = self.expected()
        self.assertEqual(expected.count("\n"), 5)
        self.assertIn(f"because of {ITEM} +", expected)
        self.assertEqual(printed, expected)

    @classmethod
    def partition_of(cls, key):
        """Where librdkafka's murmur2 puts it; asked on a topic of its own, so that nothing more is learned."""
        where = []
        producer = cls.kafka.producer()
        producer.produce("aside", key=key, value=b"", on_delivery=lambda _, message: where.append(message.partition()))
        producer.flush(testbed.PATIENCE_S)
        return where[0]

    def test_python(self):
        """python: prints the daemon's answer, which has learned its click"""
        self.check("python")

    def test_go(self):
        """go: prints the daemon's answer, which has learned its click"""
        self.check("go")

    def test_java(self):
        """java: prints the daemon's answer, which has learned its click"""
        self.check("java")

    def test_c(self):
        """c: prints the daemon's answer, which has learned its click"""
        self.check("c")


if __name__ == "__main__":
    testbed.main()
