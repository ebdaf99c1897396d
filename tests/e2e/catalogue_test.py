"""The compacted topics of a real Kafka: what is said of items and users, in answers, across kill -9, and taken back by tombstones."""
import json
import subprocess
import time
import unittest

import confluent_kafka.admin
import grpc
import testbed
from testbed import admin_pb2, events_pb2, pb

GOOD_MS = 1500000000000
USERS, ITEMS = 12, 20
kafka = None


def setUpModule():
    global kafka
    kafka = testbed.Kafka()


def compacted(name, partitions):
    kafka._administer("create_topics", confluent_kafka.admin.NewTopic(name, partitions, 1, config={"cleanup.policy": "compact"}))
    return name


def item(name, **fields):
    """Protobuf for the even ones, JSON in proto3's spelling for the odd ones."""
    said = {"categories": ["even" if int(name[1:]) % 2 == 0 else "odd", "all"], "title": f"Title of {name}", **fields}
    message = events_pb2.Item(item_id=name, **said)
    if int(name[1:]) % 2 == 0:
        return name, message.SerializeToString()
    from google.protobuf import json_format
    return name, json_format.MessageToJson(message).encode()


class Catalogue(unittest.TestCase):
    def setUp(self):
        kafka.create_topic("shop", 2)
        kafka.create_topic("shop.dead", 1)
        compacted("goods", 3)

    def names(self, daemon, **filters):
        answer = daemon.api.Recommend(pb.RecommendRequest(user_id="u0", k=ITEMS, include_seen=True, filter=pb.Filter(**filters)), timeout=30)
        return {r.item_id for r in answer.items}

    def client_names(self, daemon, *arguments):
        run = subprocess.run([testbed.BIN / "freshet", *arguments, "--output", "json", "--server", daemon.addresses["grpc"]],
                             check=True, capture_output=True, timeout=testbed.PATIENCE_S)
        answer = json.loads(run.stdout)
        return {row["itemId"] for row in answer.get("items", [])} | {row["id"] for row in answer.get("neighbours", [])}

    def test_what_is_said(self):
        """items and users by real clients; filters, kill -9, tombstones, dead letters"""
        everything = {f"i{n}" for n in range(ITEMS)}
        settings = {"feed.topic": "shop", "feed.dead_letter_topic": "shop.dead", "feed.items_topic": "goods", "feed.users_topic": "people"}
        with testbed.Daemon(kafka, settings) as daemon:
            kafka.publish("shop", [testbed.event_protobuf(f"u{u}", f"i{n}", "click", time_ms=GOOD_MS) for u in range(USERS) for n in range(ITEMS)])
            daemon.wait_applied("shop")
            self.assertEqual(self.names(daemon), everything)
            self.say(daemon)
            self.filters(daemon)
            self.survives(daemon)
            self.letters(daemon)
            self.tombstones(daemon)
            self.client(daemon)
            self.assertNotIn("people", [line for line in daemon.log_tail(1 << 20).splitlines() if '"level":"warn' in line.lower()])

    def say(self, daemon):
        special = {0: {"hidden": True}, 2: {"owner_user_id": "u0"}, 4: {"available_until_ms": 1000},
                   5: {"available_from_ms": int(time.time() * 1000) + 3600000},
                   6: {"features": {"brand": "acme"}, "embedding": [0.5, -1], "available_from_ms": 1000}}
        kafka.publish("goods", [item(f"i{n}", **special.get(n, {})) for n in range(ITEMS - 1)])
        daemon.wait_applied("goods")
        compacted("people", 2)  # later than the daemon
        kafka.publish("people", [("u0", events_pb2.User(user_id="u0", features={"city": "Ulm"}).SerializeToString())])
        daemon.wait_applied("people")

    def filters(self, daemon):
        shown = {f"i{n}" for n in range(ITEMS)} - {"i0", "i2", "i4", "i5"}
        even = {name for name in shown if int(name[1:]) % 2 == 0}
        self.assertEqual(self.names(daemon), shown)
        self.assertEqual(self.names(daemon, any_category=["even", "nowhere"]), even)
        self.assertEqual(self.names(daemon, all_categories=["even", "all"]), even)
        self.assertEqual(self.names(daemon, all_categories=["even", "nowhere"]), set())
        self.assertEqual(self.names(daemon, no_category=["even"]), shown - even)  # i19, of which nothing is said, is there
        self.assertEqual(len(self.names(daemon, max_per_category=2)), 2 + 1)
        popular = daemon.api.Popular(pb.PopularRequest(k=3, filter=pb.Filter(any_category=["odd"])), timeout=30)
        self.assertEqual([r.item_id for r in popular.items], ["i1", "i11", "i13"])
        similar = daemon.api.Similar(pb.SimilarRequest(item_id="i1", k=ITEMS, filter=pb.Filter(all_categories=["even"])), timeout=30)
        neighbours = {n.id for n in similar.neighbours}  # within SAR's window; asked by nobody, so nobody's own
        self.assertTrue({"i2", "i6"} <= neighbours <= even | {"i2"}, neighbours)
        self.assertEqual(self.client_names(daemon, "recommend", "u0", "--include-seen", "--category", "even", "--category", "nowhere"), even)
        self.assertEqual(self.client_names(daemon, "recommend", "u0", "--include-seen", "--all-categories", "even", "--all-categories", "odd"), set())
        two = self.client_names(daemon, "recommend", "u0", "--include-seen", "--no-category", "even", "--per-category", "2")
        self.assertTrue("i19" in two and len(two) == 3 and two <= shown - even, two)
        self.assertEqual(self.client_names(daemon, "popular", "--category", "odd", "--exclude", "i1", "-k", "2"), {"i11", "i13"})
        self.assertTrue(self.client_names(daemon, "similar", "i1", "--category", "even") <= even | {"i2"})
        self.assertEqual(daemon.api.Explain(pb.ExplainRequest(user_id="u0", item_id="i2"), timeout=30).excluded_by, ["seen", "owner"])
        got = daemon.api.GetItem(pb.GetItemRequest(item_id="i6"), timeout=30)
        self.assertEqual((got.item.title, list(got.item.categories), dict(got.item.features), list(got.item.embedding), got.item.available_from_ms),
                         ("Title of i6", ["even", "all"], {"brand": "acme"}, [0.5, -1], 1000))
        self.assertEqual(dict(daemon.api.GetUser(pb.GetUserRequest(user_id="u0"), timeout=30).features), {"city": "Ulm"})

    def survives(self, daemon):
        """Hidden while in the log, applied or not, durable or not: hidden after kill -9."""
        before = self.names(daemon)
        kafka.publish("goods", [item("i7", hidden=True)])
        daemon.wait_applied("goods")
        self.assertEqual(self.names(daemon), before - {"i7"})
        daemon.kill()
        kafka.publish("goods", [item("i8", hidden=True)])
        daemon.start()
        for topic in ("shop", "goods", "people"):  # each is read again from where the last checkpoint was
            daemon.wait_applied(topic)
        self.assertEqual(self.names(daemon), before - {"i7", "i8"})
        self.assertEqual(dict(daemon.api.GetUser(pb.GetUserRequest(user_id="u0"), timeout=30).features), {"city": "Ulm"})
        daemon.admin.Checkpoint(admin_pb2.CheckpointRequest(), timeout=30)
        daemon.kill()
        daemon.start()
        self.assertEqual(self.names(daemon), before - {"i7", "i8"}, "without a record of Kafka")
        daemon.wait_applied("goods")
        metrics = daemon.metrics()
        self.assertEqual(metrics.value("freshet_catalogue_items"), ITEMS - 1)
        self.assertGreater(metrics.value("freshet_state_bytes", part="catalogue"), 0)
        self.assertEqual(metrics.value("freshet_catalogue_records_total", kind="item"), 0, "nothing is read twice")

    def letters(self, daemon):
        bad = [("key", {"key": b"i1", "value": item("i3")[1]}), ("bounds", {"key": b"i1", "value": item("i1", categories=[str(n) for n in range(33)])[1]}),
               ("value", {"key": b"i2", "value": item("i2", embedding=[float("nan")])[1]}), ("undecodable", {"key": b"i1", "value": b"\x0a\xff"})]
        kafka.publish("goods", [{**record, "partition": 0} for _, record in bad])
        daemon.wait_applied("goods")
        testbed.until(lambda: daemon.metrics().total("freshet_dead_letters_total") == len(bad), "all dead letters delivered")
        letters = sorted(kafka.read("shop.dead"), key=lambda m: int(dict(m.headers())["x-orig-offset"]))
        for letter, (reason, record) in zip(letters, bad):
            headers = dict(letter.headers())
            self.assertEqual((headers["x-error-class"].decode(), headers["x-orig-topic"]), (reason, b"goods"), headers["x-error-message"])
            self.assertEqual(letter.value(), record["value"])

    def tombstones(self, daemon):
        kafka.publish("goods", [("i7", None)])
        kafka.publish("people", [("u0", None)])
        daemon.wait_applied("goods")
        daemon.wait_applied("people")
        for _ in range(2):
            with self.assertRaises(grpc.RpcError) as caught:
                daemon.api.GetItem(pb.GetItemRequest(item_id="i7"), timeout=30)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
            forgotten = daemon.api.GetUser(pb.GetUserRequest(user_id="u0"), timeout=30)
            self.assertEqual((forgotten.events, dict(forgotten.features), len(forgotten.affinities)), (0, {}, 0))
            daemon.kill()
            daemon.start()
            daemon.wait_applied("goods")
            daemon.wait_applied("people")

    def client(self, daemon):
        """freshet publish, and a catalogue that is required"""
        file = testbed.scratch("goods") / "goods.jsonl"
        file.write_text("".join(json.dumps({"item_id": f"i{n}", "title": f"New {n}"}) + "\n" for n in (1, 3)))
        subprocess.run([testbed.BIN / "freshet", "publish", file, "--format", "items-jsonl", "--topic", "goods", "--brokers", kafka.address,
                        "--admin", daemon.addresses["admin_grpc"], "--wait"], check=True, capture_output=True, timeout=testbed.PATIENCE_S)
        self.assertEqual(daemon.api.GetItem(pb.GetItemRequest(item_id="i3"), timeout=30).item.title, "New 3")
        self.assertNotIn("i1", self.names(daemon, any_category=["odd"]), "what is said anew takes the old one's place")
        self.assertIn("i19", self.names(daemon))
        daemon.restart(recommend__require_catalogue="yes")
        self.assertNotIn("i19", self.names(daemon))
        self.assertIn("i1", self.names(daemon))


if __name__ == "__main__":
    testbed.main()
