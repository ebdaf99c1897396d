"""What ops/docker, ops/kubernetes and ops/argo say is held against the schemas it is written in, against the daemon's own configuration,
and against one another; what can run without a container runtime runs. No image is built and no cluster is asked.
"""
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import compose_spec
import dockerfile
import jsonschema
import kubernetes_validate
import yaml

import testbed

OPS = testbed.SOURCE / "ops"
DOCKER, KUBERNETES, ARGO = OPS / "docker", OPS / "kubernetes", OPS / "argo"
SCHEMAS = pathlib.Path(os.environ["FRESHET_SCHEMAS"])
KUBERNETES_VERSION = "1.31"
DEFAULTS = {"serve.listen": 50051, "admin.listen": 9464, "admin.grpc_listen": 50052}  # ports


def freshetd(*arguments, environment=()):
    return subprocess.run([testbed.BIN / "freshetd", *arguments], env={"PATH": os.environ["PATH"], **dict(environment)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=testbed.PATIENCE_S)


def ports(text):
    """The ports a configuration file listens on, by key."""
    found, section = dict(DEFAULTS), ""
    for line in text.splitlines():
        section = re.sub(r"^\[(\w+)\]$", r"\1", line) if line.startswith("[") else section
        key, _, value = line.partition(" = ")
        if f"{section}.{key}" in found:
            found[f"{section}.{key}"] = int(value.rsplit(":", 1)[1])
    return found


class Images(unittest.TestCase):
    """ops/docker"""

    @classmethod
    def setUpClass(cls):
        cls.file = DOCKER / "Dockerfile"
        cls.commands = dockerfile.parse_file(str(cls.file))
        cls.last = max(i for i, c in enumerate(cls.commands) if c.cmd == "FROM")
        cls.compose = yaml.safe_load((DOCKER / "compose.yml").read_text())
        cls.services = cls.compose["services"]

    def of(self, name):
        """The last stage's instructions of a kind."""
        return [c for c in self.commands[self.last:] if c.cmd == name]

    def test_dockerfile(self):
        """the Dockerfile: what it copies and runs is there, its shell is clean, and it runs as a numbered user that is not root"""
        for c in self.commands:
            if c.cmd == "COPY":
                for source in c.value[:-1]:
                    self.assertTrue((testbed.SOURCE / source).exists(), source)
            if c.cmd == "RUN":
                checked = subprocess.run(["shellcheck", "--shell=sh", "--severity=style", "-"], input=c.value[0] + "\n", text=True,
                                         capture_output=True, timeout=testbed.PATIENCE_S)
                self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertEqual([c.value for c in self.of("STOPSIGNAL")], [("SIGTERM",)])
        self.assertEqual([c.value for c in self.of("USER")], [("10001:10001",)])
        conf = DOCKER / "freshet.conf"
        self.assertIn(("ops/docker/freshet.conf", "/etc/freshet/freshet.conf"), [c.value for c in self.of("COPY")])
        checked = freshetd("--config", conf, "--check-config", environment={"FRESHET_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092"})
        self.assertEqual(checked.returncode, 0, checked.stdout)
        listens = ports(conf.read_text())
        self.assertEqual({int(port) for port in self.of("EXPOSE")[0].value}, {listens["serve.listen"], listens["admin.listen"]})
        state = re.search(r"^path = (.*)$", conf.read_text(), re.M)[1]
        self.assertEqual([c.value for c in self.of("VOLUME")], [(state,)])

    def test_packages(self):
        """the Dockerfile: the packages it installs are those that ops/package makes"""
        built = next(c.value[0] for c in self.commands if c.cmd == "RUN")
        self.assertTrue(os.access(testbed.SOURCE / built.split()[0], os.X_OK), built)
        names = set(re.findall(r"build/packages/(\w+)_\*\.deb", built))
        self.assertEqual(names, set(re.findall(r"^Package: (\S+)$", (OPS / "debian" / "control").read_text(), re.M)))

    def test_healthcheck(self):
        """the health check says what /readyz says"""
        check = DOCKER / "healthcheck"
        self.assertEqual(self.of("HEALTHCHECK")[0].value, ("CMD", "/usr/local/bin/healthcheck"))
        subprocess.run(["shellcheck", check], check=True, timeout=testbed.PATIENCE_S)
        kafka = testbed.MockKafka("events", "freshet.dead-letters", 1)
        daemon = testbed.Daemon(kafka, {"serve.drain_delay_ms": 600000}).start()
        address = {"FRESHET_ADMIN__LISTEN": daemon.addresses["http"], "PATH": os.environ["PATH"]}

        def healthy():
            return subprocess.run([check], env=address, stderr=subprocess.DEVNULL, timeout=testbed.PATIENCE_S).returncode == 0

        self.assertTrue(healthy())
        daemon.process.terminate()  # drains, for as long as it has been told to
        testbed.until(lambda: daemon.http("/readyz")[0] != 200, "it is no longer ready")
        self.assertFalse(healthy(), "while it drains")
        daemon.kill()
        self.assertFalse(healthy(), "when it is gone")

    def test_compose(self):
        """compose.yml: valid, complete in itself, and each FRESHET_ variable is a key with a value in range"""
        compose_spec.PyCompose.from_yaml((DOCKER / "compose.yml").read_text()).validate()
        for name, service in self.services.items():
            for needed in service.get("depends_on", []):
                self.assertIn(needed, self.services, name)
            for port in service.get("ports", []):
                self.assertRegex(port, r"^127\.0\.0\.1:\d+:\d+$", name)
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DOCKER / source).exists(), volume)
                else:
                    self.assertIn(source, self.compose["volumes"])
        daemon = self.services["freshetd"]
        self.assertTrue((DOCKER / daemon["build"]["context"] / daemon["build"]["dockerfile"]).samefile(self.file))
        environment = {name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value) for name, value in daemon["environment"].items()}
        checked = freshetd("--config", DOCKER / "freshet.conf", "--check-config", environment=environment)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertTrue(all("__" in name for name in environment), "else the daemon does not look at it")
        version = re.search(r"^freshetd (\S+)", freshetd("--version").stdout)[1]
        self.assertEqual(daemon["image"], f"freshet:{version}")
        self.assertEqual({p.split(":")[2] for p in daemon["ports"]}, set(self.of("EXPOSE")[0].value))
        kafka = self.services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        self.assertIn(f"PLAINTEXT://{environment['FRESHET_KAFKA__BOOTSTRAP_SERVERS']}", kafka)

    def test_monitoring(self):
        """compose.yml: Prometheus scrapes the daemon and has its rules, Grafana has the data source and the dashboards"""
        folder = testbed.scratch("prometheus")  # as in its container
        mounts = [v.split(":") for v in self.services["prometheus"]["volumes"] if v.startswith(".")]
        for source, target, mode in mounts:
            self.assertEqual((mode, str(pathlib.Path(target).parent)), ("ro", "/etc/prometheus"))
            shutil.copy(DOCKER / source, folder / pathlib.Path(target).name)
        checked = subprocess.run(["promtool", "check", "config", folder / "prometheus.yml"], capture_output=True, text=True,
                                 timeout=testbed.PATIENCE_S)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        here, there = (yaml.safe_load(f.read_text()) for f in (folder / "prometheus.yml", OPS / "prometheus" / "prometheus.yml"))
        port = ports((DOCKER / "freshet.conf").read_text())["admin.listen"]
        self.assertEqual(here["scrape_configs"][0]["static_configs"], [{"targets": [f"freshetd:{port}"]}])
        for config in (here, there):
            del config["scrape_configs"][0]["static_configs"]
        self.assertEqual(here, there, "but for the target it is the example's")

        grafana = self.services["grafana"]
        mounts = {v.split(":")[1]: DOCKER / v.split(":")[0] for v in grafana["volumes"] if v.startswith(".")}
        provisioning = mounts["/etc/grafana/provisioning"]
        dashboards = yaml.safe_load((provisioning / "dashboards" / "freshet.yml").read_text())["providers"][0]["options"]["path"]
        self.assertGreaterEqual(len(list(mounts[dashboards].glob("*.json"))), 4)
        source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"][0]["url"]
        self.assertEqual(grafana["environment"][source.lstrip("$")], "http://prometheus:9090")


def strict(schema):
    """A CRD's schema, in which a field that is not named is an error, not ignored."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return schema


def check_custom(document, crd):
    crd = yaml.load((SCHEMAS / crd).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    group, version = document["apiVersion"].split("/")
    assert (crd["spec"]["group"], crd["spec"]["names"]["kind"]) == (group, document["kind"])
    schema = strict(next(v for v in crd["spec"]["versions"] if v["name"] == version)["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    for error in jsonschema.Draft7Validator(schema).iter_errors(document):
        raise error


class Cluster(unittest.TestCase):
    """ops/kubernetes"""

    @classmethod
    def setUpClass(cls):
        cls.files = {f.name: list(yaml.safe_load_all(f.read_text())) for f in KUBERNETES.glob("*.yaml")}
        cls.all = [document for documents in cls.files.values() for document in documents]
        cls.set = cls.one("StatefulSet")
        cls.pod = cls.set["spec"]["template"]["spec"]
        cls.container = cls.pod["containers"][0]
        cls.conf = cls.one("ConfigMap")["data"]["freshet.conf"]

    @classmethod
    def one(cls, kind, name=None):
        document, = (d for d in cls.all if d["kind"] == kind and name in (None, d["metadata"]["name"]))
        return document

    def test_schemas(self):
        """every manifest is what the API's schema says, with no field of another name"""
        for document in self.all:
            with self.subTest(document["kind"]):
                if document["kind"] == "ServiceMonitor":
                    check_custom(document, "monitoring.coreos.com_servicemonitors.yaml")
                elif document["kind"] != "Kustomization":
                    kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
        kustomization = self.files["kustomization.yaml"][0]
        self.assertEqual([f"{i['name']}:{i['newTag']}" for i in kustomization["images"]],
                         [yaml.safe_load((DOCKER / "compose.yml").read_text())["services"]["freshetd"]["image"]])
        listed = set(kustomization["resources"])
        self.assertEqual(listed, set(self.files) - {"kustomization.yaml", "secret.example.yaml"})

    def test_configuration(self):
        """the daemon takes its file together with the environment it is given"""
        file = testbed.scratch("deploy") / "freshet.conf"
        file.write_text(self.conf)
        secret = self.one("Secret")
        environment = {}
        for variable in self.container["env"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            self.assertEqual(reference["name"], secret["metadata"]["name"])
            environment[variable["name"]] = secret["stringData"][reference["key"]]
        shown = freshetd("--config", file, "--print-config", environment=environment)
        self.assertEqual(shown.returncode, 0, shown.stdout)
        self.assertNotIn(secret["stringData"]["password"], shown.stdout)
        self.assertIn("sasl.username", shown.stdout)
        checked = freshetd("--config", file, "--check-config", environment=environment)
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def test_together(self):
        """ports, labels, volumes and limits of the manifests agree with the file and with one another"""
        labels = self.set["spec"]["template"]["metadata"]["labels"]
        named = {p["name"]: p["containerPort"] for p in self.container["ports"]}
        listens = ports(self.conf)
        self.assertEqual(named, {"grpc": listens["serve.listen"], "http": listens["admin.listen"], "admin-grpc": listens["admin.grpc_listen"]})
        services = [d for d in self.all if d["kind"] == "Service"]
        self.assertEqual(len(services), 3)
        for service in services:
            self.assertLessEqual(service["spec"]["selector"].items(), labels.items())
            for port in service["spec"]["ports"]:
                self.assertEqual(port["port"], named[port["targetPort"]])
        self.assertEqual(self.one("Service", self.set["spec"]["serviceName"])["spec"]["clusterIP"], "None")
        self.assertEqual({p["name"] for p in self.one("Service", "freshet")["spec"]["ports"]}, {"grpc"}, "nothing of operators' for clients")
        for kind in ("PodDisruptionBudget", "NetworkPolicy"):
            spec = self.one(kind)["spec"]
            self.assertLessEqual((spec.get("selector") or spec["podSelector"])["matchLabels"].items(), labels.items())
        for rule in self.one("NetworkPolicy")["spec"]["ingress"]:
            self.assertLessEqual({p["port"] for p in rule["ports"]}, set(named))
        monitor = self.one("ServiceMonitor")["spec"]
        watched, = (s for s in services if monitor["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items())
        self.assertIn(monitor["endpoints"][0]["port"], {p["name"] for p in watched["spec"]["ports"]})
        self.assertEqual(watched["metadata"]["labels"][monitor["jobLabel"]], "freshet", "the rules' job")

        volumes = {v["name"] for v in self.pod["volumes"]} | {v["metadata"]["name"] for v in self.set["spec"]["volumeClaimTemplates"]}
        mounts = {m["mountPath"]: m["name"] for m in self.container["volumeMounts"]}
        self.assertEqual(set(mounts.values()), volumes)
        self.assertEqual(mounts[re.search(r"^path = (.*)$", self.conf, re.M)[1]], "data")
        self.assertIn(str(pathlib.Path(self.container["args"][1]).parent), mounts)
        spans = {key: int(value) for key, value in re.findall(r"^(drain_\w+_ms) = (\d+)$", self.conf, re.M)}
        drain = spans["drain_delay_ms"] + 10000 + 2 * spans["drain_grace_ms"]  # ops/docs/limits.md
        self.assertGreater(self.pod["terminationGracePeriodSeconds"] * 1000, drain)
        hard = int(re.search(r"^memory_hard = (\d+)G$", self.conf, re.M)[1])
        self.assertGreater(int(self.container["resources"]["limits"]["memory"].removesuffix("Gi")), hard)

    def test_hardened(self):
        """the pod is nobody, on a root it cannot write, with no capability; the image's user is the one it names"""
        security, own = self.pod["securityContext"], self.container["securityContext"]
        self.assertEqual((security["runAsNonRoot"], security["seccompProfile"], own["readOnlyRootFilesystem"],
                          own["allowPrivilegeEscalation"], own["capabilities"]),
                         (True, {"type": "RuntimeDefault"}, True, False, {"drop": ["ALL"]}))
        self.assertIn(f"USER {security['runAsUser']}:{security['runAsGroup']}\n", (DOCKER / "Dockerfile").read_text())
        self.assertEqual(security["fsGroup"], security["runAsGroup"])

    def test_probes(self):
        """the probes' paths answer, on the port they are asked at"""
        daemon = testbed.Daemon(testbed.MockKafka("events", "freshet.dead-letters", 1)).start()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            ask = self.container[probe]["httpGet"]
            self.assertEqual((daemon.http(ask["path"])[0], ask["port"]), (200, "http"), probe)
        daemon.stop()


class Backfill(unittest.TestCase):
    """ops/argo"""

    @classmethod
    def setUpClass(cls):
        cls.workflow = yaml.safe_load((ARGO / "backfill.yaml").read_text())
        cls.templates = {t["name"]: t for t in cls.workflow["spec"]["templates"]}
        cls.folder = testbed.scratch("argo")
        for name in ("events", "work", "config"):
            (cls.folder / name).mkdir()
        conf = yaml.safe_load((KUBERNETES / "configmap.yaml").read_text())["data"]["freshet.conf"]
        (cls.folder / "config" / "freshet.conf").write_text(conf)
        with lzma.open(OPS / "data" / "online-retail" / "purchases.tsv.xz", "rt") as packed:
            lines = [next(packed) for _ in range(20001)]
        (cls.folder / "events" / "purchases.tsv").write_text("".join(lines))
        cls.kafka = testbed.MockKafka("events", "freshet.dead-letters", 4)
        cls.daemon = testbed.Daemon(cls.kafka).start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def run_workflow(self, **parameters):
        """Its steps in order up to the first that fails, as Argo would, with volumes in a folder of ours. Returns (name, exit code) of each."""
        values = {p["name"]: p["value"] for p in self.workflow["spec"]["arguments"]["parameters"]}
        self.assertLessEqual(set(parameters), set(values))
        values.update(parameters)

        def filled(text):
            text = re.sub(r"\{\{workflow\.parameters\.(\w+)\}\}", lambda match: values[match[1]], text)
            self.assertNotIn("{{", text)
            return text

        done = []
        for step, in self.templates[self.workflow["spec"]["entrypoint"]]["steps"]:
            template = self.templates[step["template"]]
            what = template.get("script") or template["container"]
            mounts = {m["mountPath"]: self.folder / m["name"] for m in what["volumeMounts"]}

            def here(text):
                for mount, folder in mounts.items():
                    text = text.replace(f"{mount}/", f"{folder}/")
                return text

            arguments = [here(filled(a)) for a in [*what["command"], *what.get("args", [])]]
            if "source" in what:
                self.assertNotIn("{{", what["source"], "a parameter within a script would be a command")
                script = self.folder / "script"
                script.write_text(here(what["source"]))
                arguments.append(script)
            environment = {v["name"]: filled(v["value"]) for v in what.get("env", [])}
            ran = subprocess.run(arguments, env={**environment, "PATH": f"{testbed.BIN}:{os.environ['PATH']}"}, text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=testbed.PATIENCE_S)
            done.append((step["name"], ran.returncode))
            if ran.returncode:
                break
            self.printed = ran.stdout
        return done

    def test_schema(self):
        """the workflow is what Argo's schema says; its volumes are declared, its images are the ones of the other manifests"""
        check_custom(self.workflow, "argoproj.io_workflows.yaml")
        spec = self.workflow["spec"]
        declared = {v["name"] for v in spec["volumes"]} | {v["metadata"]["name"] for v in spec["volumeClaimTemplates"]}
        kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"][0]
        for template in self.templates.values():
            what = template.get("script") or template.get("container")
            if what:
                self.assertLessEqual({m["name"] for m in what["volumeMounts"]}, declared)
                self.assertTrue(what["image"].startswith("ghcr.io/jqlang/jq:") or
                                what["image"] == f"{kustomization['name']}:{kustomization['newTag']}", what["image"])

    def test_steps(self):
        """a file on which the model does well is published and learned; one on which it does not, not a single event of it"""
        given = {"file": "purchases.tsv", "format": "online-retail", "brokers": self.kafka.address, "admin": self.daemon.addresses["admin_grpc"]}

        def events():
            return sum(p.offset for p in self.kafka.positions("events"))

        self.assertEqual(self.run_workflow(at_least="0.9", **given), [("evaluate", 0), ("judge", 1)])
        self.assertEqual(self.run_workflow(metric="nonsense", **given), [("evaluate", 0), ("judge", 1)])
        self.assertNotEqual(self.run_workflow(**{**given, "file": "absent"})[-1][1], 0)
        self.assertEqual(events(), 0)
        self.assertEqual(self.run_workflow(at_least="0.1", **given), [("evaluate", 0), ("judge", 0), ("publish", 0)])
        figures = json.loads((self.folder / "work" / "figures.json").read_text())
        self.assertEqual(events(), figures["events"])
        self.daemon.wait_applied("events")
        self.assertEqual(sum(m.events for m in self.daemon.status().models if m.name == "sar"), figures["events"])


if __name__ == "__main__":
    testbed.main()
