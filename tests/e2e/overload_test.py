"""More than the daemon can take: questions, connections, resets, nonsense. What it can answer it answers, the rest it turns
away at once; it neither hangs nor grows nor goes deaf, and a client that behaves is answered throughout.

Figures are printed, not asserted: how fast this machine is says nothing about the daemon.
"""
import collections
import contextlib
import os
import random
import re
import ssl
import statistics
import threading
import time
import unittest

import grpc

import testbed
from http2 import HELLO, PREFACE, RECOMMEND, closed_by_peer, connect, frame, question, reset
from testbed import Daemon, Kafka, event_protobuf, pb, until

TOPIC = "overload"
ITEMS, USERS, PER_USER, HEAVY = 2000, 120, 100, 1000  # the heavy user's answers cost milliseconds
SHORT_S = 20
GROWTH_MAX = 300 << 20
CODES = grpc.StatusCode


def raw(channel):
    """Recommend in bytes, so that the client's own work is small."""
    return channel.unary_unary("/freshet.v1.Recommender/Recommend", request_serializer=None, response_deserializer=None)


HEAVY_REQUEST = pb.RecommendRequest(user_id="heavy", k=10).SerializeToString()
LIGHT_REQUEST = pb.RecommendRequest(user_id="user1", k=1).SerializeToString()


def health(channel):
    """Is it SERVING (1)?"""
    check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None)
    return check(b"", timeout=SHORT_S) == b"\x08\x01"


class Bystander(threading.Thread):
    """A client that behaves: one question after the other on its own connection. Now and then it may be turned away (on a busy
    machine even a calm daemon does it), but health may not."""

    def __init__(self, daemon):
        super().__init__()
        self.channel = grpc.insecure_channel(daemon.addresses["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
        self.answered, self.wrong, self.over = 0, [], threading.Event()

    def run(self):
        ask = raw(self.channel)
        while not self.over.is_set():
            try:
                ask(LIGHT_REQUEST, timeout=SHORT_S)
                self.answered += 1
            except grpc.RpcError as err:
                if err.code() != CODES.RESOURCE_EXHAUSTED:
                    self.wrong.append((err.code(), err.details()))
            try:
                if not health(self.channel):
                    self.wrong.append("NOT_SERVING")
            except grpc.RpcError as err:
                self.wrong.append(("health", err.code(), err.details()))
            self.over.wait(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        so_far = self.answered
        until(lambda: self.answered >= so_far + 5 or self.wrong, "the bystander is answered to the end")
        self.over.set()
        self.join()
        self.channel.close()
        assert not self.wrong, self.wrong[:5]


@contextlib.contextmanager
def closing(connections):
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


class Overload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = Kafka()
        cls.kafka.create_topic(TOPIC, 1)
        chance = random.Random(7)
        records = [event_protobuf("heavy", f"item{i}", time_ms=1) for i in range(HEAVY)]
        for user in range(USERS):
            records += [event_protobuf(f"user{user}", f"item{chance.randrange(ITEMS)}", time_ms=1) for _ in range(PER_USER)]
        cls.kafka.publish(TOPIC, records)
        cls.daemon = Daemon(cls.kafka, {"feed.topic": TOPIC, "sar.mode": "parity", "sar.half_life_days": 0, "log.level": "warn",
                                        "limits.max_queue_ms": 100}).start()  # the standard
        cls.daemon.wait_applied(TOPIC)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def setUp(self):
        self.pid = self.daemon.process.pid
        self.files, self.resident = self.count_files(), self.read_resident()

    def tearDown(self):
        """Whatever it was, it leaves no trace."""
        until(lambda: self.count_files() <= self.files + 8, f"files go back from {self.count_files()} to {self.files}")
        until(lambda: self.daemon.metrics().total("freshet_rpc_inflight") == 0, "no call is in flight")
        growth = self.read_resident() - self.resident
        if growth > 20 << 20:
            print(f"    resident memory grew by {growth >> 20} MiB")
        with open(f"/proc/{self.pid}/maps", encoding="ascii") as maps:
            sanitized = re.search("lib[a-z]san", maps.read())  # it keeps what is freed
        self.assertLess(growth, GROWTH_MAX * (5 if sanitized else 1))
        best = until(self.ask_unless_turned_away, "a question is answered")
        self.assertEqual(best[0][0][:4], "item")

    def ask_unless_turned_away(self):
        """On a busy machine even a calm daemon turns one away."""
        try:
            return self.daemon.recommend("user1", 1)
        except grpc.RpcError as err:
            if err.code() != CODES.RESOURCE_EXHAUSTED:
                raise
            return None

    def count_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def read_resident(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    # ---- questions

    def measure_capacity(self, ask, seconds=1.5):
        """Answers per second with four callers at a time."""
        answered = []

        def call_on():
            while time.monotonic() < end:
                with contextlib.suppress(grpc.RpcError):  # turned away
                    ask(HEAVY_REQUEST, timeout=SHORT_S)
                    answered.append(1)

        end = time.monotonic() + seconds
        callers = [threading.Thread(target=call_on) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        return len(answered) / seconds

    def flood(self, ask, rate, seconds):
        """Open loop: so many questions a second, whatever becomes of them. Returns [(code, details, latency)]."""
        results, left = [], threading.Semaphore(0)

        def ended(began):
            def note(future):
                results.append((future.code(), future.details(), time.monotonic() - began))
                left.release()
            return note

        began, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < rate * elapsed:
                future = ask.future(HEAVY_REQUEST, timeout=SHORT_S)
                future.add_done_callback(ended(time.monotonic()))
                sent += 1
            time.sleep(0.001)  # the client's own clock, not a wait for the daemon
        for _ in range(sent):
            self.assertTrue(left.acquire(timeout=testbed.PATIENCE_S), "a call hangs")
        return results, time.monotonic() - began

    def test_flood(self):
        """ten times the questions it can answer: each is answered or turned away at once"""
        with contextlib.closing(grpc.insecure_channel(self.daemon.addresses["grpc"])) as channel:
            ask = raw(channel)
            capacity = self.measure_capacity(ask)
            before = self.daemon.metrics()
            with Bystander(self.daemon):
                results, elapsed = self.flood(ask, 10 * capacity, 5)
        counts = collections.Counter(code for code, _, _ in results)
        admitted = sorted(latency for code, _, latency in results if code == CODES.OK)
        shed = sorted(latency for code, _, latency in results if code == CODES.RESOURCE_EXHAUSTED)
        on_arrival = sum(1 for code, details, _ in results if code == CODES.RESOURCE_EXHAUSTED and "waited" not in details)
        offered = len(results) / elapsed
        print(f"    capacity {capacity:.0f}/s, offered {offered:.0f}/s; {dict(counts)}, {on_arrival} on arrival; ms at p50 and p99: answered "
              f"{statistics.median(admitted) * 1e3:.0f} {admitted[len(admitted) * 99 // 100] * 1e3:.0f}, turned away "
              f"{statistics.median(shed) * 1e3:.0f} {shed[len(shed) * 99 // 100] * 1e3:.0f}")
        self.assertEqual(set(counts), {CODES.OK, CODES.RESOURCE_EXHAUSTED})
        self.assertGreater(offered, 3 * capacity, "the client did not make a flood")
        self.assertGreater(counts[CODES.RESOURCE_EXHAUSTED], len(results) / 2)
        self.assertGreater(on_arrival, counts[CODES.RESOURCE_EXHAUSTED] * 0.8, "without waiting")
        self.assertGreater(counts[CODES.OK], capacity / 2, "it answers on, at a tenth of what it could at the very least")
        after = self.daemon.metrics()
        rejected = sum(after.value("freshet_rpc_rejected_total", reason=reason) -
                       before.value("freshet_rpc_rejected_total", reason=reason) for reason in ("inflight", "queue", "deadline"))
        self.assertGreaterEqual(rejected, counts[CODES.RESOURCE_EXHAUSTED])

    def test_cancelled(self):
        """thousands of calls that are cancelled as soon as they are made"""
        with contextlib.closing(grpc.insecure_channel(self.daemon.addresses["grpc"])) as channel, Bystander(self.daemon):
            ask = raw(channel)
            for _ in range(30):
                futures = [ask.future(HEAVY_REQUEST, timeout=SHORT_S) for _ in range(100)]
                for future in futures:
                    future.cancel()

    def test_resets(self):
        """streams opened and reset at once, a thousand on each of twenty connections, half of which never read (CVE-2023-44487)"""
        with closing([connect(self.daemon.addresses["grpc"]) for _ in range(20)]) as connections, Bystander(self.daemon):
            for connection in connections:
                connection.sendall(HELLO)
            for burst in range(10):
                for number, connection in enumerate(connections):
                    streams = range(1 + 200 * burst, 1 + 200 * (burst + 1), 2)
                    with contextlib.suppress(OSError):  # it may close such a connection
                        connection.setblocking(True)
                        connection.sendall(b"".join(question(s, HEAVY_REQUEST) + reset(s) for s in streams))
                        if number % 2:
                            closed_by_peer(connection)

    def test_torrent(self):
        """streams opened and reset without an end: the connection is closed, and what it has begun is cleared away"""
        cut = lambda: self.daemon.metrics().value("freshet_connections_cut_total")
        for _ in range(3):
            before, stream = cut(), 1
            with closing([connect(self.daemon.addresses["grpc"])]) as [connection], Bystander(self.daemon):
                with self.assertRaises(OSError):
                    connection.sendall(HELLO)
                    while stream < 1 << 19:
                        connection.sendall(b"".join(question(s, LIGHT_REQUEST) + reset(s) for s in range(stream, stream + 400, 2)))
                        closed_by_peer(connection)
                        connection.setblocking(True)
                        connection.settimeout(SHORT_S)
                        stream += 400
                until(lambda: cut() > before, "it was closed because of that")
            print(f"    closed after {stream // 2:,} streams")

    def test_large(self):
        """a message and metadata beyond the limits are refused"""
        with contextlib.closing(grpc.insecure_channel(self.daemon.addresses["grpc"])) as channel, Bystander(self.daemon):
            ask = raw(channel)
            for request, metadata in ((b"\x0a" + bytes(5 << 20), ()), (LIGHT_REQUEST, (("x-large", "x" * 20000),))):
                with self.assertRaises(grpc.RpcError) as refused:
                    ask(request, metadata=metadata, timeout=SHORT_S)
                self.assertEqual(refused.exception.code(), CODES.RESOURCE_EXHAUSTED, refused.exception.details())
                print(f"    {refused.exception.details()}")

    # ---- connections

    def test_slow(self):
        """three hundred connections that say nothing, or a byte at a time"""
        addresses = [self.daemon.addresses[listener] for listener in ("grpc", "admin_grpc")]
        with closing([connect(address) for address in addresses for _ in range(150)]) as connections, Bystander(self.daemon):
            text = HELLO + frame(1, 0, 1, RECOMMEND)  # the end of its headers never comes
            for at in range(25):
                for number, connection in enumerate(connections):
                    with contextlib.suppress(OSError):
                        if number % 3 == 1:
                            connection.send(text[at % 20:at % 20 + 1])  # never a whole preface
                        elif number % 3 == 2:
                            connection.send(text if at == 0 else b"")
                time.sleep(0.02)  # this client's slowness
            unfinished = [c for number, c in enumerate(connections) if number % 3 < 2]
            until(lambda: all(closed_by_peer(c) for c in unfinished), "connections without a handshake are closed")

    def test_nonsense(self):
        """anything but HTTP/2 on the gRPC ports"""
        chance = random.Random(11)
        hello = ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        texts = [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", hello.read(), PREFACE[:10] + b"\xff" * 100, HELLO + b"\xff" * 5000,
                 HELLO + frame(1, 4, 0, RECOMMEND), HELLO + frame(1, 4, 2, RECOMMEND), HELLO + frame(0, 1, 1, b"x"), HELLO + frame(9, 4, 1),
                 HELLO + frame(1, 4, 1, b"\xff" * 50), HELLO + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 50, HELLO + frame(6, 0, 0, bytes(8)) * 5000,
                 HELLO + frame(4, 0, 0, bytes(6)) * 5000]
        texts += [bytes(chance.randrange(256) for _ in range(500)) for _ in range(20)]
        texts += [HELLO + bytes(chance.randrange(256) for _ in range(500)) for _ in range(20)]
        with Bystander(self.daemon):
            for listener in ("grpc", "admin_grpc"):
                with closing([connect(self.daemon.addresses[listener]) for _ in texts]) as connections:
                    for connection, text in zip(connections, texts):
                        with contextlib.suppress(OSError):
                            connection.sendall(text)

    def test_operators(self):
        """one address cannot take all places of the HTTP port"""
        with closing([connect(self.daemon.addresses["http"], "127.0.0.3") for _ in range(100)]) as connections:
            for connection in connections[:50]:
                with contextlib.suppress(OSError):
                    connection.send(b"GET /metrics HTT")
            self.assertEqual(self.daemon.http("/readyz")[0], 200)
            self.assertEqual(self.daemon.http("/metrics")[0], 200)

    def test_files(self):
        """more connections than the process may have files: the port does not go deaf, the store has its files"""
        topic = self.kafka.create_topic("files", 1)
        with Daemon(self.kafka, {"feed.topic": topic}, within=["prlimit", "--nofile=256:256"]) as small:
            def open_files():
                return len(os.listdir(f"/proc/{small.process.pid}/fd"))

            with closing([]) as connections:
                for _ in range(400):
                    connections.append(connect(small.addresses["grpc"]))
                until(lambda: sum(closed_by_peer(c) for c in connections) > 100, "what is too much is closed")
                self.assertLess(open_files(), 200)
                self.assertEqual(small.http("/livez")[0], 200)  # operators are not kept out
                self.kafka.publish(topic, [event_protobuf("ann", "apple", time_ms=1)])
            until(lambda: open_files() < 150, "who has left is noticed")
            small.wait_applied(topic)
            self.assertEqual(small.popular(1), [("apple", 1.0)])
            self.assertGreater(small.metrics().value("freshet_connections_refused_total"), 100)

    # ---- memory

    def test_memory(self):
        """the limits of memory: no new users at the soft one, no events at the hard one, questions at all times"""
        topic, letters = self.kafka.create_topic("memory", 1), self.kafka.create_topic("memory.letters", 1)
        daemon = Daemon(self.kafka, {"feed.topic": topic, "feed.dead_letter_topic": letters})
        with daemon:
            self.kafka.publish(topic, [event_protobuf("ann", "apple", time_ms=1), event_protobuf("bob", "apple", time_ms=1)])
            daemon.wait_applied(topic)
            daemon.restart(limits__memory_soft="1M")
            until(lambda: daemon.metrics().value("freshet_admission_closed") == 1, "admission closes")
            refused = [event_protobuf("cat", "apple", time_ms=1), event_protobuf("ann", "bread", time_ms=1)]
            self.kafka.publish(topic, [*refused, event_protobuf("ann", "apple", time_ms=2)])
            daemon.wait_applied(topic)
            until(lambda: daemon.metrics().value("freshet_dead_letters_total", reason="capacity") == 2, "dead letters are delivered")
            self.assertEqual(sorted((m.key(), m.value()) for m in self.kafka.read(letters)),
                             sorted((key.encode(), value) for key, value in refused))
            self.assertEqual(daemon.popular(), [("apple", 2.0)])
            daemon.kill()
            daemon.start()  # decided once
            self.assertEqual(daemon.metrics().value("freshet_admission_closed"), 1)
            daemon.restart(limits__memory_soft="0", limits__memory_hard="1M")
            until(lambda: daemon.metrics().value("freshet_ingest_held", reason="memory") == 1, "ingest is held")
            self.kafka.publish(topic, refused)  # once more, now that there is room for them
            until(lambda: daemon.metrics().total("freshet_consumer_lag_messages") == 2, "it knows of them")
            self.assertEqual(daemon.popular(), [("apple", 2.0)])
            daemon.restart(limits__memory_hard="0")
            daemon.wait_applied(topic)
            self.assertEqual(daemon.popular(), [("apple", 3.0), ("bread", 1.0)])


if __name__ == "__main__":
    testbed.main()
