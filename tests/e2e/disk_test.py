"""A disk that fails, is slow, is full, or loses its power: queries go on, nothing is lost, nothing doubled.

    producer ──events──> Kafka ──> freshetd ──> its files ──> faultfs.so: errors by rule, and what a power cut would take
    asker    ──────────────────────> answers, all the time

The daemon is the real one with tests/support/faultfs.c preloaded; the full disk is a small tmpfs of its own. At the end of each
test the state is compared with a count made here, before and after a restart. All weights are whole and nothing decays, so
equal means equal.
"""
import collections
import itertools
import os
import random
import re
import subprocess
import threading
import time
import unittest

import grpc
import testbed

SEED = 20240711
USERS, ITEMS, PARTITIONS = 60, 50, 3
RESUME_S = 30  # after the cause has gone
TOOLS = testbed.BIN.parent / "tests"
KAFKA = None


def kafka():
    global KAFKA
    KAFKA = KAFKA or testbed.Kafka()
    return KAFKA


class Stream(threading.Thread):
    """Publishes random events until told to stop, and counts them."""

    def __init__(self, topic, seed):
        super().__init__(daemon=True)
        self.producer, self.topic, self.random = kafka().producer(), topic, random.Random(seed)
        self.affinity = collections.defaultdict(collections.Counter)
        self.sent = 0
        self.ending = False
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.ending:
                for _ in range(8):
                    self.send_one()
                self.producer.poll(0)
                time.sleep(0.01)  # the pace of the stream; nothing waits for this
            assert self.producer.flush(testbed.PATIENCE_S) == 0
        except BaseException as err:
            self.failure = err

    def send_one(self):
        user, item = f"u{self.random.randrange(USERS)}", f"i{int(self.random.random() ** 2 * ITEMS)}"
        weight = self.random.randrange(1, 6)
        self.sent += 1
        key, value = testbed.event_protobuf(user, item, "rating", weight, 1600000000000 + self.sent)
        self.affinity[user][item] += weight
        self.producer.produce(self.topic, key=key, value=value)

    def end(self):
        """Everything sent is in Kafka when this returns."""
        self.ending = True
        self.join(testbed.PATIENCE_S)
        assert not self.is_alive() and not self.failure, self.failure

    def compare(self, daemon):
        daemon.wait_applied(self.topic)
        together, users = collections.defaultdict(collections.Counter), collections.Counter()
        for user, items in self.affinity.items():
            assert daemon.affinities(user) == dict(items), f"affinities of {user}"
            users.update(items.keys())
            for a, b in itertools.permutations(items, 2):
                together[a][b] += 1
        assert dict(daemon.popular(k=ITEMS)) == users, "users of each item"
        for item in users:
            mine = {other: value for other, value in daemon.similar(item_id=item, k=ITEMS) if value}
            assert mine == together[item], f"co-occurrence of {item}"


class Asker(threading.Thread):
    """Asks all the time; every answer must come, and soon."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.api, self.answers, self.slowest, self.ending, self.failure = daemon.api, 0, 0, False, None
        self.start()

    def run(self):
        while not self.ending:
            began = time.monotonic()
            try:
                self.api.Recommend(testbed.pb.RecommendRequest(user_id=f"u{self.answers % USERS}", k=5), timeout=5)
            except grpc.RpcError as err:
                self.failure = err
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.answers += 1

    def end(self):
        self.ending = True
        self.join(testbed.PATIENCE_S)
        assert not self.failure, f"a query failed after {self.answers} answers: {self.failure}"
        assert self.answers > 0
        return self.answers


class Disk(unittest.TestCase):
    def setUp(self):
        self.topic = kafka().create_topic(self.id().rsplit(".", 1)[1].replace("_", "-"), PARTITIONS)

    def daemon(self, store=None, faulty=True, power=False, **settings):
        """A daemon whose disk obeys self.rules()."""
        folder = store or testbed.scratch("disk")
        self.rules_file = folder / "rules"
        environment = {}
        if faulty:
            environment = {**testbed.preloaded("faultfs.so"), "FAULTFS_ROOT": str(folder / "store"),
                           "FAULTFS_RULES": str(self.rules_file)}
        if power:
            (folder / "undo").mkdir()
            environment["FAULTFS_UNDO"] = str(folder / "undo")
        return testbed.Daemon(kafka(), {
            "feed.topic": self.topic, "sar.mode": "parity", "sar.half_life_days": 0, "sar.similarity": "cooccurrence",
            "store.checkpoint_interval_ms": 20, "store.wal_sync_interval_ms": 100,
            **{name.replace("__", "."): value for name, value in settings.items()}}, store=folder, environment=environment)

    def rules(self, text):
        """From now on the disk behaves so; forgets which rules have fired."""
        fired = self.rules_file.with_name("rules.fired")
        fired.unlink(missing_ok=True)
        new = self.rules_file.with_name("rules.new")
        new.write_text(text + "\n")
        os.replace(new, self.rules_file)

    def fired(self):
        return self.rules_file.with_name("rules.fired").exists()

    def durable(self, daemon):
        return sum(p.durable for p in daemon.status().partitions)

    def moves_on(self, daemon, cause_s=0):
        """Both what is applied and what is durable get further within the time promised after the cause has gone, in `cause_s` at most."""
        applied = sum(p.applied for p in daemon.status().partitions)
        testbed.until(lambda: self.durable(daemon) > applied, "what is durable moves on", cause_s + RESUME_S)

    def test_errors(self):
        """ENOSPC, EIO, torn and short writes, failing syncs at the n-th call, once and lasting"""
        once = ["write .log {n} EIO", "write .log {n} ENOSPC", "write .log {n} torn EIO", "write .log {n} short",
                "sync .log {n} EIO", "sync DURABLE {n} EIO"]
        lasting = ["write * {n}+ ENOSPC", "sync * {n}+ EIO", "* * {n}+ EIO"]
        picked = random.Random(SEED)
        tries = 30 if testbed.LONG else 1
        with self.daemon() as daemon:
            stream, asker = Stream(self.topic, SEED), Asker(daemon)
            self.moves_on(daemon)
            process = daemon.process.pid
            for _ in range(tries):
                for rule in once + lasting:
                    self.rules(rule.format(n=picked.randrange(1, 6)))
                    testbed.until(self.fired, f"{rule} fires")
                    if rule in lasting:
                        errors = lambda: daemon.metrics().total("freshet_checkpoint_errors_total")
                        before = errors()
                        testbed.until(lambda: errors() > before + 1, f"{rule} is met again and again")
                        self.assertTrue(self.fired())
                    self.rules("")
                    self.moves_on(daemon)
            stream.end()
            stream.compare(daemon)
            answers = asker.end()
            self.assertEqual(daemon.process.pid, process)
            self.assertIsNone(daemon.process.poll())
            reopened = daemon.metrics().total("freshet_store_reopened_total")
            self.assertGreater(reopened, 5)
            daemon.restart()
            stream.compare(daemon)
            print(f"     {stream.sent} events, {answers} answers, the slowest {asker.slowest:.3f} s; "
                  f"the store was reopened {reopened:.0f} times")

    def test_slow(self):
        """syncs of 5 s (35 s in the long form) delay what is durable, and neither ingest nor queries"""
        seconds = 35 if testbed.LONG else 5
        with self.daemon() as daemon:
            stream, asker = Stream(self.topic, SEED + 1), Asker(daemon)
            self.moves_on(daemon)
            began = time.monotonic()  # before the rule: no sync that begins under it ends within so many seconds from here
            self.rules(f"sync * * delay {seconds * 1000}")
            testbed.until(self.fired, "the first slow sync")
            before, slow_since = self.durable(daemon), time.monotonic()
            daemon.wait_applied(self.topic)
            fresh = time.monotonic()
            self.assertLess(fresh, began + seconds, "what is published meanwhile is applied meanwhile")
            while time.monotonic() < began + seconds - 1:
                self.assertEqual(daemon.http("/livez")[0], 200)
                durable = self.durable(daemon)
                if time.monotonic() < began + seconds:  # else it took so long to ask that the sync may have ended
                    self.assertLessEqual(durable, max(before, 1), "and is not called durable")
            self.assertEqual(daemon.http("/readyz")[0], 200)
            self.rules("")
            self.moves_on(daemon, cause_s=seconds)  # another sync may have begun
            stream.end()
            stream.compare(daemon)
            print(f"     applied {fresh - slow_since:.3f} s after the sync began; {asker.end()} answers, "
                  f"the slowest {asker.slowest:.3f} s")

    def small_disk(self, megabytes):
        folder = testbed.scratch("small")
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, text=True)
        if mounted.returncode:
            self.skipTest(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        return folder

    def fill(self, folder, leave):
        """All of the disk but so many bytes."""
        with open(folder / "filler", "ab") as filler:
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            if free > leave:
                os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, free - leave)

    def held(self, daemon):
        return daemon.metrics().value("freshet_ingest_held", reason="disk")

    def test_full(self):
        """a disk below its reserve: ingest waits, queries go on, all resumes by itself; a start on a full disk"""
        folder = self.small_disk(256)
        with self.daemon(store=folder, faulty=False) as daemon:
            stream, asker = Stream(self.topic, SEED + 2), Asker(daemon)
            self.moves_on(daemon)
            self.assertEqual(self.held(daemon), 0)
            self.fill(folder, leave=32 << 20)
            testbed.until(lambda: self.held(daemon) == 1, "ingest is held")
            self.fill(folder, leave=0)  # as another program would
            applied = sum(p.applied for p in daemon.status().partitions)
            end = sum(p.offset for p in kafka().positions(self.topic))
            testbed.until(lambda: sum(p.offset for p in kafka().positions(self.topic)) > end + 2000, "the log grows")
            self.assertLess(sum(p.applied for p in daemon.status().partitions), applied + 2000)
            self.assertEqual(self.held(daemon), 1)
            self.assertEqual(daemon.metrics().total("freshet_checkpoint_errors_total"), 0, "RocksDB has not met the full disk")
            (folder / "filler").unlink()
            began = time.monotonic()
            self.moves_on(daemon)
            resumed = time.monotonic() - began
            self.assertEqual(self.held(daemon), 0)
            log = daemon.log.read_text()
            self.assertEqual((log.count('"disk.low"'), log.count('"disk.room"')), (1, 1))
            answers = asker.end()
            self.start_on_full_disk(daemon, folder)
            stream.end()
            stream.compare(daemon)
            print(f"     resumed {resumed:.1f} s after there was room; {answers} answers, the slowest {asker.slowest:.3f} s")

    def start_on_full_disk(self, daemon, folder):
        ballast = folder / "store" / "BALLAST.freshet"
        daemon.kill()
        self.assertTrue(ballast.exists())
        self.fill(folder, leave=0)
        daemon.start()  # the ballast makes room enough to open the store
        self.assertFalse(ballast.exists())
        testbed.until(lambda: self.held(daemon) == 1, "ingest is held")
        daemon.recommend("u1", k=3)
        daemon.kill()
        self.fill(folder, leave=0)
        daemon.launch()
        self.assertEqual(daemon.process.wait(testbed.PATIENCE_S), 74)
        said = re.search(r"the disk of '(.*?)' is full: opening the store needs (\d+) bytes and (\d+) are free", daemon.log_tail())
        self.assertIsNotNone(said, daemon.log_tail())
        self.assertEqual(said[1], str(folder / "store"))
        self.assertGreater(int(said[2]), int(said[3]))
        daemon.kill()
        (folder / "filler").unlink()
        daemon.start()

    def test_power(self):
        """power cuts at random moments: nothing that was reported durable is lost"""
        rounds = 500 if testbed.LONG else 25
        moments = random.Random(SEED + 3)
        went_back = lost = unsynced = 0
        with self.daemon(power=True, store__wal_sync_interval_ms=150) as daemon:
            stream = Stream(self.topic, SEED + 3)
            for number in range(rounds):
                self.moves_on(daemon)
                end = time.monotonic() + moments.random() * 0.4
                while True:  # once at least: what it said a cut ago is not what it says now
                    reported = {p.partition: (p.durable, p.applied) for p in daemon.status().partitions}
                    if time.monotonic() >= end:
                        break
                daemon.kill()
                unsynced += len(list((daemon.folder / "undo").iterdir()))
                subprocess.run([TOOLS / "powerloss", daemon.folder / "store", daemon.folder / "undo", str(number)], check=True)
                daemon.start()
                found = {p.partition: p.durable for p in daemon.status().partitions}
                for partition, (durable, _) in reported.items():
                    self.assertGreaterEqual(found.get(partition, 0), durable, f"round {number}, partition {partition}")
                lost += any(found.get(partition, 0) < applied for partition, (_, applied) in reported.items())
                went_back += '"store.went_back"' in daemon.log_tail()
            stream.end()
            stream.compare(daemon)
            self.assertEqual(went_back, 0)
            self.assertGreater(unsynced, rounds, "files that a power cut changes")
            self.assertGreater(lost, 0, "a cut takes something that was applied and not yet durable")
            print(f"     {rounds} power cuts, {lost} of which took what was applied and not yet durable; {stream.sent} events")


if __name__ == "__main__":
    testbed.main()
