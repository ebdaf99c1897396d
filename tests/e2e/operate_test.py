"""What an operator does to a running daemon, with the client's verbs: pause, resume, log-level, reload, drain; and publish --wait."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import time
import unittest

import grpc
import testbed
from testbed import Daemon, MockKafka, event_json, events_pb2, until

TOPIC = "operate"


class Operate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = MockKafka(TOPIC, "operate.letters", 2)
        cls.config = testbed.scratch("operate") / "freshet.conf"

    def freshet(self, daemon, *arguments, code=0):
        run = subprocess.run([testbed.BIN / "freshet", *arguments, "--admin", daemon.addresses["admin_grpc"]], capture_output=True,
                             text=True, timeout=testbed.PATIENCE_S)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stderr if code else run.stdout

    def publish(self, first, count):
        self.kafka.publish(TOPIC, [event_json(f"user{n % 7}", f"item{n}", time_ms=1000 + n) for n in range(first, first + count)])

    def test_all(self):
        self.config.write_text("[log]\nlevel = info\n")
        daemon = Daemon(self.kafka, {"feed.topic": TOPIC, "feed.dead_letter_topic": "operate.letters"})
        daemon.start("--config", str(self.config))
        self.publish(0, 50)
        daemon.wait_applied(TOPIC)
        self.pause(daemon)
        self.bench(daemon)
        self.bench_connections(daemon)
        self.recommend_all(daemon)
        self.log_level(daemon)
        self.reload(daemon)
        self.assertIn("draining", self.freshet(daemon, "drain"))
        self.assertEqual(daemon.process.wait(testbed.PATIENCE_S), 0)

    def test_drain_and_signal(self):
        """a drain that was asked for is a first signal: one more ends the daemon at once"""
        daemon = Daemon(self.kafka, {"feed.topic": TOPIC, "feed.dead_letter_topic": "operate.letters", "serve.drain_delay_ms": 600000}).start()
        self.freshet(daemon, "drain")
        until(lambda: '"event":"drain"' in daemon.log_tail(), "it drains")
        daemon.stop()
        self.assertIn('"event":"stop.at_once"', daemon.log_tail())
        self.assertNotIn('"event":"stopped"', daemon.log_tail())

    def test_default_file(self):
        """/etc/freshet/freshet.conf: one that is not there is fine, one that cannot be looked at is not, and one that was read must stay"""
        etc = testbed.scratch("etc")  # the daemon's /etc
        within = ("unshare", "-rm", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc)
        if subprocess.run([*within, "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("this machine lets nobody mount a folder in a namespace of his own")
        for name in ("ld.so.cache", "passwd", "group", "hosts", "nsswitch.conf"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"/etc/{name}", etc)
        folder, file = etc / "freshet", etc / "freshet" / "freshet.conf"

        def check():
            return subprocess.run([*within, testbed.BIN / "freshetd", "--check-config", "--set=kafka.bootstrap.servers=h:1"],
                                  capture_output=True, text=True, timeout=testbed.PATIENCE_S)

        self.assertEqual(check().returncode, 0)
        folder.touch()
        self.assertEqual(check().returncode, 0)  # no folder, so no file in it
        folder.unlink()
        folder.mkdir()
        self.assertEqual(check().returncode, 0)
        file.symlink_to(file.name)  # to itself: as for a folder that may not be entered, nobody can tell what is there
        checked = check()
        self.assertEqual((checked.returncode, checked.stdout), (78, ""))
        self.assertIn("cannot read '/etc/freshet/freshet.conf': Too many levels of symbolic links", checked.stderr)
        file.unlink()

        file.write_text("[log]\nlevel = info\n")
        daemon = Daemon(self.kafka, {"feed.topic": TOPIC, "feed.dead_letter_topic": "operate.letters"}, within=within).start()
        file.rename(etc / "kept")
        self.assertIn("cannot read '/etc/freshet/freshet.conf': No such file or directory", self.freshet(daemon, "reload", code=1))
        self.assertIn('"event":"reload.refused"', daemon.log_tail())
        self.assertNotIn('"event":"reload.done"', daemon.log_tail())
        file.write_text("[log]\nlevel = debug\n")
        changes = json.loads(self.freshet(daemon, "reload", "--output", "json"))["changes"]
        self.assertEqual([(change["key"], change["before"], change["after"]) for change in changes], [("log.level", "info", "debug")])
        daemon.stop()

    def daemon_with(self, library, **environment):
        environment |= {**testbed.preloaded(library), "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}
        return Daemon(self.kafka, {"feed.topic": TOPIC, "feed.dead_letter_topic": "operate.letters"}, environment=environment)

    def test_log_never_written(self):
        """a second signal ends the process though its log's disk never answers: neither to main, which drains, nor to who takes signals"""
        stuck = testbed.scratch("stuck") / "mark"
        daemon = self.daemon_with("libstuck_log.so", STUCK_LOG=str(stuck)).start()
        stuck.touch()
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: stuck.stat().st_size, "main waits for the disk")
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.process.wait(testbed.PATIENCE_S), 0)
        self.assertGreater(stuck.stat().st_size, 1)  # who takes signals did too
        self.assertNotIn("stop.at_once", daemon.log_tail())

    def test_disk_hangs(self):
        """a disk that answers nobody silences no one who asks how the daemon is: HTTP's thread does not wait for it"""
        stuck = testbed.scratch("stuck") / "mark"
        daemon = self.daemon_with("libstuck_disk.so", STUCK_DISK=str(stuck)).start()
        free = daemon.metrics().value("freshet_disk_free_bytes")
        self.assertGreater(free, 0)
        stuck.touch()
        until(lambda: stuck.stat().st_size, "somebody waits for the disk")
        for path in ("/metrics", "/api/status.json", "/livez", "/readyz", "/startupz"):
            self.assertEqual(daemon.http(path)[0], 200, path)
        self.assertGreater(daemon.metrics().value("freshet_disk_free_bytes"), 0)
        self.assertEqual(stuck.stat().st_size, 1)  # the checkpoint's thread alone
        stuck.unlink()
        daemon.stop()

    def test_threads_of_libraries(self):
        """a signal that the kernel gives to a thread from before main is nevertheless the daemon's: HUP reloads, TERM drains"""
        daemon = self.daemon_with("libearly_thread.so").start()
        blocked = []
        for task in pathlib.Path(f"/proc/{daemon.process.pid}/task").glob("*/status"):
            with contextlib.suppress(OSError):  # a thread that has ended meanwhile
                blocked.append(int(re.search(r"^SigBlk:\s+(\w+)$", task.read_text(), re.M)[1], 16))
        self.assertIn(0, [signals >> (signal.SIGTERM - 1) & 1 for signals in blocked], "the shim's thread blocks nothing")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: '"event":"reload' in daemon.log_tail(), "it reloads")
        daemon.stop()
        self.assertIn('"event":"drain"', daemon.log_tail())

    def bench(self, daemon):
        """Every call that freshet bench tells of is one that the daemon answered, and one more of each asker's before the clock runs."""
        def answered():
            return daemon.metrics().value("freshet_rpc_handled_total", method="Recommend", code="OK")

        users = self.config.with_name("users.txt")
        users.write_text("user0\nuser1\n\nnobody\n")
        command = [testbed.BIN / "freshet", "bench", "--users", users, "--server", daemon.addresses["grpc"], "--seconds", "1"]
        before = answered()
        told = json.loads(subprocess.run([*command, "--concurrency", "3", "--output", "json"], capture_output=True, check=True).stdout)
        self.assertEqual([row["call"] for row in told["calls"]], ["Recommend", "an empty call"])
        for row in told["calls"]:
            self.assertGreater(row["answered"], 3)
            self.assertEqual(row["failed"], 0)
            self.assertTrue(0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["longest_ms"] * 1.03, row)
        self.assertEqual(answered() - before, told["calls"][0]["answered"] + 3)
        none = [*command[:-1], "1e-9"]  # over before a call can be
        for row in json.loads(subprocess.run([*none, "--output", "json"], capture_output=True, check=True).stdout)["calls"]:
            self.assertEqual((row["answered"], row["p50_ms"], row["p99_ms"], row["longest_ms"]), (0, None, None, None), row)
        self.assertRegex(subprocess.run(none, capture_output=True, text=True, check=True).stdout, r"\nRecommend +0 +- +- +- +- +0\n")
        refused = subprocess.run([*command, "--model", "none"], capture_output=True, text=True)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn('model "none" is not known', refused.stderr)
        self.assertIn("an empty call", subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def bench_connections(self, daemon):
        """Each of its askers has a connection to itself."""
        port = int(daemon.addresses["grpc"].rsplit(":", 1)[1])

        def connections():
            """The other ends of the daemon's, as the kernel lists them; 01 is established."""
            lines = [line.split() for table in ("tcp", "tcp6") for line in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]]
            return {remote for _, local, remote, state, *_ in lines if local.endswith(f":{port:04X}") and state == "01"}

        before = connections()
        with subprocess.Popen([testbed.BIN / "freshet", "bench", "user0", "--server", daemon.addresses["grpc"], "-c", "7", "-s", "600"]) as bench:
            try:
                until(lambda: len(connections() - before) == 7 or bench.poll() is not None, "as many connections as askers")
                self.assertIsNone(bench.poll())
            finally:
                bench.kill()

    def recommend_all(self, daemon):
        """A file from Windows names the same users, and whose output cannot be written asks no more."""
        users = self.config.with_name("all.txt")
        users.write_bytes(b"\xef\xbb\xbfuser0\r\n\r\nuser1\r\n")
        command = [testbed.BIN / "freshet", "recommend", "--all", "--users", users, "--server", daemon.addresses["grpc"]]
        rows = subprocess.run([*command, "-o", "json"], capture_output=True, check=True, text=True).stdout.splitlines()
        self.assertEqual([json.loads(row)["userId"] for row in rows], ["user0", "user1"])

        def answered():
            return daemon.metrics().value("freshet_rpc_handled_total", method="Recommend", code="OK")

        users.write_text("nobody\n" * 5000)
        before = answered()
        with open("/dev/full", "w", encoding="ascii") as full:
            run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("freshet: cannot write the output: ", run.stderr)
        self.assertLess(answered() - before, 500)  # what fits into a buffer

    def pause(self, daemon):
        self.assertEqual(self.freshet(daemon, "pause"), "ingest stands still: asked\n")
        self.assertEqual(daemon.metrics().value("freshet_ingest_held", reason="asked"), 1)
        before = daemon.metrics().total("freshet_events_applied_total")
        self.publish(50, 50)
        self.assertEqual(json.loads(self.freshet(daemon, "status", "--output", "json"))["held"], ["asked"])
        until(lambda: daemon.metrics().total("freshet_consumer_lag_messages") == 50, "the lag rises while nothing is read")
        self.assertEqual(daemon.metrics().total("freshet_events_applied_total"), before)
        self.assertTrue(daemon.popular())
        self.assertEqual(self.freshet(daemon, "resume"), "ingest runs\n")
        daemon.wait_applied(TOPIC)
        self.assertEqual(daemon.metrics().total("freshet_events_applied_total"), 100)

    def log_level(self, daemon):
        self.assertEqual(self.freshet(daemon, "log-level", "debug"), "it was info\n")
        self.assertIn("level is none of debug", self.freshet(daemon, "log-level", "loud", code=1))
        self.assertEqual(self.freshet(daemon, "log-level", "warn"), "it was debug\n")

    def reload(self, daemon):
        self.config.write_text("[log]\nlevel = error\n[limits]\nmax_k = 77\n")
        changes = json.loads(self.freshet(daemon, "reload", "--output", "json"))["changes"]
        self.assertEqual({change["key"]: change.get("applied", False) for change in changes},
                         {"log.level": True, "limits.max_k": False})
        self.config.write_text("[log]\nlevel = shout\n[limits]\nmax_k = -1\n")
        refused = f"{self.config}:2: log.level = 'shout' is not one of: debug info warn error; {self.config}:4: limits.max_k = '-1' "
        said = self.freshet(daemon, "reload", code=1)
        self.assertRegex(said, f"{re.escape(refused)}[^;\\\\]+\n$")  # the line ends with what is wrong, and with nothing else
        self.assertIn(f'"problems":"{refused}', daemon.log_tail())
        self.assertEqual(self.freshet(daemon, "log-level", "info"), "it was error\n")
        until(lambda: '"event":"log.level"' in daemon.log_tail(), "the change of level is in the log")


class Told(testbed.admin_pb2_grpc.AdminServicer):
    """A daemon that tells of one partition, of which it applies `step` records whenever it is asked, and which begins anew behind `last`;
    or that fails."""

    def __init__(self, state="running", step=0, last=1 << 60, code=None):
        self.state, self.step, self.last, self.code, self.applied = state, step, last, code, 0
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
        testbed.admin_pb2_grpc.add_AdminServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self.server.start()
        return self.address

    def __exit__(self, *_):
        self.server.stop(0).wait()

    def GetStatus(self, _request, context):
        if self.code:
            context.abort(self.code, "so it is")
        self.applied = self.applied + self.step if self.applied < self.last else 0
        return testbed.admin_pb2.GetStatusResponse(partitions=[
            testbed.admin_pb2.PartitionStatus(topic=TOPIC, partition=0, state=self.state, applied=self.applied)])


class Publish(unittest.TestCase):
    """How long `freshet publish` goes on: while something moves within --timeout, and what it says when nothing does."""

    IMPATIENT = "--wait", "--timeout", "2000", "-X", "message.timeout.ms=100000"  # with the daemon, not with the broker

    def setUp(self):
        self.kafka = MockKafka(TOPIC, "letters", 1)

    def command(self, *options, topic=TOPIC):
        return [testbed.BIN / "freshet", "publish", "-", "--brokers", self.kafka.address, "--topic", topic, *options]

    def lines(self, events):
        return "".join(event_json(f"u{n}", "item", time_ms=1000)[1] + "\n" for n in range(events))

    def publish(self, *options, code, events=9, topic=TOPIC):
        run = subprocess.run(self.command(*options, topic=topic), input=self.lines(events), capture_output=True, text=True,
                             timeout=testbed.PATIENCE_S)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stderr

    def test_slow(self):
        """neither sending nor learning may last longer than --timeout without a record, but together they may"""
        began = time.monotonic()
        with Told(step=1) as admin:
            self.publish("--rate", "20", "--wait", "--timeout", "6000", "--admin", admin, code=0, events=150)
        self.assertGreater(time.monotonic() - began, 12)

    def test_halted(self):
        """a partition that is halted is named"""
        with Told("halted_gap") as admin:
            said = self.publish(*self.IMPATIENT, "--admin", admin, code=1)
        self.assertIn("has applied nothing for 2.0 s, and 9 records are left: operate/0 is halted_gap\n", said)

    def test_unread(self):
        """so is one that is not read, and what holds ingest"""
        with Daemon(self.kafka, {"feed.topic": TOPIC, "feed.dead_letter_topic": "letters"}) as daemon:
            wait = *self.IMPATIENT, "--admin", daemon.addresses["admin_grpc"]
            self.assertRegex(self.publish(*wait, code=1, topic="other"), r"and 9 records are left: it does not read other/\d+\n")
            daemon.admin.PauseIngest(testbed.admin_pb2.PauseIngestRequest(), timeout=testbed.PATIENCE_S)
            self.assertIn("and 9 records are left: its ingest stands still (asked)\n", self.publish(*wait, code=1))
            daemon.admin.ResumeIngest(testbed.admin_pb2.ResumeIngestRequest(), timeout=testbed.PATIENCE_S)
            self.publish("--wait", "--admin", daemon.addresses["admin_grpc"], code=0)

    def test_restart(self):
        """a daemon that cannot be asked is asked again: it starts, and learns"""
        daemon = Daemon(self.kafka, {"feed.topic": TOPIC, "feed.dead_letter_topic": "letters",
                                     "admin.grpc_listen": f"127.0.0.1:{testbed.free_port()}"})
        wait = "--wait", "--timeout", "100000", "--admin", daemon.settings["admin.grpc_listen"]
        with subprocess.Popen(self.command(*wait), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            self.addCleanup(run.kill)
            run.stdin.write(self.lines(9))
            run.stdin.close()
            while "; it is asked again until nothing has moved for 100.0 s\n" not in (line := run.stderr.readline()):
                self.assertTrue(line, "it has ended")
            with daemon:
                said = run.stderr.read()
                self.assertEqual(run.wait(), 0, said)
            self.assertNotIn("freshet: ", said)  # it has been said, once

    def test_gets_nowhere(self):
        """one that crashes at the same record for ever is not waited for for ever, nor one that cannot be asked for so long"""
        with Told(step=1, last=5) as admin:
            self.assertRegex(self.publish(*self.IMPATIENT, "--admin", admin, code=1), r"has applied nothing for 2.0 s, and \d records are left\n")
        with Told(code=grpc.StatusCode.UNAVAILABLE) as admin:
            said = self.publish(*self.IMPATIENT, "--admin", admin, code=1)
        self.assertIn(f"has applied nothing for 2.0 s, and 9 records are left: {admin}: UNAVAILABLE: so it is\n", said)

    def test_refused(self):
        """who may not ask, or asks what is no daemon's Admin service, is told at once"""
        for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED,
                     grpc.StatusCode.INVALID_ARGUMENT):
            with Told(code=code) as admin:
                said = self.publish("--wait", "--timeout", "1000000", "--admin", admin, code=1)
            self.assertIn(f"freshet: {admin}: {code.name}: so it is\n", said)

    def test_very_many_partitions(self):
        """nor is it said of more partitions than are looked at that all is learned"""
        self.kafka = MockKafka(TOPIC, "letters", 8192)
        with Told(step=1) as admin:
            said = self.publish("--wait", "--timeout", "1000000", "--admin", admin, code=1, events=99)
        self.assertRegex(said, r"freshet: --wait looks at 4096 partitions of a topic at most, and records went to operate/\d+\n")

    def test_cut(self):
        """a line that cannot be read ends the reading, not the records that were read before it: what it tells is what the topic holds"""
        lines = "".join(event_json(f"u{n}", "item", time_ms=1000)[1] + "\n" for n in range(20000)) + "x" * (2 << 20)
        run = subprocess.run([testbed.BIN / "freshet", "publish", "-", "--brokers", self.kafka.address, "--topic", TOPIC, "--output", "json"],
                             input=lines, capture_output=True, text=True, timeout=testbed.PATIENCE_S)
        self.assertEqual((run.returncode, json.loads(run.stdout)), (1, {"published": 20000, "skipped": 0, "bad": 0, "failed": 0}), run.stderr)
        self.assertEqual([p.offset for p in self.kafka.positions(TOPIC)], [20000])

    def test_type(self):
        """an event's type goes out as it is, however long"""
        kind = "x" + 100 * "\u00fc"
        subprocess.run([testbed.BIN / "freshet", "publish", "-", "--brokers", self.kafka.address, "--topic", TOPIC],
                       input=event_json("u0", "item", kind, time_ms=1000)[1], text=True, check=True, capture_output=True, timeout=testbed.PATIENCE_S)
        self.assertEqual([events_pb2.Event.FromString(record.value()).type for record in self.kafka.read(TOPIC)], [kind])


class Rude(grpc.GenericRpcHandler):
    """Answers whatever it is asked with all fields there are, and all texts in them would clear a terminal; or fails in such words."""

    TEXT = "\x1b[2J\u009b2J\r\nfreshet: all is well\x7f"

    def __init__(self, fails):
        self.fails = fails
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[self])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self.server.start()
        return self.address

    def __exit__(self, *_):
        self.server.stop(0).wait()

    def fill(self, message):
        for field in message.DESCRIPTOR.fields:
            if field.message_type and field.message_type.GetOptions().map_entry:
                getattr(message, field.name)[self.TEXT] = self.TEXT
            elif field.message_type:
                self.fill(getattr(message, field.name).add() if field.label == field.LABEL_REPEATED else getattr(message, field.name))
            elif field.type == field.TYPE_STRING and field.label == field.LABEL_REPEATED:
                getattr(message, field.name).extend([self.TEXT] * 2)
            elif field.type == field.TYPE_STRING:
                setattr(message, field.name, self.TEXT)
            elif field.label != field.LABEL_REPEATED:
                setattr(message, field.name, 1)
        return message

    def service(self, details):
        _, service, method = details.method.split("/")
        files = testbed.pb, testbed.admin_pb2
        kind = next(f.DESCRIPTOR.services_by_name[service.split(".")[-1]] for f in files if service.endswith(tuple(f.DESCRIPTOR.services_by_name)))
        answer = getattr(next(f for f in files if f.DESCRIPTOR is kind.file), kind.methods_by_name[method].output_type.name)

        def one(_request, context):
            if self.fails:
                context.abort(grpc.StatusCode.INTERNAL, self.TEXT)
            return self.fill(answer()).SerializeToString()

        if method == "Watch":
            return grpc.unary_stream_rpc_method_handler(lambda request, context: iter([one(request, context)]))
        return grpc.unary_unary_rpc_method_handler(one)


class Shown(unittest.TestCase):
    ASKING = ("recommend u --explain", "similar i", "popular", "score u i", "explain u i", "watch u -n 1", "user u", "item i")
    OPERATING = ("status", "pause", "resume", "log-level x", "forget user u", "forget item i", "reset 0 --applied 0 --to end", "reload",
                 "backup", "backup --list", "verify")

    def said(self, verb, address, code):
        where = "--server" if verb in self.ASKING else "--admin"
        run = subprocess.run([testbed.BIN / "freshet", *verb.split(), where, address], capture_output=True, timeout=testbed.PATIENCE_S)
        self.assertEqual(run.returncode, code, run.stderr)
        text = (run.stdout + run.stderr).decode()
        self.assertNotRegex(text, "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]")
        self.assertNotRegex(text, "(?m)^freshet: all is well")
        self.assertIn("\\x1B[2J\\x9B2J\\x0D\\x0Afreshet: all is well\\x7F", text)
        return text

    def test_answers(self):
        """what a daemon says of other people's text, a terminal shows and does not obey"""
        with Rude(fails=False) as address:
            for verb in self.ASKING + self.OPERATING:
                with self.subTest(verb):
                    self.said(verb, address, code=0)

    def test_json(self):
        """nor in JSON, which stays what it was, nor in the lines of --all"""
        with Rude(fails=False) as address:
            for verb in self.ASKING + self.OPERATING + ("recommend --all", "recommend u v"):
                with self.subTest(verb):
                    where = "--admin" if verb in self.OPERATING else "--server"
                    run = subprocess.run([testbed.BIN / "freshet", *verb.split(), "-o", "json", where, address], input="x\u009b2Jy\n".encode(),
                                         capture_output=True, check=True, timeout=testbed.PATIENCE_S)
                    text = run.stdout.decode()
                    self.assertNotRegex(text, "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]")
                    self.assertIn(json.dumps(Rude.TEXT)[1:-1], json.dumps(json.loads(text)))
            self.assertIn("\\x1B[2J\\x9B2J", self.on_a_terminal("recommend", "--all", "--server", address))

    def on_a_terminal(self, *arguments):
        ours, its = pty.openpty()
        with open(ours, "rb", buffering=0) as terminal:
            run = subprocess.run([testbed.BIN / "freshet", *arguments], input="x\u009b2Jy\n".encode(), stdout=its, stderr=subprocess.DEVNULL,
                                 check=True, timeout=testbed.PATIENCE_S)
            os.close(its)
            text = b""
            with contextlib.suppress(OSError):  # EIO: that is all
                while part := terminal.read(4096):
                    text += part
        self.assertEqual(run.returncode, 0)
        self.assertNotRegex(text.decode().replace("\r\n", "\n"), "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]")
        return text.decode()

    def test_failures(self):
        """nor what it says where it fails, which stays on its line"""
        with Rude(fails=True) as address:
            for verb in self.ASKING + self.OPERATING:
                with self.subTest(verb):
                    self.assertEqual(self.said(verb, address, code=1).count("\n"), 1)


if __name__ == "__main__":
    testbed.main()
