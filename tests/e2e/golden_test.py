"""The reference's answers, through the whole daemon: Kafka in, gRPC out, to 1e-9.

The files, and how lists with ties are to be compared, are described in golden/*/README.md of the shared folder. The first
test needs no files: its numbers are worked by hand.
"""
import contextlib
import csv
import itertools
import json
import math
import unittest

import testbed

PARITY = {"sar.mode": "parity", "limits.max_k": 2000}
ALL = 2000
# The golden files' short names. mi and lexmi are the reference's defects there; mi0 and lexmi0 are what we give.
SIMILARITIES = {"jaccard": "jaccard", "cosine": "cosine", "cooccurrence": "cooccurrence", "lift": "lift", "inclusion": "inclusion",
                "mi0": "mutual_information", "lexmi0": "lexicographers_mi"}

kafka = None


def setUpModule():
    global kafka
    kafka = testbed.Kafka()


def close(mine, golden):
    return abs(mine - golden) <= 1e-9 * abs(golden) + 1e-12


def rows(folder, name, **only):
    """Rows of a golden file as dicts; only those with these values in these columns."""
    path = testbed.shared("golden", "sar-ml100k", folder, f"{name}.tsv.xz")
    with testbed.open_text(path) as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if all(row[c] == v for c, v in only.items())]


def grouped(found, *columns):
    key = lambda row: tuple(row[c] for c in columns)  # noqa: E731
    return [(k, list(group)) for k, group in itertools.groupby(sorted(found, key=key), key)]


def ratings():
    with testbed.open_text(testbed.shared("data", "ml-100k", "u.data.xz")) as file:
        return [(user, item, float(rating), int(when)) for user, item, rating, when in (line.split() for line in file)]


def publish(topic, events, with_kcat=False):
    records = (testbed.event_json(user, item, "rating", rating, when * 1000) for user, item, rating, when in events)
    kafka.create_topic(topic)
    if with_kcat:
        kafka.kcat(topic, (f"{key}\t{value}" for key, value in records))
    else:
        kafka.publish(topic, records)


class Parity(unittest.TestCase):
    """What the comparisons have in common."""

    def begin(self, topic, **settings):
        daemon = testbed.Daemon(kafka, {**PARITY, "feed.topic": topic, **{k.replace("__", "."): v for k, v in settings.items()}})
        entered = contextlib.ExitStack()
        entered.enter_context(daemon)
        self.addCleanup(entered.close)
        daemon.wait_applied(topic)
        return daemon

    def assert_close(self, mine, golden, what):
        self.assertTrue(close(mine, golden), f"{what}: {mine!r}, the reference says {golden!r}")

    def assert_list(self, mine, golden, score, other, what):
        """mine: [(id, score)]; golden: rows with in_topk."""
        listed = [float(row[score]) for row in golden if row["in_topk"] == "1"]
        self.assertEqual(len(mine), len(listed), f"{what}: length")
        self.assert_sorted(mine, what)
        for rank, ((name, value), expected) in enumerate(zip(mine, sorted(listed, reverse=True)), 1):
            self.assert_close(value, expected, f"{what}, rank {rank} ({name})")
        by_id = {row[other]: float(row[score]) for row in golden}
        for name, value in mine:
            self.assertIn(name, by_id, f"{what}: not among the reference's candidates")
            self.assert_close(value, by_id[name], f"{what}, {name}")

    def assert_sorted(self, mine, what):
        for (a, x), (b, y) in zip(mine, mine[1:]):
            self.assertTrue(x > y or (x == y and a.encode() < b.encode()), f"{what}: {a} {x!r} stands before {b} {y!r}")

    def assert_scores(self, daemon, user, golden, score, what):
        """Each row's item has this score, seen or not."""
        wanted = [row["item"] for row in golden]
        mine = dict(daemon.recommend(user, k=ALL, include=wanted, include_seen=True))
        for row in golden:
            self.assertIn(row["item"], mine, f"{what}: no score")
            self.assert_close(mine[row["item"]], float(row[score]), f"{what}, item {row['item']}")

    # ---- one golden file each

    def check_affinity(self, daemon, folder):
        for (user,), golden in grouped(rows(folder, "affinity"), "user"):
            mine = daemon.affinities(user)
            self.assertEqual(set(mine), {row["item"] for row in golden}, f"items of user {user}")
            for row in golden:
                self.assert_close(mine[row["item"]], float(row["affinity"]), f"affinity of user {user} to {row['item']}")

    def check_similarity(self, daemon, folder, kind, file="similarity"):
        items = daemon.status().items
        counts = {row["item"]: row for row in rows(folder, f"{file}_counts", type=kind)}
        found = grouped(rows(folder, file, type=kind), "item")
        self.assertEqual(len(found), len(counts))
        for (item,), golden in found:
            expected = {row["other"]: float(row["value"]) for row in golden}
            diagonal = expected.pop(item, None)
            mine = dict(daemon.similar(item_id=item, k=ALL))
            self.assertNotIn(item, mine, f"{kind}: {item} like itself")
            for other in expected.keys() | mine.keys():
                self.assert_close(mine.get(other, 0), expected.get(other, 0), f"{kind} of {item} and {other}")
            # A value that is 0 in truth may stand as 1e-16 on either side.
            doubtful = sum(abs(value) < 1e-12 for value in expected.values())
            nonzero = sum(value != 0 for value in mine.values()) + (diagonal is not None)
            self.assertAlmostEqual(nonzero, int(counts[item]["finite_nonzero"]), delta=doubtful, msg=f"{kind} row of {item}")
            self.assertEqual(items, sum(int(counts[item][c]) for c in ("finite_nonzero", "zero", "minus_inf")), "items")

    def check_topk(self, daemon, folder, kind, file="topk"):
        for (user,), golden in grouped(rows(folder, file, type=kind), "user"):
            self.assert_list(daemon.recommend(user, k=20), golden, "score", "item", f"{kind} list of user {user}")

    def check_scores(self, daemon, folder, kind):
        for (user,), golden in grouped(rows(folder, "scores", type=kind), "user"):
            finite = [row for row in golden if not math.isinf(float(row["score"]))]
            self.assert_scores(daemon, user, finite, "score", f"{kind} score of user {user}")

    def check_item_based(self, daemon, folder, kind):
        for (seeds,), golden in grouped(rows(folder, "itembased", type=kind), "seeds"):
            mine = daemon.recommend(k=10, seeds=seeds.split("+"))
            self.assert_list(mine, golden, "score", "item", f"{kind} list of seeds {seeds}")

    def check_popular(self, daemon, folder):
        golden = rows(folder, "popular")
        self.assert_list(daemon.popular(k=20), golden, "count", "item", "popular items")

    def check_similar_users(self, daemon, folder):
        for (user,), golden in grouped(rows(folder, "similar_users"), "user"):
            self.assert_list(daemon.similar(user_id=user, k=10), golden, "score", "other", f"users like {user}")

    def check_jaccard(self, daemon, folder, similarity=True):
        self.check_affinity(daemon, folder)
        if similarity:
            self.check_similarity(daemon, folder, "jaccard")
        self.check_topk(daemon, folder, "jaccard")
        self.check_popular(daemon, folder)
        self.check_similar_users(daemon, folder)


class HandWorked(Parity):
    """Half-life 1 day; now = day 1 (the newest event).

        ann  x 4 on day 0, y 2 on day 1      affinities x 2, y 2
        ben  x 1, y 1, z 1 on day 1          x 1, y 1, z 1
        cid  z 3 on day 1                    z 3

    Each item has two users; x and y share two, x and z one (ben), y and z one: jaccard x,y = 2/(2+2-2) = 1, x,z = y,z = 1/3.
    """

    DAY_MS = 86400000
    EVENTS = [("ann", "x", 4, 0), ("ann", "y", 2, 1), ("ben", "x", 1, 1), ("ben", "y", 1, 1), ("ben", "z", 1, 1), ("cid", "z", 3, 1)]

    def test_hand_worked(self):
        """an example worked by hand, in protobuf"""
        kafka.create_topic("hand")
        base = 20000 * self.DAY_MS
        kafka.publish("hand", (testbed.event_protobuf(u, i, "rating", v, base + day * self.DAY_MS) for u, i, v, day in self.EVENTS))
        daemon = self.begin("hand", sar__half_life_days=1)
        self.assertEqual(daemon.affinities("ann"), {"x": 2, "y": 2})
        self.assertEqual(daemon.affinities("cid"), {"z": 3})
        self.expect(daemon.similar(item_id="x"), [("y", 1), ("z", 1 / 3)])
        self.expect(daemon.recommend("ann"), [("z", 2 / 3 + 2 / 3)])
        self.expect(daemon.recommend("cid"), [("x", 1), ("y", 1)])  # equal scores: by id
        self.expect(daemon.recommend("ann", include_seen=True), [("x", 4), ("y", 4), ("z", 4 / 3)])
        self.expect(daemon.recommend(seeds=["z"]), [("x", 1 / 3), ("y", 1 / 3)])
        self.expect(daemon.recommend("cid", seeds=["y"]), [("x", 2)])
        self.expect(daemon.popular(), [("x", 2), ("y", 2), ("z", 2)])
        self.expect(daemon.similar(user_id="ann")[:1], [("ben", 4)])
        status = daemon.status()
        self.assertEqual((status.users, status.items, status.pairs), (3, 3, 6))

    def expect(self, mine, worked):
        self.assertEqual([name for name, _ in mine], [name for name, _ in worked])
        for (name, value), (_, right) in zip(mine, worked):
            self.assert_close(value, right, name)


class Golden(Parity):
    @classmethod
    def setUpClass(cls):
        testbed.shared("golden", "sar-ml100k")
        cls.events = ratings()
        publish("all", cls.events)

    def test_t30(self):
        """t30: all similarities, one store, the similarity chosen anew at each start"""
        daemon = self.begin("all", sar__half_life_days=30)
        self.check_jaccard(daemon, "t30")
        for short, name in SIMILARITIES.items():
            daemon.restart(sar__similarity=name)
            daemon.wait_applied("all")
            if short.endswith("0"):
                self.check_similarity(daemon, "t30", short, "derived_similarity")
                self.check_topk(daemon, "t30", short, "derived_topk")
            else:
                self.check_similarity(daemon, "t30", short)
                self.check_topk(daemon, "t30", short)
                self.check_scores(daemon, "t30", short)
                self.check_item_based(daemon, "t30", short)
            if short == "mi0":
                self.check_finite_mi(daemon)

    def check_finite_mi(self, daemon):
        """The reference's mi is minus infinity where a pair never co-occurs. Where it is finite none such was met: as mi0."""
        self.check_scores(daemon, "t30", "mi")
        for (user,), golden in grouped(rows("t30", "topk", type="mi"), "user"):
            self.assert_scores(daemon, user, golden, "score", f"mi of user {user}")
        for (seeds,), golden in grouped(rows("t30", "itembased", type="mi"), "seeds"):
            mine = dict(daemon.recommend(k=ALL, seeds=seeds.split("+")))
            for row in golden:
                self.assert_close(mine[row["item"]], float(row["score"]), f"mi of seeds {seeds}, item {row['item']}")
        for (item,), golden in grouped(rows("t30", "similarity", type="mi"), "item"):
            mine = dict(daemon.similar(item_id=item, k=ALL))
            for row in golden:
                if row["other"] != item:
                    self.assert_close(mine.get(row["other"], 0), float(row["value"]), f"mi of {item} and {row['other']}")

    def test_normalize(self):
        """t30, scores normalized to the ratings' range"""
        daemon = self.begin("all", sar__half_life_days=30, sar__normalize="yes")
        self.check_topk(daemon, "t30", "jaccard-normalize")
        self.check_scores(daemon, "t30", "jaccard-normalize")

    def test_nodecay(self):
        """nodecay"""
        self.check_jaccard(self.begin("all", sar__half_life_days=0), "nodecay", similarity=False)

    def test_first20000(self):
        """first20000-t30, published with kcat"""
        publish("first20000", self.events[:20000], with_kcat=True)
        self.check_jaccard(self.begin("first20000", sar__half_life_days=30), "first20000-t30")

    def test_first50000(self):
        """first50000-t30"""
        publish("first50000", self.events[:50000])
        self.check_jaccard(self.begin("first50000", sar__half_life_days=30), "first50000-t30")

    def test_twice(self):
        """twice-t30: repeated pairs add up, co-occurrence stays binary"""
        again = [(user, item, 6 - rating, when + 604800) for user, item, rating, when in self.events[::3]]
        publish("twice", self.events + again)
        self.check_jaccard(self.begin("twice", sar__half_life_days=30), "twice-t30")


class Benchmark(Parity):
    """The reference repository's own benchmark: what it recommends to all 943 users, and how good that is."""

    FIGURES = {"MAP": "0.114038", "nDCG@10": "0.393819", "Precision@10": "0.340615", "Recall@10": "0.185377"}
    K = 10

    def read(self, name):
        with testbed.open_text(testbed.shared("golden", "benchmark-ml100k", name)) as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def test_benchmark(self):
        """the benchmark split: lists of all users, and MAP, nDCG, precision, recall to six digits"""
        train, test = self.read("train.tsv.xz"), self.read("test.tsv.xz")
        publish("benchmark", [(r["user"], r["item"], float(r["rating"]), int(float(r["timestamp"]))) for r in train])
        daemon = self.begin("benchmark", sar__half_life_days=30)
        lists = {}
        for (user,), golden in grouped(self.read("sar_jaccard_top10.tsv.xz"), "user"):
            golden.sort(key=lambda row: int(row["rank"]))
            lists[user] = daemon.recommend(user, k=self.K)
            self.assertEqual([item for item, _ in lists[user]], [row["item"] for row in golden], f"list of user {user}")
            for (item, score), row in zip(lists[user], golden):
                self.assert_close(score, float(row["score"]), f"user {user}, item {item}")
        self.assertEqual(len(lists), 943)
        relevant = {}
        for row in test:
            relevant.setdefault(row["user"], set()).add(row["item"])
        figures = self.figures({user: [item for item, _ in mine] for user, mine in lists.items()}, relevant)
        print("     " + json.dumps(figures))
        self.assertEqual({name: f"{value:.6f}" for name, value in figures.items()}, self.FIGURES)

    def test_ease(self):
        """the benchmark split, EASE: above every row of the reference's table, solved beside the events, and again after a restart"""
        train, test = self.read("train.tsv.xz"), self.read("test.tsv.xz")
        publish("ease", [(r["user"], r["item"], float(r["rating"]), int(float(r["timestamp"]))) for r in train])
        daemon = self.begin("ease", ease__lambda=400, ease__recency=1, ease__refresh_percent=0)
        relevant = {}
        for row in test:
            relevant.setdefault(row["user"], set()).add(row["item"])
        before = {}
        for start in range(2):
            self.await_refresh(daemon)
            self.assertEqual(daemon.metrics().value("freshet_refresh_items", model="ease"), len({row["item"] for row in train}))
            lists = {user: daemon.recommend(user, k=self.K, model="ease") for user in relevant}
            figures = self.figures({user: [item for item, _ in mine] for user, mine in lists.items()}, relevant)
            print("     " + json.dumps(figures))
            self.assertEqual({name: f"{value:.3f}" for name, value in figures.items()},
                             {"MAP": "0.151", "nDCG@10": "0.485", "Precision@10": "0.422", "Recall@10": "0.230"})
            self.check_reasons(daemon)
            if start:
                self.assertEqual(lists, before)  # the same histories, the same bits
            before = lists
            daemon.restart()

    def check_reasons(self, daemon):
        """Of user 1's best: x is 1, so each reason is what Similar says of the two."""
        answer = daemon.api.Recommend(testbed.pb.RecommendRequest(user_id="1", k=1, model="ease", explain=True), timeout=testbed.PATIENCE_S)
        best = answer.items[0]
        self.assertEqual((answer.model, best.source), ("ease", "ease"))
        self.assertEqual(len(best.reasons), 10)
        for reason in best.reasons:
            similar = dict(daemon.similar(item_id=reason.item_id, k=ALL, model="ease"))
            self.assertEqual(similar.get(best.item_id), reason.contribution, f"{reason.item_id} speaks for {best.item_id}")

    def await_refresh(self, daemon):
        """Until all that is applied by now is in what askers see."""
        def all_in():
            m = daemon.metrics()
            return m.value("freshet_refresh_age_seconds", model="ease") > 0 and not m.value("freshet_refresh_changed_slots", model="ease")

        testbed.until(all_in, "EASE was solved from what is applied")

    def figures(self, lists, relevant):
        """Definitions: golden/benchmark-ml100k/README.md. Every user here has a list and relevant items."""
        total = dict.fromkeys(self.FIGURES, 0.0)
        for user, wanted in relevant.items():
            hits = [rank for rank, item in enumerate(lists[user], 1) if item in wanted]
            ideal = sum(1 / math.log(1 + rank) for rank in range(1, min(self.K, len(wanted)) + 1))
            total["MAP"] += sum(m / rank for m, rank in enumerate(hits, 1)) / len(wanted)
            total["nDCG@10"] += sum(1 / math.log(1 + rank) for rank in hits) / ideal
            total["Precision@10"] += len(hits) / self.K
            total["Recall@10"] += len(hits) / len(wanted)
        return {name: value / len(relevant) for name, value in total.items()}


if __name__ == "__main__":
    testbed.main()
