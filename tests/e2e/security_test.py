"""Who may ask, over what: TLS, mTLS, tokens with roles, limits for each client, and all of it changed while calls are in flight.

Certificates and tokens are made by the commands of ops/docs/security.md, as they stand there, but for the copy into /etc: no test changes the machine.
"""
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import unittest

import grpc

import testbed
from testbed import BIN, SOURCE, Daemon, MockKafka, pb, until

CODES = grpc.StatusCode
PAGE = (SOURCE / "ops" / "docs" / "security.md").read_text()
SHORT_S = 20


def commands(after, until_):
    """The indented lines of the page between two headings: what a reader would type."""
    part = PAGE[PAGE.index(after):PAGE.index(until_)]
    return "\n".join(re.findall(r"^    (\S.*)$", part, re.M))


def shell(script, folder, **environment):
    path = f"{BIN}:{os.environ['PATH']}"
    return subprocess.run(["bash", "-ec", script], cwd=folder, text=True, capture_output=True, timeout=60,
                          env={**os.environ, "PATH": path, **environment})


def code_of(call):
    """What a call ends with: its status and the words, (OK, "") when it is answered."""
    try:
        call()
        return CODES.OK, ""
    except grpc.RpcError as err:
        return err.code(), err.details()


def method(channel, path):
    return channel.unary_unary(path, request_serializer=None, response_deserializer=None)


ANN = pb.RecommendRequest(user_id="ann").SerializeToString()


def recommend(channel, token=None, timeout=SHORT_S, request=ANN):
    metadata = [("authorization", f"Bearer {token}")] if token else None
    return method(channel, "/freshet.v1.Recommender/Recommend")(request, metadata=metadata, timeout=timeout)


def admin(channel, name, token=None):
    metadata = [("authorization", f"Bearer {token}")] if token else None
    return method(channel, f"/freshet.v1.Admin/{name}")(b"", metadata=metadata, timeout=SHORT_S)


class Files:
    """What the page's commands make, in a folder."""

    def __init__(self):
        self.folder = testbed.scratch("security")
        made = shell(commands("## Certificates", "What `umask 077`") + "\n" + commands("## Tokens", "Only for random"), self.folder)
        assert made.returncode == 0, made.stderr
        strangers = testbed.scratch("strangers")
        made = shell(commands("## Certificates", "What `umask 077`"), strangers)
        assert made.returncode == 0, made.stderr
        self.strangers = strangers

    def path(self, name):
        return self.folder / name

    def word(self, name):
        return self.path(name).read_text().strip()

    def channel_credentials(self, own=None):
        """own: a folder with web.key and web.pem."""
        pair = [(own / name).read_bytes() for name in ("web.key", "web.pem")] if own else [None, None]
        return grpc.ssl_channel_credentials(self.path("ca.pem").read_bytes(), *pair)

    def renew(self):
        """The same key, a new certificate with a new serial number."""
        made = shell("openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile names -out new.pem",
                     self.folder)
        assert made.returncode == 0, made.stderr
        self.path("new.pem").replace(self.path("server.pem"))
        return self.serial()

    def serial(self):
        return int(shell("openssl x509 -in server.pem -noout -serial", self.folder).stdout.strip().split("=")[1], 16)

    def shown(self, address):
        """The serial number of the certificate that a new connection is greeted with."""
        host, port = address.rsplit(":", 1)
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.load_cert_chain(self.path("web.pem"), self.path("web.key"))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection((host, int(port)), timeout=SHORT_S) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as secure:
            return int(secure.getpeercert()["serialNumber"], 16)


class Callers(threading.Thread):
    """Asks over one connection that stands, and over a new one each time, until told to stop; notes each failure."""

    def __init__(self, daemon, credentials, token):
        super().__init__()
        self.daemon, self.credentials, self.token = daemon, credentials, token
        self.answered, self.failed, self.over = 0, [], threading.Event()

    def run(self):
        with self.daemon.open_channel("grpc", self.credentials) as standing:
            while not self.over.is_set():
                with self.daemon.open_channel("grpc", self.credentials, options=[("grpc.use_local_subchannel_pool", 1)]) as fresh:
                    for channel in (standing, fresh):
                        code, words = code_of(lambda: recommend(channel, self.token))
                        if code == CODES.OK:
                            self.answered += 1
                        else:
                            self.failed.append((code, words))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Security(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = Files()
        cls.kafka = MockKafka("events", "dead", 4)

    def secured(self, **more):
        path = self.files.path
        return Daemon(self.kafka, {
            "feed.topic": "events", "feed.dead_letter_topic": "dead",
            "serve.tls_cert": path("server.pem"), "serve.tls_key": path("server.key"), "serve.tls_client_ca": path("ca.pem"), "serve.tokens_file": path("tokens"), "admin.http_auth": "yes",
            **{name.replace("__", "."): value for name, value in more.items()},
        }, credentials=self.files.channel_credentials(self.files.folder))

    def says(self, daemon, event, *words):
        """Waits for a line of the log with this event and these words."""
        def said():
            return [line for line in daemon.log_lines() if line["event"] == event and all(word in line["msg"] for word in words)]
        return until(said, f"the log says {event} {words}")

    def test_only_who_is_known_gets_in(self):
        """TLS, mTLS, tokens, roles; HTTP; the page's own commands of the client"""
        files, word = self.files, self.files.word
        with self.secured() as daemon:
            for credentials in (files.channel_credentials(), files.channel_credentials(files.strangers), "plain"):
                for listener in ("grpc", "admin_grpc"):
                    channel = (grpc.insecure_channel(daemon.addresses[listener]) if credentials == "plain"
                               else daemon.open_channel(listener, credentials))
                    with channel:
                        code, _ = code_of(lambda: method(channel, "/grpc.health.v1.Health/Check")(b"", timeout=SHORT_S))
                        self.assertEqual(code, CODES.UNAVAILABLE, f"{listener} with {credentials}")
            public, operators = daemon.channel, daemon.admin_channel
            web, ops = word("web.token"), word("ops.token")
            self.assertEqual(code_of(lambda: recommend(public, web)), (CODES.OK, ""))
            self.assertEqual(code_of(lambda: recommend(public, ops)), (CODES.OK, ""))
            self.assertEqual(code_of(lambda: recommend(public)),
                             (CODES.UNAUTHENTICATED, "Recommend wants a token: authorization: Bearer ..."))
            self.assertEqual(code_of(lambda: recommend(public, "guessed")), (CODES.UNAUTHENTICATED, "the token is not known"))
            self.assertEqual(code_of(lambda: method(public, "/freshet.v1.Recommender/Recommend")(
                ANN, metadata=[("authorization", f"Bearer {web}"), ("authorization", f"Bearer {ops}")], timeout=SHORT_S))[0],
                CODES.UNAUTHENTICATED)
            self.assertEqual(code_of(lambda: admin(operators, "GetStatus", web)), (CODES.OK, ""))
            for name in ("Checkpoint", "Backup", "ListBackups", "VerifyBackup"):
                self.assertEqual(code_of(lambda: admin(operators, name, web)), (
                    CODES.PERMISSION_DENIED, f"the token 'web' has the role read; {name} wants admin"))
                self.assertEqual(code_of(lambda: admin(operators, name))[0], CODES.UNAUTHENTICATED)
            self.assertEqual(code_of(lambda: admin(operators, "Checkpoint", ops)), (CODES.OK, ""))
            for channel in (public, operators):
                self.assertEqual(method(channel, "/grpc.health.v1.Health/Check")(b"", timeout=SHORT_S), b"\x08\x01")
                reflection = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                                   request_serializer=None, response_deserializer=None)
                self.assertEqual(code_of(lambda: list(reflection(iter([b"\x3a\x00"]), timeout=SHORT_S)))[0], CODES.UNAUTHENTICATED)
                self.assertEqual(len(list(reflection(iter([b"\x3a\x00"]), timeout=SHORT_S,
                                                     metadata=[("authorization", f"Bearer {web}")]))), 1)
            self.assertEqual(daemon.http("/metrics")[0], 401)
            status, text = daemon.http("/metrics", {"Authorization": f"Bearer {web}"})
            self.assertEqual(status, 200)
            self.assertEqual(testbed.Metrics(text).value("freshet_rpc_handled_total", method="Backup", code="PERMISSION_DENIED"), 1)
            self.client(daemon)
            log = daemon.log.read_text()
            denied = self.says(daemon, "caller.denied", "'web' has the role read; Backup")
            self.assertTrue(denied[0]["peer"].startswith("ipv4:127.0.0.1:"))
            for secret in (web, ops, "guessed"):
                self.assertNotIn(secret, log)

    def client(self, daemon):
        script = commands("(`caller.denied`)", "or once for all").replace(":50051", ":" + daemon.addresses["grpc"].split(":")[1])
        script = script.replace(":50052", ":" + daemon.addresses["admin_grpc"].split(":")[1])
        self.assertEqual(script.count("freshet "), 2)
        own = {"FRESHET_TLS_CERT": "web.pem", "FRESHET_TLS_KEY": "web.key"}
        ran = shell(script, self.files.folder, **own)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("durable:", ran.stdout)
        everything = {**own, "FRESHET_TLS_CA": "ca.pem", "FRESHET_TOKEN_FILE": "web.token", "FRESHET_ADMIN": daemon.addresses["admin_grpc"]}
        self.assertIn("freshetd", shell("freshet status", self.files.folder, **everything).stdout)
        for environment, says in (({}, "PERMISSION_DENIED: the token 'web' has the role read; Checkpoint wants admin"),
                                  ({"FRESHET_TOKEN_FILE": ""}, "UNAUTHENTICATED: Checkpoint wants a token"),
                                  ({"FRESHET_TLS_CERT": "", "FRESHET_TLS_KEY": ""}, "UNAVAILABLE"),
                                  ({"FRESHET_TLS_KEY": ""}, "--tls-cert and --tls-key go together"),
                                  ({"FRESHET_TLS_CA": "none.pem"}, "--tls-ca: cannot read 'none.pem': No such file or directory"),
                                  ({"FRESHET_TLS_KEY": "ca.key"}, "--tls-key: 'ca.key' is not the key of the certificate in 'web.pem' (--tls-cert)"),
                                  ({"FRESHET_TLS_CA": str(self.files.strangers / "ca.pem")}, "certificate verify failed"),
                                  ({"FRESHET_TOKEN_FILE": "ca.pem"}, "--token-file: 'ca.pem' holds no token")):
            ran = shell(f"freshet checkpoint --timeout {SHORT_S * 1000}", self.files.folder, **{**everything, **environment})
            self.assertEqual(ran.returncode, 1, says)
            self.assertIn(says, ran.stderr)
            self.assertEqual(ran.stderr.count("\n"), 1, ran.stderr)
        example = re.search(r"```python\n(.*?)```", PAGE, re.S).group(1).replace("127.0.0.1:50051", daemon.addresses["grpc"])
        example = example.replace('open("ca.pem", "rb").read())', 'open("ca.pem", "rb").read(), open("web.key", "rb").read(), '
                                  'open("web.pem", "rb").read())')  # this daemon wants mTLS, too
        spoken = {}
        here = os.getcwd()
        os.chdir(self.files.folder)
        try:
            exec(example, spoken)
        finally:
            os.chdir(here)
        with spoken["channel"] as channel:
            self.assertEqual(code_of(lambda: recommend(channel)), (CODES.OK, ""))

    def test_prometheus_takes_what_the_page_says(self):
        """the page's scrape configuration"""
        snippet = re.search(r"```yaml\n(.*?)```", PAGE, re.S).group(1)
        self.assertEqual(snippet.count("/etc/prometheus/freshet.token"), 1)
        self.files.path("prometheus.yml").write_text(snippet.replace("/etc/prometheus/freshet.token", "web.token"))
        ran = shell("promtool check config prometheus.yml", self.files.folder)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_what_is_new_counts_and_no_call_fails(self):
        """new certificates and tokens by SIGHUP and by themselves, bad ones refused, while calls are in flight"""
        files, word = self.files, self.files.word
        tokens = files.path("tokens").read_text()
        with self.secured() as daemon, Callers(daemon, daemon.credentials, word("web.token")) as callers:
            listeners = [daemon.addresses[name] for name in ("grpc", "admin_grpc")]
            self.assertEqual([files.shown(address) for address in listeners], [files.serial()] * 2)
            serial = files.renew()
            daemon.process.send_signal(signal.SIGHUP)
            for address in listeners:
                until(lambda: files.shown(address) == serial, "SIGHUP: the new certificate is shown")
            serial = files.renew()
            until(lambda: files.shown(listeners[0]) == serial, "the new certificate is shown without a signal")
            good = files.path("server.pem").read_text()
            files.path("server.pem").write_text("nonsense")
            daemon.process.send_signal(signal.SIGHUP)
            self.says(daemon, "certificate.refused", f"serve.tls_cert: '{files.path('server.pem')}' holds no certificate",
                      "the old certificate stays")
            self.assertEqual(files.shown(listeners[0]), serial)
            files.path("server.pem").write_text(good)

            files.path("tokens").write_text(tokens + "web admin\n")
            serial = files.renew()
            ran = shell("freshet reload --tls-ca ca.pem --tls-cert web.pem --tls-key web.key --token-file ops.token", files.folder,
                        FRESHET_ADMIN=daemon.addresses["admin_grpc"])
            self.assertIn(f"nothing in it has changed: serve.tokens_file: '{files.path('tokens')}' line 3: after the role", ran.stderr)
            self.says(daemon, "tokens.refused", f"serve.tokens_file: '{files.path('tokens')}' line 3: after the role", "the old tokens stay")
            until(lambda: files.shown(listeners[0]) == serial, "the new certificate is shown whatever is wrong with the tokens")
            new = "0123456789abcdef" * 4
            line = shell(f"echo web read $(printf %s {new} | sha256sum | cut -c1-64)", files.folder).stdout
            files.path("tokens").write_text(tokens + line)
            until(lambda: code_of(lambda: recommend(daemon.channel, new))[0] == CODES.OK, "the new token counts, without a signal")
            until(lambda: callers.answered > 50 or callers.failed, "they have asked often")
            callers.over.set()
            callers.join()
            self.assertEqual(callers.failed, [])
            self.assertGreater(callers.answered, 50)
            files.path("tokens").write_text(line)
            daemon.process.send_signal(signal.SIGHUP)
            until(lambda: code_of(lambda: recommend(daemon.channel, word("web.token")))[0] == CODES.UNAUTHENTICATED,
                  "SIGHUP: the old token no longer counts")
            self.assertEqual(code_of(lambda: recommend(daemon.channel, new)), (CODES.OK, ""))
            files.path("tokens").write_text(tokens)

    def test_one_client_cannot_take_what_is_there_for_all(self):
        """limits of rate and of calls in flight, by token and by address; warnings of what is open"""
        files, word = self.files, self.files.word
        web, ops = word("web.token"), word("ops.token")
        settings = {"feed.topic": "events", "feed.dead_letter_topic": "dead", "serve.listen": "0.0.0.0:0", "limits.client_rate": "0.5",
                    "limits.client_burst": 10, "limits.client_inflight": 3, "serve.tokens_file": files.path("tokens")}
        with Daemon(self.kafka, settings) as daemon:
            self.says(daemon, "listener.open", "serve.listen = 0.0.0.0:0 is open to the network without TLS: tokens can be read")
            channel = grpc.insecure_channel(daemon.addresses["grpc"].replace("0.0.0.0", "127.0.0.1"))
            codes = [code_of(lambda: recommend(channel, web)) for _ in range(30)]
            self.assertEqual(codes[:10], [(CODES.OK, "")] * 10)
            refused = [code for code in codes if code[0] == CODES.RESOURCE_EXHAUSTED]
            self.assertGreater(len(refused), 10)
            self.assertEqual(refused[0][1], "web asks more than limits.client_rate = 0.5 a second")
            self.assertEqual(daemon.metrics().value("freshet_rpc_rejected_total", reason="client_rate"), len(refused))
            # Another client is not touched; four that wait are one too many.
            later = pb.RecommendRequest(user_id="ann", not_before=[pb.Position(topic="events", partition=0, offset=1)]).SerializeToString()
            self.assertEqual(code_of(lambda: recommend(channel, ops)), (CODES.OK, ""))
            waiting = [method(channel, "/freshet.v1.Recommender/Recommend").future(
                later, metadata=[("authorization", f"Bearer {ops}")], timeout=SHORT_S) for _ in range(3)]
            until(lambda: daemon.metrics().value("freshet_rpc_inflight", method="Recommend") == 3, "three calls wait")
            self.assertEqual(code_of(lambda: recommend(channel, ops)), (
                CODES.RESOURCE_EXHAUSTED, "ops has limits.client_inflight = 3 calls in flight already"))
            self.assertEqual(daemon.metrics().value("freshet_rpc_rejected_total", reason="client_inflight"), 1)
            waiting.pop().cancel()
            until(lambda: daemon.metrics().value("freshet_rpc_inflight", method="Recommend") == 2, "two calls wait")
            self.assertEqual(code_of(lambda: recommend(channel, ops)), (CODES.OK, ""))
            for call in waiting:
                call.cancel()
            channel.close()
            # Over TLS alone, and without tokens: then a client is an address.
            daemon.settings.pop("serve.tokens_file")
            daemon.credentials = files.channel_credentials()
            daemon.restart(serve__listen="127.0.0.1:0", serve__tls_cert=files.path("server.pem"), serve__tls_key=files.path("server.key"))
            codes = [code_of(lambda: recommend(daemon.channel)) for _ in range(20)]
            self.assertEqual(codes[:10], [(CODES.OK, "")] * 10)
            self.assertEqual(codes[-1], (CODES.RESOURCE_EXHAUSTED, "ipv4:127.0.0.1 asks more than limits.client_rate = 0.5 a second"))
            ran = shell("freshet status --tls-ca ca.pem", files.folder, FRESHET_ADMIN=daemon.addresses["admin_grpc"])
            self.assertIn("freshetd", ran.stdout, ran.stderr)  # the Admin's listener has no such limits

    def test_wrong_files_are_named_at_the_start(self):
        """exit 78, with the key and the file"""
        path = self.files.path
        cert, key = f"serve.tls_cert={path('server.pem')}", f"serve.tls_key={path('server.key')}"
        path("bad.tokens").write_text("web reader abc\n")
        for settings, says in (
                ([cert], f"serve.tls_cert = {path('server.pem')} needs serve.tls_key too"),
                (["serve.tls_client_ca=ca.pem"], "serve.tls_client_ca = ca.pem needs serve.tls_cert too"),
                (["admin.http_auth=yes"], "admin.http_auth = yes needs serve.tokens_file too"),
                (["serve.tls_cert=/nowhere.pem", key], "serve.tls_cert: cannot read '/nowhere.pem': No such file or directory"),
                ([cert, key, f"admin.tls_cert={path('server.pem')}", f"admin.tls_key={path('web.key')}"],
                 f"admin.tls_key: '{path('web.key')}' is not the key of the certificate in '{path('server.pem')}' (admin.tls_cert)"),
                ([cert, key, f"admin.tls_client_ca={path('names')}"], f"admin.tls_client_ca: '{path('names')}' holds no certificate in PEM"),
                ([f"serve.tokens_file={path('bad.tokens')}"],
                 f"serve.tokens_file: '{path('bad.tokens')}' line 1: after the name must come read, write or admin")):
            for task in ([], ["--check-config"]):
                ran = subprocess.run([BIN / "freshetd", *task, "--set=kafka.bootstrap.servers=127.0.0.1:1", f"--set=store.path={path('store')}",
                                      *(f"--set={one}" for one in settings)], text=True, capture_output=True, timeout=60)
                self.assertEqual(ran.returncode, 78, says)
                self.assertIn(says, ran.stderr)
        self.assertFalse(path("store").exists())


if __name__ == "__main__":
    testbed.main()
