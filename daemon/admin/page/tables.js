// What lies behind the figures, as tables and lists.

import { bar, byId, fillRows, h, setText } from "./dom.js";
import { item } from "./explore.js";
import * as format from "./format.js";

let shownTop = "";

const stateWords = {
  running: ["running", "good"],
  waiting: ["waiting", "warn"],
  halted_gap: ["halted: gap", "bad"],
  halted_truncated: ["halted: log truncated", "bad"],
  halted_other_log: ["halted: another log", "bad"],
  halted_poison: ["halted: bad records", "bad"],
  halted_other_cluster: ["halted: another cluster", "bad"],
};

export function showPartitions(status) {
  const partitions = status.partitions ?? [],
    total = status.partitions_total ?? 0;
  const trouble = (p) => (p.state === "running" ? (p.lag > 0 ? 1 : 2) : 0);
  const running = partitions.filter((p) => p.state === "running").length;
  setText(
    byId("partitions-note"),
    !total
      ? "None is assigned yet."
      : partitions.length < total
        ? `Those ${partitions.length} of ${format.count(total)} that most need to be looked at.`
        : running === total
          ? `${total === 1 ? "The one there is" : `All ${total}`} running.`
          : `${running} of ${total} running.`,
  );
  fillRows(
    byId("partitions"),
    [...partitions]
      .sort((a, b) => (trouble(a) === 0 || trouble(b) === 0 ? trouble(a) - trouble(b) : 0))
      .map((p) => {
        const [word, level] = stateWords[p.state] ?? [p.state, "warn"];
        return [
          { text: `${p.topic}/${p.partition}`, class: "id", head: true },
          { text: word, badge: level },
          { text: format.count(p.lag), class: "num" },
          { text: p.lag_seconds ? format.span(p.lag_seconds) : "–", class: "num" },
          { text: format.count(p.applied), class: "num" },
          { text: format.count(p.durable), class: "num" },
          { text: format.count(p.end), class: "num" },
        ];
      }),
  );
}

export function showMethods(status) {
  const names = Object.keys(status.methods).sort(),
    now = status.now.columns;
  fillRows(
    byId("methods"),
    names.map((name) => [
      { text: name, head: true },
      { text: format.rate(now[`asked/${name}`]), class: "num" },
      { text: format.span(now[`p50/${name}`]), class: "num" },
      { text: format.span(now[`p99/${name}`]), class: "num" },
      { text: format.count(status.methods[name].handled), class: "num" },
      { text: format.count(status.methods[name].failed), class: "num" },
    ]),
  );
  byId("methods").closest(".scroll").hidden = !names.length;
  byId("methods-note").hidden = names.length > 0;
  setText(byId("methods-note"), "Nobody has asked yet.");
}

const columnsOfQuality = [
  ["hit_rate_10", "10000"],
  ["ndcg_10", "10000"],
  ["mrr_10", "10000"],
  ["hit_rate_10", "100000"],
  ["ndcg_10", "100000"],
  ["mrr_10", "100000"],
];

export function showQuality(status) {
  const value = (model, metric, window) =>
    status.quality.find((q) => q.model === model && q.metric === metric && q.window === window)?.value;
  setText(
    byId("models-note"),
    status.totals.evaluated
      ? "Each model ranks a sample of events before it learns them; what was chosen counts if it is among its first ten. Over the last 10,000 ranked, and long: the last 100,000."
      : "No event has been ranked yet. engine.evaluate_every says how many are (0: none).",
  );
  fillRows(
    byId("quality"),
    status.models.map((model) => [
      { text: model, head: true },
      ...columnsOfQuality.map(([metric, window]) => ({ text: format.share(value(model, metric, window)), class: "num" })),
    ]),
  );
}

const partNames = {
  pairs: "sar: pairs",
  ids: "ids",
  histories: "histories",
  postings: "item → users",
  dedup: "event ids seen",
  items: "item figures",
  outbox: "dead letters",
  retired: "to be freed",
};

// Rows of name, bar and number; those already there keep their elements.
function showBars(body, rows) {
  const largest = Math.max(...rows.map((row) => row.size), 1);
  fillRows(
    body,
    rows.map((row) => [row.name, { node: bar(row.size / largest) }, { text: row.text, class: "num" }]),
  );
}

export function showState(status) {
  const t = status.totals,
    c = status.checkpoint;
  const facts = [
    ["Users", format.count(t.users)],
    ["Items", format.count(t.items)],
    ["Pairs", format.count(t.pairs)],
    ["Checkpoints", format.count(c.count)],
    ["Time of one", c.count ? `p50 ${format.span(c.p50)}, p99 ${format.span(c.p99)}` : "–"],
    ["Failed", format.count(c.errors)],
    ["Repeats dropped", format.count(t.duplicate)],
    ["Backups", t.backups ? `${format.count(t.backups)}, newest ${format.ago(t.backup_last * 1000, status.time_ms)}` : "none"],
  ];
  const list = byId("facts");
  if (!list.firstElementChild) list.append(...facts.flatMap(([name]) => [h("dt", {}, name), h("dd")]));
  facts.forEach(([, text], i) => setText(list.children[2 * i + 1], text));
  const parts = Object.entries(status.bytes)
    .filter(([, size]) => size > 0)
    .sort((a, b) => b[1] - a[1]);
  showBars(
    byId("bytes"),
    parts.map(([part, size]) => ({ name: { text: partNames[part] ?? part, head: true }, size, text: format.bytes(size) })),
  );
}

export function showWarnings(status) {
  const lines = status.warnings;
  setText(
    byId("warnings-note"),
    !lines.length
      ? "None since the start."
      : lines.length === 1
        ? "One since the start."
        : `The last ${lines.length} since the start, newest first.`,
  );
  byId("warnings").replaceChildren(
    ...lines.map((line) =>
      h(
        "li",
        {},
        h(
          "p",
          { class: "meta" },
          h("span", { class: `badge ${line.level === "error" ? "bad" : "warn"}` }, line.level === "error" ? "error" : "warning"),
          h(
            "time",
            { datetime: new Date(line.last_ms).toISOString(), title: new Date(line.last_ms).toISOString() },
            format.ago(line.last_ms, status.time_ms),
          ),
          line.times > 1 ? h("span", {}, `${format.count(line.times)} times`) : null,
          h("span", { class: "id" }, line.event),
        ),
        h("p", { class: "text" }, line.text),
      ),
    ),
  );
}

export async function showTop(ask) {
  const top = await ask("/api/top.json?k=10");
  if (JSON.stringify(top) === shownTop) return; // a focus in it stays
  shownTop = JSON.stringify(top);
  setText(byId("top-note"), top.items.length ? "By distinct users." : "No item is known yet.");
  showBars(
    byId("top"),
    top.items.map((of) => ({ name: { node: item(of.item, top.titles), head: true }, size: of.users, text: format.count(of.users) })),
  );
}
