"""What can become of a real Kafka under a running freshetd: killed, trimmed, made anew, exchanged.

Either the state equals an independent count of what the log holds, or the partition is halted with the right reason, the others
and all questions go on, and the log says so. Never silently wrong.
"""
import collections
import itertools
import subprocess
import threading
import time
import unittest

import testbed

KILLS = 10 if testbed.LONG else 1
GOOD_MS = 1500000000000
kafka = None


def setUpModule():
    global kafka
    kafka = testbed.Kafka()


def daemon_on(topic, **settings):
    return testbed.Daemon(kafka, {"feed.topic": topic, "feed.dead_letter_topic": "dead", "sar.mode": "parity", "sar.half_life_days": 0,
                                  "store.checkpoint_interval_ms": 50, "serve.drain_grace_ms": 100,
                                  **{k.replace("__", "."): v for k, v in settings.items()}})


def topic_of(name, partitions):
    if "dead" not in kafka.admin.list_topics(timeout=60).topics:
        kafka.create_topic("dead", 1)
    return kafka.create_topic(name, partitions)


def record(partition, number, item="i", **fields):
    """Record `number` of a partition: ten records to a user, one to an item, so that each leaves a trace of its own."""
    user, value = testbed.event_protobuf(f"u{partition}.{number // 10}", f"{item}{partition}.{number}", "rating", number % 5 + 1,
                                         GOOD_MS + number)
    return {"key": user.encode(), "value": value, "partition": partition, **fields}


def fill(topic, partition, first, count, item="i", broker=None):
    (broker or kafka).publish(topic, [record(partition, n, item) for n in range(first, first + count)])


def counted(messages):
    """The independent count: user -> item -> sum of values."""
    state = collections.defaultdict(lambda: collections.defaultdict(float))
    for message in messages:
        event = testbed.events_pb2.Event.FromString(message.value())
        state[event.user_id][event.item_id] += event.value
    return state


class Bed(unittest.TestCase):
    def compare(self, daemon, want):
        """Users, affinities, and how many users each item has; nothing besides."""
        for user, items in want.items():
            self.assertEqual(daemon.affinities(user), items, f"affinities of {user}")
        items = {item for of_user in want.values() for item in of_user}
        status = daemon.status()
        self.assertEqual((status.users, status.items), (len(want), len(items)))
        together = sum(len(of_user) * (len(of_user) - 1) for of_user in want.values())
        self.assertEqual(status.pairs, together, "co-occurrences: no user shares an item with another here")

    def wait_states(self, daemon, want):
        """want: {partition: state}; the gauge agrees."""
        def states():
            return {p.partition: p.state for p in daemon.status().partitions}

        try:
            testbed.until(lambda: states() == want, f"states {want}")
        except AssertionError as err:
            raise AssertionError(f"{err}; they are {states()}\n{daemon.log_tail()}") from None
        metrics = daemon.metrics()
        for partition, state in want.items():
            self.assertEqual(metrics.value("freshet_partition_state", topic=daemon.settings["feed.topic"],
                                           partition=str(partition), state=state), 1)

    def wait_position(self, daemon, partition, offset):
        def there():
            return any(p.partition == partition and p.applied >= offset for p in daemon.status().partitions)

        testbed.until(there, f"partition {partition} is applied up to {offset}")


    def reset(self, daemon, *arguments, code=0):
        return self.freshet(daemon, "reset", *arguments, code=code)

    def freshet(self, daemon, *arguments, code=0):
        run = subprocess.run([testbed.BIN / "freshet", *map(str, arguments), "--admin", daemon.addresses["admin_grpc"]],
                             capture_output=True, text=True, timeout=testbed.PATIENCE_S)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stderr if code else run.stdout


class Faults(Bed):
    def test_killed_broker(self):
        """kill -9 of the broker while events flow: all that the log holds is learned, once"""
        topic = topic_of("killed", 3)
        ending, failures = threading.Event(), []

        def flow():
            producer = kafka.producer(**{"enable.idempotence": True, "message.timeout.ms": 1000 * testbed.PATIENCE_S})
            for n in itertools.count():
                producer.produce(topic, on_delivery=lambda err, _: err and failures.append(err), **record(n % 3, n // 3))
                producer.poll(0)
                if ending.wait(0.001):
                    break
            if producer.flush(testbed.PATIENCE_S):
                failures.append("not flushed")

        with daemon_on(topic) as daemon:
            thread = threading.Thread(target=flow, daemon=True)
            thread.start()
            for turn in range(KILLS):
                self.wait_position(daemon, turn % 3, 200 * turn + 200)
                kafka.kill()
                self.assertTrue(daemon.affinities("u0.0"), "questions are answered meanwhile")
                testbed.until(lambda: daemon.metrics().value("freshet_kafka_unreachable", client="dead letters"), "it is noticed")
                kafka.restart()
            testbed.until(lambda: not daemon.metrics().total("freshet_kafka_unreachable"), "all clients know that the broker is back")
            self.wait_position(daemon, 0, 1 + max(p.applied for p in daemon.status().partitions if p.partition == 0))
            ending.set()
            thread.join()  # as long as its flush may take; else what it has to complain of would come too late
            self.assertFalse(failures)
            daemon.wait_applied(topic)
            messages = kafka.read(topic)
            self.compare(daemon, counted(messages))
            print(f"     {len(messages)} records through {KILLS} kills of the broker")

    def test_deleted_records(self):
        """records deleted past our offset: halt says so, skip records the hole once"""
        topic = topic_of("trimmed", 2)
        with daemon_on(topic) as daemon:
            fill(topic, 0, 0, 100)
            fill(topic, 1, 0, 100)
            daemon.wait_applied(topic)
            daemon.stop()
            fill(topic, 0, 100, 100)
            kafka.delete_records(topic, 0, 150)
            daemon.start()
            fill(topic, 1, 100, 50)
            self.wait_position(daemon, 1, 150)
            self.wait_states(daemon, {0: "halted_gap", 1: "running"})
            self.compare(daemon, counted_of({0: range(100), 1: range(150)}))
            self.assertIn("partition.gap", daemon.log_tail())
            for turn in range(2):  # the second start finds the hole in the store
                daemon.restart(feed__on_gap="skip")
                daemon.wait_applied(topic)
                self.wait_states(daemon, {0: "running", 1: "running"})
                self.compare(daemon, counted_of({0: [*range(100), *range(150, 200)], 1: range(150)}))
                skipped = {p: daemon.metrics().value("freshet_events_skipped_total", topic=topic, partition=p) for p in "01"}
                self.assertEqual(skipped, {"0": 50, "1": 0})
            daemon.kill()  # a kill right after the next hole
            fill(topic, 0, 200, 100)
            kafka.delete_records(topic, 0, 230)
            for turn in range(3):
                daemon.start()
                daemon.wait_applied(topic)
                daemon.kill()
            daemon.start()
            daemon.wait_applied(topic)
            self.compare(daemon, counted_of({0: [*range(100), *range(150, 200), *range(230, 300)], 1: range(150)}))
            self.assertEqual(daemon.metrics().value("freshet_events_skipped_total", topic=topic, partition="0"), 80)

    def test_reset_behind_deleted_records(self):
        """halted at deleted records, an operator has it go on: lost is what Kafka has deleted, and a kill after the answer changes nothing"""
        topic = topic_of("reset", 2)
        with daemon_on(topic, store__checkpoint_interval_ms=600000) as daemon:  # but for the one that is asked for
            fill(topic, 0, 0, 100)
            daemon.wait_applied(topic)
            daemon.stop()
            fill(topic, 0, 100, 100)
            kafka.delete_records(topic, 0, 150)
            daemon.start()
            self.wait_states(daemon, {0: "halted_gap", 1: "running"})
            fill(topic, 1, 0, 10)
            self.wait_position(daemon, 1, 10)
            self.freshet(daemon, "checkpoint")  # the first one comes at once, after ten records or after fewer; from here on none comes by itself
            fill(topic, 1, 10, 10)
            self.wait_position(daemon, 1, 20)
            self.freshet(daemon, "checkpoint")
            self.assertIn("stands at 100, not at 99", self.reset(daemon, 0, "--applied", 99, "--to", "earliest", code=1))
            self.assertIn("is not halted", self.reset(daemon, 1, "--applied", 20, "--to", "end", code=1))
            self.assertIn("from 150 to before 200", self.reset(daemon, 0, "--applied", 100, "--to", 149, code=1))
            said = self.reset(daemon, 0, "--applied", 100, "--to", "earliest")
            daemon.kill()
            self.assertIn(f"{topic}/0 goes on at 150, where it stood at 100; the log ends at 200", said)
            self.assertIn("lost      50 offsets", said)
            self.assertIn('"event":"partition.reset"', daemon.log_tail())
            daemon.start()
            daemon.wait_applied(topic)
            self.wait_states(daemon, {0: "running", 1: "running"})
            self.compare(daemon, counted_of({0: [*range(100), *range(150, 200)], 1: range(20)}))
            self.assertEqual(daemon.metrics().value("freshet_events_skipped_total", topic=topic, partition="0"), 50)

    def test_proof_deleted(self):
        """the record we were at is deleted, and nothing beyond: no evidence, no halt"""
        topic = topic_of("unproven", 1)
        with daemon_on(topic) as daemon:
            fill(topic, 0, 0, 100)
            daemon.wait_applied(topic)
            daemon.stop()
            fill(topic, 0, 100, 100)
            kafka.delete_records(topic, 0, 100)
            daemon.start()
            daemon.wait_applied(topic)
            self.wait_states(daemon, {0: "running"})
            self.compare(daemon, counted_of({0: range(200)}))

    def test_control_records(self):
        """transactions: a log that ends in control records is known again by the record before them"""
        topic = topic_of("transactions", 1)
        producer = kafka.producer(**{"transactional.id": "t", "linger.ms": 0})
        producer.init_transactions(testbed.PATIENCE_S)

        def transaction(first, count, good):
            end = kafka.positions(topic)[0].offset + count + 1  # behind the control record
            producer.begin_transaction()
            for n in range(first, first + count):
                producer.produce(topic, **record(0, n))
            producer.flush(testbed.PATIENCE_S)
            (producer.commit_transaction if good else producer.abort_transaction)(testbed.PATIENCE_S)
            # Kafka answers before it writes that record; until then the log that readers see
            # ends before the transaction.
            testbed.until(lambda: kafka.positions(topic)[0].offset == end, "the control record is in the log")

        with daemon_on(topic) as daemon:
            transaction(0, 10, True)
            transaction(1000, 10, False)
            daemon.wait_applied(topic)
            self.compare(daemon, counted_of({0: range(10)}))
            daemon.restart()
            daemon.wait_applied(topic)
            transaction(10, 10, True)
            daemon.wait_applied(topic)
            self.wait_states(daemon, {0: "running"})
            self.compare(daemon, counted_of({0: range(20)}))

    def test_made_anew_meanwhile(self):
        """a topic deleted and made anew while the daemon is down: halted, whatever the new one holds"""
        topic = topic_of("anew", 3)
        with daemon_on(topic, feed__on_gap="skip") as daemon:
            for partition, count in ((0, 100), (1, 20)):  # nothing in partition 2
                fill(topic, partition, 0, count)
            daemon.wait_applied(topic)
            daemon.stop()
            kafka.delete_topic(topic)
            testbed.until(lambda: self.created(topic, 3), "the topic is made anew")
            for partition in range(3):  # shorter than what was read, longer, and new to us
                fill(topic, partition, 0, 50, item="new")
            daemon.start()
            self.wait_states(daemon, {0: "halted_truncated", 1: "halted_other_log", 2: "running"})
            self.wait_position(daemon, 2, 50)
            want = counted_of({0: range(100), 1: range(20)})
            want.update(counted_of({2: range(50)}, "new"))
            self.compare(daemon, want)
            for event in ("partition.truncated", "partition.other_log"):
                self.assertIn(event, daemon.log_tail())
            self.read_anew(daemon, topic, want)

    def read_anew(self, daemon, topic, want):
        """partition 0 from the beginning of the new log, which is behind where it stood; partition 1 at the new log's end"""
        self.assertIn("count twice", self.reset(daemon, 0, "--applied", 100, "--to", "earliest", code=1))
        said = self.reset(daemon, 0, "--applied", 100, "--to", "earliest", "--new-log")
        daemon.kill()
        self.assertIn("goes on at 0, where it stood at 100; the log ends at 50", said)
        self.assertIn("what was learned of the log before", said)
        for user, items in counted_of({0: range(50)}, "new").items():
            want[user].update(items)
        daemon.start()
        self.wait_states(daemon, {0: "running", 1: "halted_other_log", 2: "running"})
        self.wait_position(daemon, 0, 50)
        self.compare(daemon, want)
        self.assertIn("lost      30 offsets", self.reset(daemon, 1, "--applied", 20, "--to", "end"))
        daemon.kill()
        for partition in range(2):
            fill(topic, partition, 50, 10, item="new")
        for user, items in counted_of({0: range(50, 60), 1: range(50, 60)}, "new").items():
            want[user].update(items)
        for turn in range(2):  # the second time its own last record is compared
            daemon.start()
            daemon.wait_applied(topic)
            self.wait_states(daemon, {0: "running", 1: "running", 2: "running"})
            self.compare(daemon, want)
            self.assertEqual([daemon.metrics().value("freshet_events_skipped_total", topic=topic, partition=p) for p in "012"], [0, 30, 0])
            self.freshet(daemon, "checkpoint")  # else the second start may be the first one again
            daemon.kill()
        daemon.start()

    def created(self, topic, partitions):
        try:
            return kafka.create_topic(topic, partitions)
        except Exception as err:
            if "TOPIC_ALREADY_EXISTS" in str(err):  # not yet deleted everywhere
                return False
            raise

    def test_made_anew_under_us(self):
        """a topic deleted and made anew while the daemon runs: halted, the others go on"""
        topic = topic_of("swapped", 2)
        with daemon_on(topic) as daemon:
            fill(topic, 0, 0, 30)
            daemon.wait_applied(topic)
            kafka.delete_topic(topic)
            self.wait_states(daemon, {0: "waiting", 1: "waiting"})
            testbed.until(lambda: self.created(topic, 2), "the topic is made anew")
            fill(topic, 0, 0, 60, item="new")
            fill(topic, 1, 0, 10, item="new")
            self.wait_position(daemon, 1, 10)
            testbed.until(lambda: "halted_" in {p.partition: p.state for p in daemon.status().partitions}[0], "partition 0 is halted")
            state = {p.partition: p.state for p in daemon.status().partitions}[0]
            self.assertIn(state, ("halted_other_log", "halted_truncated"))  # how much of it was there when it was looked at
            want = counted_of({0: range(30)})
            want.update(counted_of({1: range(10)}, "new"))
            self.compare(daemon, want)
            daemon.stop()

    def test_gone_and_stopped(self):
        """a topic deleted under the daemon keeps no drain waiting: librdkafka 2.0.2 may never end a client that has seen one go"""
        topic = topic_of("gone", 4)
        with daemon_on(topic) as daemon:
            for partition in range(4):
                fill(topic, partition, 0, 30)
            daemon.wait_applied(topic)
            kafka.delete_topic(topic)
            self.wait_states(daemon, dict.fromkeys(range(4), "waiting"))
            daemon.stop()
            daemon.start()
            self.compare(daemon, counted_of({partition: range(30) for partition in range(4)}))
            daemon.stop()

    def test_new_partitions(self):
        """partitions added under flow are read from their beginning, and those there were are read on"""
        topic = topic_of("grown", 1)
        with daemon_on(topic, feed__start="latest", kafka__topic__metadata__refresh__interval__ms=1000) as daemon:
            testbed.until(lambda: any(p.state == "running" and p.applied == 0 for p in daemon.status().partitions), "it is read")
            fill(topic, 0, 0, 50)
            daemon.wait_applied(topic)
            kafka.grow_topic(topic, 3)
            testbed.until(lambda: kafka.partitions(topic) == [0, 1, 2], "Kafka has the partitions")
            for partition, first in ((0, 50), (1, 0), (2, 0)):
                fill(topic, partition, first, 40)
            self.wait_position(daemon, 2, 40)
            daemon.wait_applied(topic)
            self.compare(daemon, counted(kafka.read(topic)))
            daemon.restart()
            daemon.wait_applied(topic)
            self.compare(daemon, counted(kafka.read(topic)))


class Moved(Bed):
    """Last, for it leaves no broker behind."""

    def test_other_cluster(self):
        """other brokers under the same address: nothing is read until they are the old ones again, or any will do"""
        topic = topic_of("moved", 2)
        other = testbed.Kafka()
        for name, partitions in ((topic, 2), ("dead", 1)):
            other.create_topic(name, partitions)
        fill(topic, 0, 0, 10, broker=other)  # the same log so far: that alone would raise no suspicion
        fill(topic, 0, 10, 90, item="other", broker=other)
        fill(topic, 1, 0, 10, item="other", broker=other)
        other.kill()
        with daemon_on(topic) as daemon:
            fill(topic, 0, 0, 10)
            daemon.wait_applied(topic)
            want = counted_of({0: range(10)})
            kafka.kill()
            other.take_port(kafka)
            other.restart()
            self.wait_states(daemon, {0: "halted_other_cluster", 1: "halted_other_cluster"})
            self.compare(daemon, want)
            daemon.restart()  # known at the start too
            self.wait_states(daemon, {0: "halted_other_cluster", 1: "halted_other_cluster"})
            self.compare(daemon, want)
            self.assertIn("cluster.other", daemon.log_tail())
            other.kill()
            kafka.restart()
            fill(topic, 0, 10, 10)
            daemon.wait_applied(topic)
            want = counted_of({0: range(20)})
            self.wait_states(daemon, {0: "running", 1: "running"})
            self.compare(daemon, want)
            kafka.kill()
            other.restart()
            daemon.restart(feed__cluster="any")  # allowed, but it is not the log we know
            self.wait_states(daemon, {0: "halted_other_log", 1: "running"})
            self.wait_position(daemon, 1, 10)
            want.update(counted_of({1: range(10)}, "other"))
            self.compare(daemon, want)


def counted_of(numbers, item="i"):
    """As counted(), of records known by number: {partition: numbers}."""
    state = collections.defaultdict(lambda: collections.defaultdict(float))
    for partition, of_partition in numbers.items():
        for number in of_partition:
            state[f"u{partition}.{number // 10}"][f"{item}{partition}.{number}"] += number % 5 + 1
    return state


if __name__ == "__main__":
    testbed.main()
