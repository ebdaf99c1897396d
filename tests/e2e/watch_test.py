"""Two hundred lists watched at once: who moves gets a fresh one, all do when items change, who does not read costs nothing, a drain ends them.

How long a list takes from the event's publication is printed, not asserted: that says how fast this machine is.
"""
import json
import socket
import statistics
import subprocess
import threading
import time
import unittest

import grpc

import http2
import testbed
from testbed import MockKafka, admin_pb2, event_json, events_pb2, pb, until

TOPIC, ITEMS_TOPIC, STREAMS, MOVERS, ROUNDS = "watched", "watched.items", 200, 20, 15
USERS, ITEMS = 300, 400
GROWTH_MAX = 48 << 20
NOW = 1700000000000


class Stream(threading.Thread):
    """One Watch, read as it comes."""

    def __init__(self, daemon, user, k=10):
        super().__init__(daemon=True)
        self.changed, self.lists, self.code = threading.Condition(), [], None
        self.call = daemon.api.Watch(pb.RecommendRequest(user_id=user, k=k))
        self.start()

    def run(self):
        try:
            for answer in self.call:
                with self.changed:
                    self.lists.append((time.monotonic(), answer))
                    self.changed.notify_all()
        except grpc.RpcError as err:
            with self.changed:
                self.code = (err.code(), err.details())
                self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            self.changed.wait_for(lambda: len(self.lists) >= count or self.code, testbed.PATIENCE_S)
            assert len(self.lists) >= count, f"{len(self.lists)} lists, {self.code}"
            return self.lists[count - 1]


def items_of(answer):
    return [(item.item_id, item.score) for item in answer.items]


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = MockKafka(TOPIC, "watched.dead", 4)
        cls.daemon = testbed.Daemon(cls.kafka, {"feed.topic": TOPIC, "feed.items_topic": ITEMS_TOPIC, "recommend.models": "popular",
                                                "engine.evaluate_every": 0, "limits.max_watches": STREAMS + 10}).start()
        cls.kafka.publish(TOPIC, (event_json(f"u{user}", f"i{(user * 7 + n * n) % ITEMS}", "click", time_ms=NOW)
                                  for user in range(USERS) for n in range(10)))
        cls.daemon.wait_applied(TOPIC)
        cls.producer = cls.kafka.producer(**{"linger.ms": 0})

    @classmethod
    def tearDownClass(cls):
        if cls.daemon.process:
            cls.daemon.stop()

    def move(self, user, item):
        """Publishes an event; returns when."""
        key, value = event_json(user, item, "click", time_ms=NOW)
        began = time.monotonic()
        self.producer.produce(TOPIC, key=key, value=value)
        self.producer.flush(testbed.PATIENCE_S)
        return began

    def inflight(self):
        return self.daemon.metrics().value("freshet_rpc_inflight", method="Watch")

    def test_a_fresh_lists_for_those_who_move(self):
        """200 streams: only who moves gets a list, with the event in it, and it is Recommend's"""
        streams = [Stream(self.daemon, f"u{n}") for n in range(STREAMS)]
        for stream in streams:
            stream.wait(1)
        self.assertEqual(self.inflight(), STREAMS)
        delays = []
        for round_ in range(ROUNDS):
            for n in range(MOVERS):
                shown = items_of(streams[n].lists[-1][1])
                began = self.move(f"u{n}", shown[0][0])  # what was shown first is chosen
                at, answer = streams[n].wait(round_ + 2)
                delays.append(at - began)
                self.assertNotIn(shown[0][0], [item for item, _ in items_of(answer)])
                self.assertEqual(items_of(answer), self.daemon.recommend(f"u{n}"))
        self.assertEqual({len(stream.lists) for stream in streams[MOVERS:]}, {1})
        delays.sort()
        print(f"     event to pushed list, {STREAMS} streams: p50 {statistics.median(delays) * 1000:.1f} ms, "
              f"p99 {delays[len(delays) * 99 // 100] * 1000:.1f} ms, of {len(delays)}")
        for stream in streams:
            stream.call.cancel()
        until(lambda: self.inflight() == 0, "all streams have gone")

    def test_b_who_does_not_read(self):
        """a reader who stops reading costs no memory, delays nobody, and gets the newest in the end"""
        idle = self.daemon.api.Watch(pb.RecommendRequest(user_id="u7", k=ITEMS, include_seen=True))
        next(idle)
        other = Stream(self.daemon, "u8")
        other.wait(1)
        before = self.memory()
        for n in range(4):  # each piece many lists of some 10 KB, were they all made
            self.kafka.publish(TOPIC, (event_json("u7", f"i{i}", "click", time_ms=NOW + n) for i in range(ITEMS) for _ in range(5)))
            self.move("u8", f"i{ITEMS - 1 - n}")
            other.wait(n + 2)
        self.daemon.wait_applied(TOPIC)
        grown = self.memory() - before
        print(f"     a reader who does not read, 8000 events: {grown / 2**20:.1f} MiB more")
        self.assertLess(grown, GROWTH_MAX)
        self.move("u7", "i0")  # and nobody moves after that
        self.daemon.wait_applied(TOPIC)
        newest = self.daemon.recommend("u7", k=ITEMS, include_seen=True)
        read = 1 + next(n for n, answer in enumerate(idle) if items_of(answer) == newest)
        print(f"     {read} lists waited to be read")
        idle.cancel()
        other.call.cancel()

    def test_c_newcomers_and_the_client(self):
        """an unknown user can be watched; freshet watch, score and explain say what the wire says"""
        stream = Stream(self.daemon, "newcomer", k=3)
        self.assertTrue(stream.wait(1)[1].fallback)
        self.move("newcomer", "i3")
        answer = stream.wait(2)[1]
        self.assertEqual(items_of(answer), self.daemon.recommend("newcomer", k=3))
        stream.call.cancel()
        shown = self.client("watch", "newcomer", "-k", "3", "--lists", "1")
        self.assertEqual([(i["itemId"], i.get("score", 0)) for i in shown["items"]], items_of(answer))
        best, score = items_of(answer)[0]
        scored = self.client("score", "newcomer", "nothing", best)
        self.assertEqual([(i["itemId"], i.get("score", 0)) for i in scored["items"]], [("nothing", 0), (best, score)])
        why = self.client("explain", "newcomer", best)
        self.assertEqual((why["score"], why["rank"]), (score, 1))
        self.assertEqual([r["text"] for r in why["reasons"]], ["because of i3"])
        self.assertAlmostEqual(sum(r["contribution"] for r in why["reasons"]), score, delta=1e-9)
        self.assertEqual(self.client("explain", "newcomer", "i3")["excludedBy"], ["no evidence", "seen"])

    def test_c_what_is_said_of_items(self):
        """an item that is hidden, and one that is forgotten, leave the lists of all who watch, though no user moves"""
        streams = [Stream(self.daemon, f"u{user}", k=ITEMS) for user in (21, 22)]
        hidden, forgotten = (item for item, _ in items_of(streams[0].wait(1)[1])[:2])
        for stream in streams:
            self.assertLessEqual({hidden, forgotten}, self.names(stream.wait(1)[1]))
        record = events_pb2.Item(item_id=hidden, hidden=True).SerializeToString()
        self.kafka.publish(ITEMS_TOPIC, [(hidden, record)])
        for stream in streams:
            self.assertEqual({hidden, forgotten} & self.names(stream.wait(2)[1]), {forgotten})
        self.daemon.admin.ForgetItem(admin_pb2.ForgetItemRequest(item_id=forgotten), timeout=testbed.PATIENCE_S)
        for stream in streams:
            self.assertFalse({hidden, forgotten} & self.names(stream.wait(3)[1]))
            stream.call.cancel()

    @unittest.skipUnless(testbed.LONG, "a client asks each 20 s whether there is still somebody, and waits 10 s; FRESHET_LONG=1")
    def test_c_a_daemon_that_vanishes(self):
        """freshet watch ends when nothing comes of its daemon any more, and stays on one that is only silent"""
        command = [testbed.BIN / "freshet", "watch", "u30", "--output", "json", "--server"]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            vanished = subprocess.Popen([*command, "127.0.0.1:%d" % listener.getsockname()[1]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            silent = subprocess.Popen([*command, self.daemon.addresses["grpc"]], stdout=subprocess.PIPE, text=True)
            connection, _ = listener.accept()
            connection.sendall(http2.frame(http2.SETTINGS, 0, 0))  # its first word, and its last
            _, said = vanished.communicate(timeout=testbed.PATIENCE_S)
            connection.close()
        self.assertEqual(vanished.returncode, 1)
        self.assertIn("UNAVAILABLE", said)
        with self.assertRaises(subprocess.TimeoutExpired):
            silent.wait(40)
        silent.stdout.readline()
        self.move("u30", "i30")
        self.assertIn("items", json.loads(silent.stdout.readline()))
        silent.terminate()
        silent.communicate()

    def names(self, answer):
        return {item for item, _ in items_of(answer)}

    def client(self, *arguments):
        ran = subprocess.run([testbed.BIN / "freshet", *arguments, "--output", "json", "--server", self.daemon.addresses["grpc"]],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=testbed.PATIENCE_S)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return json.loads(ran.stdout)

    def test_d_drain(self):
        """a drain ends all streams at once, also those that nobody reads"""
        streams = [Stream(self.daemon, f"u{n}") for n in range(STREAMS)]
        idle = self.daemon.api.Watch(pb.RecommendRequest(user_id="u9", k=ITEMS, include_seen=True))
        next(idle)
        for stream in streams:
            stream.wait(1)
        self.kafka.publish(TOPIC, (event_json("u9", f"i{n % ITEMS}", "click", time_ms=NOW) for n in range(4000)))
        self.daemon.wait_applied(TOPIC)
        began = time.monotonic()
        self.daemon.process.send_signal(testbed.signal.SIGTERM)
        for stream in streams:
            stream.join(testbed.PATIENCE_S)
            self.assertEqual(stream.code, (grpc.StatusCode.UNAVAILABLE, "draining"))
        with self.assertRaises(grpc.RpcError) as raised:
            for _ in idle:
                pass
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(self.daemon.process.wait(testbed.PATIENCE_S), 0)
        print(f"     {STREAMS + 1} streams, TERM to exit: {time.monotonic() - began:.2f} s")
        self.daemon._gone()

    def memory(self):
        return self.daemon.metrics().value("process_resident_memory_bytes")


if __name__ == "__main__":
    testbed.main()
