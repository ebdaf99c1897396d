"""A daemon with a sown defect must be found out by the crash campaign; see include/freshet/defect.h.

Needs a build with -DFRESHET_DEFECT=name -DFRESHET_CRASH_POINTS=ON: with kills at named points a rare defect shows early.
"""
import os
import unittest

import campaign
import testbed

SEED = os.environ.get("FRESHET_SEED") or os.urandom(4).hex()
DEFECT = os.environ["FRESHET_DEFECT"]
ROUNDS, COMPARE_EVERY = 4, 6


class Mutant(unittest.TestCase):
    def test_mutant(self):
        points = campaign.crash_points()
        points += 2 * [point for point in points if point.startswith("compose.")]  # within what must be one write
        with campaign.Campaign(testbed.MockKafka("events", "dead", 4), "events", "dead", campaign.PRODUCT, SEED,
                               faulty_disk=True) as run:
            run.say(f"FRESHET_SEED={SEED}")
            try:
                for _ in range(ROUNDS):
                    for number, point in enumerate(run.random.sample(points, len(points)), 1):
                        run.live_to(point, 1 if point.startswith(campaign.ONCE_A_LIFE) else run.random.randint(1, 3), 0.5)
                        run.live()
                        if number % COMPARE_EVERY == 0:
                            run.compare(again=True)
            except campaign.Difference as difference:
                run.say(f"found out after {run.lives} kills: {str(difference)[:300]}")
                return
        self.fail(f"the defect '{DEFECT}' survived {run.lives} kills: the campaign proves nothing about it")

    test_mutant.__doc__ = f"the campaign finds the defect '{DEFECT}'"


if __name__ == "__main__":
    testbed.main()
