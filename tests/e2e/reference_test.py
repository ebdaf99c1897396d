"""Parity beside the reference itself: what recommenders' SARSingleNode says of random events, in random settings, the daemon says too.

    random events ──> SARSingleNode.fit                        ──> affinities, similarities,
                 └──> Kafka, in another order ──> freshetd ──>     scores, lists: the same

The files of golden/ are its answers on one data set; this asks it anew. FRESHET_SEED=7 repeats a case, FRESHET_LONG=1 runs ten times as
many. Left out is where parity differs on purpose (README.md, "What exact means").
"""
import os
import random
import unittest

import numpy as np

import testbed

np.NaN = np.nan  # numpy 2 has it no longer, and the reference still uses it
from recommenders.models.sar.sar_singlenode import SARSingleNode  # noqa: E402
import pandas as pd  # noqa: E402

CASES = 140 if os.environ.get("FRESHET_LONG") else 14
SEEDS = [int(os.environ["FRESHET_SEED"])] if "FRESHET_SEED" in os.environ else range(1, CASES + 1)
# Ours, and the reference's names. By None it makes no sense there: worked out from its counts.
SIMILARITIES = {"cooccurrence": "cooccurrence", "cosine": "cosine", "inclusion": "inclusion index", "jaccard": "jaccard", "lift": "lift",
                "mutual_information": None, "lexicographers_mi": None}
IDS = [lambda kind, n: f"{kind}{n}", lambda kind, n: f"{kind} ä漢 {n}", lambda kind, n: str(n)]
WEIGHTS = [lambda chance: 1.0, lambda chance: float(chance.randrange(1, 6)), lambda chance: chance.random() * 5 + 0.01,
           lambda chance: chance.choice([0.1, 1e-6, 1e6, 3.0]), lambda chance: chance.choice([-1.0, 1.0, 2.0, -0.5, 0.0])]
ALL = 2000
NEAR = 1e-9


class Case:
    """Settings and events, all from one seed; the events as (user, item, weight, second)."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.similarity = list(SIMILARITIES)[seed % len(SIMILARITIES)]
        self.half_life_days = chance.choice([0, 0.5, 3.3, 7, 30, 365])
        self.threshold = chance.choice([1, 1, 2, 3, 6])
        may_normalize = SIMILARITIES[self.similarity] and self.similarity != "cooccurrence"  # the reference fails with the others
        self.normalize = bool(may_normalize) and chance.random() < 0.4
        self.events = self.draw(chance)
        self.positive = all(weight > 0 for _, _, weight, _ in self.events)
        self.chance = chance

    def draw(self, chance):
        users, items, count = chance.choice([3, 12, 60, 200]), chance.choice([4, 15, 60, 150]), chance.choice([10, 100, 800, 3000])
        begin, span = chance.choice([1, 881250949, 1700000000]), chance.choice([1, 86400, 30 * 86400, 365 * 86400])
        weight, name, skew = chance.choice(WEIGHTS), chance.choice(IDS), chance.choice([1, 3])
        once = self.normalize or not self.half_life_days
        pairs, events = set(), {}
        for _ in range(count):
            user, item = (name(kind, int(chance.random() ** skew * most)) for kind, most in (("u", users), ("i", items)))
            if not (once and (user, item) in pairs):
                events[user, item, weight(chance), begin + chance.randrange(span + 1)] = True  # the same again is an error there
            pairs.add((user, item))
        return list(events)

    def settings(self):
        return {"sar.mode": "parity", "limits.max_k": ALL, "sar.similarity": self.similarity, "sar.half_life_days": self.half_life_days,
                "sar.threshold": self.threshold, "sar.normalize": "yes" if self.normalize else "no"}

    def __str__(self):
        return (f"{self.similarity}, half-life {self.half_life_days} days, threshold {self.threshold}, "
                f"normalize {self.normalize}, {len(self.events)} events")


class Reference:
    """Fitted on the case's events: A and S as arrays, items and users in their order."""

    def __init__(self, case):
        name = SIMILARITIES[case.similarity]
        self.model = SARSingleNode(similarity_type=name or "cooccurrence", timedecay_formula=case.half_life_days > 0,
                                   time_decay_coefficient=case.half_life_days or 30, threshold=case.threshold, normalize=case.normalize)
        self.model.fit(pd.DataFrame(case.events, columns=["userID", "itemID", "rating", "timestamp"]))
        self.users, self.items = list(self.model.user2index), list(self.model.item2index)
        self.affinity = self.dense(self.model.user_affinity)
        self.similarity = self.dense(self.model.item_similarity)
        if not name:
            self.similarity = self.model.item_similarity = self.information(self.similarity, case.similarity == "lexicographers_mi")

    @staticmethod
    def dense(matrix):
        return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=float)

    @staticmethod
    def information(together, weighed):
        """Elementwise, and none where nobody has both: the reference has minus infinity there."""
        users = np.diag(together)
        with np.errstate(all="ignore"):
            information = np.log2(len(users) * together / np.outer(users, users)) * (together if weighed else 1)
        return np.where(together > 0, information, 0)

    def scores(self, users):
        return self.dense(self.model.score(pd.DataFrame({"userID": users}), remove_seen=False))

    def lists(self, users, k):
        found = self.model.recommend_k_items(pd.DataFrame({"userID": users}), top_k=min(k, len(self.items)), remove_seen=True)
        return {user: sorted(found[found.userID == user].prediction, reverse=True) for user in users}

    def seeded(self, seeds, k):
        found = self.model.get_item_based_topk(pd.DataFrame({"itemID": seeds}), top_k=min(k, len(self.items)))
        return sorted(found.prediction[np.isfinite(found.prediction)], reverse=True)

    def users_like(self, user, k):
        found = self.model.get_topk_most_similar_users(user, top_k=min(k, len(self.users) - 1))
        return [score for score in sorted(found.prediction, reverse=True) if score]


class Parity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = testbed.Kafka()

    def test_cases(self):
        """random events in random settings"""
        for seed in SEEDS:
            case = Case(seed)
            print(f"     {seed}: {case}")
            with self.subTest(seed=seed, case=str(case)):
                self.compare(case, Reference(case), self.kafka.create_topic(f"case{seed}", case.chance.choice([1, 3])))

    def compare(self, case, reference, topic):
        events = case.chance.sample(case.events, len(case.events))
        self.kafka.publish(topic, (testbed.event_json(user, item, "rating", weight, when * 1000) for user, item, weight, when in events))
        with testbed.Daemon(self.kafka, {**case.settings(), "feed.topic": topic}) as daemon:
            daemon.wait_applied(topic)
            if case.chance.random() < 0.3:
                daemon.kill()
                daemon.start()
                daemon.wait_applied(topic)
            users = case.chance.sample(reference.users, min(len(reference.users), 12))
            items = case.chance.sample(reference.items, min(len(reference.items), 10))
            self.compare_state(case, reference, daemon, users, items)
            self.compare_scores(case, reference, daemon, users)
            self.compare_lists(case, reference, daemon, users, items)

    def assert_near(self, mine, theirs, terms, what):
        """terms: the sum of the absolute values that were added up."""
        self.assertLessEqual(abs(mine - theirs), NEAR * max(abs(theirs), terms) + 1e-12, f"{what}: {mine!r}, the reference {theirs!r}")

    def assert_all_near(self, mine, theirs, terms, what):
        self.assertEqual(len(mine), len(theirs), f"{what}: length")
        for ours, other in zip(mine, theirs):
            self.assert_near(ours, other, terms, what)

    def compare_state(self, case, reference, daemon, users, items):
        for user in users:
            row, mine = reference.affinity[reference.users.index(user)], daemon.affinities(user)
            added = {}
            for who, item, weight, _ in case.events:
                if who == user:
                    added[item] = added.get(item, 0) + abs(weight)
            self.assertEqual(mine.keys(), added.keys(), f"items of {user}")
            for item, terms in added.items():
                self.assert_near(mine[item], row[reference.items.index(item)], terms, f"affinity of {user} to {item}")
        for item in items:
            row, mine = reference.similarity[reference.items.index(item)], dict(daemon.similar(item_id=item, k=ALL))
            for other, value in zip(reference.items, row):
                if other != item:
                    self.assert_near(mine.get(other, 0), value, 0, f"{item} and {other}")

    def compare_scores(self, case, reference, daemon, users):
        rows = reference.scores(users)
        sizes = np.abs(reference.affinity) @ np.abs(reference.similarity)
        for user, row in zip(users, rows):
            if not np.isfinite(row).all():
                continue  # it divides by 0 where all users' counts are the same
            mine = dict(daemon.recommend(user, k=ALL, include=reference.items, include_seen=True))
            size = np.abs(reference.affinity).max() if case.normalize else 0
            for item, score, terms in zip(reference.items, row, sizes[reference.users.index(user)]):
                self.assert_near(mine[item], score, max(terms, size), f"score of {item} for {user}")

    def compare_lists(self, case, reference, daemon, users, items):
        terms = (np.abs(reference.affinity) @ np.abs(reference.similarity)).max()
        if case.positive and np.isfinite(reference.scores(users)).all():
            k = case.chance.choice([1, 5, 10, 50])
            for user, theirs in reference.lists(users, k).items():
                self.assert_all_near([score for _, score in daemon.recommend(user, k=k)], theirs, terms, f"the best {k} for {user}")
        seeds = items[:case.chance.choice([1, 2, 3])]
        self.assert_all_near([score for _, score in daemon.recommend(seeds=seeds, k=10)], reference.seeded(seeds, 10),
                             np.abs(reference.similarity).sum(axis=0).max(), f"like {seeds}")
        if case.positive and len(reference.users) > 1:
            mine = [score for _, score in daemon.similar(user_id=users[0], k=10) if score]
            self.assert_all_near(mine, reference.users_like(users[0], 10), (np.abs(reference.affinity).max(axis=0) ** 2).sum(),
                                 f"users like {users[0]}")


if __name__ == "__main__":
    testbed.main()
