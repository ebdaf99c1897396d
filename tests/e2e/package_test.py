"""The Debian packages: lintian has nothing to say of them, and in a fresh Debian 12 they are installed, run and removed.

Takes minutes and needs root: with FRESHET_PACKAGES=1 (ops/test --packages).
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import debian
import testbed

SOURCE = pathlib.Path(__file__).resolve().parents[2]


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([SOURCE / "ops/package", "--check"], check=True)
        cls.packages = sorted(path for path in (SOURCE / "build/packages").glob("*.deb") if "dbgsym" not in path.name)
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="freshet-chroot-"))
        cls.addClassCleanup(cls.remove_root)
        debian.make(cls.root)
        for kind, where in (("proc", "proc"), ("tmpfs", "dev/shm")):
            (cls.root / where).mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", kind, kind, cls.root / where], check=True)
        for package in cls.packages:
            shutil.copy(package, cls.root / "tmp")

    @classmethod
    def remove_root(cls):
        for where in ("dev/shm", "proc"):
            subprocess.run(["umount", "-l", cls.root / where], check=False)
        shutil.rmtree(cls.root)

    def inside(self, *command, code=0):
        run = subprocess.run(["chroot", self.root, *command], capture_output=True, text=True,
                             env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
        self.assertEqual(run.returncode, code, f"{command}: {run.stdout}{run.stderr}")
        return run.stdout

    def there(self, path):
        return (self.root / path).exists()

    def test_a_life(self):
        self.installed()
        self.configured()
        self.unit()
        self.run_it()
        self.upgraded()
        self.completed()
        self.removed()

    def installed(self):
        self.inside("apt-get", "-qq", "install", "-y", "--no-install-recommends", "systemd", "bash-completion",
                    *(f"/tmp/{package.name}" for package in self.packages))
        self.assertIn("freshetd 0.1.0", self.inside("freshetd", "--version"))
        self.assertIn("freshet 0.1.0", self.inside("freshet", "--version"))
        for path in ("lib/systemd/system/freshetd.service", "usr/share/man/man8/freshetd.8.gz", "usr/share/man/man1/freshet.1.gz",
                     "usr/share/freshet/proto/freshet/v1/recommender.proto"):
            self.assertTrue(self.there(path), path)

    def configured(self):
        self.assertIn("freshet", self.inside("getent", "passwd", "freshet"))
        self.assertEqual(self.inside("stat", "-c", "%a %U %G", "/etc/freshet/freshet.conf"), "640 root freshet\n")
        self.assertIn("the configuration is good", self.inside("freshetd", "--check-config"))

    def unit(self):
        self.assertEqual(self.inside("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/freshetd.service"), "")
        said = self.inside("systemd-analyze", "security", "--offline=yes", "--threshold=20", "freshetd.service")
        print(re.search(r"Overall exposure level.*", said).group())

    def run_it(self):
        """As the package's own user; the broker is the embedded one, for there is no Kafka in here."""
        self.inside("install", "-d", "-o", "freshet", "-g", "freshet", "/var/lib/freshet")
        command = ["chroot", "--userspec=freshet:freshet", self.root, "freshetd", "--dev", "--set", "store.path=/var/lib/freshet",
                   "--set", "serve.listen=127.0.0.1:0", "--set", "admin.grpc_listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
            ready = next(line for line in daemon.stdout if line.startswith("ready "))
            at = dict(word.split("=", 1) for word in ready.split()[1:])
            (self.root / "tmp/events.jsonl").write_text('{"user_id":"ann","item_id":"apple","time_ms":1000}\n')
            try:
                self.inside("freshet", "publish", "/tmp/events.jsonl", "--format", "jsonl", "--brokers", at["brokers"], "--wait", "--admin",
                            at["admin_grpc"])
                self.assertIn("apple", self.inside("freshet", "user", "ann", "--server", at["grpc"]))
                self.inside("freshet", "drain", "--admin", at["admin_grpc"])
                self.assertEqual(daemon.wait(testbed.PATIENCE_S), 0)
            finally:
                daemon.kill()
        self.assertTrue(self.there("var/lib/freshet/store"))

    def upgraded(self):
        """A running daemon is left as it is until somebody restarts it. There is no systemd to ask for anything else: what it would be told is noted."""
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        for name in ("deb-systemd-invoke", "systemctl"):
            program = self.root / "usr/bin" / name
            program.unlink()
            program.write_text(f'#!/bin/sh\necho "{name} $*" >>/told\n')
            program.chmod(0o755)
        self.inside("dpkg", "-i", *(f"/tmp/{package.name}" for package in self.packages))
        self.assertNotRegex(self.told(), "freshetd")

    def told(self):
        """What systemd was told since the last time."""
        told = self.root / "told"
        text = told.read_text() if told.exists() else ""
        told.unlink(missing_ok=True)
        return text

    def completed(self):
        script = (". /usr/share/bash-completion/completions/freshet; "
                  "COMP_WORDS=(freshet rec); COMP_CWORD=1; _freshet; echo ${COMPREPLY[@]}; "
                  "COMP_WORDS=(freshet status --out); COMP_CWORD=2; _freshet; echo ${COMPREPLY[@]}")
        self.assertEqual(self.inside("bash", "-c", script), "recommend\n--output\n")

    def removed(self):
        self.inside("apt-get", "-qq", "remove", "-y", "freshetd", "freshet")
        self.assertIn("deb-systemd-invoke stop freshetd.service\n", self.told())
        self.assertFalse(self.there("usr/bin/freshetd"))
        self.assertTrue(self.there("etc/freshet/freshet.conf"))
        self.inside("dpkg", "--purge", "freshetd")
        self.assertFalse(self.there("etc/freshet/freshet.conf"))
        self.assertTrue(self.there("var/lib/freshet/store"))  # what was learned is for people to delete


if __name__ == "__main__":
    if not os.environ.get("FRESHET_PACKAGES"):
        print("SKIP: the packages in a chroot take minutes: with FRESHET_PACKAGES=1, as ops/test --packages does")
        raise SystemExit(77)
    testbed.main()
