"""Forgetting: a user and an item leave for good, through the log, whatever is replayed, killed or restored.

    events ──> Kafka ──> freshetd ──backup──> forget ──> older records again, kill -9, the backup back in place ──> still forgotten
"""
import shutil
import subprocess
import time
import unittest

import grpc
import testbed
from backup_test import START_MS, World, flip
from testbed import pb, until

USER, ITEM = "user-3", "i1"  # long enough not to stand in random bytes by chance


class Forget(World):
    def setUp(self):
        super().setUp()
        names = {"items": self.topic + ".items", "users": self.topic + ".users"}
        for kind, topic in names.items():
            self.kafka.create_topic(topic, 2)
            self.daemon.settings[f"feed.{kind}_topic"] = topic

    def freshet(self, *arguments):
        run = subprocess.run([testbed.BIN / "freshet", *arguments, "--admin", self.daemon.addresses["admin_grpc"]], capture_output=True,
                             text=True, timeout=testbed.PATIENCE_S)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def replay_old_records(self, logged_ms):
        """As a producer does that had it in its hands all the while."""
        producer = self.kafka.producer()
        for user, item in ((USER, "i0"), ("user-4", ITEM)):
            key, value = testbed.event_protobuf(user, item, "rating", 1, START_MS)
            producer.produce(self.topic, key=key, value=value, timestamp=logged_ms)
        self.assertEqual(producer.flush(testbed.PATIENCE_S), 0)

    def assert_forgotten_items_are_gone(self):
        until(lambda: self.daemon.metrics().value("freshet_forgetting_items") == 0, "no history holds what was forgotten")
        self.assert_counts()

    def test_for_ever(self):
        self.daemon.start()
        self.learn_and_back_up(600)
        self.assertTrue(self.daemon.affinities(USER))
        began_ms = int(time.time() * 1000)
        said = self.freshet("forget", "user", USER) + self.freshet("forget", "item", ITEM)
        self.assertEqual(said.count("forgotten: events up to"), 2)
        self.assertIn("remains   Kafka:", said)
        answer = self.daemon.admin.ForgetUser(testbed.admin_pb2.ForgetUserRequest(user_id=USER), timeout=testbed.PATIENCE_S)
        self.assertTrue(began_ms <= answer.cutoff_ms <= time.time() * 1000)
        self.assertEqual(self.daemon.affinities(USER), {})
        self.events = [event for event in self.events if event[0] != USER and event[1] != ITEM]
        self.assert_forgotten_items_are_gone()

        self.replay_old_records(began_ms - 1)
        self.assert_counts()
        self.assertEqual(self.daemon.metrics().total("freshet_events_forgotten_total"), 2)
        self.publish(300)  # of whom is forgotten, too: they are somebody new
        self.assert_counts()
        self.assertTrue(self.daemon.affinities(USER))

        self.daemon.kill()
        self.daemon.start()
        self.assert_forgotten_items_are_gone()

        self.daemon.kill()
        shutil.rmtree(self.store)  # the backup of before takes its place
        self.daemon.start()
        self.assertIn("forgotten.again", self.daemon.log.read_text())
        self.assert_forgotten_items_are_gone()
        self.assertNotIn(USER.encode(), (self.data / "store.forgotten").read_bytes())
        self.assertEqual(self.daemon.api.GetItem(pb.GetItemRequest(item_id=ITEM)).users, len({u for u, i, _ in self.events if i == ITEM}))

    def test_topic_made_anew(self):
        """a tombstone behind the position of the topic that was before is not told to be applied; once that topic is reset, it is"""
        users = self.daemon.settings["feed.users_topic"]
        self.daemon.start()
        self.learn_and_back_up(200)
        for _ in range(3):
            self.freshet("forget", "user", USER)
        at = self.daemon.admin.ForgetUser(testbed.admin_pb2.ForgetUserRequest(user_id=USER), timeout=testbed.PATIENCE_S).tombstone

        def state():
            return {p.partition: p.state for p in self.daemon.status().partitions if p.topic == users}[at.partition]

        self.kafka.delete_topic(users)
        until(lambda: state() == "waiting", "it is noticed")
        until(lambda: self.made(users), "the topic is made anew")
        until(lambda: state() == "halted_truncated", "it is another one")
        with self.assertRaises(grpc.RpcError) as refused:
            self.daemon.admin.ForgetUser(testbed.admin_pb2.ForgetUserRequest(user_id=USER), timeout=testbed.PATIENCE_S)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.FAILED_PRECONDITION, refused.exception.details())
        self.assertIn("was passed unread", refused.exception.details())
        self.freshet("reset", str(at.partition), "--topic", users, "--applied", str(at.offset), "--to", "earliest", "--new-log")
        self.assertIn("forgotten: events up to", self.freshet("forget", "user", USER))

    def made(self, topic):
        try:
            return self.kafka.create_topic(topic, 2)
        except Exception as err:
            if "TOPIC_ALREADY_EXISTS" in str(err):  # not yet deleted everywhere
                return False
            raise

    def test_damaged_ledger(self):
        """a damaged store.forgotten stops the start, and costs neither the store nor a backup"""
        self.daemon.start()
        self.learn_and_back_up(200)
        self.freshet("forget", "user", USER)
        self.events = [event for event in self.events if event[0] != USER]
        self.daemon.stop()
        ledger = self.data / "store.forgotten"
        good = ledger.read_bytes()
        flip(ledger, at=20)
        for _ in range(2):
            said = self.start_and_fail(74)
            self.assertIn(str(ledger), said)
            self.assertIn("put back a good copy", said)
        self.assertEqual(list(self.data.glob("store.damaged*")), [])
        self.assertEqual(self.logged("store.damaged") + self.logged("store.restored"), [])
        ledger.write_bytes(good)
        self.daemon.process = None
        self.daemon.start()
        self.assert_counts()
        self.assertEqual(self.daemon.affinities(USER), {})


if __name__ == "__main__":
    testbed.main()
