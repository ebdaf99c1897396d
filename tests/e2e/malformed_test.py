"""200,000 malformed records through the whole daemon, good ones between them.

Each is made to break one rule, so that its reason is known beforehand. All must be counted under it, and be in the dead-letter
topic untouched with where they came from; no good one may be lost; memory stays flat.
"""
import collections
import json
import random
import struct
import unittest

import testbed
from testbed import events_pb2

MALFORMED = 2000000 if testbed.LONG else 200000
ROUND = 20000  # published, then waited for
GOOD_EVERY = 10
PARTITIONS = 4
GOOD_MS = 1500000000000
FILLING_BYTES_MAX = 96 << 20  # until about 240,000 records the buffers fill up, by some 75 MB
GROWTH_BYTES_MAX = 32 << 20
PACKED_BYTES = 110 << 20  # what librdkafka sends as a rule is below 100 MB
SEED = 20240607

r = random.Random(SEED)


# ---- one rule broken each: a record, and its reason ----------------------------------------------------------------

def event(**fields):
    return events_pb2.Event(**{"user_id": f"u{r.randrange(1000)}", "item_id": f"i{r.randrange(1000)}", "type": "click",
                               "time_ms": GOOD_MS, **fields}).SerializeToString()


def field(number, data):
    """A length-delimited field, whatever its bytes."""
    head = bytes([number << 3 | 2])
    size = len(data)
    while size >= 128:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + data


def text(**fields):
    return json.dumps({"user_id": "u", "item_id": "i", "type": "click", "time_ms": GOOD_MS, **fields})


def bad_id():
    """Bytes that are no id: none, too many, a NUL, or not UTF-8."""
    good = bytes(r.choices(range(97, 123), k=r.randrange(1, 40)))
    at = r.randrange(len(good) + 1)
    return r.choice([
        b"", bytes(r.choices(range(97, 123), k=r.randrange(257, 2000))), good[:at] + b"\0" + good[at:],
        good[:at] + r.choice([b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"]) + good[at:]])


def cut_protobuf():
    whole = field(1, b"user%d" % r.randrange(1000))
    return whole[:r.randrange(1, len(whole))]


def cut_json():
    whole = text().encode()
    return whole[:r.randrange(1, len(whole))]


def framed(payload, indexes=b"\0"):
    return b"\0" + struct.pack(">I", r.randrange(1 << 31)) + indexes + payload


KINDS = [
    ("undecodable", lambda: {"value": cut_protobuf()}),
    ("undecodable", lambda: {"value": cut_json()}),
    ("undecodable", lambda: {"value": text().encode() + r.choice([b"}", b"x", b"{}", b","])}),
    ("undecodable", lambda: {"value": event() + bytes([r.choice([0x0e, 0x0f, 0x7f, 0x16])])}),  # wire types 6 and 7
    ("undecodable", lambda: {"value": event() + b"\x0a\xff\xff\xff\xff\x7f"}),  # a length beyond the end
    ("undecodable", lambda: {"value": event() + b"\x28" + b"\xff" * 11}),  # a varint without end
    ("undecodable", lambda: {"value": event() + field(3, b"\xff\xfe")}),  # a type that is no text
    ("undecodable", lambda: {"value": event() + field(6, b"\xc3")}),  # nor is the event_id
    ("undecodable", lambda: {"value": b"\0" * r.randrange(1, 6)}),  # less than a frame
    ("undecodable", lambda: {"value": framed(event(), b"\x02\x02")}),  # the second message of its schema
    ("undecodable", lambda: {"value": framed(cut_protobuf())}),
    ("undecodable", lambda: {"value": event(), "headers": [("content-type", b"application/json")]}),
    ("undecodable", lambda: {"value": text().encode(), "headers": [("content-type", b"application/x-protobuf")]}),
    ("undecodable", lambda: {"value": b"\xff" * r.choice([1, 10, 1000, r.randrange(20000)] + [1] * 20)}),
    ("undecodable", lambda: {"value": r.choice([b"[]", b"5", b'"u"', b"null", b"{nope}", b"{'a':1}"]),
                             "headers": [("content-type", b"application/json")]}),
    ("user_id", lambda: {"value": field(1, bad_id()) + field(2, b"i")}),
    ("user_id", lambda: {"value": text(user_id="x" * r.randrange(257, 1000)).encode()}),
    ("user_id", lambda: {"value": json.dumps({"item_id": "i"}).encode()}),
    ("user_id", lambda: {"value": framed(field(2, b"i"))}),
    ("user_id", lambda: {"value": b""}),
    ("item_id", lambda: {"value": field(1, b"u") + field(2, bad_id())}),
    ("item_id", lambda: {"value": text(item_id="").encode()}),
    ("item_id", lambda: {"value": framed(field(1, b"u"))}),
    ("value", lambda: {"value": event(value=r.choice([float("nan"), float("inf"), float("-inf")]))}),
    ("value", lambda: {"value": event(type="rating", value=r.choice([1, -1]) * (1e6 + 10 ** r.randrange(1, 300)))}),
    ("value", lambda: {"value": text(type="rating", value=10 ** r.randrange(7, 300)).encode()}),
    ("value", lambda: {"value": text(value=r.choice(["NaN", "Infinity", "-Infinity"])).encode()}),
    ("time", lambda: {"value": event(time_ms=-r.randrange(1, 1 << 62))}),
    ("time", lambda: {"value": event(time_ms=r.randrange(1 << 44, 1 << 62))}),
    ("time", lambda: {"value": event(time_ms=GOOD_MS + r.randrange(300001, 10 ** 12)), "timestamp": GOOD_MS}),
    ("time", lambda: {"value": text(time_ms=str(-r.randrange(1, 1 << 62))).encode()}),
    ("null", lambda: {"value": None}),
]


class Malformed(unittest.TestCase):
    def publish(self, kafka, topic, numbers):
        """Each record gets its number as key; notes where Kafka put the bad ones, with what they are."""
        producer = kafka.producer(**{"linger.ms": 20})

        def delivered(err, message, what=None):
            assert not err, err
            self.sent[(message.partition(), message.offset())] = what

        for number in numbers:
            if number % GOOD_EVERY == 0:
                user, item = f"g{number % 1009}", f"h{number % 503}"
                self.good[item].add(user)
                self.goods += 1
                producer.produce(topic, key=user, value=events_pb2.Event(
                    user_id=user, item_id=item, type="click", time_ms=GOOD_MS).SerializeToString(), partition=number % PARTITIONS)
            reason, make = r.choice(KINDS)
            record = {"key": b"%d" % number, **make()}
            self.reasons[reason] += 1
            what = (record["key"], record["value"], reason)
            producer.produce(topic, partition=number % PARTITIONS, on_delivery=lambda e, m, w=what: delivered(e, m, w), **record)
            if number % 1000 == 0:
                producer.poll(0)
        self.assertEqual(producer.flush(testbed.PATIENCE_S), 0)

    def test_malformed(self):
        """malformed records of every kind: all counted, all dead-lettered untouched, nothing else harmed"""
        kafka = testbed.Kafka()
        topic = kafka.create_topic("malformed", PARTITIONS)
        kafka.create_topic("dead", 1)
        self.sent, self.reasons, self.good, self.goods = {}, collections.Counter(), collections.defaultdict(set), 0
        settings = {"feed.topic": topic, "feed.dead_letter_topic": "dead", "feed.poison_max_percent": 0, "engine.outbox_mb": 16}
        resident, sizes, memtable = [], [], 0
        with testbed.Daemon(kafka, settings) as daemon:
            for first in range(0, MALFORMED, ROUND):
                self.publish(kafka, topic, range(first, min(first + ROUND, MALFORMED)))
                daemon.wait_applied(topic)
                testbed.until(lambda: daemon.metrics().total("freshet_dead_letters_total") >= len(self.sent), "all are delivered")
                # RocksDB's memtable fills up to its bound and is then written, and the allocator keeps its memory for a while; that is no growth.
                metrics = daemon.metrics()
                memtable = max(memtable, metrics.value("freshet_rocksdb_memtable_bytes"))
                resident.append(metrics.value("process_resident_memory_bytes"))
                sizes.append(resident[-1] - memtable)
            for name in ("freshet_events_rejected_total", "freshet_dead_letters_total"):
                found = {reason: metrics.value(name, reason=reason) for reason in self.reasons}
                self.assertEqual(found, dict(self.reasons), name)
                self.assertEqual(metrics.total(name), MALFORMED)
            self.assertEqual(metrics.value("freshet_events_applied_total", type="click"), self.goods)
            self.assertEqual(dict(daemon.popular(k=1000)), {item: len(users) for item, users in self.good.items()})
            # What Kafka has leaves the outbox with the next checkpoint.
            testbed.until(lambda: daemon.metrics().value("freshet_outbox_pending") == 0, "the outbox is empty")
            print(f"     {MALFORMED} malformed and {self.goods} good ones; resident MB: {[round(s / 1e6) for s in resident]}, "
                  f"without the memtable: {[round(s / 1e6) for s in sizes]}")
            # Buffers fill up to their bounds first (what is not synced yet is kept, 64 MiB at most); the long form waits for that.
            self.assertLess(max(sizes[2:10]) - sizes[1], FILLING_BYTES_MAX)
            if testbed.LONG:  # all of them are full by then: no growth any more
                middle = len(resident) // 2
                self.assertLess(max(resident[middle:]) - max(resident[:middle]), GROWTH_BYTES_MAX)
        self.compare(kafka, topic)

    def compare(self, kafka, topic):
        found = {}
        for letter in kafka.read("dead"):
            headers = {name: value.decode() for name, value in letter.headers()}
            self.assertEqual(headers["x-orig-topic"], topic)
            place = int(headers["x-orig-partition"]), int(headers["x-orig-offset"])
            self.assertNotIn(place, found, "no restart, so none comes twice")
            found[place] = letter.key(), letter.value(), headers["x-error-class"]
        self.assertEqual(len(self.sent), MALFORMED)
        different = [place for place in self.sent.keys() | found.keys() if self.sent.get(place) != found.get(place)]
        self.assertFalse(different, [(p, self.sent.get(p), found.get(p)) for p in different[:5]])

    def test_packed(self):
        """a record that is large only when it is unpacked: a dead letter, untouched, and the rest go on"""
        kafka = testbed.Kafka()
        topic = kafka.create_topic("packed", 1)
        kafka.create_topic("dead.packed", 1)
        large = bytes(PACKED_BYTES)
        producer = kafka.producer(**{"compression.type": "gzip", "message.max.bytes": 10 ** 9})
        producer.produce(topic, key="large", value=large)
        self.assertEqual(producer.flush(testbed.PATIENCE_S), 0)
        settings = {"feed.topic": topic, "feed.dead_letter_topic": "dead.packed", "feed.poison_max_percent": 0}
        with testbed.Daemon(kafka, settings) as daemon:
            kafka.publish(topic, ({"value": event()} for _ in range(10)))
            daemon.wait_applied(topic)
            testbed.until(lambda: daemon.metrics().total("freshet_dead_letters_total") == 1, "it is delivered")
            self.assertEqual(daemon.metrics().value("freshet_events_applied_total", type="click"), 10)
        [letter] = kafka.read("dead.packed")
        self.assertEqual(letter.key(), b"large")
        self.assertTrue(letter.value() == large)


if __name__ == "__main__":
    testbed.main()
