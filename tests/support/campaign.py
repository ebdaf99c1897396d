"""One daemon, killed again and again while events flow, and compared with the oracle.

    Stream ────records────> Kafka ────> freshetd   start ... X   start ....... X   start . X        X = kill -9
       └─ what Kafka acknowledged, with its offset ──> oracle.State ──compared──> all that gRPC tells of the daemon's state

The stream holds what a promise could break on: repeats of an event_id that come seconds later, in another life, with other content;
bad records of every kind; late events; items that leave histories; ids that are new all the time.

With a faulty disk (tests/support/faultfs.c) some lives also meet a write or a sync that fails, and some kills are power cuts: what
was not synced is taken from the files. Whatever the daemon has called durable must be there at the next start.
"""
import contextlib
import http.client
import json
import random
import string
import threading
import time

import grpc

import oracle
import testbed
from testbed import events_pb2, pb

PRODUCT = oracle.Rules(history_max=12, window=4)
PARITY = oracle.Rules()
START_MS = 1_600_000_000_000
LATE_MS = 20 * oracle.DAY_MS
NEAR = 1e-9
BAD = 0.03
REPEATED = 0.05
SOON_S = 20  # for what takes milliseconds, once the daemon answers
TOOLS = testbed.BIN.parent / "tests"
DISK_ERRORS = ("write .log {} EIO", "write .log {} ENOSPC", "write .log {} torn EIO", "write .log {} short", "sync .log {} EIO",
               "sync DURABLE {} EIO", "write * {}+ ENOSPC", "sync * {}+ EIO")


class Difference(AssertionError):
    """The daemon's state is not what the log makes it; what a sown defect must lead to."""


class Unproven(Exception):
    """What the campaign needs did not come to pass, with a daemon that lives: no proof of anything, least of all of a defect."""


@contextlib.contextmanager
def _differs():
    """What the daemon fails in here, dead ones included, is a Difference."""
    try:
        yield
    except Difference:
        raise
    except grpc.RpcError as err:
        raise Difference(f"{err.code()}: {err.details()}") from None
    except (AssertionError, http.client.HTTPException) as err:
        raise Difference(err) from None


class Stream(threading.Thread):
    """Publishes random records until told to stop, and keeps those that Kafka has acknowledged."""

    def __init__(self, kafka, topic, seed, records_per_s):
        super().__init__(daemon=True)
        self.producer = kafka.producer(**{"enable.idempotence": True})
        self.topic = topic
        self.random = random.Random(f"{seed} stream")
        self.per_tick = max(1, records_per_s // 100)
        self.records = []  # oracle.Record
        self.sent = 0
        self.repeats = []  # (send when so many are sent, key, value)
        self.failure = None
        self.flowing, self.tick, self.ending = False, threading.Lock(), threading.Event()

    def run(self):
        try:
            while not self.ending.wait(0.01):  # the pace of the stream
                with self.tick:
                    for _ in range(self.per_tick if self.flowing else 0):
                        self._send_one()
                    self.producer.poll(0)
        except BaseException as err:
            self.failure = err

    def flow(self):
        with self.tick:
            self.flowing = True

    def pause(self):
        """Everything sent so far is in Kafka, and in `records`, when this returns."""
        with self.tick:
            self.flowing = False
            left = self.producer.flush(testbed.PATIENCE_S)
        assert not left and not self.failure, self.failure or "Kafka does not take the records"
        assert len(self.records) == self.sent, f"{self.sent} records sent, {len(self.records)} acknowledged"

    def _send_one(self):
        r = self.random
        self.sent += 1
        if self.repeats and self.repeats[0][0] <= self.sent:
            return self._produce(*self.repeats.pop(0)[1:])
        # New users and items all the time: their ids are state too.
        user, item = f"user-{r.randrange(100 + self.sent // 100)}", f"item-{int(r.random() ** 2 * (60 + self.sent // 1000))}"
        if r.random() < BAD:
            return self._produce(user, self._bad(user, item))
        event_id = f"{r.getrandbits(60):x}" if r.random() < 4 * REPEATED else ""
        self._produce(user, self._event(user, item, event_id))
        if event_id and r.random() < 0.25:
            other = f"item-{int(r.random() ** 2 * 60)}"
            self.repeats.append((self.sent + r.choice((1, 30, 300, 3000)), user, self._event(user, other, event_id)))
            self.repeats.sort(key=lambda repeat: repeat[0])

    def _event(self, user, item, event_id):
        r = self.random
        kind = r.choice(("click", "click", "view", "rating", "rating", "purchase", "return", "like", "share"))
        value = r.randrange(1, 11) / 2 if kind == "rating" or r.random() < 0.1 else None
        when = START_MS + self.sent * 1000 - (r.randrange(LATE_MS) if r.random() < 0.1 else 0)
        write = testbed.event_json if r.random() < 0.3 else testbed.event_protobuf
        return write(user, item, kind, value, when, event_id)[1]

    def _bad(self, user, item):
        """One of each reason there is."""
        tail = "".join(self.random.choices(string.ascii_letters, k=8)).encode()
        return self.random.choice((
            None,
            b'{"user_id": "' + tail,
            b"\x0a\xff\xff\xff\x7f" + tail,
            json.dumps({"user_id": user, "item_id": ""}).encode(),
            json.dumps({"user_id": "u" * 257, "item_id": item}).encode(),
            events_pb2.Event(user_id=user, item_id=item, type="purchase", value=float("inf")).SerializeToString(),
            events_pb2.Event(user_id=user, item_id=item, type="rating", value=1e7).SerializeToString(),
            events_pb2.Event(user_id=user, item_id=item, time_ms=-1).SerializeToString(),
            events_pb2.Event(user_id=user, item_id=item, time_ms=4_000_000_000_000).SerializeToString(),
        ))

    def _produce(self, key, value):
        value = value.encode() if isinstance(value, str) else value
        logged = int(time.time() * 1000)

        def delivered(err, message):
            self.failure = self.failure or err
            if not err:  # its timestamp is ours: the mock broker's acknowledgement would give another
                self.records.append(oracle.Record(message.partition(), message.offset(), logged, message.key(), message.value()))

        self.producer.produce(self.topic, key=key, value=value, timestamp=logged, on_delivery=delivered)


ONCE_A_LIFE = "recover.", "feed.", "stop."  # points that have no second pass


def crash_points():
    listed = testbed.subprocess.run([testbed.BIN / "freshetd"], env={"FRESHET_CRASH_POINT": "list"}, stdout=testbed.subprocess.PIPE,
                                    text=True, check=True)
    return sorted(listed.stdout.split())


class Campaign:
    """`rules` say what the settings make of the log; the daemon's own settings follow from them. `faulty_disk`: see above."""

    def __init__(self, kafka, topic, dead_letter_topic, rules, seed, records_per_s=1000, faulty_disk=False):
        self.kafka, self.topic, self.dead_letter_topic, self.rules = kafka, topic, dead_letter_topic, rules
        self.random = random.Random(f"{seed} moments")
        self.stream = Stream(kafka, topic, seed, records_per_s)
        parity = not rules.history_max
        self.daemon = testbed.Daemon(kafka, {
            "feed.topic": topic, "feed.dead_letter_topic": dead_letter_topic, "sar.similarity": "cooccurrence",
            "sar.half_life_days": rules.half_life_days, "store.checkpoint_interval_ms": 20, "store.wal_sync_interval_ms": 50,
            "serve.drain_grace_ms": 100,
            "recommend.default_model": "sar",  # the oracle counts what it counts; whatever else runs by default is killed with it
            **({"sar.mode": "parity"} if parity else {"engine.history_max": rules.history_max, "sar.window": rules.window, "sar.neighbours_max": 0}),
        })
        self.lives = self.stops = self.errors = self.cuts = 0
        self.told = {}  # (topic, partition): the position that was called durable
        self.faulty_disk = faulty_disk
        if faulty_disk:
            self._prepare_disk()
        self.began = time.monotonic()

    def __enter__(self):
        self.stream.start()
        self.stream.flow()
        return self

    def __exit__(self, kind, *_):
        self.stream.ending.set()
        self.daemon.kill()
        if kind:
            print(f"---- the end of the daemon's log\n{self.daemon.log_tail()}")

    def say(self, text):
        print(f"     {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    # ---- lives

    def live(self, on_faulty_disk=False):
        """From a start to a kill at a random moment: within the start, among the first checkpoints, or among later ones; one in eight
        in the midst of stopping. A life that has stopped before it could be killed is no kill, and another follows. On a faulty disk
        one in three is spent on that, or this one."""
        while True:
            if on_faulty_disk or self.faulty_disk and self.random.random() < 1 / 3:
                with _differs():
                    return self._live_on_faulty_disk()
            self.daemon.launch()
            self._end_within(self.random.choice((0.15, 0.5, 1.0)) * self.random.random())
            code = self._stop_for(0.3 * self.random.random()) if self.random.random() < 1 / 8 else None
            self.daemon.kill()
            if code is None:
                self.lives += 1
                return
            self.stops += 1

    def _stop_for(self, seconds):
        """The exit code, if it has stopped by then. A second signal is fast, and as safe."""
        self.daemon.process.terminate()
        if self.random.random() < 0.5 and self._wait(seconds / 2) is None:
            self.daemon.process.terminate()
        code = self._wait(seconds)
        if code not in (None, 0, -testbed.signal.SIGTERM):  # which ends it before it knows of signals
            raise Difference(f"told to stop, it ended with {code}: {self.daemon.log_tail(500)}")
        return code

    def live_to(self, point, passes, patience_s=1.5):
        """To the crash point; when it has not come by then, through an orderly stop. Returns whether it died there."""
        self.daemon.environment["FRESHET_CRASH_POINT"] = f"{point}:{passes}"
        try:
            if point.startswith("stop."):  # one that comes before it is ready ends it at once and passes nothing on its way
                with _differs():
                    self._start()
                    self._await_events()
            else:
                self.daemon.launch()
        finally:
            del self.daemon.environment["FRESHET_CRASH_POINT"]
        code = None if point.startswith("stop.") else self._wait(patience_s)
        if code is None:
            self.daemon.process.terminate()
            code = self._wait(testbed.PATIENCE_S)
        if code not in (0, -9, -testbed.signal.SIGTERM):  # which ends it before it knows of signals
            raise Difference(f"on the way to {point} it ended with {code}: {self.daemon.log_tail(500)}")
        self.daemon.kill()
        self.lives += 1
        return code == -9

    def _await_events(self):
        applied = sum(p.applied for p in self.daemon.status().partitions)
        try:
            testbed.until(lambda: sum(p.applied for p in self.daemon.status().partitions) > applied, "events flow")
        except AssertionError as err:
            raise Unproven(err) from None

    def _wait(self, seconds):
        try:
            return self.daemon.process.wait(seconds)
        except testbed.subprocess.TimeoutExpired:
            return None

    def _end_within(self, seconds):
        code = self._wait(seconds)
        if code is not None:
            raise Difference(f"it ended by itself with {code}: {self.daemon.log_tail(500)}")

    # ---- a disk that fails, and forgets

    def _prepare_disk(self):
        folder = self.daemon.folder
        (folder / "undo").mkdir()
        self.disk_rules = folder / "rules"
        self.daemon.environment = {**testbed.preloaded("faultfs.so"), "FAULTFS_ROOT": str(folder / "store"),
                                   "FAULTFS_RULES": str(self.disk_rules), "FAULTFS_UNDO": str(folder / "undo")}
        # Rarely synced, so that at most moments there is something to lose.
        self.daemon.settings["store.wal_sync_interval_ms"] = 150

    def _disk(self, rules):
        """From now on it behaves so."""
        self.disk_rules.with_name("rules.fired").unlink(missing_ok=True)
        new = self.disk_rules.with_name("rules.new")
        new.write_text(rules + "\n")
        testbed.os.replace(new, self.disk_rules)

    def _live_on_faulty_disk(self):
        """The disk fails half of the lives, and the power two thirds; what is called durable is noted up to the last moment."""
        self._start()
        fails = self.random.random() < 1 / 2
        if fails:
            self.errors += 1
            self._disk(self.random.choice(DISK_ERRORS).format(self.random.randint(1, 6)))
            self._await_disk_error()
        end = time.monotonic() + 0.4 * self.random.random()
        while time.monotonic() < end:
            self._note_told()
        self._end_within(0)
        self.daemon.kill()
        self.lives += 1
        if fails:
            self._disk("")
        if self.random.random() < 2 / 3:
            self.cuts += 1
            testbed.subprocess.run([TOOLS / "powerloss", self.daemon.folder / "store", self.daemon.folder / "undo",
                                    str(self.random.getrandbits(32))], check=True)
        self._look_at_store()

    def _await_disk_error(self):
        fired = self.disk_rules.with_name("rules.fired")
        try:
            testbed.until(lambda: fired.exists() or self.daemon.process.poll() is not None, "the disk fails", SOON_S)
        except AssertionError as err:
            raise Unproven(err) from None

    def _look_at_store(self):
        """Without Kafka: else what is missing would soon be there again."""
        broker = self.daemon.settings["kafka.bootstrap.servers"]
        self._start(kafka__bootstrap__servers="127.0.0.1:1")
        self.daemon.settings["kafka.bootstrap.servers"] = broker
        self.daemon.kill()

    def _note_told(self):
        """Never less than before, not even in another life."""
        found = {(p.topic, p.partition): p.durable for p in self.daemon.status().partitions}
        for partition, told in self.told.items():
            if found.get(partition, -1) < told:
                raise Difference(f"partition {partition} was durable up to {told}, and now is up to {found.get(partition, -1)}")
        self.told.update(found)

    def _start(self, **settings):
        """Until it answers; with all that was ever called durable."""
        try:
            self.daemon.start(**settings)
        except AssertionError as err:
            if self._wait(1) is None:
                raise Unproven(err) from None
            raise
        self._note_told()
        if "store.went_back" in self.daemon.log_tail():
            raise Difference("the store has lost what was synced")

    # ---- comparing

    def compare(self, again=False):
        """The stream rests, the daemon catches up, and everything it says is compared; then events flow on. `again`: also after
        an orderly stop and a start."""
        self.stream.pause()
        with _differs():
            self._start()
            state = oracle.State(self.stream.records, events_pb2.Event, self.rules)
            self._same(state)
            if again:
                self.daemon.restart()
                self._same(state)
            self.daemon.kill()
        disk = f"{self.errors} with disk errors, {self.cuts} power cuts, " if self.faulty_disk else ""
        self.say(f"{self.lives} kills, {disk}{self.stops} stopped, {len(self.stream.records)} records: {state.events} events of {len(state.count)} users on "
                 f"{len(state.first_seen)} items, {state.duplicates} repeats, {len(state.letters)} dead letters; all as recounted")
        self.stream.flow()

    def _catch_up(self):
        """However long that takes, as long as it gets on."""
        applied = None
        while True:
            before, applied = applied, sum(p.applied for p in self.daemon.status().partitions)
            try:
                return self.daemon.wait_applied(self.topic, SOON_S)
            except AssertionError:
                if applied == before:
                    raise

    def _same(self, state):
        self._catch_up()
        status = self.daemon.status()
        self._same_users(state)
        self._same_items(state)
        self._same_letters(state)
        pairs = sum(len(row) for row in state.together.values())
        _equal("users, items, pairs, events", (status.users, status.items, status.pairs, status.models[0].events),
               (len(state.count), len(state.first_seen), pairs, state.events))

    def _same_users(self, state):
        for user, affinity in state.affinity.items():
            answer = self.daemon.api.GetUser(pb.GetUserRequest(user_id=user), timeout=testbed.PATIENCE_S)
            found = {a.item_id: a.affinity for a in answer.affinities}
            _equal(f"events of {user}", answer.events, state.count[user])
            _equal(f"last event of {user}", answer.last_event_ms, state.last_event[user])
            _equal(f"items of {user}", sorted(found), sorted(affinity))
            for item, value in affinity.items():
                # Of the sum of absolute terms, which no more than 200 events of weight 5 make.
                if abs(found[item] - value) > NEAR * 1000:
                    raise Difference(f"affinity of {user} to {item}: {found[item]!r}, recounted {value!r}")

    def _same_items(self, state):
        most = len(state.first_seen) + 1
        _equal("users of each item", dict(self.daemon.popular(k=most)), state.users)
        for item, first_seen in state.first_seen.items():
            answer = self.daemon.api.GetItem(pb.GetItemRequest(item_id=item), timeout=testbed.PATIENCE_S)
            _equal(f"users and first event of {item}", (answer.users, answer.first_seen_ms), (state.users.get(item, 0), first_seen))
            together = {other: n for other, n in self.daemon.similar(item_id=item, k=most) if n}
            _equal(f"co-occurrence of {item}", together, state.together.get(item, {}))

    def _same_letters(self, state):
        """Each is there, with its content and its reason; after a kill it may have been sent again."""
        testbed.until(lambda: self.daemon.metrics().value("freshet_outbox_pending") == 0, "Kafka has all dead letters", SOON_S)
        found = {}
        for letter in self.kafka.read(self.dead_letter_topic):
            headers = {name: text.decode() for name, text in letter.headers()}
            place = int(headers["x-orig-partition"]), int(headers["x-orig-offset"])
            content = headers["x-error-class"], letter.key(), letter.value()
            _equal(f"contents of the dead letter of {place}", found.setdefault(place, content), content)
        _equal("dead letters", found, state.letters)


def _equal(what, found, wanted):
    if found == wanted:
        return
    if hasattr(wanted, "items"):
        wrong = {k: (found.get(k), wanted.get(k)) for k in {*found, *wanted} if found.get(k) != wanted.get(k)}
        raise Difference(f"{what}: {len(wrong)} differ; found and wanted: {dict(sorted(wrong.items())[:8])}")
    if isinstance(wanted, list):
        raise Difference(f"{what}: {sorted({*found} - {*wanted})} too many, {sorted({*wanted} - {*found})} missing")
    raise Difference(f"{what}: {found}, recounted {wanted}")
