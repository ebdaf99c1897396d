"""Models that draw, killed: a daemon that was shot again and again has the very bits of one that never stopped.

Both read the same single partition of a real Kafka, so that both see one order. The events have tastes and devices: users of
one group choose the group's items, and what they choose hangs on the device. EASE is left out, for it is solved when a clock says so.
"""
import contextlib
import json
import random
import subprocess
import unittest

import testbed
from testbed import pb

TOPIC, USERS, ITEMS, GROUPS, PIECES, PIECE = "choices", 200, 120, 4, 8, 1500
MODELS = ["sar", "trending", "fm", "ncf", "auto"]
SHOWN_S = 20  # a quarter of a second, where nothing else runs
SETTINGS = {"feed.topic": TOPIC, "recommend.models": "popular, trending, fm, ncf, auto", "engine.evaluate_every": 10,
            "store.checkpoint_interval_ms": 50}

kafka = None


def setUpModule():
    global kafka
    kafka = testbed.Kafka()


class Models(unittest.TestCase):
    def test_killed_and_never_stopped(self):
        """fm, ncf, trending, auto and their figures: eight kills change no bit; context and the client's options reach them"""
        kafka.create_topic(TOPIC, partitions=1)
        draw = random.Random(7)
        with testbed.Daemon(kafka, SETTINGS) as calm, testbed.Daemon(kafka, SETTINGS) as shot:
            for piece in range(PIECES):
                kafka.publish(TOPIC, self.choices(draw, piece * PIECE))
                shot.kill()  # somewhere in what it reads
                shot.start()
            calm.wait_applied(TOPIC)
            shot.wait_applied(TOPIC)
            for model in MODELS:
                self.assert_alike(calm, shot, model, model)
            self.assertEqual(self.figures(calm), self.figures(shot))
            shot.restart()
            for model in MODELS:
                self.assert_alike(calm, shot, model, f"{model}, stopped in good order")
            self.check_context(shot)
            self.check_client(shot)
            self.check_order(calm, shot)

    @staticmethod
    def choices(draw, start):
        for n in range(start, start + PIECE):
            user, device = draw.randrange(USERS), draw.choice(["phone", "desk"])
            group = user % GROUPS if draw.random() < 0.9 else draw.randrange(GROUPS)
            half = ITEMS // GROUPS // 2
            item = group * 2 * half + (half if device == "phone" else 0) + int(half * draw.random() ** 2)
            yield f"u{user}", json.dumps({"user_id": f"u{user}", "item_id": f"i{item}", "type": "click", "time_ms": 1700000000000 + n * 1000,
                                          "context": {"device": device}})

    @staticmethod
    def lists(daemon, model):
        return [daemon.recommend(f"u{user}", k=20, model=model, context={"device": device})
                for user in range(0, USERS, 7) for device in ("phone", "desk")]

    def assert_alike(self, calm, shot, model, what):
        """fm and ncf show what they have learned a moment after it is applied; what both show at rest is the same."""
        found = []

        def alike():
            found[:] = self.lists(calm, model), self.lists(shot, model)
            return found[0] == found[1]

        with contextlib.suppress(AssertionError):
            testbed.until(alike, "both lists", patience_s=SHOWN_S)
        self.assertEqual(*found, what)

    @staticmethod
    def figures(daemon):
        values = daemon.metrics()
        return {(model, metric): values.value("freshet_model_quality", model=model, metric=metric, window="10000")
                for model in MODELS for metric in ("hit_rate_10", "ndcg_10", "mrr_10")}

    def check_context(self, daemon):
        """Whoever is unknown is recommended what people choose on that device."""
        half = ITEMS // GROUPS // 2
        for device, phone in (("phone", True), ("desk", False)):
            best = daemon.recommend("a newcomer", k=10, model="fm", context={"device": device})
            right = sum((int(item[1:]) // half % 2 == 1) == phone for item, _ in best)
            self.assertGreaterEqual(right, 9, f"{device}: {best}")

    def check_client(self, daemon):
        """freshet's options say what the wire says."""
        asked = self.client(daemon, "recommend", "u1", "-k", "5", "--model", "fm", "--context", "device=phone")
        told = [(item["itemId"], item["score"]) for item in asked["items"]]
        self.assertEqual(told, daemon.recommend("u1", k=5, model="fm", context={"device": "phone"}))
        self.assertNotEqual(told, daemon.recommend("u1", k=5, model="fm", context={"device": "desk"}))
        for model in ("sar", "fm", "ncf"):
            alike = self.client(daemon, "similar", "i1", "-k", "5", "--model", model)
            self.assertEqual([(n["id"], n["similarity"]) for n in alike["neighbours"]], daemon.similar(item_id="i1", k=5, model=model))

    def check_order(self, calm, shot):
        """Variety, what is drawn, and what is popular otherwise than by users: over the wire, by the client, and alike after kills."""
        ask = lambda daemon, **more: daemon.api.Recommend(pb.RecommendRequest(user_id="u1", k=10, **more), timeout=30)
        plain, mixed = ask(shot), ask(shot, diversity=0.9)
        self.assertEqual([r.propensity for r in plain.items], [0] * 10)
        self.assertEqual(mixed.items[0].item_id, plain.items[0].item_id)
        self.assertNotEqual([r.item_id for r in mixed.items], [r.item_id for r in plain.items])
        self.assertEqual([r.item_id for r in mixed.items], [r.item_id for r in ask(calm, diversity=0.9).items])
        drawn = [tuple(r.item_id for r in ask(shot, exploration=1).items) for _ in range(4)]
        self.assertEqual(len(set(drawn)), 4)
        told = self.client(shot, "recommend", "u1", "-k", "10", "--exploration", "0.5", "--diversity", "0.2")["items"]
        self.assertTrue(all(0 < item["propensity"] <= 1 for item in told), told)
        for by in ("trending", "newest"):
            items = [(r.item_id, r.score) for r in shot.api.Popular(pb.PopularRequest(k=10, by=by), timeout=30).items]
            self.assertEqual(items, [(r.item_id, r.score) for r in calm.api.Popular(pb.PopularRequest(k=10, by=by), timeout=30).items])
            self.assertEqual(items, [(item["itemId"], item["score"]) for item in self.client(shot, "popular", "-k", "10", "--by", by)["items"]])
            got = shot.api.GetItem(pb.GetItemRequest(item_id=items[0][0]), timeout=30)
            self.assertEqual(items[0][1], got.trending if by == "trending" else got.first_seen_ms)
            self.assertEqual(items, sorted(items, key=lambda item: (-item[1], item[0].encode())))

    def client(self, daemon, *arguments):
        ran = subprocess.run([testbed.BIN / "freshet", *arguments, "--output", "json", "--server", daemon.addresses["grpc"]],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=testbed.PATIENCE_S)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return json.loads(ran.stdout)


if __name__ == "__main__":
    testbed.main()
