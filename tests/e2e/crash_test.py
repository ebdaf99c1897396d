"""kill -9, power cuts and disk errors at random moments while events flow: nothing lost, nothing doubled, nothing wrong. See
support/campaign.py.

Environment: FRESHET_SEED, of the stream and of the moments (else a new one each time, printed); FRESHET_LONG=1, ten times as many kills.
"""
import os
import unittest

import campaign
import testbed

SEED = os.environ.get("FRESHET_SEED") or os.urandom(4).hex()
TIMES = 10 if testbed.LONG else 1


class Crash(unittest.TestCase):
    def kill(self, kafka, rules, kills, faulty_disk=False):
        compare_every = kills // 2 * (4 if testbed.LONG else 1)
        with campaign.Campaign(kafka, "events", "dead", rules, f"{SEED} {self.id()}", faulty_disk=faulty_disk) as run:
            run.say(f"FRESHET_SEED={SEED}")
            for kill in range(1, kills * TIMES + 1):
                run.live()
                if kill % compare_every == 0:
                    run.compare(again=kill == kills * TIMES)

    def test_product(self):
        """bounded histories and windows, on the mock broker, with a disk that fails and forgets"""
        self.kill(testbed.MockKafka("events", "dead", 4), campaign.PRODUCT, 50, faulty_disk=True)

    def test_parity(self):
        """whole histories, on the mock broker"""
        self.kill(testbed.MockKafka("events", "dead", 4), campaign.PARITY, 50)

    def test_real_kafka(self):
        """bounded histories and windows, on a real Kafka"""
        kafka = testbed.Kafka()
        kafka.create_topic("events", 4)
        kafka.create_topic("dead", 1)
        self.kill(kafka, campaign.PRODUCT, 50)


if __name__ == "__main__":
    print(f"     FRESHET_SEED={SEED}")
    testbed.main()
