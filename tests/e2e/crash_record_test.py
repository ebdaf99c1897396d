"""A record that crashes freshetd each time is dead-lettered undecoded after the third, and all others are learned.

No such record is known, so a shim makes two (tests/support/crash_on.c): one crashes the decoder, one the engine. Something starts
the daemon again each time, as systemd would; now and then it is killed from outside as well, which blames nobody.
"""
import signal
import time
import unittest

import testbed

GOOD_MS = 1500000000000


def good(number, user="u", item="i"):
    return {"key": f"{user}{number}".encode(), "partition": number % 2,
            "value": testbed.event_json(f"{user}{number}", f"{item}{number}", "click", time_ms=GOOD_MS)[1]}


class CrashRecord(unittest.TestCase):
    def test_crash_records(self):
        """two records that crash the process, three times each, then no more"""
        kafka = testbed.Kafka()
        topic = kafka.create_topic("crashing", 2)
        kafka.create_topic("dead", 1)
        bad = [{"key": b"d", "partition": 0, "value": testbed.event_json("d", "crash-in-decode", "click", time_ms=GOOD_MS)[1]},
               {"key": b"a", "partition": 1, "value": testbed.event_json("a", "crash-in-apply", "click", time_ms=GOOD_MS)[1]}]
        records = [good(n) for n in range(100)] + bad[:1] + [good(n) for n in range(100, 200)] + bad[1:] + [good(n) for n in range(200, 300)]
        kafka.publish(topic, records)
        daemon = testbed.Daemon(kafka, {"feed.topic": topic, "feed.dead_letter_topic": "dead", "store.checkpoint_interval_ms": 50},
                                environment=testbed.preloaded("libcrash_on.so"))
        self.addCleanup(daemon.kill)
        ends = self.crash_until_it_lives(daemon, topic)
        try:
            # Six in all, and a letter of each (below), which takes three. The signals are not counted one by one: two threads may crash
            # at once, and then one record is blamed, and it may be the other's signal that ends the process.
            self.assertEqual((len(ends), set(ends)), (6, {-11, -6}), "each record crashes it three times, kills do not count")
            status = daemon.status()
            self.assertEqual((status.users, status.items), (300, 300), "all the others are learned")
            self.assertEqual(dict(daemon.popular(k=300)), {f"i{n}": 1 for n in range(300)})
            self.wait_for_letters(kafka, topic, bad)
            kafka.publish(topic, [good(n) for n in range(300, 310)])
            daemon.wait_applied(topic)
            daemon.restart()  # in good order: nothing is suspected any more, and nothing crashes
            daemon.wait_applied(topic)
            self.assertEqual(daemon.status().users, 310)
        except AssertionError as err:
            raise AssertionError(f"{err}\n{daemon.log_tail()}") from None
        daemon.stop()

    def crash_until_it_lives(self, daemon, topic):
        """The exit codes of all crashes, until everything published is applied."""
        ends = []
        for life in range(40):
            daemon.launch()
            if life % 3 == 2:
                time.sleep(0.05 * (life % 5))  # before, while or after it meets a bad record
                daemon.process.kill()
                if daemon.process.wait(testbed.PATIENCE_S) != -signal.SIGKILL:
                    ends.append(daemon.process.returncode)
                daemon.kill()
                continue
            try:
                daemon.connect()
                daemon.wait_applied(topic)
                return ends
            except Exception:
                ends.append(daemon.process.wait(testbed.PATIENCE_S))
                daemon.kill()
        raise AssertionError(f"it crashes on: {ends}\n{daemon.log_tail()}")

    def wait_for_letters(self, kafka, topic, bad):
        """Both records, untouched; a kill before the checkpoint may have one sent twice (they are delivered at least once)."""
        sent = {b["partition"]: (b["key"], b["value"].encode()) for b in bad}
        found = {}

        def all_found():
            for letter in kafka.read("dead"):
                headers = {name: value.decode() for name, value in letter.headers()}
                self.assertEqual((headers["x-orig-topic"], headers["x-error-class"]), (topic, "crash"))
                partition = int(headers["x-orig-partition"])
                self.assertEqual((letter.key(), letter.value()), sent[partition], "untouched")
                found[partition] = True
            return len(found) == len(sent)

        testbed.until(all_found, "both dead letters have arrived")


if __name__ == "__main__":
    testbed.main()
