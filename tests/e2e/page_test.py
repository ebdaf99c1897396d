"""The status page in a browser: what it shows is what /metrics says, what it is asked it answers, and it says so when something is amiss.

Headless Chromium, driven by Playwright; both come from packages, nothing is downloaded by the test. Without a browser it is skipped.
The log is librdkafka's mock cluster: the page is what is tried here, and that cluster can be killed.
"""
import json
import os
import shutil
import unittest
import urllib.parse

import testbed
from testbed import admin_pb2

TOPIC, GOODS, LETTERS, PARTITIONS, USERS, ITEMS, EVENTS, BAD = "events", "goods", "freshet.dead-letters", 4, 150, 60, 3000, 7
QUESTIONS = "Recommend", "Similar", "Score", "Popular", "Explain", "GetUser", "GetItem"
SCRIPT_USER, SCRIPT_ITEM = "<script>window.taken = 1</script>", "<img src=x onerror='window.taken = 2'>"
ODD_USER = 'a+b c&d="é"/?#%41'
SETTINGS = {"feed.topic": TOPIC, "feed.items_topic": GOODS, "feed.dead_letter_topic": LETTERS, "recommend.models": "popular, fm, auto", "engine.evaluate_every": 2,
            "store.checkpoint_interval_ms": 100, "admin.history_step_ms": 200}
PATIENCE_S = 40
VIEWS = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}

browser = playwright = Axe = None


def setUpModule():
    global browser, playwright, Axe
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        raise unittest.SkipTest("there is no Chromium; ops/dev/install test installs it")
    try:
        from axe_playwright_python.sync_playwright import Axe
        from playwright.sync_api import sync_playwright
    except ImportError as err:
        raise unittest.SkipTest(f"{err}; ops/dev/install test installs it") from None
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else [])


def tearDownModule():
    if browser:
        browser.close()
        playwright.stop()


def events():
    """Users of one group choose the group's items; two ids are what an attacker would choose, one needs every kind of escape."""
    for n in range(EVENTS):
        user = n % USERS
        yield testbed.event_json(f"u{user}", f"i{user % 3 * 20 + n * n // 7 % 20}", "click", time_ms=1700000000000 + n * 1000)
    for n in range(12):
        for user in (SCRIPT_USER, ODD_USER, f"v{n}"):
            yield testbed.event_json(user, SCRIPT_ITEM if n % 4 == 0 else f"i{n}", "click", time_ms=1700000000000 + n)
    for n in range(BAD):
        yield f"bad{n}", "no event"


class View:
    """A page of the browser, what it says of itself, and what it asks of others."""

    def __init__(self, daemon, view="desk", scheme="light"):
        self.context = browser.new_context(viewport=VIEWS[view], color_scheme=scheme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"http://{daemon.addresses['http']}/")
        self.page.wait_for_selector("body[data-shown=yes]", timeout=PATIENCE_S * 1000)

    def text(self, selector):
        return self.page.text_content(selector)

    def rows(self, body):
        return self.page.eval_on_selector_all(f"#{body} tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")

    def until(self, holds, arg=None):
        """holds: a function in JavaScript; as text it would be evaluated, which the page's policy forbids."""
        self.page.wait_for_function(holds, arg=arg, timeout=PATIENCE_S * 1000)

    def until_headline(self, begins):
        self.until("text => document.getElementById('headline-text').textContent.startsWith(text)", begins)

    def facts(self):
        return dict(zip(self.page.locator("#facts dt").all_text_contents(), self.page.locator("#facts dd").all_text_contents()))

    def explore(self, kind, id_, model="", k=10):
        """Asks by the form, as a person does; the text that comes."""
        self.page.check(f"#explore input[value={kind}]", force=True)
        self.page.fill("#explore-id", id_)
        self.page.select_option("#explore-model", model)
        self.page.fill("#explore-k", str(k))
        before = self.page.evaluate("document.querySelector('#explored').firstElementChild.dataset.old = '1'")
        assert before == "1"
        self.page.press("#explore-id", "Enter")
        self.until("() => !document.querySelector('#explored').firstElementChild.dataset.old")
        return self.text("#explored")


def number(text):
    return int(text.replace(",", ""))


class Page(unittest.TestCase):
    def setUp(self):
        self.kafka = testbed.MockKafka(TOPIC, LETTERS, PARTITIONS)

    def test_page(self):
        """numbers, charts, the box, hostile ids, a phone, accessibility; the broker gone, the daemon gone and back"""
        with testbed.Daemon(self.kafka, SETTINGS) as daemon:
            self.kafka.publish(TOPIC, events())
            daemon.wait_applied(TOPIC)
            for user in range(20):
                daemon.recommend(f"u{user}")
            daemon.similar(item_id="i1")
            testbed.until(lambda: daemon.metrics().total("freshet_dead_letters_total") == BAD, "dead letters are delivered")
            view = View(daemon)
            view.until_headline("Up to date")
            self.check_numbers(view, daemon)
            self.check_charts(view)
            self.check_box(view, daemon)
            self.check_hostile_ids(view)
            self.check_titles(daemon)
            self.check_refusals(daemon)
            self.check_clock(daemon)
            self.check_everywhere(daemon)
            self.assertEqual(view.complaints, [])
            self.check_alone(view, daemon)
            self.check_trouble(view, daemon)

    def check_numbers(self, view, daemon):
        """All that is at rest is, to the digit, what /metrics says at the same time."""
        def shown():
            facts = view.facts()
            parts = {"applied": "more", "asked": "more", "rejected": "value", "lag": "value"}
            tile = {name: view.text(f"#tile-{name} .{part}") for name, part in parts.items()}
            return {
                "applied": number(tile["applied"].split()[0]), "asked": number(tile["asked"].split()[0]), "rejected": number(tile["rejected"]),
                "lag": tile["lag"], "users": number(facts["Users"]), "items": number(facts["Items"]), "pairs": number(facts["Pairs"]),
                "checkpoints": number(facts["Checkpoints"]),
                "methods": {row[0]: (number(row[4]), number(row[5])) for row in view.rows("methods")},
                "partitions": {row[0]: [row[1], *(number(row[n]) for n in (2, 4, 5, 6))] for row in view.rows("partitions")},
                "quality": {row[0]: row[1:] for row in view.rows("quality")},
            }

        def told():
            places = [(p.topic, p.partition, p.end) for p in daemon.status().partitions]
            m = daemon.metrics()  # after it: that was a call, too
            handled = m.series["freshet_rpc_handled_total"]
            methods = {}
            for labels, value in handled.items():
                by = dict(labels)
                all_, bad = methods.get(by["method"], (0, 0))
                methods[by["method"]] = (all_ + value, bad + (value if by["code"] != "OK" else 0))
            return {
                "applied": m.total("freshet_events_applied_total"), "asked": sum(methods.get(name, (0,))[0] for name in QUESTIONS), "rejected": m.total("freshet_events_rejected_total"),
                "lag": f"{m.total('freshet_consumer_lag_messages'):.0f}records", "users": m.value("freshet_state_users"),
                "items": m.value("freshet_state_items"), "pairs": m.value("freshet_state_pairs"),
                "checkpoints": m.value("freshet_checkpoint_duration_seconds_count"),
                "methods": {name: counts for name, counts in methods.items() if counts[0]},
                "partitions": {f"{topic}/{p}": ["running", *(m.value(name, topic=topic, partition=str(p))
                                                             for name in ("freshet_consumer_lag_messages", "freshet_offset_applied",
                                                                          "freshet_offset_durable")), end]
                               for topic, p, end in places},
                "quality": {model: [f"{m.value('freshet_model_quality', model=model, metric=metric, window=window):.3f}"
                                    for window in ("10000", "100000") for metric in ("hit_rate_10", "ndcg_10", "mrr_10")]
                            for model in ("sar", "popular", "fm", "auto")},
            }

        # At rest: the feed has said where the logs end, and all that is to be written is, that the dead letters have left, too.
        testbed.until(lambda: all(p.applied == p.end >= 0 for p in daemon.status().partitions), "the ends are known", PATIENCE_S)
        testbed.until(lambda: daemon.metrics().value("freshet_outbox_pending") == 0, "the outbox is empty", PATIENCE_S)
        daemon.admin.Checkpoint(admin_pb2.CheckpointRequest(), timeout=PATIENCE_S)
        metrics = told()
        self.assertIn("Checkpoint", metrics["methods"])  # a call that is no question
        testbed.until(lambda: shown()["methods"] == metrics["methods"], "the page has seen the last call", PATIENCE_S)
        self.maxDiff = None
        self.assertEqual(shown(), metrics)
        self.assertEqual(metrics["applied"], EVENTS + 36)
        self.assertEqual(metrics["rejected"], BAD)
        self.assertGreater(float(metrics["quality"]["sar"][0]), 0.05)

    def check_charts(self, view):
        """Each chart has a line, and says in words what it shows."""
        for chart in ("rates", "lag", "hit", "ndcg", "mrr"):
            view.page.wait_for_selector(f"#chart-{chart} path.line", state="attached", timeout=PATIENCE_S * 1000)
            self.assertRegex(view.page.get_attribute(f"#chart-{chart} svg", "aria-label"), r" from \d\d:\d\d to \d\d:\d\d\. .*: now .*, highest .*, lowest ")
        self.assertIn("sar: now 0.", view.page.get_attribute("#chart-hit svg", "aria-label"))
        view.page.check("#span input[value=day]", force=True)
        view.until("() => document.querySelector('#span-day').textContent === '29 min'")
        view.page.check("#span input[value=hour]", force=True)

    def check_box(self, view, daemon):
        best = daemon.recommend("u1", k=5)
        text = view.explore("user", "u1", k=5)
        self.assertEqual([row[1] for row in self.recommended(view)], [item for item, _ in best])
        self.assertIn("Has chosen", text)
        self.assertIn("auto answers", text)
        self.assertGreater(view.page.locator("#explored .reasons .link").count(), 0)
        self.assertIn("fm answers", view.explore("user", "u1", "fm", 3))
        self.assertEqual([row[1] for row in self.recommended(view)], [item for item, _ in daemon.recommend("u1", k=3, model="fm")])
        self.assertIn("No event has named this user", view.explore("user", "nobody"))
        self.assertEqual([row[1] for row in self.recommended(view)][:3], [item for item, _ in daemon.popular(3)])
        view.explore("item", "i1")
        self.assertEqual(view.page.locator("#explored .bars .link").all_text_contents(), [item for item, _ in daemon.similar(item_id="i1")])
        self.assertIn("No event has named this item", view.explore("item", "nothing"))
        self.assertIn("at most 256 bytes", view.explore("item", "é" * 200))
        view.page.click("#top .link >> nth=0")  # an id is a way to what it names
        view.until("() => document.querySelector('#explored h3')?.textContent === document.querySelector('#top .link').textContent")
        self.assertEqual(view.page.locator("#top .link").all_text_contents(), [item for item, _ in daemon.popular(10)])

    @staticmethod
    def recommended(view):
        return view.page.eval_on_selector_all("#explored table.stack tbody tr", "rows => rows.map(row => [...row.cells].map(cell => (cell.querySelector('.link') ?? cell).textContent))")

    def check_titles(self, daemon):
        """What the catalogue calls an item stands beside its id, as text, wherever it is named"""
        first = daemon.popular(1)[0][0]
        for id_, title in ((first, "A title"), (SCRIPT_ITEM, SCRIPT_ITEM)):
            self.kafka.publish(GOODS, [(id_, json.dumps({"item_id": id_, "title": title}))])
        daemon.wait_applied(GOODS)
        view = View(daemon)
        view.until("() => document.querySelector('#top .title')?.textContent === 'A title'")
        self.assertEqual(view.page.locator("#top .titled .link").first.text_content(), first)
        self.assertIn("A title", view.explore("item", first))
        self.assertEqual(view.text("#explored p.title"), "A title")
        view.explore("user", SCRIPT_USER)
        self.assertEqual(view.page.locator("#explored .titled .title", has_text=SCRIPT_ITEM).first.text_content(), SCRIPT_ITEM)
        self.assertIsNone(view.page.evaluate("window.taken ?? null"))
        self.kafka.publish(TOPIC, [testbed.event_json("proto", id_, "click", time_ms=1700000000000) for id_ in ("constructor", "__proto__")])
        daemon.wait_applied(TOPIC)
        self.assertIn("Has chosen", view.explore("user", "proto"))  # what JavaScript knows by these names is no title
        self.assertEqual(sorted(view.page.locator("#explored .chips .link").all_text_contents()), ["__proto__", "constructor"])
        self.assertEqual(view.page.locator("#explored .chips .title").all_text_contents(), [])
        self.assertEqual(view.complaints, [])
        view.context.close()

    def check_hostile_ids(self, view):
        """Ids are text, whatever they say."""
        for kind, id_ in (("user", SCRIPT_USER), ("item", SCRIPT_ITEM), ("user", ODD_USER), ("user", "</h3><script>window.taken = 3</script>"),
                          ("item", "'\"><svg onload=window.taken=4>")):
            view.explore(kind, id_)
            self.assertEqual(view.text("#explored h3"), id_)
            self.assertEqual(view.page.locator("#explored script, #explored img").count(), 0)
        self.assertIn("12 events", view.explore("user", ODD_USER))
        self.assertIn(SCRIPT_ITEM, view.explore("user", SCRIPT_USER))
        self.assertIsNone(view.page.evaluate("window.taken ?? null"))

    def check_refusals(self, daemon):
        """What fails once mixes nothing and is tried again; a refusal is shown in the daemon's words; a time no date can be is none."""
        view = View(daemon)
        view.page.route("**/api/history.json?span=day*", lambda route: route.abort(), times=1)
        with view.page.expect_response(lambda answer: "span=day" in answer.url and answer.ok, timeout=PATIENCE_S * 1000):
            view.page.check("#span input[value=day]", force=True)
        asked = [url for url in view.requests if "span=day" in url]
        self.assertEqual([urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["since"] for url in asked[:2]], [["0"], ["0"]])
        view.page.route("**/api/explore?*", lambda route: route.continue_(url=f"{route.request.url}nonsense"), times=1)
        self.assertEqual(view.explore("user", "u1"), "The daemon says: there is no such model.")

        def far(route):
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "last_event_ms": 9 * 10 ** 15})

        view.page.route("**/api/explore?*", far, times=1)
        self.assertIn("events, the newest of –.", view.explore("user", "u1"))
        view.context.close()

    @staticmethod
    def check_clock(daemon):
        """Where the daemon's clock was set back, samples from before are dated later than now: all are asked for anew."""
        view = View(daemon)

        def earlier(route):
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "time_ms": answer.json()["time_ms"] - 3600000})

        view.page.route("**/api/status.json", earlier)
        with view.page.expect_request(lambda request: request.url.endswith("span=hour&since=0"), timeout=PATIENCE_S * 1000):
            pass
        view.page.unroute("**/api/status.json")
        view.context.close()

    def check_everywhere(self, daemon):
        """On a desk in light and a phone in the dark: nothing is wider than the screen, and axe finds nothing serious."""
        for name, scheme in (("desk", "light"), ("phone", "dark")):
            view = View(daemon, name, scheme)
            view.explore("user", "u1")
            with self.subTest(f"{name}, {scheme}"):
                self.assertLessEqual(*view.page.evaluate("[document.documentElement.scrollWidth, innerWidth]"))
                found = Axe().run(view.page).response["violations"]
                serious = [(v["id"], v["help"], [n["target"] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")]
                self.assertEqual(serious, [])
                self.assertEqual(view.complaints, [])
            view.context.close()

    def check_alone(self, view, daemon):
        hosts = {urllib.parse.urlsplit(url).netloc for url in view.requests}
        self.assertEqual(hosts, {daemon.addresses["http"]})

    def check_trouble(self, view, daemon):
        self.kafka.process.kill()
        view.until_headline("Cut off: no Kafka broker answers")
        # The feed lets its partitions go a moment after librdkafka has said so; the next look shows it.
        view.until("() => document.querySelector('#tile-lag .value').textContent === '–'")
        self.assertIn("brokers.down", view.text("#warnings"))
        daemon.stop()
        view.until_headline("No answer from the daemon")
        self.assertIn("as of", view.text("#headline-detail"))
        daemon.start(admin__listen=daemon.addresses["http"], recommend__models="popular, trending, auto")
        view.until("() => !document.body.classList.contains('away')")
        view.until("() => [...document.querySelector('#explore-model').options].map(option => option.value).includes('trending')")
        self.assertEqual(number(view.facts()["Users"]), daemon.metrics().value("freshet_state_users"))
        self.assertEqual([c for c in view.complaints if "net::ERR_" not in c], [])


if __name__ == "__main__":
    testbed.main()
