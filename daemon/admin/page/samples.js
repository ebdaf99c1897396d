// What the metrics were, as the daemon has sampled them, and the charts that show it.

import { chart } from "./chart.js";
import { byId, setText } from "./dom.js";
import * as format from "./format.js";

// span: what is to be shown; of: what these are of, another one until they have come; columns: name -> a number or null for each of
// `times`; dueAt: when the next may be there.
export const samples = { span: "hour", of: null, times: [], columns: {}, dueAt: 0 };
let latest = 0;

// The samples of one column; of several, put together sample by sample.
export const column = (name) => samples.columns[name] ?? samples.times.map(() => null);
export const across = (prefix, together) => {
  const names = Object.keys(samples.columns).filter((name) => name.startsWith(prefix));
  return samples.times.map((_, i) => together(Object.fromEntries(names.map((name) => [name, samples.columns[name][i] ?? null])), prefix));
};

export function showCharts() {
  const { times } = samples;
  const quality = (metric) =>
    Object.keys(samples.columns)
      .filter((name) => name.startsWith("quality/") && name.endsWith(`/${metric}`))
      .map((name) => ({ name: name.split("/")[1], values: samples.columns[name] }));
  const models = [
    ...new Set(
      Object.keys(samples.columns)
        .filter((n) => n.startsWith("quality/"))
        .map((n) => n.split("/")[1]),
    ),
  ];
  const coloured = (series) => series.map((s) => ({ ...s, color: models.indexOf(s.name) % 8 }));
  const perMethod = (prefix) =>
    Object.keys(samples.columns)
      .filter((name) => name.startsWith(prefix))
      .sort()
      .map((name, i) => ({ name: name.slice(prefix.length), values: samples.columns[name], color: i % 8 }));
  const draw = (id, what) => chart(byId(id), { times, ...what });

  draw("chart-rates", {
    title: "Events per second",
    format: format.rate,
    unit: format.real,
    least: 10,
    empty: "No events.",
    series: [
      { name: "read", values: column("consumed"), color: 5 },
      { name: "applied", values: column("applied"), color: 0 },
      { name: "rejected", values: column("rejected"), color: 1 },
      { name: "repeats", values: column("duplicate"), color: 2 },
    ],
  });
  draw("chart-lag", {
    title: "Records behind",
    format: format.short,
    least: 10,
    empty: "Nothing is behind.",
    series: [{ name: "all partitions", values: column("lag"), color: 5 }],
  });
  draw("chart-asked", {
    title: "Questions per second",
    format: format.rate,
    unit: format.real,
    least: 10,
    empty: "Nobody has asked.",
    series: perMethod("asked/"),
  });
  draw("chart-latency", { title: "Answer time, p99", format: format.span, empty: "Nobody has asked.", series: perMethod("p99/") });
  draw("chart-hit", {
    title: "Hit rate @ 10",
    format: format.share,
    unit: format.real,
    empty: "Nothing ranked yet.",
    series: coloured(quality("hit_rate_10")),
  });
  draw("chart-ndcg", {
    title: "NDCG @ 10",
    format: format.share,
    unit: format.real,
    empty: "Nothing ranked yet.",
    series: coloured(quality("ndcg_10")),
  });
  draw("chart-mrr", {
    title: "MRR @ 10",
    format: format.share,
    unit: format.real,
    empty: "Nothing ranked yet.",
    series: coloured(quality("mrr_10")),
  });
}

// Fetches what is new since the last sample and puts it behind what is there, if that is of the same span.
export async function fetchSamples(ask, forgets) {
  const span = samples.span,
    anew = forgets || samples.of !== span,
    since = anew ? 0 : (samples.times.at(-1) ?? 0),
    mine = ++latest;
  const fresh = await ask(`/api/history.json?span=${span}&since=${since}`);
  if (mine !== latest) return; // asked again meanwhile, perhaps for another
  const kept = anew ? 0 : samples.times.length,
    most = span === "day" ? 288 : 360;
  const before = (values) => (kept ? (values ?? samples.times.map(() => null)) : []);
  const columns = {};
  for (const [name, values] of Object.entries(fresh.columns)) columns[name] = [...before(samples.columns[name]), ...values].slice(-most);
  Object.assign(samples, { of: span, times: [...(kept ? samples.times : []), ...fresh.times].slice(-most), columns });
  samples.dueAt = Date.now() + Math.min(fresh.step_ms, 60000);
  const step = span === "day" ? fresh.step_ms / 30 : fresh.step_ms;
  setText(byId("span-hour"), format.span((step * 360) / 1000));
  setText(byId("span-day"), format.span((step * 30 * 288) / 1000));
  showCharts();
}
