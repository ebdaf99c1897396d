"""Events and questions at the same time, at full speed: what ThreadSanitizer is run over.

Answers must be whole whatever is learned meanwhile: sorted, without repeats, without what the user has seen before (nothing leaves
a history here), and never older than an answer that the same caller had before.
"""
import random
import threading
import unittest

import grpc
import testbed
from testbed import admin_pb2, pb

ROUNDS = 200 if testbed.LONG else 20
EVENTS, ANSWERS = 2000, 100  # of each round, at least
USERS, ITEMS, PARTITIONS, CALLERS = 400, 300, 4, 3


class Caller(threading.Thread):
    """Asks one thing after another on a connection of its own until it is told to stop."""

    def __init__(self, daemon, seed):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.channel = grpc.insecure_channel(daemon.addresses["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
        self.api = testbed.pb_grpc.RecommenderStub(self.channel)
        self.daemon_bed = daemon
        self.ending = threading.Event()
        self.answers = 0
        self.positions = {}
        self.failure = None

    def run(self):
        questions = [self.recommend, self.recommend, self.recommend_session, self.similar_items, self.similar_users, self.popular,
                     self.user, self.scrape]
        try:
            while not self.ending.is_set():
                self.random.choice(questions)()
                self.answers += 1
        except BaseException as err:
            self.failure = err
        self.channel.close()

    def some_user(self):
        return f"u{self.random.randrange(USERS)}"

    def some_item(self):
        return f"i{int(self.random.random() ** 2 * ITEMS)}"

    def look(self, found, as_of):
        """found: [(id, score)], best first."""
        assert len({name for name, _ in found}) == len(found), f"repeated: {found}"
        for (a, x), (b, y) in zip(found, found[1:]):
            assert x > y or x == y and a.encode() < b.encode(), f"out of order: {found}"
        for position in as_of.positions:
            assert position.offset >= self.positions.get(position.partition, 0), f"older than before: {as_of}"
            self.positions[position.partition] = position.offset

    def recommend(self):
        user = self.some_user()
        known = self.api.GetUser(pb.GetUserRequest(user_id=user), timeout=60)
        seen = {a.item_id for a in known.affinities}
        answer = self.api.Recommend(pb.RecommendRequest(user_id=user, k=20, explain=self.random.random() < 0.3,
                                                        model=self.random.choice(("", "sar"))), timeout=60)
        assert not seen & {r.item_id for r in answer.items}, "an item that was seen before is recommended"
        if answer.model == "auto" and not answer.fallback:  # popular is one of those it asks: one order for all
            self.look([(r.item_id, r.score) for r in answer.items], answer.as_of)
            return
        # Popular items follow those with evidence; each part is in order.
        own = [(r.item_id, r.score) for r in answer.items if r.source != "popular"]
        self.look(own, answer.as_of)
        assert [r.source == "popular" for r in answer.items] == sorted(r.source == "popular" for r in answer.items)

    def recommend_session(self):
        seeds = {self.some_item() for _ in range(3)}
        answer = self.api.Recommend(pb.RecommendRequest(k=20, seeds=[pb.Seed(item_id=s) for s in seeds]), timeout=60)
        assert not seeds & {r.item_id for r in answer.items}, "a seed is recommended"

    def ask_unless_unknown(self, call, request):
        try:
            return call(request, timeout=60)
        except grpc.RpcError as err:
            assert err.code() == grpc.StatusCode.NOT_FOUND, err
            return None

    def similar_items(self):
        item = self.some_item()
        answer = self.ask_unless_unknown(self.api.Similar, pb.SimilarRequest(item_id=item, k=50))
        if answer:
            found = [(n.id, n.similarity) for n in answer.neighbours]
            assert item not in dict(found), "an item is like itself"
            self.look(found, answer.as_of)

    def similar_users(self):
        user = self.some_user()
        answer = self.ask_unless_unknown(self.api.Similar, pb.SimilarRequest(user_id=user, k=20))
        if answer:
            found = [(n.id, n.similarity) for n in answer.neighbours]
            assert user not in dict(found), "a user is like itself"
            self.look(found, answer.as_of)

    def popular(self):
        answer = self.api.Popular(pb.PopularRequest(k=30), timeout=60)
        self.look([(r.item_id, r.score) for r in answer.items], answer.as_of)

    def user(self):
        answer = self.api.GetUser(pb.GetUserRequest(user_id=self.some_user()), timeout=60)
        assert len({a.item_id for a in answer.affinities}) == len(answer.affinities)

    def scrape(self):
        assert self.daemon_bed.metrics().total("freshet_build_info") == 1
        self.daemon_bed.status()


class Together(unittest.TestCase):
    def run_together(self, topic, **settings):
        kafka = testbed.Kafka()
        kafka.create_topic(topic, PARTITIONS)
        kafka.create_topic("dead", 1)
        draw = random.Random(3)
        every = {"feed.topic": topic, "feed.dead_letter_topic": "dead", "store.checkpoint_interval_ms": 50, "limits.max_k": 1000}
        with testbed.Daemon(kafka, {**every, **settings}) as daemon:
            callers = [Caller(daemon, seed) for seed in range(CALLERS)]
            for caller in callers:
                caller.start()
            for turn in range(ROUNDS):
                kafka.publish(topic, [self.some_event(draw, turn * EVENTS + n) for n in range(EVENTS)])
                testbed.until(lambda: self.answers(callers) >= (turn + 1) * ANSWERS, "questions are answered", pause_s=0.001)
            daemon.wait_applied(topic)
            daemon.admin.Checkpoint(admin_pb2.CheckpointRequest(), timeout=60)
            for caller in callers:
                caller.ending.set()
            for caller in callers:
                caller.join(testbed.PATIENCE_S)
                if caller.failure:
                    raise caller.failure
            print(f"     {ROUNDS * EVENTS} events, {self.answers(callers)} answers meanwhile")
            self.assertEqual(daemon.metrics().total("freshet_events_applied_total"), ROUNDS * EVENTS)

    def answers(self, callers):
        for caller in callers:
            if caller.failure:
                raise caller.failure
        return sum(caller.answers for caller in callers)

    def some_event(self, draw, number):
        return testbed.event_protobuf(f"u{draw.randrange(USERS)}", f"i{int(draw.random() ** 2 * ITEMS)}", "rating",
                                      draw.randrange(1, 6), 1600000000000 + number)

    def test_product(self):
        """events and questions together, product"""
        self.run_together("product", **{"engine.user_postings": "yes", "engine.history_max": 0})

    def test_parity(self):
        """events and questions together, parity"""
        self.run_together("parity", **{"sar.mode": "parity"})


if __name__ == "__main__":
    testbed.main()
