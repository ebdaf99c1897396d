// Asks the daemon how all is every two seconds, and for new samples once a step; shows both. When the daemon is away it says so, keeps
// what was last known, and goes on asking.

import { byId, h, setText } from "./dom.js";
import { offerModels, startExploring } from "./explore.js";
import * as format from "./format.js";
import { fetchSamples, samples, showCharts } from "./samples.js";
import { showMethods, showPartitions, showQuality, showState, showTop, showWarnings } from "./tables.js";
import { makeTiles, showSparklines, showTiles } from "./tiles.js";

const STATUS_MS = 2000;
const TOP_MS = 10000;
const PATIENCE_MS = 8000;
let started = null; // the process that answered last
let heard = null; // and when
let topDueAt = 0;
let announced = "";

// The daemon did not give what it was asked for. The message is for who asked: its own words, if it has said why.
class Away extends Error {}

async function ask(path) {
  let why = "The daemon does not answer; please try again.";
  try {
    const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
    if (answer.ok) return await answer.json();
    if (answer.status === 400 || answer.status === 503) why = `The daemon says: ${(await answer.json()).error}.`;
  } catch {
    // refused, cut off, too slow, or no JSON: all the same to who looks
  }
  throw new Away(why);
}

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

async function freshSamples(anew) {
  await fetchSamples(ask, anew);
  showSparklines();
}

async function look() {
  const status = await ask("/api/status.json");
  const anew = status.totals.started !== started; // another process: what it was before, it does not know
  started = status.totals.started;
  heard = status.time_ms;
  document.body.classList.remove("away");
  showStatus(status);
  // Its clock was set back: what is dated later, it has forgotten.
  if (anew || Date.now() >= samples.dueAt) await freshSamples(anew || !(samples.times.at(-1) <= status.time_ms));
  if (status.models.length && Date.now() >= topDueAt) {
    topDueAt = Date.now() + TOP_MS;
    await showTop(ask);
  }
  document.body.dataset.shown = "yes";
}

function showAway() {
  document.body.classList.add("away");
  showHeadline(
    "bad",
    "No answer from the daemon",
    `${heard ? `What is below is as of ${format.clockSeconds(heard)}. ` : ""}Asking again every ${STATUS_MS / 1000} s.`,
    [],
  );
}

function showTrouble(error) {
  if (error instanceof Away) {
    showAway();
  } else {
    console.error(error);
    showHeadline("warn", "This page is out of order", `${error.message}. /metrics and the logs say how the daemon is.`, []);
  }
}

let wake = () => {};
const rest = () =>
  new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, STATUS_MS);
  });

async function keepLooking() {
  for (;;) {
    if (!document.hidden) await look().catch(showTrouble);
    await rest();
  }
}

makeTiles();
startExploring(ask);
byId("span").addEventListener("change", (event) => {
  samples.span = event.target.value;
  samples.dueAt = 0; // should this one fail
  freshSamples(true).catch(showTrouble);
});
document.addEventListener("visibilitychange", () => wake());
new ResizeObserver(showCharts).observe(byId("main"));
keepLooking();
