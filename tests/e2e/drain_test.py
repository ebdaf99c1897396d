"""Stopping. Two daemons read the same topic, as behind a balancer, and are drained and started again in turn while events flow and
clients ask: no client with the standard retry policy sees a failed call, and no event is lost or doubled. One signal more at any
moment ends a daemon at once, which is as safe.
"""
import collections
import contextlib
import json
import os
import random
import signal
import socket
import struct
import threading
import time
import unittest

import grpc

import http2
import testbed
from testbed import Daemon, Kafka, event_protobuf, pb, until

LETTERS = "drain.letters"
ROUNDS = 20 if testbed.LONG else 3
CALLERS = 4
POISON = 20000
RETRIES = json.dumps({
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
                                                    "retryableStatusCodes": ["UNAVAILABLE"]}}]})


class Events(threading.Thread):
    """Publishes until told to stop, and knows what the state must then be."""

    def __init__(self, kafka, topic, poison=False):
        super().__init__()
        self.kafka, self.topic, self.poison, self.over = kafka, topic, poison, threading.Event()
        self.items, self.events, self.poisoned = {}, 0, 0  # items: user -> item -> events

    def run(self):
        chance, producer = random.Random(5), self.kafka.producer()
        while not self.over.is_set():
            for _ in range(20):
                user, item = f"user{chance.randrange(50)}", f"item{chance.randrange(40)}"
                key, value = event_protobuf(user, item, "click", time_ms=1000)
                producer.produce(self.topic, key=key, value=value)
                of_user = self.items.setdefault(user, {})
                of_user[item] = of_user.get(item, 0) + 1
                self.events += 1
            if self.poison:
                producer.produce(self.topic, key=b"poison", value=b"\xff%d" % self.poisoned)
                self.poisoned += 1
            producer.poll(0)
            self.over.wait(0.01)
        assert producer.flush(testbed.PATIENCE_S) == 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Caller(threading.Thread):
    """Asks all the time, with the standard retry policy; notes which model has answered, and what failed nevertheless."""

    def __init__(self, addresses):
        super().__init__()
        self.channel = grpc.insecure_channel("ipv4:" + ",".join(addresses), options=[
            ("grpc.service_config", RETRIES), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)])
        self.api = testbed.pb_grpc.RecommenderStub(self.channel)
        self.heard, self.failed, self.over = collections.Counter(), [], threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                self.heard[self.api.Recommend(pb.RecommendRequest(user_id="user1", k=3), timeout=20).model] += 1
            except grpc.RpcError as err:
                if err.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:  # a busy machine
                    self.failed.append((err.code(), err.details()))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.channel.close()


class Drain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = Kafka()

    def daemon(self, topic, **settings):
        return Daemon(self.kafka, {"feed.topic": topic, "feed.dead_letter_topic": LETTERS, "sar.mode": "parity", "sar.half_life_days": 0,
                                   "store.checkpoint_interval_ms": 100, "limits.max_queue_ms": 5000,
                                   **{name.replace("__", "."): value for name, value in settings.items()}})

    def assert_exact(self, daemon, events):
        """Every event once: of each user the affinity to each item is the number of clicks."""
        daemon.wait_applied(events.topic)
        self.assertEqual(daemon.status().models[0].events, events.events)
        for user, items in events.items.items():
            self.assertEqual(daemon.affinities(user), items)

    def test_rolling(self):
        """daemons drained and restarted under load: no failed call, exact state, and dead letters at least once"""
        topic = self.kafka.create_topic("rolling", 3)
        self.kafka.create_topic(LETTERS, 1)
        # By the model that answers a caller knows which of the two it was.
        pair = {model: self.daemon(topic, serve__listen=f"127.0.0.1:{testbed.free_port()}", serve__drain_delay_ms=100,
                                   recommend__default_model=model).start() for model in ("sar", "popular")}
        took = []
        with contextlib.ExitStack() as stack:
            events = stack.enter_context(Events(self.kafka, topic, poison=True))
            callers = [stack.enter_context(Caller([d.addresses["grpc"] for d in pair.values()])) for _ in range(CALLERS)]
            for _ in range(ROUNDS):
                for model, daemon in pair.items():
                    began = time.monotonic()
                    daemon.stop()
                    took.append(time.monotonic() - began)
                    before = [c.heard[model] for c in callers]
                    daemon.start()
                    # Each of its clients has come back to it before the other one goes. One answer may be from before, counted late.
                    until(lambda m=model, b=before: all(c.heard[m] > n + 1 for c, n in zip(callers, b)), "callers are back")
        failed = [failure for caller in callers for failure in caller.failed]
        calls = sum(c.heard.total() for c in callers)
        print(f"    {2 * ROUNDS} drains of {min(took):.2f} to {max(took):.2f} s, {calls} calls, {len(failed)} failed, "
              f"{events.events} events")
        self.assertEqual(failed, [])
        for daemon in pair.values():
            self.assert_exact(daemon, events)
            daemon.stop()
        values = {m.value() for m in self.kafka.read(LETTERS)}
        self.assertEqual(values, {b"\xff%d" % number for number in range(events.poisoned)})

    def test_hurry(self):
        """a second signal, at some moment of the drain: fast, and safe"""
        topic = self.kafka.create_topic("hurry", 3)
        daemon = self.daemon(topic, serve__drain_delay_ms=300).start()
        chance, took = random.Random(9), []
        with Events(self.kafka, topic) as events:
            for _ in range(2 * ROUNDS):
                process, pause = daemon.process, chance.random() * 0.6
                applied = sum(p.applied for p in daemon.status().partitions)
                until(lambda a=applied: sum(p.applied for p in daemon.status().partitions) > a, "events flow")
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(testbed.subprocess.TimeoutExpired):
                    process.wait(pause)  # it may have drained by then
                began = time.monotonic()
                daemon.stop()
                took.append(time.monotonic() - began)
                daemon.start()
        print(f"    a second signal ends it in {max(took):.2f} s at most")
        self.assertLess(max(took), 10)  # on any machine; the goal is one second
        self.assert_exact(daemon, events)
        daemon.stop()

    def test_everything_is_settled(self):
        """after a drain nothing is left to do: all that was read is durable, dead letters are delivered; nobody waits for idle clients"""
        topic = self.kafka.create_topic("settled", 1)
        letters = self.kafka.create_topic("settled.letters", 1)
        with self.daemon(topic, feed__dead_letter_topic=letters, store__checkpoint_interval_ms=600000, store__wal_sync_interval_ms=600000,
                         serve__drain_grace_ms=90000, feed__poison_max_percent=0) as daemon:
            # More dead letters than leave in passing: the first checkpoint of them is the drain's, for the interval is ten minutes.
            self.kafka.publish(topic, [event_protobuf("ann", "apple", time_ms=1)] + [{"key": b"k", "value": b"\xff"}] * POISON)
            daemon.wait_applied(topic)
            self.assertLess(daemon.status().partitions[0].durable, POISON)
            never = pb.Position(topic=topic, partition=0, offset=10 * POISON)
            waits = daemon.api.Recommend.future(pb.RecommendRequest(user_id="ann", not_before=[never]))
            until(lambda: daemon.metrics().value("freshet_rpc_inflight", method="Recommend") == 1, "a call waits for its position")
            began = time.monotonic()
            daemon.stop()  # our channels are open all the time
            self.assertLess(time.monotonic() - began, 45)
            self.assertEqual((waits.code(), waits.details()), (grpc.StatusCode.UNAVAILABLE, "draining"))
            self.assertEqual(len(self.kafka.read(letters)), POISON)
            daemon.start()
            self.assertEqual(daemon.status().partitions[0].applied, POISON + 1)
            self.assertEqual(daemon.metrics().value("freshet_outbox_pending"), 0)

    def test_answers_until_the_end(self):
        """while it drains health and /readyz say no, and questions are answered"""
        topic = self.kafka.create_topic("delay", 1)
        with self.daemon(topic, serve__drain_delay_ms=60000) as daemon:
            daemon.process.send_signal(signal.SIGTERM)
            until(lambda: daemon.http("/readyz")[0] == 503, "/readyz says 503")
            check = daemon.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None)
            self.assertEqual(check(b"", timeout=20), b"\x08\x02")
            self.kafka.publish(topic, [event_protobuf("ann", "apple", time_ms=1)])
            daemon.wait_applied(topic)  # it even goes on learning
            self.assertEqual(daemon.popular(), [("apple", 1.0)])
            daemon.stop()

    def test_what_was_said_arrives(self):
        """a client far behind with reading, who sends meanwhile, gets every answer, and then the end of the connection, never a reset"""
        topic, streams = self.kafka.create_topic("behind", 1), range(1, 129, 2)
        with self.daemon(topic) as daemon:
            self.kafka.publish(topic, [event_protobuf("ann", f"{number:-<200}", time_ms=1) for number in range(60)])
            daemon.wait_applied(topic)
            request = pb.RecommendRequest(user_id="nobody", model="popular", k=60).SerializeToString()
            address = daemon.addresses["grpc"]
            with contextlib.closing(http2.connect(address, receives=64 << 10)) as connection:
                before = self.answered(daemon)
                connection.sendall(http2.HELLO_WIDE + b"".join(http2.question(stream, request) for stream in streams))
                until(lambda: self.answered(daemon) == before + len(streams), "all is answered")
                daemon.process.send_signal(signal.SIGTERM)
                until(lambda: not self.listens(address), "it has said all it had to say")
                received = b""
                while chunk := connection.recv(8 << 10):
                    received += chunk
                    connection.sendall(http2.frame(http2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)))
            self.assertEqual(daemon.process.wait(testbed.PATIENCE_S), 0)
            daemon._gone()
        frames = http2.frames(received)
        ends = [stream for kind, flags, stream, _ in frames if kind == http2.HEADERS and flags & http2.END_STREAM]
        self.assertEqual(sorted(ends), list(streams))
        self.assertGreater(sum(len(payload) for kind, _, _, payload in frames if kind == http2.DATA), len(streams) * 60 * 200)

    def answered(self, daemon):
        return daemon.metrics().value("freshet_rpc_handled_total", method="Recommend", code="OK")

    def listens(self, address):
        with contextlib.suppress(ConnectionError):
            http2.connect(address).close()
            return True
        return False

    def test_log_that_nobody_reads(self):
        """a reader of the log who stands still stops neither answers nor the drain, nor the second signal"""
        topic, folder = self.kafka.create_topic("unread", 1), testbed.scratch("unread")
        os.mkfifo(folder / "log")
        log = os.open(folder / "log", os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, log)
        within = ["sh", "-c", f'exec "$@" 2>"{folder}/log"', "sh"]
        with Daemon(self.kafka, {"feed.topic": topic, "serve.drain_delay_ms": 60000}, within=within) as daemon:
            self.fill(log)
            self.set_log_level(daemon)  # which is logged by the thread that serves
            self.kafka.publish(topic, [event_protobuf("ann", "apple", time_ms=1)])
            daemon.wait_applied(topic)
            self.read(log)
            self.set_log_level(daemon)
            lines = [json.loads(line) for line in self.read(log).splitlines()]
            self.assertEqual(lines[0]["event"], "log.dropped")
            self.assertIn("log.level", [line["event"] for line in lines])
            self.assertGreaterEqual(lines[0]["lines"], 1)
            self.fill(log)
            daemon.process.send_signal(signal.SIGTERM)
            until(lambda: daemon.http("/readyz")[0] == 503, "/readyz says 503")
            self.assertEqual(daemon.popular(), [("apple", 1.0)])
            daemon.process.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.process.wait(5), 0)
            daemon._gone()

    def set_log_level(self, daemon):
        daemon.admin.SetLogLevel(testbed.admin_pb2.SetLogLevelRequest(level="info"), timeout=20)

    def read(self, log):
        text = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(log, 1 << 16):
                text += chunk
        return text.decode()

    def fill(self, log):
        """To the last byte."""
        for size in (1 << 12, 1):
            with contextlib.suppress(BlockingIOError):
                while os.write(log, b"\n" * size):
                    continue

    @unittest.skipUnless(testbed.LONG, "a loop counts as stuck after half a minute; FRESHET_LONG=1")
    def test_watchdog(self):
        """a thread that stands still is not reported to systemd any more"""
        import ctypes
        libc, seize, interrupt, detach = ctypes.CDLL(None, use_errno=True), 0x4206, 0x4207, 17
        topic, folder = self.kafka.create_topic("watchdog", 1), testbed.scratch("notify")
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
            manager.bind(str(folder / "notify"))
            manager.settimeout(testbed.PATIENCE_S)
            with Daemon(self.kafka, {"feed.topic": topic},
                        environment={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "3000000"}) as daemon:
                while not manager.recv(1000).startswith(b"WATCHDOG=1"):
                    continue
                tasks = f"/proc/{daemon.process.pid}/task"
                thread = next(int(t) for t in os.listdir(tasks) if open(f"{tasks}/{t}/comm", encoding="ascii").read() == "engine\n")
                self.assertEqual(libc.ptrace(seize, thread, None, None), 0)
                self.assertEqual(libc.ptrace(interrupt, thread, None, None), 0)
                while (told := manager.recv(1000)) != b"STATUS=stuck: engine does not move":
                    continue
                self.assertEqual(manager.recv(1000), told)
                self.assertEqual(daemon.http("/livez")[0], 503)
                os.waitpid(thread, 0x40000000)  # __WALL
                self.assertEqual(libc.ptrace(detach, thread, None, None), 0)
                while not manager.recv(1000).startswith(b"WATCHDOG=1"):
                    continue


if __name__ == "__main__":
    testbed.main()
