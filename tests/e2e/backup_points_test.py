"""kill -9 at every named point of a backup and of a restore: what was there before is as it was, and the next attempt succeeds.

Needs a build with -DFRESHET_CRASH_POINTS=ON.
"""
import contextlib
import os
import subprocess
import unittest

import backup_test
import grpc
import testbed


def points(word):
    listed = subprocess.run([testbed.BIN / "freshetd"], env={"FRESHET_CRASH_POINT": "list"}, stdout=subprocess.PIPE, text=True, check=True)
    return [point for point in sorted(set(listed.stdout.split())) if point.startswith(word + ".")]


@contextlib.contextmanager
def crash_at(point):
    os.environ["FRESHET_CRASH_POINT"] = point
    try:
        yield
    finally:
        del os.environ["FRESHET_CRASH_POINT"]


class Points(backup_test.World):
    def nothing_left(self):
        named = {path.name for made in self.backups.glob("backup-??????") for path in self.files_of(int(made.name[-6:]))}
        return {path.name for path in (self.backups / "files").iterdir()} == named and list(self.data.glob("store.frozen*")) == []

    def test_backup(self):
        """a backup killed at each of its steps leaves those before it good, and the next one works"""
        self.daemon.start()
        self.learn_and_back_up(200)
        self.daemon.kill()
        found = points("backup")
        self.assertEqual(found, ["backup." + step for step in ("copied", "frozen", "listed", "placed", "purged", "surveyed", "swept")])
        for point in found:
            with self.subTest(point):
                with crash_at(point):
                    self.daemon.start()
                self.publish(50)
                self.daemon.wait_applied(self.topic)
                with self.assertRaises(grpc.RpcError):
                    self.backup()
                self.assertEqual(self.daemon.process.wait(testbed.PATIENCE_S), -9)
                self.daemon.kill()
                self.daemon.start()
                self.assertEqual(self.logged("store.restored"), [])
                testbed.until(self.nothing_left, "what the dead one left is removed, although none is made")
                checks = self.verify().checks
                self.assertTrue(checks and all(check.good for check in checks), checks)
                newest = self.backup().backup.id
                self.assertGreater(newest, checks[0].id)
                checks = self.verify().checks
                self.assertTrue(all(check.good for check in checks), checks)
                self.assertTrue(self.nothing_left())
                self.daemon.kill()
        self.daemon.start()
        self.assert_counts()
        self.daemon.stop()

    def test_restore(self):
        """a restore killed at each of its steps: asked for again it succeeds, and so does the start by itself"""
        self.daemon.start()
        self.learn_and_back_up(200)
        self.publish(50)
        self.daemon.wait_applied(self.topic)
        self.daemon.stop()
        found = points("restore")
        self.assertEqual(found, ["restore." + step for step in ("aside", "begun", "checked", "copied", "ready", "renamed")])
        for point in [*found, "restore.copied:3"]:
            for again in (True, False):
                with self.subTest(point, again=again):
                    (self.store / "CURRENT").write_text("")
                    with crash_at(point):
                        self.command("--restore", f"--set=store.path={self.data}", program="freshetd", code=-9)
                    if again:
                        self.command("--restore", f"--set=store.path={self.data}", program="freshetd")
                        self.assertEqual(list(self.data.glob("store.rest*")), [])
                    self.daemon.start()
                    self.assert_counts()
                    self.daemon.kill()
                    self.assertEqual(list(self.data.glob("store.rest*")), [])
                    self.assertFalse((self.store / "RESTORED.freshet").exists())


if __name__ == "__main__":
    testbed.main()
