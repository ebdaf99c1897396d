"""The container image: built as ops/docker/Dockerfile says, run as its user, asked, stopped and run again on the same volume.

    debootstrap ──> debian:12-slim ──Dockerfile──> freshet ──> freshetd under the image's user <── a real Kafka
                    (nothing is pulled)                        healthcheck, freshet: in the same container

buildah stands for docker: it reads the same file and needs no service. Takes minutes and root: with FRESHET_PACKAGES=1 (ops/test --packages).
"""
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import debian
import testbed

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BASE, IMAGE = "docker.io/library/debian:12-slim", "localhost/freshet:test"
TOPIC = "events"


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="freshet-image-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.kafka = testbed.Kafka()
        root = cls.folder / "debian"
        root.mkdir()
        debian.make(root)
        base = cls.buildah("from", "scratch")
        cls.buildah("add", "--quiet", base, root, "/")
        cls.buildah("commit", "--quiet", base, BASE)
        cls.buildah("build", "--pull-never", "-f", SOURCE / "ops/docker/Dockerfile", "--ignorefile", SOURCE / "ops/docker/Dockerfile.dockerignore",
                    "-t", IMAGE, SOURCE)
        cls.container = cls.buildah("from", "--pull-never", IMAGE)

    @classmethod
    def command(cls, *words):
        kept = ("--root", cls.folder / "storage", "--runroot", cls.folder / "run", "--storage-driver", "vfs")
        return ["buildah", *kept, *words]

    @classmethod
    def buildah(cls, *words):
        run = subprocess.run(cls.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             env={**os.environ, "BUILDAH_ISOLATION": "chroot"})
        if run.returncode:
            raise AssertionError(f"buildah {words[0]}: {run.stdout[-4000:]}")
        return run.stdout.strip()

    def inside(self, *words):
        return self.command("run", "--isolation", "chroot", "--network", "host", "--env",
                            f"FRESHET_KAFKA__BOOTSTRAP_SERVERS={self.kafka.address}", self.container, "--", *words)

    def ask(self, *words):
        return subprocess.run(self.inside(*words), capture_output=True, text=True, check=True, timeout=testbed.PATIENCE_S).stdout

    def run_daemon(self):
        daemon = subprocess.Popen(self.inside("/usr/bin/freshetd"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(daemon.kill)
        self.assertTrue(any(line.startswith("ready ") for line in daemon.stdout), "it ends before it is ready")
        return daemon

    def stop(self, daemon):
        """As `docker stop` does; the first process in the container is the daemon."""
        pid = int(subprocess.run(["pgrep", "-x", "-u", "10001", "freshetd"], capture_output=True, text=True, check=True).stdout)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(daemon.wait(testbed.PATIENCE_S), 0)

    def test_a_life(self):
        """built; runs as user 10001; healthy; learns from Kafka; stops in good order; has it all when it runs again"""
        self.kafka.create_topic(TOPIC)
        self.kafka.publish(TOPIC, [testbed.event_json(user, item, "click", time_ms=1700000000000)
                                   for user in ("ann", "bob") for item in ("apple", "pear")])
        daemon = self.run_daemon()
        testbed.until(lambda: "pear" in self.ask("freshet", "user", "bob"), "what Kafka has is learned")
        self.assertIn("uid=10001(freshet)", self.ask("id"))
        self.ask("/usr/local/bin/healthcheck")
        self.stop(daemon)
        self.assertNotEqual(subprocess.run(self.inside("/usr/local/bin/healthcheck"), capture_output=True).returncode, 0)
        daemon = self.run_daemon()
        self.assertIn("apple", self.ask("freshet", "user", "ann"))
        self.stop(daemon)


if __name__ == "__main__":
    if not os.environ.get("FRESHET_PACKAGES"):
        print("SKIP: the image on a fresh Debian takes minutes: with FRESHET_PACKAGES=1, as ops/test --packages does")
        raise SystemExit(77)
    testbed.main()
