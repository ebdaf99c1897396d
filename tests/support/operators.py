"""What operators get from us, as data: the table of metrics, rules, dashboards, the runbook; and a Prometheus to run them in."""
import contextlib
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import testbed
import yaml

RULES = testbed.SOURCE / "ops" / "prometheus" / "freshet.rules.yml"
SCRAPE = testbed.SOURCE / "ops" / "prometheus" / "prometheus.yml"
DASHBOARDS = sorted((testbed.SOURCE / "ops" / "grafana").glob("*.json"))
RUNBOOK = testbed.SOURCE / "ops" / "docs" / "runbook.md"

ROW = re.compile(r'^FR_METRIC\(\w+, (\w+), "(\w+)", "([^"]*)",', re.M)


def table():
    """{name of a sample: its labels}, from metric.def."""
    samples = {}
    for kind, name, labels in ROW.findall((testbed.SOURCE / "include" / "freshet" / "metric.def").read_text()):
        if kind in ("HISTOGRAM", "FRESHNESS"):
            samples[f"{name}_bucket"] = {*labels.split(), "le"}
            samples[f"{name}_sum"] = samples[f"{name}_count"] = set(labels.split())
        else:
            samples[name] = set(labels.split())
    return samples


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard):
    """(title of the panel, query) of all of them."""
    return [(panel["title"], target["expr"]) for panel in panels(dashboard) for target in panel["targets"]]


def selectors(expression):
    """(metric, names of the labels it is selected by) for each of ours in a query."""
    for name, _, inside in re.findall(r"(?<![\w\"])((?:freshet|process)[_:][\w:]+)(\{([^}]*)\})?", expression):
        yield name, set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', inside))


class Prometheus:
    """Debian's, scraping `target` each second under our own example of a configuration."""

    def __init__(self, target):
        self.folder = testbed.scratch("prometheus")
        config = yaml.safe_load(SCRAPE.read_text())
        config["global"].update(scrape_interval="1s", evaluation_interval="1s")
        config["rule_files"] = [str(RULES)]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.port = testbed.free_port()

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage"], stdout=log, stderr=log)
        testbed.until(lambda: any(target["health"] == "up" for target in self.get("targets")["activeTargets"]),
                      "Prometheus says the target is up", pause_s=0.1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)

    def get(self, what, **values):
        """The `data` of an answer; a bad question is an assertion that tells what Prometheus says of it."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(values)}"
        try:
            with urllib.request.urlopen(url, timeout=testbed.PATIENCE_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as err:
            if err.code == 503:  # it starts
                raise
            raise AssertionError(f"{values}: {err.read().decode(errors='replace')}") from None

    def query(self, expression):
        return self.get("query", query=expression)["result"]
