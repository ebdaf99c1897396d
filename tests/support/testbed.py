"""A real Kafka, a real freshetd and a real client, for the end-to-end tests.

    Kafka ── topic ── freshetd ── gRPC, HTTP ── Daemon.api, Daemon.admin, Daemon.metrics()
      ^ publish()        ^ a store in a temporary folder; kill() and start() as often as you like

Environment: FRESHET_BIN, the folder of the programs (default build/bin); FRESHET_SHARED, the folder with golden/ and data/
(default: shared/ beside the checkout); FRESHET_LONG=1 for the long form of a test.
"""
import atexit
import contextlib
import http.client
import importlib
import json
import lzma
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import confluent_kafka
import confluent_kafka.admin
import grpc

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FRESHET_BIN", SOURCE / "build" / "bin"))
SHARED = pathlib.Path(os.environ.get("FRESHET_SHARED", SOURCE.parent / "shared"))
LONG = os.environ.get("FRESHET_LONG") == "1"
PATIENCE_S = 120  # for what takes seconds at most; sanitizers and a busy machine need more


def scratch(name):
    """A temporary folder that goes when the test ends; a shell and LD_PRELOAD take its name for one word."""
    parent = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=f"freshet-{name}-", dir=parent if re.fullmatch(r"[\w./-]+", parent) else "/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


def preloaded(name):
    """The environment of a process that has this library of the tests before all others. LD_PRELOAD takes a blank for the end
    of a name, and the tree may be in any folder: so the name is that of a link."""
    link = scratch("preload") / name
    link.symlink_to((BIN.parent / "tests" / name).resolve())
    return {"LD_PRELOAD": str(link)}


def shared(*parts):
    """A file of the shared folder; skips the test where there is none."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        raise unittest.SkipTest(f"{path} is not there; FRESHET_SHARED names the folder that holds {parts[0]}/")
    return path


def free_port():
    """For a program that cannot choose one by itself: below those that the kernel gives away, so that nobody gets it meanwhile."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10000, max(first, 20000))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def open_text(path):
    return lzma.open(path, "rt", encoding="utf-8", newline="") if path.suffix == ".xz" else open(path, encoding="utf-8", newline="")


# ---- the wire -----------------------------------------------------------------------------------------------------

def generate_stubs():
    """Python code from proto/, made anew for each run: what a user would get."""
    from grpc_tools import protoc

    out = scratch("stubs")
    files = sorted(str(f.relative_to(SOURCE / "proto")) for f in (SOURCE / "proto").rglob("*.proto"))
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{SOURCE / 'proto'}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    if code:
        sys.exit("protoc does not take the .proto files")
    sys.path.insert(0, str(out))
    return [importlib.import_module(f"freshet.v1.{name}") for name in
            ("events_pb2", "recommender_pb2", "recommender_pb2_grpc", "admin_pb2", "admin_pb2_grpc")]


events_pb2, pb, pb_grpc, admin_pb2, admin_pb2_grpc = generate_stubs()


# ---- Kafka --------------------------------------------------------------------------------------------------------

class Kafka:
    """One real broker; every test makes topics of its own."""

    def __init__(self):
        self.folder = scratch("kafka")
        self.address = self._script("start")
        atexit.register(self._script, "stop")

    @property
    def admin(self):
        """A new one each time: librdkafka 2.5 in Python may crash when a topic it knows is made anew."""
        return confluent_kafka.admin.AdminClient({"bootstrap.servers": self.address, "log_level": 2})

    def _script(self, verb):
        ran = subprocess.run([SOURCE / "tests" / "support" / "kafka", verb, self.folder], stdout=subprocess.PIPE, text=True, check=True)
        return ran.stdout.strip()

    def _administer(self, verb, what):
        admin = self.admin
        for future in getattr(admin, verb)([what]).values():
            future.result(PATIENCE_S)

    def create_topic(self, name, partitions=3):
        """A broker that got no processor for its two seconds of session is fenced, and places no topic until it is heard again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._administer("create_topics", confluent_kafka.admin.NewTopic(name, partitions, 1))
                return name
            except confluent_kafka.KafkaException as error:
                if "fenced" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def grow_topic(self, name, partitions):
        self._administer("create_partitions", confluent_kafka.admin.NewPartitions(name, partitions))

    def delete_topic(self, name):
        self._administer("delete_topics", name)

    def delete_records(self, topic, partition, before):
        """Kafka forgets all offsets below `before`, as retention would."""
        self._administer("delete_records", confluent_kafka.TopicPartition(topic, partition, before))

    def kill(self):
        """kill -9; restart() brings it back with the same port and the same data."""
        self._script("kill")

    def restart(self):
        self._script("start")

    def take_port(self, other):
        """After both are killed: this one answers where the other did."""
        settings = self.folder / "server.properties"
        settings.write_text(settings.read_text().replace(self.address, other.address))
        self.address = other.address

    def partitions(self, topic):
        """A topic that was just made may not be known to the broker at once; of no partition, nothing would be waited for."""
        return until(lambda: sorted(self.admin.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions),
                     f"Kafka knows {topic}")

    def producer(self, **settings):
        return confluent_kafka.Producer({
            "bootstrap.servers": self.address, "log_level": 2, "partitioner": "murmur2_random", "linger.ms": 5, "acks": "all",
            "queue.buffering.max.messages": 1000000, **settings})

    def publish(self, topic, records, **settings):
        """records: (key, value) or a dict of Producer.produce's arguments. Returns when Kafka has them all."""
        producer = self.producer(**settings)
        failures = []

        def delivered(err, _message):
            if err:
                failures.append(err)

        for number, record in enumerate(records):
            if not isinstance(record, dict):
                record = {"key": record[0], "value": record[1]}
            producer.produce(topic, on_delivery=delivered, **record)
            if number % 10000 == 0:
                producer.poll(0)
        left = producer.flush(PATIENCE_S)
        assert not failures and not left, f"{failures[:3]}, {left} records not delivered"

    def kcat(self, topic, lines, *options):
        """Publishes lines 'KEY<TAB>VALUE' with kcat."""
        subprocess.run(["kcat", "-P", "-b", self.address, "-t", topic, "-K", "\t", "-X", "partitioner=murmur2_random", *options],
                       input="".join(f"{line}\n" for line in lines), text=True, check=True, timeout=PATIENCE_S)

    def positions(self, topic):
        """The end of each partition: what is applied when all that was published is."""
        consumer = self._consumer()
        with contextlib.closing(consumer):
            return [pb.Position(topic=topic, partition=p, offset=consumer.get_watermark_offsets(
                confluent_kafka.TopicPartition(topic, p), timeout=PATIENCE_S, cached=False)[1]) for p in self.partitions(topic)]

    def _consumer(self):
        return confluent_kafka.Consumer({"bootstrap.servers": self.address, "group.id": "tests", "enable.auto.commit": False,
                                         "auto.offset.reset": "error", "log_level": 2})

    def read_one(self, topic, partition, offset):
        consumer = self._consumer()
        with contextlib.closing(consumer):
            consumer.assign([confluent_kafka.TopicPartition(topic, partition, offset)])
            message = consumer.poll(PATIENCE_S)
            assert message is not None and not message.error() and message.offset() == offset, f"{topic}/{partition}/{offset}"
            return message

    def read(self, topic):
        """All messages of a topic up to its present end. What comes meanwhile is left out: it would stand for one of another partition."""
        ends = {p.partition: p.offset for p in self.positions(topic) if p.offset > 0}
        messages = []
        consumer = self._consumer()
        with contextlib.closing(consumer):
            consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in ends])
            deadline = time.monotonic() + PATIENCE_S
            while len(messages) < sum(ends.values()) and time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is None:
                    continue
                assert not message.error(), message.error()
                if message.offset() < ends[message.partition()]:
                    messages.append(message)
        assert len(messages) == sum(ends.values()), f"{len(messages)} of {sum(ends.values())} messages of {topic} read"
        return messages


class MockKafka(Kafka):
    """librdkafka's mock cluster in a process of its own: there at once, with two topics; it keeps the newest 5 MiB of a partition."""

    def __init__(self, topic, dead_letter_topic, partitions):
        self.process = subprocess.Popen([BIN.parent / "tests" / "mock_broker", topic, str(partitions), dead_letter_topic],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the mock broker does not start"


def event_json(user, item, kind="rating", value=None, time_ms=0, event_id=None):
    event = {"user_id": user, "item_id": item, "type": kind, "time_ms": time_ms}
    if value is not None:
        event["value"] = value
    if event_id:
        event["event_id"] = event_id
    return user, json.dumps(event)


def event_protobuf(user, item, kind="rating", value=None, time_ms=0, event_id=""):
    event = events_pb2.Event(user_id=user, item_id=item, type=kind, time_ms=time_ms, event_id=event_id)
    if value is not None:
        event.value = value
    return user, event.SerializeToString()


# ---- the daemon ---------------------------------------------------------------------------------------------------

class Daemon:
    """freshetd on ports of its own choice. settings: {"sar.mode": "parity", ...}.

    It turns nobody away for having waited: the standard, 0.1 s, passes on a busy machine. e2e/overload is about that.
    """

    def __init__(self, kafka, settings=(), store=None, within=(), environment=(), credentials=None):
        """within: a command that runs the daemon under some limit, ["prlimit", ...]. credentials: of the client's channels."""
        self.kafka = kafka
        self.within = list(within)
        self.folder = store or scratch("store")
        self.settings = {"kafka.bootstrap.servers": kafka.address, "store.path": self.folder / "store", "serve.listen": "127.0.0.1:0",
                         "admin.listen": "127.0.0.1:0", "admin.grpc_listen": "127.0.0.1:0", "log.format": "json",
                         "limits.max_queue_ms": 60000, **dict(settings)}
        self.log = self.folder / "log"
        self.credentials = credentials
        self.environment = dict(environment)  # more of it than this process has
        self.process = None
        atexit.register(self.kill)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
            print(f"---- the end of the daemon's log\n{self.log_tail()}", file=sys.stderr)
        elif self.process:
            self.stop()

    def launch(self, *options, **settings):
        """Starts the process and does not wait for anything."""
        self.settings.update({name.replace("__", "."): value for name, value in settings.items()})
        arguments = [f"--set={name}={value}" for name, value in self.settings.items()]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.within, BIN / "freshetd", *options, *arguments], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, env={**os.environ, **self.environment})
        return self

    def start(self, *options, **settings):
        """Starts it and waits until it is ready. settings: sar__similarity="cosine" and the like."""
        self.launch(*options, **settings)
        return self.connect()

    def connect(self):
        self.addresses = self._read_addresses()
        self.channel = self.open_channel("grpc", options=[("grpc.max_receive_message_length", 64 << 20)])
        self.admin_channel = self.open_channel("admin_grpc")
        self.api = pb_grpc.RecommenderStub(self.channel)
        self.admin = admin_pb2_grpc.AdminStub(self.admin_channel)
        until(self._ready, "/readyz says 200")
        return self

    def _ready(self):
        """One that is gone will not answer, however long it is asked."""
        assert self.process.poll() is None, f"freshetd has ended (exit {self.process.poll()}) before it answered:\n{self.log_tail()}"
        return self.http("/readyz")[0] == 200

    def open_channel(self, listener, credentials=None, **arguments):
        """A channel to "grpc" or "admin_grpc", with the daemon's client's credentials unless told otherwise."""
        credentials = credentials or self.credentials
        if credentials:
            return grpc.secure_channel(self.addresses[listener], credentials, **arguments)
        return grpc.insecure_channel(self.addresses[listener], **arguments)

    def _read_addresses(self):
        """From the line 'ready grpc=HOST:PORT admin_grpc=... http=... brokers=...' on stdout."""
        text, deadline = b"", time.monotonic() + PATIENCE_S
        while b"\n" not in text[max(text.find(b"ready "), 0):] or b"ready " not in text:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            if not chunk:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(1 if readable else 0)  # its end closes stdout first
                raise AssertionError(f"freshetd does not get ready (exit {self.process.poll()}):\n{self.log_tail()}")
            text += chunk
        return dict(re.findall(r"(\w+)=(\S*)", text[text.find(b"ready "):].decode()))

    def _gone(self):
        if getattr(self, "channel", None):
            self.channel.close()
            self.admin_channel.close()
            self.channel = None
        self.process.stdout.close()
        self.process = None

    def stop(self, number=signal.SIGTERM, code=0):
        """Ends it in good order; a sanitizer's finding would show in the exit code."""
        self.process.send_signal(number)
        try:
            found = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"freshetd does not stop:\n{self.log_tail()}") from None
        self._gone()
        assert found == code, f"exit code {found}, not {code}:\n{self.log_tail()}"

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self._gone()

    def restart(self, **settings):
        self.stop()
        return self.start(**settings)

    def log_tail(self, size=8000):
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def log_lines(self):
        """What it has logged; the last line may be half written yet."""
        whole, _, _ = (self.log.read_text(errors="replace") if self.log.exists() else "").rpartition("\n")
        return [json.loads(line) for line in whole.split("\n") if line.startswith("{")]

    # ---- looking at it

    def http(self, path, headers=()):
        host, port = self.addresses["http"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        status, text = self.http("/metrics")
        assert status == 200, text
        return Metrics(text)

    def wait_applied(self, topic, patience_s=PATIENCE_S):
        """Waits until everything published to the topic so far is applied, by asking an answer for not before that."""
        positions = self.kafka.positions(topic)
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self.api.Recommend(pb.RecommendRequest(user_id="nobody", k=1, not_before=positions),
                                   timeout=max(0.001, deadline - time.monotonic()))
                return positions
            except grpc.RpcError as err:
                # A partition that has just been made is not known at once; who has set limits.max_queue_ms may be turned away.
                passing = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED
                if err.code() not in passing or time.monotonic() >= deadline:
                    raise AssertionError(f"{err.code()}: {err.details()}; waited for {positions}; status: "
                                         f"{self.status()}\n{self.log_tail()}") from None
            time.sleep(0.05)

    def wait_counted(self, topic):
        """As wait_applied, and until the engine is done with it: events are counted before they are shown as applied, but how long they
        took (event_to_visible) and that nothing is left to do (staleness) after that. A pause is answered when every batch is done."""
        positions = self.wait_applied(topic)
        self.admin.PauseIngest(admin_pb2.PauseIngestRequest(), timeout=PATIENCE_S)
        self.admin.ResumeIngest(admin_pb2.ResumeIngestRequest(), timeout=PATIENCE_S)
        return positions

    def status(self):
        return self.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=PATIENCE_S)

    # ---- asking it; each answer as plain Python

    def affinities(self, user):
        answer = self.api.GetUser(pb.GetUserRequest(user_id=user), timeout=PATIENCE_S)
        return {a.item_id: a.affinity for a in answer.affinities}

    def recommend(self, user="", k=10, seeds=(), include=(), **fields):
        request = pb.RecommendRequest(user_id=user, k=k, seeds=[pb.Seed(item_id=s) for s in seeds],
                                      filter=pb.Filter(include_items=include), **fields)
        return [(r.item_id, r.score) for r in self.api.Recommend(request, timeout=PATIENCE_S).items]

    def similar(self, k=10, **whom):
        return [(n.id, n.similarity) for n in self.api.Similar(pb.SimilarRequest(k=k, **whom), timeout=PATIENCE_S).neighbours]

    def popular(self, k=10):
        return [(r.item_id, r.score) for r in self.api.Popular(pb.PopularRequest(k=k), timeout=PATIENCE_S).items]


class Metrics:
    """One scrape: value("name", label="...") and total("name") over all its series."""

    SERIES = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$", re.M)
    LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.series = {}
        for name, labels, value in self.SERIES.findall(text):
            self.series.setdefault(name, {})[frozenset(self.LABEL.findall(labels))] = float(value)

    def value(self, name, **labels):
        return self.series.get(name, {}).get(frozenset(labels.items()))

    def total(self, name):
        return sum(self.series.get(name, {}).values())


# ---- running tests ------------------------------------------------------------------------------------------------

def until(condition, what, patience_s=PATIENCE_S, pause_s=0.05):
    """Asks again until the condition holds, and returns what it said."""
    deadline = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(OSError):
            held = condition()
            if held:
                return held
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(pause_s)


class _Result(unittest.TextTestResult):
    passed = 0

    def startTest(self, test):
        self.began = time.monotonic()
        unittest.TestResult.startTest(self, test)

    def _say(self, word, test):
        self.stream.writeln(f"{word} {test.shortDescription() or test.id()} ({time.monotonic() - self.began:.1f} s)")

    def addSuccess(self, test):
        self.passed += 1
        self._say("ok  ", test)

    def addError(self, test, err):
        super().addError(test, err)
        print("FAIL", test, file=self.stream)

    addFailure = addError

    def addSkip(self, test, reason):
        self.skipped.append((test, reason))
        self.stream.writeln(f"SKIP: {reason}")


def main():
    """Runs the tests of the calling file. Exit code 77 when all of them were skipped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # CTest's time limit: let atexit end what was started
    program = unittest.main(verbosity=0, exit=False, testRunner=unittest.TextTestRunner(
        stream=sys.stdout, resultclass=_Result, verbosity=0, failfast=False))
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(0 if result.passed else 77)
