"""kill -9 at random moments while events flow: nothing lost, nothing doubled.

    producer  ────events────────────────────────────────────────────────> Kafka
    freshetd      start ... X   start ....... X   start . X   start ...      X = kill -9 at a random moment after its start

Three times on the way, and at the end, the daemon's state is compared with a batch recount, made here from the list of what
was published. All weights are whole numbers and there is no decay, so that equal means equal. Some events repeat an event_id,
and some records are bad: each repeat must be dropped, each bad record must be in the dead-letter topic.
"""
import collections
import itertools
import random
import threading
import time
import unittest

import grpc
import testbed

KILLS = 1000 if testbed.LONG else 100
SEED = 20240607
EVENTS_PER_S = 1500
USERS, ITEMS, PARTITIONS = 150, 120, 4
START_MS = 1600000000000


class Stream(threading.Thread):
    """Publishes random events until told to stop, and keeps the list of them."""

    def __init__(self, kafka, topic):
        super().__init__(daemon=True)
        self.producer = kafka.producer()
        self.topic = topic
        self.random = random.Random(SEED)
        self.events = []  # (user, item, weight), each once
        self.bad = 0
        self.sent = 0
        self.failure = None
        self.flowing = threading.Event()
        self.idle = threading.Event()
        self.ending = False

    def run(self):
        try:
            while not self.ending:
                if not self.flowing.is_set():
                    assert self.producer.flush(testbed.PATIENCE_S) == 0
                    self.idle.set()
                    self.flowing.wait(0.05)
                    continue
                self.idle.clear()
                for _ in range(EVENTS_PER_S // 100):
                    self.send_one()
                self.producer.poll(0)
                time.sleep(0.01)  # the pace of the stream; nothing waits for this
        except BaseException as err:
            self.failure = err
            self.idle.set()

    def send_one(self):
        r = self.random
        user, item = f"u{r.randrange(USERS)}", f"i{int(r.random() ** 2 * ITEMS)}"
        kind = r.random()
        self.sent += 1
        if kind < 0.01:
            self.bad += 1
            self.producer.produce(self.topic, key=user, value=b'{"user_id": "')
            return
        weight = r.randrange(1, 6)
        event_id = f"e{self.sent}" if kind < 0.2 else ""
        key, value = testbed.event_protobuf(user, item, "rating", weight, START_MS + self.sent, event_id)
        self.events.append((user, item, weight))
        self.producer.produce(self.topic, key=key, value=value)
        if kind < 0.05:
            self.sent += 1
            self.producer.produce(self.topic, key=key, value=value)

    def pause(self):
        """Everything sent so far is in Kafka when this returns."""
        self.flowing.clear()
        self.idle.clear()
        assert self.idle.wait(testbed.PATIENCE_S) and not self.failure, self.failure


class Oracle:
    """The batch recount."""

    def __init__(self, events):
        self.affinity = collections.defaultdict(lambda: collections.defaultdict(int))
        self.count = collections.Counter()
        for user, item, weight in events:
            self.affinity[user][item] += weight
            self.count[user] += 1
        self.together = collections.defaultdict(collections.Counter)
        self.users = collections.Counter()
        for items in self.affinity.values():
            self.users.update(items.keys())
            for a, b in itertools.permutations(items, 2):
                self.together[a][b] += 1


class Kills(unittest.TestCase):
    def setUp(self):
        self.kafka = testbed.Kafka()
        self.topic = self.kafka.create_topic("kills", PARTITIONS)
        self.kafka.create_topic("kills.dead", 1)
        self.stream = Stream(self.kafka, self.topic)
        self.addCleanup(setattr, self.stream, "ending", True)
        self.stream.start()

    def test_kills(self):
        self.kill_while_events_flow()

    test_kills.__doc__ = f"{KILLS} kills -9 while events flow"

    def kill_while_events_flow(self):
        moments = random.Random(SEED)
        settings = {"feed.topic": self.topic, "feed.dead_letter_topic": "kills.dead", "sar.mode": "parity", "sar.half_life_days": 0,
                    "sar.similarity": "cooccurrence", "store.checkpoint_interval_ms": 50, "store.wal_sync_interval_ms": 100}
        with testbed.Daemon(self.kafka, settings) as daemon:
            daemon.kill()
            self.stream.flowing.set()
            for kill in range(1, KILLS + 1):
                daemon.launch()
                # Short lives end within the start and the recovery, long ones among checkpoints.
                time.sleep(moments.choice((0.15, 0.6, 1.2)) * moments.random())
                self.assertIsNone(daemon.process.poll(), f"it ended by itself:\n{daemon.log_tail()}")
                daemon.kill()
                if kill % (KILLS // 4) == 0:
                    self.compare(daemon)
            print(f"     {self.stream.sent} records, {len(self.stream.events)} of them events, {self.stream.bad} bad, {KILLS} kills")

    def compare(self, daemon):
        self.stream.pause()
        daemon.start()
        daemon.wait_applied(self.topic)
        oracle = Oracle(self.stream.events)
        try:
            self.compare_users(daemon, oracle)
            self.compare_items(daemon, oracle)
            self.compare_letters(daemon)
        except AssertionError as err:
            raise AssertionError(f"{err}\nstatus: {daemon.status()}") from None
        daemon.stop()
        self.stream.flowing.set()

    def compare_users(self, daemon, oracle):
        for user, items in oracle.affinity.items():
            answer = daemon.api.GetUser(testbed.pb.GetUserRequest(user_id=user), timeout=testbed.PATIENCE_S)
            self.assertEqual({a.item_id: a.affinity for a in answer.affinities}, items, f"affinities of {user}")
            self.assertEqual(answer.events, oracle.count[user], f"events of {user}")

    def compare_items(self, daemon, oracle):
        self.assertEqual(dict(daemon.popular(k=ITEMS)), oracle.users, "users of each item")
        for item in oracle.users:
            mine = {other: value for other, value in daemon.similar(item_id=item, k=ITEMS) if value}
            self.assertEqual(mine, oracle.together[item], f"co-occurrence of {item}")
        status = daemon.status()
        pairs = sum(len(row) for row in oracle.together.values())
        self.assertEqual((status.users, status.items, status.pairs), (len(oracle.affinity), len(oracle.users), pairs))

    def compare_letters(self, daemon):
        """Each bad record is there; after a kill a letter may be sent again, with the same origin."""
        def origins():
            found = set()
            for letter in self.kafka.read("kills.dead"):
                headers = dict(letter.headers())
                found.add((headers["x-orig-partition"], headers["x-orig-offset"]))
            return found

        testbed.until(lambda: len(origins()) >= self.stream.bad, "all dead letters have arrived", pause_s=0.2)
        self.assertEqual(len(origins()), self.stream.bad, "dead letters")


if __name__ == "__main__":
    testbed.main()
