"""Backups: made while events flow, read back, and gone on from when the store is damaged or gone.

    events ──> Kafka ──> freshetd ──backup 1──backup 2──> X damage ──> start: from backup 2, then what Kafka has since

What the daemon knows in the end is compared with a recount made here from the list of what was published: all weights are whole
numbers and there is no decay, so that equal means equal.
"""
import collections
import itertools
import json
import os
import random
import shutil
import subprocess
import time
import unittest

import grpc
import testbed

SEED = os.environ.get("FRESHET_SEED", "20261125")
USERS, ITEMS, PARTITIONS = 60, 40, 3
START_MS = 1600000000000


class World(unittest.TestCase):
    """A topic of its own and a daemon on it for each test; one broker for all."""

    kafka = None

    def setUp(self):
        World.kafka = World.kafka or testbed.Kafka()
        self.random = random.Random(SEED)
        self.topic = self.kafka.create_topic(self.id().rsplit(".", 1)[1], PARTITIONS)
        self.events, self.published = [], 0
        self.daemon = testbed.Daemon(self.kafka, {
            "feed.topic": self.topic, "sar.mode": "parity", "sar.half_life_days": 0, "sar.similarity": "cooccurrence",
            "store.checkpoint_interval_ms": 50, "store.wal_sync_interval_ms": 50, "engine.evaluate_every": 0})
        self.data = self.daemon.folder / "store"
        self.store = self.data / "store"
        self.backups = self.data / "backups"
        self.addCleanup(self.daemon.kill)

    # ---- events, and what must come of them

    def publish(self, count):
        records = []
        for _ in range(count):
            user, item = f"user-{self.random.randrange(USERS)}", f"i{int(self.random.random() ** 2 * ITEMS)}"
            weight = self.random.randrange(1, 6)
            self.events.append((user, item, weight))
            self.published += 1
            records.append(testbed.event_protobuf(user, item, "rating", weight, START_MS + self.published, f"e{self.published}"))
        self.kafka.publish(self.topic, records)

    def assert_counts(self):
        self.daemon.wait_applied(self.topic)
        affinity = collections.defaultdict(collections.Counter)
        for user, item, weight in self.events:
            affinity[user][item] += weight
        users, together = collections.Counter(), collections.defaultdict(collections.Counter)
        for items in affinity.values():
            users.update(items.keys())
            for a, b in itertools.permutations(items, 2):
                together[a][b] += 1
        counts = collections.Counter(user for user, _, _ in self.events)
        for user, items in affinity.items():
            self.assertEqual(self.daemon.affinities(user), items, user)
            answer = self.daemon.api.GetUser(testbed.pb.GetUserRequest(user_id=user), timeout=testbed.PATIENCE_S)
            self.assertEqual(answer.events, counts[user], user)
            self.assertEqual(answer.last_event_ms, max(a.last_event_ms for a in answer.affinities), user)
        self.assertEqual(dict(self.daemon.popular(k=ITEMS)), users)
        for item in users:
            self.assertEqual({other: n for other, n in self.daemon.similar(item_id=item, k=ITEMS) if n}, together[item], item)

    # ---- the daemon and its backups

    def backup(self):
        return self.daemon.admin.Backup(testbed.admin_pb2.BackupRequest(), timeout=testbed.PATIENCE_S)

    def verify(self, number=0):
        return self.daemon.admin.VerifyBackup(testbed.admin_pb2.VerifyBackupRequest(id=number), timeout=testbed.PATIENCE_S)

    def learn_and_back_up(self, count):
        self.publish(count)
        self.daemon.wait_applied(self.topic)
        testbed.until(lambda: all(p.durable == p.applied for p in self.daemon.status().partitions), "all is durable")
        return self.backup().backup

    def logged(self, event):
        return [line for line in self.daemon.log_lines() if line["event"] == event]

    def start_and_fail(self, code):
        self.daemon.launch()
        found = self.daemon.process.wait(testbed.PATIENCE_S)
        self.assertEqual(found, code, self.daemon.log_tail())
        return self.logged("start.failed")[-1]["msg"]

    def command(self, *arguments, program="freshet", code=0):
        ran = subprocess.run([testbed.BIN / program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             timeout=testbed.PATIENCE_S)
        self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
        return ran.stdout + ran.stderr

    def files_of(self, number, suffix=""):
        lines = (self.backups / f"backup-{number:06}").read_text().splitlines()
        found = [line.split() for line in lines if line.startswith("file ")]
        return [self.backups / "files" / f"{digest}-{size}" for _, size, digest, name in found if name.endswith(suffix)]


def flip(path, at=None, bit=2):
    data = bytearray(path.read_bytes())
    data[len(data) // 3 if at is None else at] ^= 1 << bit
    path.write_bytes(data)


class Fallback(World):
    def test_damage(self):
        """whatever is done to the store, the start goes on from the newest good backup and counts the same"""
        def first(pattern):
            return max(self.store.glob(pattern))

        def spoil_tables():
            for table in self.store.glob("*.sst"):
                flip(table)

        damages = {
            "a bit in the tables": spoil_tables,
            "no tables": lambda: [table.unlink() for table in self.store.glob("*.sst")],
            "a bit in MANIFEST": lambda: flip(first("MANIFEST-*")),
            "half of MANIFEST": lambda: os.truncate(first("MANIFEST-*"), first("MANIFEST-*").stat().st_size // 2),
            "no MANIFEST": lambda: first("MANIFEST-*").unlink(),
            "rubbish in CURRENT": lambda: (self.store / "CURRENT").write_text("MANIFEST-999999\n"),
            "nothing in CURRENT": lambda: (self.store / "CURRENT").write_text(""),
            "no CURRENT": lambda: (self.store / "CURRENT").unlink(),
            "no store": lambda: shutil.rmtree(self.store),
        }
        if not testbed.LONG:  # storage/rocks opens a store with each of them
            damages = {name: damages[name] for name in ("a bit in the tables", "half of MANIFEST", "no CURRENT", "no store")}
        self.daemon.start()
        self.learn_and_back_up(300)
        made = self.learn_and_back_up(300)
        for number, (name, damage) in enumerate(damages.items()):
            with self.subTest(name):
                self.publish(40)
                self.daemon.wait_applied(self.topic)
                self.daemon.kill()
                damage()
                self.publish(20)
                self.daemon.start()
                self.assertEqual(len(self.logged("store.restored")), number + 1, self.daemon.log_tail())
                self.assert_counts()
                self.assertEqual(self.daemon.metrics().value("freshet_restored_total"), 1)
                self.assertGreater(self.daemon.metrics().value("freshet_restored_age_seconds"), 0)
        self.assertEqual(self.logged("store.restored")[0]["backup"], made.id)
        self.assertEqual(len(list(self.data.glob("store.damaged*"))), len(damages) - 1)  # all but the one that was gone
        self.daemon.kill()
        self.daemon.start()  # and a start with nothing wrong restores nothing
        self.assertEqual(len(self.logged("store.restored")), len(damages))
        self.assertEqual(self.daemon.metrics().value("freshet_restored_total"), 0)
        self.assert_counts()
        self.daemon.stop()

    def test_older(self):
        """a damaged newest backup is passed over for the one before it; with none left the start says what to do"""
        self.daemon.start()
        old, new = self.learn_and_back_up(200), self.learn_and_back_up(200)
        self.publish(50)
        self.daemon.wait_applied(self.topic)
        self.daemon.kill()
        shared = {path.name for path in self.files_of(old.id)}
        for table in self.files_of(new.id, ".sst"):
            if table.name not in shared:
                flip(table)
        (self.store / "CURRENT").write_text("")
        self.daemon.start()
        self.assertEqual([line["backup"] for line in self.logged("backup.damaged")], [new.id])
        self.assertEqual([line["backup"] for line in self.logged("store.restored")], [old.id])
        self.assert_counts()
        self.daemon.kill()
        for file in self.files_of(old.id, ".sst"):
            flip(file)
        (self.store / "CURRENT").write_text("")
        said = self.start_and_fail(74)
        self.assertIn("--rebuild", said)
        self.assertIn("no good backup", said)
        self.assertEqual((self.store / "CURRENT").read_text(), "")  # it is left for whoever looks into it
        self.daemon.process = None
        self.daemon.settings["store.fallback"] = "stop"
        self.assertIn("store.fallback = stop", self.start_and_fail(74))
        self.daemon.start("--rebuild")
        self.assert_counts()
        self.daemon.kill()

    def test_more_than_allowed(self):
        """a store that holds more than the settings allow is as good as before: it is not given up for a backup"""
        self.daemon.start()
        self.learn_and_back_up(200)
        self.daemon.stop()
        for key, bound in ("engine.users_max", 5), ("engine.items_max", 3):
            with self.subTest(key):
                self.daemon.settings[key] = bound
                self.assertIn(f"{key} is {bound}", self.start_and_fail(78))
                del self.daemon.settings[key]
        self.assertEqual(list(self.data.glob("store.damaged*")), [])
        self.assertEqual(self.logged("store.damaged") + self.logged("store.restored"), [])
        self.daemon.process = None
        self.daemon.start()
        self.assert_counts()


class Rebuild(World):
    """store ──> REBUILD, store.before-rebuild ──> a new store: asked for once, done by whichever start gets through"""

    def setUp(self):
        super().setUp()
        self.aside = self.data / "store.before-rebuild"
        self.mark = self.data / "REBUILD"
        self.daemon.start()
        self.learn_and_back_up(200)
        self.publish(20)
        self.daemon.wait_applied(self.topic)
        self.daemon.stop()

    def assert_rebuilt(self, *options):
        self.daemon.start(*options)
        self.assertEqual(len(self.logged("rebuild.begins")), 1)
        self.assertEqual(self.logged("store.restored"), [])
        self.assert_counts()
        self.assertEqual(self.daemon.metrics().total("freshet_events_applied_total"), len(self.events))  # all of them, anew
        self.assertTrue(self.aside.exists())
        self.assertFalse(self.mark.exists())
        self.daemon.stop()
        shutil.rmtree(self.aside)
        self.daemon.start()  # and the next start is one like any other
        self.assertEqual(len(self.logged("rebuild.begins")), 1)
        self.assertEqual(self.logged("store.restored"), [])
        self.assertFalse(self.aside.exists())
        self.assert_counts()
        self.daemon.stop()

    def test_killed_before_the_rename(self):
        """a rebuild that was killed before the old store was renamed is gone on with by a plain start"""
        self.mark.touch()
        self.assert_rebuilt()

    def test_killed_after_the_rename(self):
        """a rebuild that was killed before the new store was open is gone on with by a plain start; there are backups, but who wants them"""
        self.mark.touch()
        self.store.rename(self.aside)
        self.assert_rebuilt()

    def test_asked_again(self):
        """and by one that is asked for it again"""
        self.mark.touch()
        self.store.rename(self.aside)
        self.assert_rebuilt("--rebuild")

    def test_new_store_damaged(self):
        """nor does a new store that was damaged when its start was killed bring a backup back"""
        self.mark.touch()
        self.store.rename(self.aside)
        self.store.mkdir()
        (self.store / "CURRENT").write_text("")
        self.assert_rebuilt()
        self.assertEqual(len(self.logged("store.damaged")), 1)
        self.assertEqual([path.name for path in self.data.glob("store.damaged*")], ["store.damaged"])

    def test_put_back(self):
        """who puts the old store back after a rebuild that did not get through has it, and no start sets it aside again"""
        old = self.store.stat()
        self.mark.write_text(f"store.before-rebuild {old.st_dev} {old.st_ino}\nrenamed\n")
        self.daemon.start()
        self.assertEqual(len(self.logged("rebuild.taken_back")), 1)
        self.assertEqual(self.logged("rebuild.begins") + self.logged("store.restored"), [])
        self.assertFalse(self.aside.exists() or self.mark.exists())
        self.assert_counts()
        self.assertEqual(self.daemon.metrics().total("freshet_events_applied_total"), 0)  # all of them are in it
        self.daemon.stop()

    def test_no_old_store(self):
        """where there is no store, none is said to be kept"""
        shutil.rmtree(self.store)
        self.daemon.start("--rebuild")
        self.assertNotIn("old_store", self.logged("rebuild.begins")[0])
        self.assertEqual(self.logged("store.restored"), [])
        self.assertFalse(self.aside.exists() or self.mark.exists())
        self.assert_counts()
        self.daemon.stop()

    def test_restored_instead(self):
        """who restores a backup after a rebuild that did not get through has the backup"""
        self.mark.touch()
        self.store.rename(self.aside)
        self.command("restore", "--data", str(self.data))
        self.assertFalse(self.mark.exists())
        self.daemon.start()
        self.assertEqual(self.logged("rebuild.begins"), [])
        self.assert_counts()
        self.daemon.stop()

    def test_full_disk(self):
        """on a full disk a rebuild is refused while the old store is still in its place"""
        log = self.store / "999999.log"  # what RocksDB has to read at the start counts as what it needs
        with open(log, "wb") as file:
            file.truncate(shutil.disk_usage(self.data).total)
        self.daemon.launch("--rebuild")
        self.assertEqual(self.daemon.process.wait(testbed.PATIENCE_S), 74, self.daemon.log_tail())
        self.daemon.process = None
        self.assertIn("is full", self.logged("start.failed")[-1]["msg"])
        self.assertFalse(self.aside.exists() or self.mark.exists())
        log.unlink()
        self.daemon.start()
        self.assertEqual(self.logged("rebuild.begins") + self.logged("store.restored"), [])
        self.assert_counts()
        self.daemon.stop()


class Owners(World):
    """The daemon under its own user: where the tests are root's that is nobody, else whoever runs them."""

    def setUp(self):
        super().setUp()
        if os.geteuid() == 0:
            self.daemon.within = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            if subprocess.run([*self.daemon.within, testbed.BIN / "freshetd", "--version"], capture_output=True).returncode:
                self.skipTest(f"nobody may not run what is in {testbed.BIN}")
            self.daemon.folder.chmod(0o711)
            self.data.mkdir()
            os.chown(self.data, 65534, 65534)

    def test_closed_store(self):
        """a store that may not be entered is not one that is gone: the start says so, and nothing is set aside or restored"""
        self.daemon.start()
        self.learn_and_back_up(200)
        self.daemon.stop()
        if os.geteuid() == 0:
            os.chown(self.store, 0, 0)
        self.store.chmod(0o700 if os.geteuid() == 0 else 0)
        before = self.store.stat()
        self.assertIn(f"'{self.store}/CURRENT': Permission denied", self.start_and_fail(74))
        self.daemon.process = None
        self.assertEqual((self.store.stat().st_ino, self.store.stat().st_mtime_ns), (before.st_ino, before.st_mtime_ns))
        self.assertEqual(list(self.data.glob("store.damaged*")), [])
        self.store.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(self.store, 65534, 65534)
        self.daemon.start()
        self.assertEqual(self.logged("store.restored"), [])
        self.assert_counts()
        self.daemon.stop()

    def test_root_restores(self):
        """root restores nothing in the data directory of another user, who could not enter what comes of it"""
        if os.geteuid() != 0:
            self.skipTest("only root is refused")
        self.daemon.start()
        self.learn_and_back_up(200)
        self.daemon.stop()
        self.assertIn("belongs to user 65534", self.command("restore", "--data", str(self.data), code=78))
        self.assertEqual(list(self.data.glob("store.damaged*")), [])
        self.assertIn("good", self.command("verify", "all", "--path", str(self.backups)))  # which makes nothing
        self.daemon.start()
        self.assert_counts()
        self.daemon.stop()


class Online(World):
    def test_flow(self):
        """backups while events flow and answers are given: each is a whole state, at its own positions"""
        self.daemon.start()
        self.publish(500)
        starts = []
        for _ in range(6):
            self.publish(200)
            starts.append(self.backup())
        self.assertEqual([b.backup.id for b in starts], [1, 2, 3, 4, 5, 6])
        listed = self.daemon.admin.ListBackups(testbed.admin_pb2.ListBackupsRequest(), timeout=testbed.PATIENCE_S).backups
        self.assertEqual([b.id for b in listed], [6, 5, 4])  # store.backups_keep
        checks = self.verify().checks
        self.assertEqual([(c.id, c.good) for c in checks], [(6, True), (5, True), (4, True)])
        self.assert_counts()
        for backup in listed if testbed.LONG else listed[1:]:  # from each of them the same comes out
            self.daemon.kill()
            said = self.command("restore", str(backup.id), "--data", str(self.data))
            self.assertIn(f"restored backup {backup.id}", said)
            self.daemon.start()
            self.assertGreaterEqual(sum(p.applied for p in self.daemon.status().partitions), sum(p.offset for p in backup.positions))
            self.assert_counts()
        self.daemon.kill()

    def test_verify(self):
        """verify finds a flipped bit, a missing and a cut file, and names them; a restore takes none of it"""
        self.daemon.start()
        made = self.learn_and_back_up(300)
        self.assertTrue(self.verify(made.id).checks[0].good)
        admin = f"--admin={self.daemon.addresses['admin_grpc']}"
        self.assertIn("good", self.command("verify", admin))
        self.assertEqual(json.loads(self.command("verify", str(made.id), admin, "-o", "json"))["checks"], [{"id": "1", "good": True}])
        for file in self.files_of(made.id):
            kept = file.read_bytes()
            for harm in (lambda: flip(file), lambda: os.truncate(file, len(kept) - 1), file.unlink):
                harm()
                check = self.verify(made.id).checks[0]
                self.assertFalse(check.good, file)
                self.assertEqual(len(check.problems), 1, check)
                file.write_bytes(kept)
        self.assertTrue(self.verify(made.id).checks[0].good)
        flip(self.files_of(made.id, ".sst")[0])
        said = self.command("verify", admin, code=1)
        self.assertRegex(said, r"1  damaged  \d+\.sst differs")
        self.assertEqual(self.daemon.metrics().value("freshet_backups"), 0)
        said = self.command("verify", "all", "--path", str(self.backups), code=74)
        self.assertRegex(said, r"damaged\n +\d+\.sst differs")
        self.assertIn("held by another freshetd", self.command("restore", "--data", str(self.data), code=75))
        with self.assertRaises(grpc.RpcError) as refused:
            self.verify(77)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.daemon.kill()
        self.assertIn("is damaged", self.command("restore", "--data", str(self.data), code=74))
        self.daemon.start()  # as if nothing had been
        self.assertEqual(self.logged("store.restored"), [])
        self.backup()  # which heals the shared file
        self.assertEqual([c.good for c in self.verify().checks], [True, True])
        self.daemon.kill()

    def test_verify_without_room(self):
        """what verify cannot look at is named and is no part of the document, which stays one; what it can look at is in it"""
        self.daemon.start()
        older, newer = self.learn_and_back_up(100), self.learn_and_back_up(100)
        self.daemon.kill()
        flip(next(file for file in self.files_of(older.id) if file not in self.files_of(newer.id)))
        for count, wanted in ((1, "all"), (0, str(newer.id))):  # the older is read no further than to its damage
            ran = subprocess.run([testbed.BIN / "freshetd", f"--verify={wanted}", "--json", "--set=kafka.bootstrap.servers=h:1",
                                  f"--set=store.path={self.data}"], capture_output=True, text=True, timeout=testbed.PATIENCE_S,
                                 env={**os.environ, "TMPDIR": "/nowhere"})
            self.assertEqual(ran.returncode, 74, ran.stderr)
            self.assertEqual([(check["id"], check["good"]) for check in json.loads(ran.stdout)["checks"]], [("1", False)][:count])
            self.assertEqual(ran.stderr.count(f"freshetd: backup {newer.id} could not be looked at: cannot make '/nowhere/"), 1, ran.stderr)

    def test_one_at_a_time(self):
        """a second backup while one is made is told so at once"""
        self.daemon.start()
        self.learn_and_back_up(300)
        calls = [self.daemon.admin.Backup.future(testbed.admin_pb2.BackupRequest(), timeout=testbed.PATIENCE_S) for _ in range(20)]
        codes = collections.Counter(call.code() for call in calls)
        self.assertGreaterEqual(codes[grpc.StatusCode.OK], 1, codes)
        self.assertGreaterEqual(codes[grpc.StatusCode.RESOURCE_EXHAUSTED], 1, codes)
        self.assertEqual(set(codes), {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED})
        self.daemon.kill()

    def test_full(self):
        """no room where backups go: a clear error, the older ones stay, the daemon goes on, and so do backups with room again"""
        small = testbed.scratch("small")
        self.daemon.settings["store.backup_path"] = small / "backups"
        self.backups = small / "backups"
        # In the daemon's own view of the disks; the test looks in through /proc.
        inside = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=400k small "$0" && exec "$@"', small)
        if subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("this machine lets nobody mount a tmpfs in a namespace of his own")
        self.daemon.within = inside
        self.daemon.start()
        self.learn_and_back_up(300)
        inside = f"/proc/{self.daemon.process.pid}/root{small}"
        with open(f"{inside}/ballast", "wb", buffering=0) as ballast, self.assertRaises(OSError):
            while True:
                ballast.write(b"x" * 4096)
        self.publish(300)
        self.daemon.wait_applied(self.topic)
        with self.assertRaises(grpc.RpcError) as refused:
            self.backup()
        self.assertEqual(refused.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("No space left on device", refused.exception.details())
        self.assertEqual([(c.id, c.good) for c in self.verify().checks], [(1, True)])
        self.assertEqual(self.daemon.metrics().value("freshet_backup_errors_total", task="make"), 1)
        self.publish(100)
        self.assert_counts()
        os.unlink(f"{inside}/ballast")
        self.assertEqual(self.backup().backup.id, 2)
        self.assertEqual([(c.id, c.good) for c in self.verify().checks], [(2, True), (1, True)])
        self.daemon.kill()


class Window(World):
    def test_window(self):
        """freshet_recovery_window_seconds: no backup, no end in sight, some seconds, a hole"""
        def window():
            return self.daemon.metrics().value("freshet_recovery_window_seconds")

        def delete(offset):
            self.kafka.delete_records(self.topic, 0, offset)

        self.topic = self.kafka.create_topic("window", 1)
        self.daemon.settings["feed.topic"] = self.topic
        self.daemon.start()
        self.assertEqual(window(), 0)  # no backup
        now = int(time.time() * 1000)

        def publish(count, since):  # one a second
            self.kafka.publish(self.topic, [dict(zip(("key", "value"), testbed.event_protobuf("u1", "i1", time_ms=START_MS)),
                                                 timestamp=now + (since + n) * 1000) for n in range(count)])

        publish(100, -1000)
        self.daemon.wait_applied(self.topic)
        testbed.until(lambda: all(p.durable == 100 for p in self.daemon.status().partitions), "all is durable")
        self.backup()
        testbed.until(lambda: window() == float("inf"), "nothing was deleted, no end is known")
        publish(200, -900)
        self.daemon.wait_applied(self.topic)
        delete(40)
        # The backup stands at 100, the log begins at 40, and there is one record a second.
        testbed.until(lambda: window() == 60, f"60 seconds are left, not {window()}")
        delete(150)
        testbed.until(lambda: window() == -1, "the log has a hole")
        self.backup()
        self.assertEqual(window(), -1)  # the older one is of no use still
        self.daemon.kill()


if __name__ == "__main__":
    testbed.main()
