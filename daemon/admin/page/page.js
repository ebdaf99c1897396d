// Asks the daemon how all is every two seconds, and for new samples once a step; shows both. When the daemon is away it says so, keeps
// what was last known, and goes on asking.

import { chart, sparkline } from "./chart.js";
import { bar, byId, fillRows, h, setText, svg } from "./dom.js";
import { startExploring, offerModels } from "./explore.js";
import * as format from "./format.js";

const STATUS_MS = 2000, TOP_MS = 10000, PATIENCE_MS = 8000;
const samples = { span: "hour", step: 10000, times: [], columns: {}, dueAt: 0 };
let started = null, topDueAt = 0, heard = null, announced = "", shownTop = "";

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// ---- the headline ----

function showHeadline(level, text, detail, others) {
  byId("headline").dataset.level = level;
  setText(byId("headline-text"), text);
  setText(byId("headline-detail"), detail);
  const list = byId("findings");
  list.hidden = !others.length;
  list.replaceChildren(...others.map((finding) => h("li", {}, h("b", {}, finding.text), ` ${finding.detail}`)));
  document.title = `${text} · Freshet`;
  const words = text.split(/[:\d]/)[0]; // said aloud when it is another state, not when a number moves
  if (words !== announced) setText(byId("announce"), text);
  announced = words;
}

// ---- figures ----

const sumOf = (columns, prefix) => {
  const all = Object.entries(columns).filter(([name]) => name.startsWith(prefix));
  return all.length ? all.reduce((sum, [, value]) => sum + (value ?? 0), 0) : 0;
};
const worstOf = (columns, prefix) => {
  const known = Object.entries(columns).filter(([name, value]) => name.startsWith(prefix) && value !== null).map(([, value]) => value);
  return known.length ? Math.max(...known) : null;
};

// The samples of one column; of several, put together sample by sample.
const column = (name) => samples.columns[name] ?? samples.times.map(() => null);
const across = (prefix, together) => {
  const names = Object.keys(samples.columns).filter((name) => name.startsWith(prefix));
  return samples.times.map((_, i) => together(Object.fromEntries(names.map((name) => [name, samples.columns[name][i] ?? null])), prefix));
};

const tiles = [
  { name: "applied", label: "Events applied", values: () => column("applied"),
    show: (s) => [format.rate(s.now.columns.applied), "/s", `${format.count(s.totals.applied)} since the start`] },
  { name: "asked", label: "Questions", values: () => across("asked/", sumOf),
    show: (s) => [format.rate(s.now.seconds ? sumOf(s.now.columns, "asked/") : null), "/s", `${format.count(Object.values(s.methods).reduce((n, m) => n + m.handled, 0))} since the start`] },
  { name: "latency", label: "Answer time, p99", values: () => across("p99/", worstOf),
    show: (s) => {
      const p99 = worstOf(s.now.columns, "p99/");
      return [...format.spanParts(p99), p99 === null ? "no questions just now" : `p50 ${format.span(worstOf(s.now.columns, "p50/"))}`];
    } },
  { name: "fresh", label: "Event to visible, p99", values: () => column("fresh/p99"),
    show: (s) => {
      const p99 = s.now.columns["fresh/p99"] ?? null;
      return p99 === null ? [...format.spanParts(s.freshness.p99), s.freshness.count ? "since the start; no events just now" : "no events yet"]
        : [...format.spanParts(p99), `p50 ${format.span(s.now.columns["fresh/p50"])}`];
    } },
  { name: "lag", label: "Behind", values: () => column("lag"),
    show: (s) => {
      const partitions = s.partitions ?? [], away = partitions.filter((p) => p.state !== "running").length;
      if (!partitions.length || away === partitions.length) return ["–", "", "not known: nothing is being read"];
      return [format.short(s.lag.messages), s.lag.messages === 1 ? "record" : "records",
        away ? `without ${away} that ${away === 1 ? "is" : "are"} not read` : s.lag.messages ? `the oldest waits ${format.span(s.lag.seconds)}` : "caught up"];
    },
    level: (s) => (s.lag?.seconds >= 60 ? "warn" : "") },
  { name: "unsaved", label: "Not yet saved", values: () => column("uncommitted"),
    show: (s) => [...format.spanParts(Math.max(0, Math.round(s.checkpoint.unsaved_seconds * 10) / 10)), s.checkpoint.count ? `a checkpoint takes ${format.span(s.checkpoint.mean)}` : "no checkpoint yet"],
    level: (s) => (s.checkpoint.unsaved_seconds >= 30 ? "warn" : "") },
  { name: "rejected", label: "Dead letters", values: () => column("rejected"),
    show: (s) => [format.short(s.totals.rejected), "", s.totals.outbox ? `${format.count(s.totals.outbox)} not yet delivered` : s.totals.rejected ? `${format.rate(s.now.columns.rejected)} /s now` : "no record was bad"],
    level: (s) => (s.now.columns.rejected > 0 ? "warn" : "") },
  { name: "memory", label: "Memory", values: () => column("resident"),
    show: (s) => [...format.bytesParts(s.totals.resident), `${format.bytes(s.totals.disk_free)} of disk free`] },
];

function makeTiles() {
  for (const tile of tiles) {
    tile.value = h("span");
    tile.unit = h("small");
    tile.more = h("p", { class: "more" });
    tile.picture = svg("svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
    tile.element = h("li", { class: "tile", id: `tile-${tile.name}` }, h("p", { class: "label" }, tile.label),
      h("p", { class: "value" }, tile.value, tile.unit), tile.more, tile.picture);
    byId("tiles").append(tile.element);
  }
}

function showTiles(status) {
  for (const tile of tiles) {
    const [value, unit, more] = tile.show(status);
    setText(tile.value, value);
    setText(tile.unit, unit);
    setText(tile.more, more);
    tile.element.dataset.level = tile.level?.(status) ?? "";
  }
}

// ---- tables ----

const stateWords = { running: ["running", "good"], waiting: ["waiting", "warn"], halted_gap: ["halted: gap", "bad"], halted_truncated: ["halted: log truncated", "bad"],
  halted_other_log: ["halted: another log", "bad"], halted_poison: ["halted: bad records", "bad"], halted_other_cluster: ["halted: another cluster", "bad"] };

function showPartitions(status) {
  const partitions = status.partitions ?? [], total = status.partitions_total ?? 0;
  const trouble = (p) => (p.state === "running" ? (p.lag > 0 ? 1 : 2) : 0);
  const running = partitions.filter((p) => p.state === "running").length;
  setText(byId("partitions-note"), !total ? "None is assigned yet."
    : partitions.length < total ? `Those ${partitions.length} of ${format.count(total)} that most need to be looked at.`
      : running === total ? `${total === 1 ? "The one there is" : `All ${total}`} running.` : `${running} of ${total} running.`);
  fillRows(byId("partitions"), [...partitions].sort((a, b) => (trouble(a) === 0 || trouble(b) === 0 ? trouble(a) - trouble(b) : 0)).map((p) => {
    const [word, level] = stateWords[p.state] ?? [p.state, "warn"];
    return [{ text: `${p.topic}/${p.partition}`, class: "id", head: true }, { text: word, badge: level }, { text: format.count(p.lag), class: "num" },
      { text: p.lag_seconds ? format.span(p.lag_seconds) : "–", class: "num" }, { text: format.count(p.applied), class: "num" },
      { text: format.count(p.durable), class: "num" }, { text: format.count(p.end), class: "num" }];
  }));
}

function showMethods(status) {
  const names = Object.keys(status.methods).sort(), now = status.now.columns;
  fillRows(byId("methods"), names.map((name) => [{ text: name, head: true }, { text: format.rate(now[`asked/${name}`]), class: "num" },
    { text: format.span(now[`p50/${name}`]), class: "num" }, { text: format.span(now[`p99/${name}`]), class: "num" },
    { text: format.count(status.methods[name].handled), class: "num" }, { text: format.count(status.methods[name].failed), class: "num" }]));
  byId("methods").closest(".scroll").hidden = !names.length;
  byId("methods-note").hidden = names.length > 0;
  setText(byId("methods-note"), "Nobody has asked yet.");
}

const columnsOfQuality = [["hit_rate_10", "10000"], ["ndcg_10", "10000"], ["mrr_10", "10000"], ["hit_rate_10", "100000"], ["ndcg_10", "100000"], ["mrr_10", "100000"]];

function showQuality(status) {
  const value = (model, metric, window) => status.quality.find((q) => q.model === model && q.metric === metric && q.window === window)?.value;
  setText(byId("models-note"), status.totals.evaluated
    ? "Each model ranks a sample of events before it learns them; what was chosen counts if it is among its first ten. Over the last 10,000 ranked, and long: the last 100,000."
    : "No event has been ranked yet. engine.evaluate_every says how many are (0: none).");
  fillRows(byId("quality"), status.models.map((model) => [{ text: model, head: true },
    ...columnsOfQuality.map(([metric, window]) => ({ text: format.share(value(model, metric, window)), class: "num" }))]));
}

const partNames = { pairs: "sar: pairs", ids: "ids", histories: "histories", postings: "item → users", dedup: "event ids seen", items: "item figures", outbox: "dead letters", retired: "to be freed" };

// Rows of name, bar and number; those already there keep their elements.
function showBars(body, rows) {
  const largest = Math.max(...rows.map((row) => row.size), 1);
  fillRows(body, rows.map((row) => [row.name, { node: bar(row.size / largest) }, { text: row.text, class: "num" }]));
}

function showState(status) {
  const t = status.totals, c = status.checkpoint;
  const facts = [["Users", format.count(t.users)], ["Items", format.count(t.items)], ["Pairs", format.count(t.pairs)], ["Checkpoints", format.count(c.count)],
    ["Time of one", c.count ? `p50 ${format.span(c.p50)}, p99 ${format.span(c.p99)}` : "–"], ["Failed", format.count(c.errors)], ["Repeats dropped", format.count(t.duplicate)],
    ["Backups", t.backups ? `${format.count(t.backups)}, newest ${format.ago(t.backup_last * 1000, status.time_ms)}` : "none"]];
  const list = byId("facts");
  if (!list.firstElementChild) list.append(...facts.flatMap(([name]) => [h("dt", {}, name), h("dd")]));
  facts.forEach(([, text], i) => setText(list.children[2 * i + 1], text));
  const parts = Object.entries(status.bytes).filter(([, size]) => size > 0).sort((a, b) => b[1] - a[1]);
  showBars(byId("bytes"), parts.map(([part, size]) => ({ name: { text: partNames[part] ?? part, head: true }, size, text: format.bytes(size) })));
}

function showWarnings(status) {
  const lines = status.warnings;
  setText(byId("warnings-note"), !lines.length ? "None since the start." : lines.length === 1 ? "One since the start." : `The last ${lines.length} since the start, newest first.`);
  byId("warnings").replaceChildren(...lines.map((line) => h("li", {},
    h("p", { class: "meta" }, h("span", { class: `badge ${line.level === "error" ? "bad" : "warn"}` }, line.level === "error" ? "error" : "warning"),
      h("time", { datetime: new Date(line.last_ms).toISOString(), title: new Date(line.last_ms).toISOString() }, format.ago(line.last_ms, status.time_ms)),
      line.times > 1 ? h("span", {}, `${format.count(line.times)} times`) : null, h("span", { class: "id" }, line.event)),
    h("p", { class: "text" }, line.text))));
}

async function showTop() {
  const { items } = await ask("/api/top?k=10");
  if (JSON.stringify(items) === shownTop) return; // a focus in it stays
  shownTop = JSON.stringify(items);
  setText(byId("top-note"), items.length ? "By distinct users." : "No item is known yet.");
  showBars(byId("top"), items.map(({ item, users }) => ({ name: { node: itemLink(item), head: true }, size: users, text: format.count(users) })));
}

let itemLink = (item) => document.createTextNode(item);

// ---- charts ----

function showCharts() {
  const { times } = samples;
  const quality = (metric) => Object.keys(samples.columns).filter((name) => name.startsWith("quality/") && name.endsWith(`/${metric}`))
    .map((name) => ({ name: name.split("/")[1], values: samples.columns[name] }));
  const models = [...new Set(Object.keys(samples.columns).filter((n) => n.startsWith("quality/")).map((n) => n.split("/")[1]))];
  const coloured = (series) => series.map((s) => ({ ...s, color: models.indexOf(s.name) % 8 }));
  const perMethod = (prefix) => Object.keys(samples.columns).filter((name) => name.startsWith(prefix)).sort()
    .map((name, i) => ({ name: name.slice(prefix.length), values: samples.columns[name], color: i % 8 }));
  const draw = (id, what) => chart(byId(id), { times, ...what });

  draw("chart-rates", { title: "Events per second", format: format.rate, unit: format.real, least: 10, empty: "No events.", series: [{ name: "applied", values: column("applied"), color: 0 },
    { name: "rejected", values: column("rejected"), color: 1 }, { name: "repeats", values: column("duplicate"), color: 2 }] });
  draw("chart-lag", { title: "Records behind", format: format.short, least: 10, empty: "Nothing is behind.", series: [{ name: "all partitions", values: column("lag"), color: 5 }] });
  draw("chart-asked", { title: "Questions per second", format: format.rate, unit: format.real, least: 10, empty: "Nobody has asked.", series: perMethod("asked/") });
  draw("chart-latency", { title: "Answer time, p99", format: format.span, empty: "Nobody has asked.", series: perMethod("p99/") });
  draw("chart-hit", { title: "Hit rate @ 10", format: format.share, unit: format.real, empty: "Nothing ranked yet.", series: coloured(quality("hit_rate_10")) });
  draw("chart-ndcg", { title: "NDCG @ 10", format: format.share, unit: format.real, empty: "Nothing ranked yet.", series: coloured(quality("ndcg_10")) });
  draw("chart-mrr", { title: "MRR @ 10", format: format.share, unit: format.real, empty: "Nothing ranked yet.", series: coloured(quality("mrr_10")) });
  for (const tile of tiles) sparkline(tile.picture, tile.values());
}

// Fetches what is new since the last sample and puts it behind what is there.
async function fetchSamples(anew) {
  const since = anew ? 0 : samples.times.at(-1) ?? 0, span = samples.span;
  const fresh = await ask(`/api/history?span=${span}&since=${since}`);
  if (span !== samples.span) return; // asked for another meanwhile
  const kept = anew ? 0 : samples.times.length, most = span === "day" ? 288 : 360;
  const before = (values) => (kept ? values ?? samples.times.map(() => null) : []);
  const columns = {};
  for (const [name, values] of Object.entries(fresh.columns)) columns[name] = [...before(samples.columns[name]), ...values].slice(-most);
  Object.assign(samples, { step: fresh.step_ms, times: [...(kept ? samples.times : []), ...fresh.times].slice(-most), columns });
  samples.dueAt = Date.now() + Math.min(fresh.step_ms, 60000);
  const step = span === "day" ? fresh.step_ms / 30 : fresh.step_ms;
  setText(byId("span-hour"), format.span((step * 360) / 1000));
  setText(byId("span-day"), format.span((step * 30 * 288) / 1000));
  showCharts();
}

// ---- all of it ----

function showStatus(status) {
  const [headline, ...others] = status.findings;
  showHeadline(headline.level, headline.text, headline.detail, others);
  const up = status.totals.started ? `, up ${format.span(Math.round(status.time_ms / 1000 - status.totals.started))}` : "";
  setText(byId("about"), status.version ? `${status.version}${up}, reads ${status.topic} from ${status.brokers}` : status.state);
  setText(byId("asof"), `As of ${format.clockSeconds(status.time_ms)}. Rates and percentiles are of the last seconds.`);
  showTiles(status);
  showPartitions(status);
  showMethods(status);
  showQuality(status);
  showState(status);
  showWarnings(status);
  offerModels(status.models);
}

async function look() {
  const status = await ask("/api/status");
  const anew = status.totals.started !== started; // another process: what it was before, it does not know
  started = status.totals.started;
  heard = status.time_ms;
  document.body.classList.remove("away");
  showStatus(status);
  if (anew || Date.now() >= samples.dueAt) await fetchSamples(anew || !samples.times.length);
  if (status.models.length && Date.now() >= topDueAt) {
    topDueAt = Date.now() + TOP_MS;
    await showTop();
  }
  document.body.dataset.shown = "yes";
}

function showAway() {
  document.body.classList.add("away");
  showHeadline("bad", "No answer from the daemon", `${heard ? `What is below is as of ${format.clockSeconds(heard)}. ` : ""}Asking again every ${STATUS_MS / 1000} s.`, []);
}

async function keepLooking() {
  for (;;) {
    if (!document.hidden) {
      try {
        await look();
      } catch (error) {
        if (!(error instanceof TypeError || error.name === "TimeoutError" || error.name === "AbortError" || /: \d+$/.test(error.message))) console.error(error);
        showAway();
      }
    }
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, STATUS_MS);
      document.addEventListener("visibilitychange", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }
}

makeTiles();
itemLink = startExploring(ask);
byId("span").addEventListener("change", (event) => {
  samples.span = event.target.value;
  fetchSamples(true).catch(showAway);
});
new ResizeObserver(showCharts).observe(byId("main"));
keepLooking();
