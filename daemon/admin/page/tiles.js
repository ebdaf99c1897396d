// The eight figures that are seen first, each with a line of its last hour or day.

import { sparkline } from "./chart.js";
import { byId, h, setText, svg } from "./dom.js";
import * as format from "./format.js";
import { across, column } from "./samples.js";

// What users wait for. A stream lasts as long as its reader likes, and probes and operators ask other things.
const questions = ["Recommend", "Similar", "Score", "Popular", "Explain", "GetUser", "GetItem"];
const ofQuestions = (columns, prefix) => questions.map((method) => columns[prefix + method] ?? null).filter((value) => value !== null);
const sumOf = (columns, prefix) => ofQuestions(columns, prefix).reduce((sum, value) => sum + value, 0);
const worstOf = (columns, prefix) => {
  const known = ofQuestions(columns, prefix);
  return known.length ? Math.max(...known) : null;
};

const tiles = [
  {
    name: "applied",
    label: "Events applied",
    values: () => column("applied"),
    show: (s) => [format.rate(s.now.columns.applied), "/s", `${format.count(s.totals.applied)} since the start`],
  },
  {
    name: "asked",
    label: "Questions",
    values: () => across("asked/", sumOf),
    show: (s) => [
      format.rate(s.now.seconds ? sumOf(s.now.columns, "asked/") : null),
      "/s",
      `${format.count(questions.reduce((n, method) => n + (s.methods[method]?.handled ?? 0), 0))} since the start`,
    ],
  },
  {
    name: "latency",
    label: "Answer time, p99",
    values: () => across("p99/", worstOf),
    show: (s) => {
      const p99 = worstOf(s.now.columns, "p99/");
      return [...format.spanParts(p99), p99 === null ? "no questions just now" : `p50 ${format.span(worstOf(s.now.columns, "p50/"))}`];
    },
  },
  {
    name: "fresh",
    label: "Event to visible, p99",
    values: () => column("fresh/p99"),
    show: (s) => {
      const p99 = s.now.columns["fresh/p99"] ?? null;
      return p99 === null
        ? [...format.spanParts(s.freshness.p99), s.freshness.count ? "since the start; no events just now" : "no events yet"]
        : [...format.spanParts(p99), `p50 ${format.span(s.now.columns["fresh/p50"])}`];
    },
  },
  {
    name: "lag",
    label: "Behind",
    values: () => column("lag"),
    show: (s) => {
      const partitions = s.partitions ?? [],
        away = partitions.filter((p) => p.state !== "running").length;
      if (!partitions.length || away === partitions.length) return ["–", "", "not known: nothing is being read"];
      return [
        format.short(s.lag.messages),
        s.lag.messages === 1 ? "record" : "records",
        !s.lag.current
          ? "as last known: nothing is being read"
          : away
            ? `without ${away} that ${away === 1 ? "is" : "are"} not read`
            : s.lag.messages
              ? `the oldest waits ${format.span(s.lag.seconds)}`
              : "caught up",
      ];
    },
    level: (s) => (s.lag?.seconds >= 60 ? "warn" : ""),
  },
  {
    name: "unsaved",
    label: "Not yet saved",
    values: () => column("uncommitted"),
    show: (s) => [
      ...format.spanParts(Math.max(0, Math.round(s.checkpoint.unsaved_seconds * 10) / 10)),
      s.checkpoint.count ? `a checkpoint takes ${format.span(s.checkpoint.mean)}` : "no checkpoint yet",
    ],
    level: (s) => (s.checkpoint.unsaved_seconds >= s.checkpoint.unsaved_limit ? "warn" : ""),
  },
  {
    name: "rejected",
    label: "Dead letters",
    values: () => column("rejected"),
    show: (s) => [
      format.short(s.totals.rejected),
      "",
      s.totals.outbox
        ? `${format.count(s.totals.outbox)} not yet delivered`
        : s.totals.rejected
          ? `${format.rate(s.now.columns.rejected)} /s now`
          : "no record was bad",
    ],
    level: (s) => (s.now.columns.rejected > 0 ? "warn" : ""),
  },
  {
    name: "memory",
    label: "Memory",
    values: () => column("resident"),
    show: (s) => [...format.bytesParts(s.totals.resident), `${format.bytes(s.totals.disk_free)} of disk free`],
  },
];

export function makeTiles() {
  for (const tile of tiles) {
    tile.value = h("span");
    tile.unit = h("small");
    tile.more = h("p", { class: "more" });
    tile.picture = svg("svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
    tile.element = h(
      "li",
      { class: "tile", id: `tile-${tile.name}` },
      h("p", { class: "label" }, tile.label),
      h("p", { class: "value" }, tile.value, tile.unit),
      tile.more,
      tile.picture,
    );
    byId("tiles").append(tile.element);
  }
}

export function showTiles(status) {
  for (const tile of tiles) {
    const [value, unit, more] = tile.show(status);
    setText(tile.value, value);
    setText(tile.unit, unit);
    setText(tile.more, more);
    tile.element.dataset.level = tile.level?.(status) ?? "";
  }
}

export function showSparklines() {
  for (const tile of tiles) sparkline(tile.picture, tile.values());
}
