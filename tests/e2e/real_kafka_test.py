"""A real Kafka with real clients: confluent-kafka and kcat publish, grpcio and grpcurl ask, Prometheus scrapes.

What goes wrong on a real topic is here too: records that break each rule, repeats, a topic that is made late, partitions
that are added.
"""
import csv
import datetime
import json
import os
import struct
import subprocess
import time
import unittest

import grpc
import testbed
from testbed import admin_pb2, pb

NOW_MS = int(time.time() * 1000)
GOOD_MS = 1500000000000
kafka = None


def setUpModule():
    global kafka
    kafka = testbed.Kafka()


def daemon_on(topic, **settings):
    return testbed.Daemon(kafka, {"feed.topic": topic, "feed.dead_letter_topic": f"{topic}.dead",
                                  **{k.replace("__", "."): v for k, v in settings.items()}})


def topic_pair(name, partitions=3):
    kafka.create_topic(f"{name}.dead", 1)
    return kafka.create_topic(name, partitions)


class RealData(unittest.TestCase):
    """MovieLens by confluent-kafka, as JSON; Online Retail by kcat. Asked for by every client we can get hold of."""

    def test_movielens(self):
        """MovieLens-100K by confluent-kafka; asked with grpcio, grpcurl, promtool and Prometheus"""
        path = testbed.shared("data", "ml-100k", "u.data.xz")
        with testbed.open_text(path) as file:
            lines = [line.split() for line in file]
        topic = topic_pair("movielens")
        with daemon_on(topic) as daemon:
            kafka.publish(topic, (testbed.event_protobuf(u, i, "rating", float(r), int(t) * 1000) for u, i, r, t in lines))
            daemon.wait_counted(topic)
            self.ask_grpcio(daemon, len({u for u, _, _, _ in lines}))
            self.ask_grpcurl(daemon)
            self.scrape(daemon, topic, len(lines))

    def ask_grpcio(self, daemon, users):
        answer = daemon.api.Recommend(pb.RecommendRequest(user_id="196", k=10, explain=True), timeout=30)
        self.assertEqual((len(answer.items), answer.model, answer.fallback), (10, "auto", False))
        self.assertIn("sar", {item.source for item in answer.items}, "who brought it is one of those that auto asks")
        seen = set(daemon.affinities("196"))
        self.assertFalse(seen & {r.item_id for r in answer.items}, "an item that was seen is recommended")
        for item in answer.items:
            self.assertTrue({reason.item_id for reason in item.reasons} <= seen and item.reasons, "reasons are items of the history")
        self.assertEqual(answer.as_of.staleness_seconds, 0)
        self.assertTrue(daemon.api.Recommend(pb.RecommendRequest(user_id="nobody"), timeout=30).fallback)
        self.assertEqual(daemon.status().users, users)
        with self.assertRaises(grpc.RpcError) as caught:
            daemon.api.Recommend(pb.RecommendRequest(user_id="196", k=1000000), timeout=30)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("k", caught.exception.details())
        with self.assertRaises(grpc.RpcError) as caught:
            daemon.api.Similar(pb.SimilarRequest(item_id="no such item"), timeout=30)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def grpcurl(self, *arguments):
        ran = subprocess.run([os.environ["FRESHET_GRPCURL"], "-plaintext", "-max-time", "30", *arguments], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout

    def ask_grpcurl(self, daemon):
        """Everything by reflection: no .proto file is given."""
        address, admin = daemon.addresses["grpc"], daemon.addresses["admin_grpc"]
        services = self.grpcurl(address, "list").split()
        self.assertIn("freshet.v1.Recommender", services)
        self.assertIn("grpc.health.v1.Health", services)
        self.assertIn("freshet.v1.Recommender.Recommend", self.grpcurl(address, "list", "freshet.v1.Recommender").split())
        described = self.grpcurl(address, "describe", "freshet.v1.RecommendRequest")
        self.assertIn("repeated .freshet.v1.Seed seeds = 4", described)
        self.assertIn("optional double value = 4", self.grpcurl(address, "describe", "freshet.v1.Event"))
        # To the last digit: so by SAR, since EASE may be solved between two questions.
        answer = json.loads(self.grpcurl("-d", '{"user_id": "196", "k": 5, "model": "sar"}', address, "freshet.v1.Recommender/Recommend"))
        by_grpcio = daemon.recommend("196", k=5, model="sar")
        self.assertEqual([(r["itemId"], r["score"]) for r in answer["items"]], by_grpcio)
        health = json.loads(self.grpcurl("-d", '{"service": "freshet.v1.Recommender"}', address, "grpc.health.v1.Health/Check"))
        self.assertEqual(health, {"status": "SERVING"})
        self.assertIn("freshet.v1.Admin", self.grpcurl(admin, "list").split())
        self.assertEqual(json.loads(self.grpcurl(admin, "freshet.v1.Admin/GetStatus"))["items"], "1682")

    def scrape(self, daemon, topic, events):
        testbed.until(lambda: daemon.metrics().total("freshet_events_consumed_total") >= events, "feed counts after it has given")
        metrics = daemon.metrics()
        lint = subprocess.run(["promtool", "check", "metrics"], input=metrics.text, capture_output=True, text=True)
        self.assertEqual((lint.returncode, lint.stderr), (0, ""), "promtool check metrics")
        self.assertEqual(metrics.value("freshet_events_applied_total", type="rating"), events)
        self.assertEqual(metrics.total("freshet_events_consumed_total"), events)
        self.assertEqual(metrics.total("freshet_consumer_lag_messages"), 0)
        ends = {str(p.partition): p.offset for p in kafka.positions(topic)}
        for partition, end in ends.items():
            self.assertEqual(metrics.value("freshet_offset_applied", topic=topic, partition=partition), end)
        self.assertEqual(metrics.value("freshet_event_to_visible_seconds_count"), events)
        self.prometheus(daemon)

    def prometheus(self, daemon):
        """Debian's Prometheus scrapes it, and answers a query from it."""
        folder = testbed.scratch("prometheus")
        port = testbed.free_port()
        (folder / "prometheus.yml").write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
            {"job_name": "freshet", "static_configs": [{"targets": [daemon.addresses["http"]]}]}]}))
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            found = []  # told if it stays so: a scrape that takes a busy machine longer than its second is one that failed
            testbed.until(lambda: self.target_is_up(port, found), found, pause_s=0.2)
            found = self.prometheus_api(port, "query?query=freshet_build_info")["result"]
            self.assertEqual(len(found), 1)
            self.assertEqual(found[0]["value"][1], "1")
            self.assertIn("librdkafka", found[0]["metric"])
        finally:
            process.terminate()
            process.wait(30)

    def prometheus_api(self, port, what):
        ran = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/api/v1/{what}"], capture_output=True, text=True)
        return json.loads(ran.stdout)["data"] if ran.returncode == 0 else None

    def target_is_up(self, port, found):
        answer = self.prometheus_api(port, "targets")
        found[:] = [(target["health"], target["lastError"]) for target in answer["activeTargets"]] if answer else []
        return found == [("up", "")]

    def test_online_retail(self):
        """Online Retail by kcat; purchases and returns"""
        path = testbed.shared("data", "online-retail", "online_retail.csv.xz")
        records, customers, items = [], set(), set()
        with testbed.open_text(path) as file:
            for row in csv.DictReader(file):
                customer = row["CustomerID"].split(".")[0]
                if not customer:
                    continue
                when = datetime.datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=datetime.timezone.utc)
                kind = "return" if row["InvoiceNo"].startswith("C") else "purchase"
                customers.add(customer)
                items.add(row["StockCode"])
                records.append(testbed.event_json(customer, row["StockCode"], kind, abs(int(row["Quantity"])), int(when.timestamp()) * 1000))
                if not testbed.LONG and len(records) == 60000:
                    break
        topic = topic_pair("retail")
        with daemon_on(topic) as daemon:
            kafka.kcat(topic, (f"{key}\t{value}" for key, value in records))
            daemon.wait_applied(topic)
            status = daemon.status()
            self.assertEqual((status.users, status.items), (len(customers), len(items)))
            metrics = daemon.metrics()
            purchases = sum('"purchase"' in value for _, value in records)
            self.assertEqual(metrics.value("freshet_events_applied_total", type="purchase"), purchases)
            self.assertEqual(metrics.value("freshet_events_applied_total", type="return"), len(records) - purchases)
            self.assertEqual(metrics.total("freshet_events_rejected_total"), 0)
            customer, first = records[0][0], json.loads(records[0][1])["item_id"]
            for model in ("", "sar"):
                recommended = daemon.recommend(customer, model=model)
                self.assertEqual(len(recommended), 10)
                self.assertFalse({item for item, _ in recommended} & set(daemon.affinities(customer)))
            before = daemon.similar(item_id=first)
            daemon.restart()
            self.assertEqual(daemon.recommend(customer, model="sar"), recommended, "the state is not what it was before the restart")
            self.assertEqual(daemon.similar(item_id=first), before)


def framed(value, indexes=b"\x00"):
    """Confluent's wire format: 0, schema id, message indexes (of the first message: one 0), value."""
    return b"\x00" + struct.pack(">I", 42) + indexes + value


def protobuf(user="u", item="i", **fields):
    return testbed.event_protobuf(user, item, **fields)[1]


def bad_records():
    """(reason, record) for each way to break a rule; the reasons are those of freshet_events_rejected_total."""
    raw_user = b"\x0a\x03\xff\xfe\x41" + b"\x12\x01i" + b"\x1a\x05click"
    header = [("content-type", b"application/json")]
    return [
        ("undecodable", {"value": b"\x0a\xff"}),
        ("undecodable", {"value": b'{"user_id": "u", '}),
        ("undecodable", {"value": b"not protobuf at all, surely", "headers": [("trace", b"7")]}),
        ("undecodable", {"value": protobuf(), "headers": header}),
        ("undecodable", {"value": framed(protobuf(), b"\x02\x02")}),
        ("undecodable", {"value": b"\x00\x00"}),
        ("undecodable", {"value": b'{"user_id": 7, "item_id": "i"}'}),
        ("user_id", {"value": protobuf(user="")}),
        ("user_id", {"value": protobuf(user="u" * 300)}),
        ("user_id", {"value": raw_user}),
        ("user_id", {"value": b'{"user_id": "a\\u0000b", "item_id": "i"}'}),
        ("item_id", {"value": protobuf(item="")}),
        ("item_id", {"value": protobuf(item="\u00e9" * 129)}),
        ("item_id", {"value": b'{"user_id": "u"}'}),
        ("value", {"value": protobuf(value=float("nan"))}),
        ("value", {"value": protobuf(value=float("inf"))}),
        ("value", {"value": protobuf(value=-1e300)}),
        ("time", {"value": protobuf(time_ms=-1)}),
        ("time", {"value": protobuf(time_ms=NOW_MS + 86400000)}),
        ("time", {"value": protobuf(time_ms=2 ** 62)}),
        ("time", {"value": protobuf(time_ms=GOOD_MS), "timestamp": 1000 * NOW_MS}),  # in microseconds
        ("null", {"value": None}),
    ]


class Records(unittest.TestCase):
    def test_bad_records(self):
        """records that break a rule: dead-lettered untouched, with headers, counted; the good ones between are applied"""
        topic = topic_pair("bad", 1)
        bad = bad_records()
        records = []
        for number, (_, record) in enumerate(bad):
            records.append({"key": f"key{number}".encode(), **record})
            key, value = testbed.event_protobuf(f"good{number}", "i", "click", time_ms=GOOD_MS)
            records.append({"key": key, "value": value})
        with daemon_on(topic) as daemon:
            self.assertEqual(daemon.metrics().total("freshet_events_rejected_total"), 0)
            kafka.publish(topic, records)
            daemon.wait_applied(topic)
            testbed.until(lambda: daemon.metrics().total("freshet_dead_letters_total") == len(bad), "all dead letters delivered")
            metrics = daemon.metrics()
            for reason in {reason for reason, _ in bad}:
                wanted = sum(r == reason for r, _ in bad)
                self.assertEqual(metrics.value("freshet_events_rejected_total", reason=reason), wanted, reason)
                self.assertEqual(metrics.value("freshet_dead_letters_total", reason=reason), wanted, reason)
            self.assertEqual(metrics.value("freshet_events_applied_total", type="click"), len(bad))
            self.assertEqual(daemon.popular(), [("i", len(bad))])
            self.assertEqual(daemon.status().users, len(bad))
        self.compare_letters(topic, bad)

    def compare_letters(self, topic, bad):
        letters = sorted(kafka.read(f"{topic}.dead"), key=lambda m: int(dict(m.headers())["x-orig-offset"]))
        originals = {m.offset(): m for m in kafka.read(topic)}
        self.assertEqual(len(letters), len(bad))
        for number, (letter, (reason, _)) in enumerate(zip(letters, bad)):
            headers = {name: value.decode() for name, value in letter.headers() if name.startswith("x-")}
            original = originals[2 * number]
            self.assertEqual((letter.key(), letter.value()), (original.key(), original.value()), "untouched")
            message = headers.pop("x-error-message")
            self.assertGreater(len(message), 5)
            self.assertRegex(headers.pop("x-freshet-version"), r"^\d+\.\d+\.\d+")
            self.assertEqual(headers, {"x-orig-topic": topic, "x-orig-partition": "0", "x-orig-offset": str(2 * number),
                                       "x-orig-timestamp": str(original.timestamp()[1]), "x-error-class": reason}, message)

    def test_encodings(self):
        """protobuf, JSON and both in Confluent's frame, told apart; Kafka's time where the event has none"""
        topic = topic_pair("encodings", 1)
        js = b'{"userId": "u", "itemId": "%s", "type": "click", "timeMs": "1500000000000", "unknown": [1, {}]}'
        kinds = {
            "plain": {"value": protobuf(item="plain", kind="click", time_ms=GOOD_MS)},
            "framed": {"value": framed(protobuf(item="framed", kind="click", time_ms=GOOD_MS))},
            "framed-path": {"value": framed(protobuf(item="framed-path", kind="click", time_ms=GOOD_MS), b"\x02\x00")},
            "json": {"value": js % b"json"},
            "json-framed": {"value": b"\x00" + struct.pack(">I", 7) + js % b"json-framed"},
            "json-header": {"value": b"  " + js % b"json-header", "headers": [("content-type", b"application/json")]},
            "timeless": {"value": protobuf(item="timeless", kind="click"), "timestamp": GOOD_MS + 1234},
        }
        with daemon_on(topic) as daemon:
            kafka.publish(topic, ({"key": b"u", **record} for record in kinds.values()))
            daemon.wait_applied(topic)
            answer = daemon.api.GetUser(pb.GetUserRequest(user_id="u"), timeout=30)
            self.assertEqual({a.item_id: a.last_event_ms for a in answer.affinities},
                             {**dict.fromkeys(kinds, GOOD_MS), "timeless": GOOD_MS + 1234})
            self.assertEqual(answer.events, len(kinds))
            metrics = daemon.metrics()
            self.assertEqual(metrics.total("freshet_events_rejected_total"), 0)
            self.assertEqual(metrics.total("freshet_events_misrouted_total"), 0)

    def test_repeats(self):
        """event_id repeats are dropped and counted, after a restart too"""
        topic = topic_pair("repeats", 3)
        events = [testbed.event_protobuf(f"u{n % 7}", f"i{n}", "click", time_ms=GOOD_MS, event_id=f"e{n}") for n in range(100)]
        with daemon_on(topic, sar__half_life_days=0) as daemon:
            kafka.publish(topic, events + events[:30])
            # The same event_id of another user is another event.
            kafka.publish(topic, [testbed.event_protobuf("other", "i0", "click", time_ms=GOOD_MS, event_id="e0")])
            daemon.wait_applied(topic)
            self.assertEqual(daemon.metrics().value("freshet_events_duplicate_total"), 30)
            daemon.restart()
            kafka.publish(topic, events[30:50])
            daemon.wait_applied(topic)
            self.assertEqual(daemon.metrics().value("freshet_events_duplicate_total"), 20)
            self.assertEqual(set(daemon.affinities("u0").values()), {1.0})
            self.assertEqual(daemon.affinities("other"), {"i0": 1.0})

    def test_late_topic(self):
        """a topic that does not exist yet, and partitions that are added: read from their beginning"""
        settings = {"kafka__topic.metadata.refresh.interval.ms": 1000, "kafka__metadata.max.age.ms": 3000}
        kafka.create_topic("late.dead", 1)
        with daemon_on("late", **settings) as daemon:
            self.assertEqual(daemon.http("/readyz")[0], 200)
            kafka.create_topic("late", 1)
            kafka.publish("late", [testbed.event_protobuf(f"u{n}", "first", "click", time_ms=GOOD_MS) for n in range(50)])
            testbed.until(lambda: daemon.status().users == 50, "the new topic is read")
            kafka.grow_topic("late", 4)
            testbed.until(lambda: kafka.partitions("late") == [0, 1, 2, 3], "Kafka has the partitions")
            # To each partition by number: a record may be there long before the daemon looks.
            kafka.publish("late", [{"key": f"v{n}".encode(), "value": protobuf(f"v{n}", "second", kind="click", time_ms=GOOD_MS),
                                    "partition": n % 4} for n in range(80)])
            testbed.until(lambda: daemon.status().users == 130, "the new partitions are read from their beginning")
            daemon.wait_applied("late")  # a user is known before his event is counted, and before the position behind it is shown
            self.assertEqual(daemon.popular(), [("second", 80), ("first", 50)])
            states = {(p.partition, p.applied, p.state) for p in daemon.status().partitions}
            self.assertEqual(states, {(0, 70, "running"), (1, 20, "running"), (2, 20, "running"), (3, 20, "running")})
            self.assertEqual(daemon.metrics().value("freshet_offset_applied", topic="late", partition="3"), 20)
            durable = daemon.admin.Checkpoint(admin_pb2.CheckpointRequest(), timeout=30).durable
            self.assertEqual({(p.partition, p.offset) for p in durable}, {(0, 70), (1, 20), (2, 20), (3, 20)})

    def test_stop_and_wait(self):
        """not_before waits for a record that comes; a deadline that passes says so"""
        topic = topic_pair("wait", 1)
        with daemon_on(topic) as daemon:
            testbed.until(lambda: [p for p in daemon.status().partitions if p.state == "running"], "the partition is read")
            future = pb.Position(topic=topic, partition=0, offset=1)
            with self.assertRaises(grpc.RpcError) as caught:
                daemon.api.Recommend(pb.RecommendRequest(user_id="u", not_before=[future]), timeout=0.3)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            waiting = daemon.api.Recommend.future(pb.RecommendRequest(user_id="u", include_seen=True, not_before=[future]), timeout=60)
            kafka.publish(topic, [testbed.event_protobuf("u", "i", "click", time_ms=GOOD_MS)])
            answer = waiting.result()
            self.assertEqual([(p.partition, p.offset) for p in answer.as_of.positions], [(0, 1)])


if __name__ == "__main__":
    testbed.main()
