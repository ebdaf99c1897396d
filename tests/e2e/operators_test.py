"""What operators are given works: the exposition under real parsers, each alert on bad and on good series, each query of the dashboards.

Rules are tested by promtool on series made up here: one world in which all is well, and for each alert what is changed in it. Queries run
in a real Prometheus that scrapes a real daemon under load.
"""
import json
import re
import subprocess
import threading
import time
import unittest

import operators
import testbed
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from testbed import pb

ALERTS = [rule for rule in operators.rules() if "alert" in rule]
URL = "https://docs.example.com/freshet"

# ---- a world in which all is well: series and their values, one a minute ---------------------------------------------

END = 140  # in minutes; FreshetQualityDrop compares with an hour ago and then waits for an hour
FLAT, GROWS = "{}x%d" % END, "0+{}x%d" % END


def then(before, after, minutes):
    """One value, and another (which may grow) in the last minutes."""
    return f"{before}x{END - minutes - 1} {after}x{minutes}"


WELL = {
    "up": FLAT.format(1),
    "freshet_ready": FLAT.format(1),
    "process_start_time_seconds": FLAT.format(1000),
    'freshet_certificate_expiration_timestamp_seconds{listener="serve"}': FLAT.format("1e8"),
    'freshet_certificate_expiration_timestamp_seconds{listener="admin"}': FLAT.format(0),
    'freshet_kafka_unreachable{client="consumer"}': then(0, 1, 4),
    'freshet_kafka_unreachable{client="dead letters"}': FLAT.format(0),
    "process_resident_memory_bytes": FLAT.format("1e9"),
    'freshet_memory_limit_bytes{limit="soft"}': FLAT.format("2e9"),
    'freshet_memory_limit_bytes{limit="hard"}': FLAT.format(0),
    "freshet_admission_closed": FLAT.format(0),
    "freshet_connections_refused_total": FLAT.format(0),
    'freshet_partition_state{topic="events",partition="0",state="running"}': FLAT.format(1),
    'freshet_partition_state{topic="events",partition="0",state="halted_gap"}': FLAT.format(0),
    'freshet_ingest_held{reason="disk"}': FLAT.format(0),
    'freshet_ingest_held{reason="memory"}': FLAT.format(0),
    'freshet_ingest_held{reason="asked"}': then(0, 1, 50),
    'freshet_consumer_lag_seconds{topic="events",partition="0"}': FLAT.format(0.5),
    'freshet_consumer_lag_seconds{topic="events",partition="1"}': FLAT.format(50),
    'freshet_consumer_lag_messages{topic="events",partition="0"}': FLAT.format(2000),
    'freshet_consumer_lag_messages{topic="events",partition="1"}': "3000-10x%d" % END,
    'freshet_events_applied_total{type="click"}': GROWS.format(60000),
    'freshet_events_applied_total{type="other"}': GROWS.format(600),
    'freshet_events_rejected_total{reason="undecodable"}': GROWS.format(30),
    'freshet_events_rejected_total{reason="time"}': GROWS.format(10),
    'freshet_event_to_visible_seconds_bucket{le="1"}': GROWS.format(50000),
    'freshet_event_to_visible_seconds_bucket{le="5"}': GROWS.format(60600),
    'freshet_event_to_visible_seconds_bucket{le="+Inf"}': GROWS.format(60600),
    'freshet_consumer_rebuilds_total{reason="silent"}': then(0, 1, 80),
    'freshet_events_skipped_total{topic="events",partition="0"}': FLAT.format(7),
    "freshet_outbox_pending": FLAT.format(3),
    'freshet_dead_letters_total{reason="undecodable"}': GROWS.format(30),
    'freshet_checkpoint_errors_total{class="full"}': FLAT.format(0),
    "freshet_uncommitted_seconds": FLAT.format(0.5), "freshet_checkpoint_interval_seconds": FLAT.format(0.5),
    "freshet_disk_free_bytes": FLAT.format("1e10"),
    "freshet_disk_reserve_bytes": FLAT.format("8e8"),
    "freshet_store_lost_checkpoints_total": FLAT.format(0),
    "freshet_restored_total": FLAT.format(0),
    "freshet_backup_last_success_timestamp_seconds": GROWS.format(60),
    'freshet_backup_errors_total{task="make"}': FLAT.format(0),
    "freshet_recovery_window_seconds": FLAT.format("1e6"),
    'freshet_rpc_handled_total{method="Recommend",code="OK"}': GROWS.format(6000),
    'freshet_rpc_handled_total{method="Recommend",code="INVALID_ARGUMENT"}': GROWS.format(6000),
    'freshet_rpc_handled_total{method="Recommend",code="INTERNAL"}': GROWS.format(60),
    'freshet_rpc_handled_total{method="Similar",code="RESOURCE_EXHAUSTED"}': GROWS.format(60),
    'freshet_rpc_handling_seconds_bucket{method="Recommend",le="0.05"}': GROWS.format(4000),
    'freshet_rpc_handling_seconds_bucket{method="Recommend",le="0.1"}': GROWS.format(6060),
    'freshet_rpc_handling_seconds_bucket{method="Recommend",le="0.25"}': GROWS.format(6060),
    'freshet_rpc_handling_seconds_bucket{method="Recommend",le="+Inf"}': GROWS.format(6060),
    'freshet_model_quality{model="sar",metric="hit_rate_10",window="10000"}': then(0.3, 0.26, 70),
    'freshet_model_quality{model="ease",metric="hit_rate_10",window="10000"}': then(0.009, 0, 70),
    'freshet_model_quality{model="sar",metric="mrr_10",window="10000"}': then(0.3, 0, 70),
    'freshet_model_drift_total{model="sar"}': FLAT.format(4),
    'freshet_refresh_age_seconds{model="ease"}': FLAT.format(3600),
    'freshet_refreshes_total{model="ease",result="failed"}': then(0, 2, 60),
}
# Well too: nobody there, nothing limited.
IDLE = {
    'freshet_memory_limit_bytes{limit="soft"}': FLAT.format(0), "freshet_disk_reserve_bytes": FLAT.format(0),
    "process_resident_memory_bytes": FLAT.format("9e9"), "freshet_disk_free_bytes": FLAT.format("1e6"),
    **{name: FLAT.format(5) for name, values in WELL.items() if values.startswith("0+") and "timestamp" not in name},
    "freshet_uncommitted_seconds": FLAT.format(900), "freshet_checkpoint_interval_seconds": FLAT.format(600),  # as somebody set it
    "freshet_outbox_pending": FLAT.format(0), 'freshet_refresh_age_seconds{model="ease"}': FLAT.format(90000),
    'freshet_consumer_lag_messages{topic="events",partition="0"}': FLAT.format(5000), "process_start_time_seconds": "1000x90 2000x10 3000x40",
}
# What is changed for each alert to fire. An alert's name may be followed by a word: there are several ways.
BAD = {
    "FreshetDown": {"up": FLAT.format(0)},
    "FreshetDown (no such target)": {"up": None},
    "FreshetNotReady": {"freshet_ready": then(1, 0, 30)},
    "FreshetRestarting": {"process_start_time_seconds": "1000x90 2000x10 3000x10 4000x30"},
    "FreshetMemoryNearLimit": {"process_resident_memory_bytes": FLAT.format("1.85e9")},
    "FreshetAdmissionClosed": {"freshet_admission_closed": then(0, 1, 10)},
    "FreshetConnectionsRefused": {"freshet_connections_refused_total": then(0, 3, 5)},
    "FreshetPartitionHalted": {'freshet_partition_state{topic="events",partition="0",state="halted_gap"}': then(0, 1, 10),
                               'freshet_partition_state{topic="events",partition="0",state="running"}': then(1, 0, 10)},
    "FreshetIngestHeld": {'freshet_ingest_held{reason="disk"}': then(0, 1, 10)},
    "FreshetKafkaUnreachable": {'freshet_kafka_unreachable{client="consumer"}': then(0, 1, 10)},
    "FreshetCertificateExpiring": {'freshet_certificate_expiration_timestamp_seconds{listener="serve"}': FLAT.format("1e6")},
    "FreshetIngestPaused": {'freshet_ingest_held{reason="asked"}': then(0, 1, 65)},
    "FreshetLagging": {'freshet_consumer_lag_seconds{topic="events",partition="0"}': then(0, "100+60", 10)},
    "FreshetLagGrowing": {'freshet_consumer_lag_messages{topic="events",partition="0"}': then(0, "0+500", 40)},
    "FreshetNotFresh": {'freshet_event_to_visible_seconds_bucket{le="5"}': GROWS.format(59000),
                        'freshet_event_to_visible_seconds_bucket{le="10"}': GROWS.format(60600)},
    "FreshetConsumerRebuilt": {'freshet_consumer_rebuilds_total{reason="silent"}': "0x120 1x5 2x5 4x10"},
    "FreshetEventsSkipped": {'freshet_events_skipped_total{topic="events",partition="0"}': then(0, 900, 30)},
    "FreshetDeadLetters": {'freshet_events_rejected_total{reason="time"}': GROWS.format(100)},
    "FreshetDeadLettersStuck": {'freshet_dead_letters_total{reason="undecodable"}': FLAT.format(8)},
    "FreshetCheckpointFailing": {'freshet_checkpoint_errors_total{class="full"}': then(0, "1+1", 10)},
    "FreshetCheckpointOld": {"freshet_uncommitted_seconds": then(0.5, "100+60", 10)},
    "FreshetDiskNearlyFull": {"freshet_disk_free_bytes": FLAT.format("1.5e9")},
    "FreshetStoreLost": {"freshet_store_lost_checkpoints_total": FLAT.format(2)},
    "FreshetRestored": {"freshet_restored_total": FLAT.format(1)},
    "FreshetBackupOld": {"freshet_backup_last_success_timestamp_seconds": FLAT.format(-100000)},
    "FreshetBackupFailed": {'freshet_backup_errors_total{task="make"}': then(0, 1, 80)},
    "FreshetRecoveryWindow": {"freshet_recovery_window_seconds": FLAT.format(-1)},
    "FreshetRecommendErrors": {'freshet_rpc_handled_total{method="Recommend",code="INTERNAL"}': GROWS.format(200)},
    "FreshetRecommendSlow": {'freshet_rpc_handling_seconds_bucket{method="Recommend",le="0.1"}': GROWS.format(5000)},
    "FreshetQualityDrop": {'freshet_model_quality{model="sar",metric="hit_rate_10",window="10000"}': then(0.3, 0.2, 70)},
    "FreshetModelDrift": {'freshet_model_drift_total{model="sar"}': then(4, 5, 80)},
    "FreshetModelOld": {'freshet_refresh_age_seconds{model="ease"}': FLAT.format(25000)},
    "FreshetModelOld (never solved)": {'freshet_refresh_age_seconds{model="ease"}': FLAT.format(0),
                                       'freshet_refreshes_total{model="ease",result="failed"}': then(0, 2, 60)},
}


def series(changes):
    """A world as promtool's input_series, the target's labels added."""
    world = {name: values for name, values in {**WELL, **changes}.items() if values is not None}
    lines = []
    for name, values in world.items():
        metric, _, labels = name.partition("{")
        lines.append({"series": f'{metric}{{job="freshet",instance="a:9464"{"," + labels if labels else "}"}', "values": values})
    return lines


class Rules(unittest.TestCase):
    def test_alerts(self):
        """promtool: in a good world no alert fires, in each bad one the alert it was made for and no other; all texts can be filled in"""
        self.assertEqual({name.split()[0] for name in BAD}, {rule["alert"] for rule in ALERTS}, "an alert without a bad world, or the reverse")
        # Beside what must fire, each world says of its alert that it must not: what promtool then complains of is what would be sent.
        groups = []
        for name, changes in {"": {}, " ": IDLE, **BAD}.items():
            alert, at = name.split()[:1], {"eval_time": f"{END}m"}
            groups.append({
                "name": name or "well", "interval": "1m", "input_series": series(changes), "external_labels": {"freshet_docs": URL},
                "promql_expr_test": [{"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', **at,
                                      "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alert]}],
                "alert_rule_test": [{"alertname": alert, "exp_alerts": [], **at} for alert in alert]})
        file = testbed.scratch("rules") / "test.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(operators.RULES)], "evaluation_interval": "2m", "tests": groups}))
        ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=testbed.PATIENCE_S)
        said = ran.stdout + ran.stderr
        self.assertEqual(re.findall(r"exp: (.*)\n\s*got: (.*)", said), [], "what should fire, and what does")
        for rule in ALERTS:
            self.check_text(rule, said)

    def check_text(self, rule, said):
        name = rule["alert"]
        self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"}, name)
        self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"), name)
        told = re.search(rf'got:\[[^]]*alertname="{name}"[^]]*\]', said)
        self.assertTrue(told, f"{name} is not among what promtool tells:\n{said[-3000:]}")
        self.assertIn(f'runbook_url="{URL}/runbook.md#{name.lower()}"', told[0])
        for wrong in ("{{", "<no value>", "<error", "%!"):
            self.assertNotIn(wrong, told[0])

    def test_runbook(self):
        """each alert has its entry in the runbook, of five parts, and each entry its alert"""
        entries = dict(re.findall(r"^### (Freshet\w+)\n(.*?)(?=^##|\Z)", operators.RUNBOOK.read_text(), re.M | re.S))
        self.assertEqual(set(entries), {rule["alert"] for rule in ALERTS})
        for name, text in entries.items():
            for part in ("Means.", "Users see.", "Look.", "Do.", "Escalate"):
                self.assertIn(f"**{part}", text, name)

    def test_names(self):
        """every metric and label in rules and dashboards is of the table, or recorded by a rule"""
        known, recorded = operators.table(), {rule["record"] for rule in operators.rules() if "record" in rule}
        used = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in operators.rules()]
        for file in operators.DASHBOARDS:
            used += [(f"{file.name}: {title}", expr) for title, expr in operators.queries(json.loads(file.read_text()))]
        for where, expr in used:
            found = list(operators.selectors(expr))
            self.assertTrue(found or expr.startswith("up{"), f"{where}: {expr}")
            for name, labels in found:
                if ":" in name:
                    self.assertIn(name, recorded, where)
                else:
                    self.assertIn(name, known, where)
                    self.assertLessEqual(labels, known[name] | {"job", "instance"}, f"{where}: {name}")


class Dashboards(unittest.TestCase):
    def test_shape(self):
        """each dashboard: a data source to choose, no host in it, panels with units and descriptions that do not overlap"""
        self.assertEqual([file.stem for file in operators.DASHBOARDS], ["answers", "ingest", "models", "overview"])
        for file in operators.DASHBOARDS:
            text = file.read_text()
            board = json.loads(text)
            self.assertEqual((board["uid"], board["schemaVersion"] >= 36, board.get("id")), (f"freshet-{file.stem}", True, None))
            self.assertNotRegex(text, r"\d+\.\d+\.\d+\.\d+|localhost|https?://", file.name)
            variables = {variable["name"]: variable["type"] for variable in board["templating"]["list"]}
            self.assertEqual(variables, {"datasource": "datasource", "instance": "query"})
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            taken = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, f"{file.name}: {panel['title']} lies over another")
                self.assertLessEqual(at["x"] + at["w"], 24)
                taken |= cells
            for panel in operators.panels(board):
                where = f"{file.name}: {panel['title']}"
                self.assertTrue(panel["description"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"], where)
                for target in [panel, *panel["targets"]]:
                    self.assertEqual(target["datasource"], {"type": "prometheus", "uid": "${datasource}"}, where)
                for target in panel["targets"]:
                    self.assertIn('instance=~"$instance"', target["expr"], where)


    def test_provisioning(self):
        """what Grafana reads at its start: one provider of dashboards, one data source whose address comes from the environment"""
        folder = operators.DASHBOARDS[0].parent / "provisioning"
        providers = yaml.safe_load((folder / "dashboards" / "freshet.yml").read_text())
        sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
        self.assertEqual((providers["apiVersion"], [p["type"] for p in providers["providers"]]), (1, ["file"]))
        self.assertEqual((sources["apiVersion"], [(s["type"], s["url"]) for s in sources["datasources"]]), (1, [("prometheus", "$PROMETHEUS_URL")]))


class Live(unittest.TestCase):
    """One daemon with every model, under load, and a Prometheus that scrapes it."""

    SETTINGS = {"feed.topic": "events", "feed.dead_letter_topic": "dead", "engine.evaluate_every": 5,
                "recommend.models": "popular, trending, ease, fm, ncf, auto"}

    def test_live(self):
        """OpenMetrics under a real parser, with exemplars; promtool's check; every query of rules and dashboards in a real Prometheus"""
        kafka = testbed.MockKafka("events", "dead", 4)
        with testbed.Daemon(kafka, self.SETTINGS) as daemon:
            self.check_start(daemon)
            stop = threading.Event()
            load = threading.Thread(target=self.load, args=(kafka, daemon, stop))
            load.start()
            try:
                self.check_text(daemon)
                self.check_openmetrics(daemon)
                with operators.Prometheus(daemon.addresses["http"]) as prometheus:
                    self.check_prometheus(prometheus)
                    self.check_exemplars(prometheus, kafka)
            finally:
                stop.set()
                load.join()
            self.check_values(kafka, daemon)

    def load(self, kafka, daemon, stop):
        """Events, some bad, and questions with a trace, some bad, until it is told to stop."""
        self.published = self.bad = self.asked = 0
        while not stop.is_set():
            at = self.published
            kafka.publish("events", (testbed.event_json(f"u{n * 7 % 300}", f"i{n * n % 101}", "click", time_ms=int(time.time() * 1000))
                                     for n in range(at, at + 2000)))
            kafka.publish("events", [("u1", b"junk")])
            self.published, self.bad = at + 2000, self.bad + 1
            for n in range(20):
                trace = f"00-{at + n + 1:032x}-00f067aa0ba902b7-01"
                daemon.api.Recommend(pb.RecommendRequest(user_id=f"u{n}", k=5), timeout=30, metadata=[("traceparent", trace)])
                self.asked += 1
            daemon.api.Popular(pb.PopularRequest(k=3), timeout=30, metadata=[("traceparent", f"00-{'f' * 32}-00f067aa0ba902b7-00")])  # not recorded
            stop.wait(0.05)

    # The core set of the public contract.
    CONTRACT = """freshet_build_info freshet_events_consumed_total freshet_events_applied_total freshet_events_rejected_total
        freshet_events_duplicate_total freshet_event_to_visible_seconds_bucket freshet_consumer_lag_messages freshet_consumer_lag_seconds
        freshet_partition_state freshet_offset_applied freshet_offset_durable freshet_checkpoint_duration_seconds_bucket
        freshet_checkpoint_keys freshet_uncommitted_seconds freshet_checkpoint_errors_total freshet_rpc_handled_total
        freshet_rpc_handling_seconds_bucket freshet_rpc_inflight freshet_rpc_rejected_total freshet_state_users freshet_state_items
        freshet_state_pairs freshet_state_bytes freshet_model_quality freshet_dead_letters_total freshet_disk_free_bytes
        freshet_rocksdb_sst_bytes process_cpu_seconds_total process_resident_memory_bytes process_virtual_memory_bytes process_open_fds
        process_max_fds process_start_time_seconds""".split()

    # What counts before there is an event: a checkpoint with the cluster's name, EASE solved on nothing.
    MOVED = ("process_", "freshet_checkpoint", "freshet_engine_pause", "freshet_refreshes")

    def check_start(self, daemon):
        """Before the first event, every family of the table has its series; what counts, at 0."""
        testbed.until(lambda: daemon.metrics().value("freshet_partition_state", topic="events", partition="3", state="running") == 1,
                      "the partitions are assigned")
        metrics, known = daemon.metrics(), operators.table()
        self.assertLessEqual(set(self.CONTRACT), set(known))
        self.assertEqual(set(known) - set(metrics.series), set(), "families without series")
        for name in known:
            if name.endswith(("_total", "_bucket", "_count")) and not name.startswith(self.MOVED):
                self.assertEqual(metrics.total(name), 0, name)
        self.series = {(name, labels) for name, found in metrics.series.items() for labels in found}

    def check_text(self, daemon):
        lint = subprocess.run(["promtool", "check", "metrics"], input=daemon.metrics().text, capture_output=True, text=True)
        self.assertEqual((lint.returncode, lint.stderr), (0, ""), "promtool check metrics")

    def check_openmetrics(self, daemon):
        status, text = daemon.http("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
        self.assertEqual((status, text[-6:]), (200, "# EOF\n"))
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertEqual({sample.name for family in families.values() for sample in family.samples}, set(operators.table()))
        for name, kind, unit in (("freshet_events_applied", "counter", ""), ("process_cpu_seconds", "counter", "seconds"),
                                 ("freshet_build", "info", ""), ("freshet_disk_free_bytes", "gauge", "bytes"),
                                 ("freshet_event_to_visible_seconds", "histogram", "seconds")):
            self.assertEqual((families[name].type, families[name].unit), (kind, unit))

    def check_prometheus(self, prometheus):
        """Rates need two scrapes, histograms of what is rare some more: each query is asked until it has a result."""
        empty = []  # those without one; told if it stays so
        testbed.until(lambda: not self.without_result(prometheus, empty), empty, pause_s=0.5)
        groups = prometheus.get("rules")["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        self.assertEqual(len(found), len(operators.rules()))
        for rule in found:
            self.assertIn(rule["health"], ("ok", "unknown"), rule.get("lastError"))
        firing = {rule["name"] for rule in found if rule["type"] == "alerting" and rule["state"] == "firing"}
        self.assertLessEqual(firing, {"FreshetModelDrift"}, "a daemon that is well, under load")

    @staticmethod
    def without_result(prometheus, empty):
        empty.clear()
        for file in operators.DASHBOARDS:
            for title, expr in operators.queries(json.loads(file.read_text())):
                expr = expr.replace("$__rate_interval", "4s").replace("$instance", ".*")
                if not prometheus.query(expr):
                    empty.append((file.name, title, expr))
        for rule in operators.rules():
            if "record" in rule and not prometheus.query(rule["record"]):
                empty.append((rule["record"],))
        return empty

    def check_exemplars(self, prometheus, kafka):
        """Prometheus has kept them: a trace that was sent, a record that is in Kafka."""
        def exemplars(metric):
            now = time.time()
            return [exemplar for found in prometheus.get("query_exemplars", query=metric, start=now - 600, end=now + 60)
                    for exemplar in found["exemplars"]]

        traces = testbed.until(lambda: exemplars("freshet_rpc_handling_seconds_bucket"), "there is a trace")
        for exemplar in traces:
            self.assertEqual(set(exemplar["labels"]), {"trace_id"})
            self.assertTrue(0 < int(exemplar["labels"]["trace_id"], 16) <= self.published + 20)

        def off_by():
            """Of the newest (the broker keeps no more than some MB): by how much it took longer than is said."""
            newest = sorted(exemplars("freshet_event_to_visible_seconds_bucket"), key=lambda exemplar: exemplar["timestamp"])[-5:]
            return [off_by_of(exemplar) for exemplar in newest]

        def off_by_of(exemplar):
            labels = exemplar["labels"]
            self.assertEqual(set(labels), {"topic", "partition", "offset"})
            logged = kafka.read_one(labels["topic"], int(labels["partition"]), int(labels["offset"])).timestamp()[1] / 1000
            return exemplar["timestamp"] - float(exemplar["value"]) - logged

        # The engine looks at the clock once to tell how long it took and once to tell when; a busy machine may stop it between.
        testbed.until(lambda: max(map(abs, off_by()), default=1) <= 0.05, "it took as long as is said")

    def check_values(self, kafka, daemon):
        """At rest, the numbers are those of what was done; and no series has come that was not there at the start."""
        daemon.wait_counted("events")
        testbed.until(lambda: daemon.metrics().total("freshet_dead_letters_total") == self.bad, "dead letters are delivered")
        consumed = self.published + self.bad
        testbed.until(lambda: daemon.metrics().total("freshet_events_consumed_total") >= consumed, "feed counts after it has given")
        metrics = daemon.metrics()
        self.assertEqual(metrics.value("freshet_events_applied_total", type="click"), self.published)
        self.assertEqual(metrics.value("freshet_events_rejected_total", reason="undecodable"), self.bad)
        self.assertEqual(metrics.total("freshet_events_consumed_total"), consumed)
        self.assertEqual(metrics.value("freshet_event_to_visible_seconds_count"), self.published)
        self.assertGreaterEqual(metrics.value("freshet_rpc_handled_total", method="Recommend", code="OK"), self.asked)
        self.assertEqual(metrics.total("freshet_rpc_inflight"), 0)
        self.assertEqual(metrics.total("freshet_consumer_lag_messages"), 0)
        self.assertEqual((metrics.value("freshet_ready"), metrics.value("freshet_state_users")), (1, 300))
        status = daemon.status()
        self.assertEqual((metrics.value("freshet_state_items"), metrics.value("freshet_state_pairs")), (status.items, status.pairs))
        for position in kafka.positions("events"):
            self.assertEqual(metrics.value("freshet_offset_applied", topic="events", partition=str(position.partition)), position.offset)
        disk = subprocess.run(["df", "-B1", "--output=avail", daemon.folder], capture_output=True, text=True, check=True).stdout.split()[1]
        self.assertLess(abs(metrics.value("freshet_disk_free_bytes") - int(disk)), 1 << 30)
        pid = daemon.process.pid
        resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status", encoding="ascii").read())[1]) * 1024
        self.assertLess(abs(metrics.value("process_resident_memory_bytes") - resident), 32 << 20)
        self.assertLess(abs(metrics.value("process_start_time_seconds") - time.time()), 600)
        new = {(name, labels) for name, found in metrics.series.items() for labels in found} - self.series
        self.assertEqual(new, set(), "series that were not there from the start")


if __name__ == "__main__":
    testbed.main()
