"""kill -9 at every named point of a freeze, a write, a fold, a dead letter, a start and a stop; see include/freshet/crash.h.

Needs a build with -DFRESHET_CRASH_POINTS=ON. FRESHET_LONG=1: at the first, the second and the third pass of each, else at one of them.
"""
import os
import unittest

import campaign
import testbed

SEED = os.environ.get("FRESHET_SEED") or os.urandom(4).hex()
HERE = "batch", "checkpoint", "compose", "durable", "feed", "fold", "freeze", "history", "letter", "recover", "stop", "sync"
ELSEWHERE = {"backup": "e2e/backup_points", "restore": "e2e/backup_points"}  # the first word of points that need a situation of their own: the test that makes it and tries them
TURNS = 3 if testbed.LONG else 1
COMPARE_EVERY = 12
DISK_ERRORS = 2  # what e2e/mutant finds a sown defect by must pass without one, and happen at all


class Points(unittest.TestCase):
    @staticmethod
    def passes(run, point, turn):
        if point.startswith(campaign.ONCE_A_LIFE):
            return 1
        return turn + 1 if testbed.LONG else run.random.randint(1, 3)

    def test_points(self):
        """a crash at each named point, again and again on the same store"""
        points = [point for point in campaign.crash_points() if point.split(".")[0] not in ELSEWHERE]
        self.assertGreater(len(points), 20)
        self.assertFalse({point.split(".")[0] for point in points} - {*HERE}, "points that no test tries")
        with campaign.Campaign(testbed.MockKafka("events", "dead", 4), "events", "dead", campaign.PRODUCT, SEED,
                               faulty_disk=True) as run:
            run.say(f"FRESHET_SEED={SEED}, {len(points)} points")
            plan = [(point, self.passes(run, point, turn)) for turn in range(TURNS) for point in run.random.sample(points, len(points))]
            never = set(points)
            for life, (point, number) in enumerate(plan, 1):
                if run.live_to(point, number):
                    never.discard(point)
                while life == len(plan) // 2 and run.errors < DISK_ERRORS:
                    run.live(on_faulty_disk=True)
                if life % COMPARE_EVERY == 0:
                    run.compare()
            for point in sorted(never):  # a slow machine does not come to the third pass in time: to the first, and with patience
                if run.live_to(point, 1, campaign.SOON_S):
                    never.discard(point)
            run.compare(again=True)
            self.assertFalse(never, "points that no life came to")


if __name__ == "__main__":
    testbed.main()
