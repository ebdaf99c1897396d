// The box to look at a user or an item.

import { bar, byId, fillRows, h } from "./dom.js";
import * as format from "./format.js";

const ID_BYTES_MAX = 256; // as the daemon has it
let ask,
  latest = 0;

// A button that says an id and looks at it.
export function link(kind, id) {
  return h("button", { type: "button", class: "link id", onclick: () => show(kind, id) }, id);
}

// An id may be any word, "constructor" too: what every object has by that name is no title.
const titleOf = (id, titles) => (Object.hasOwn(titles, id) ? titles[id] : null);

// The same of an item, and what it is called, if the catalogue says so.
export function item(id, titles) {
  const title = titleOf(id, titles);
  return title ? h("span", { class: "titled" }, link("item", id), h("span", { class: "title", title }, title)) : link("item", id);
}

export function offerModels(models) {
  const select = byId("explore-model");
  const offered = [...select.options].slice(1).map((option) => option.value);
  if (offered.length === models.length && models.every((model, i) => model === offered[i])) return;
  const chosen = select.value;
  select.replaceChildren(h("option", { value: "" }, "default"), ...models.map((model) => h("option", { value: model }, model)));
  select.value = models.includes(chosen) ? chosen : "";
}

function reason(id, contribution, titles) {
  return h("span", {}, item(id, titles), h("span", { class: "num" }, `${contribution > 0 ? "+" : ""}${format.real(contribution)}`));
}

function recommendations(answer) {
  if (!answer.recommendations.length) return h("p", { class: "note" }, "Nothing to recommend.");
  const rows = answer.recommendations.map((r, i) =>
    h(
      "tr",
      {},
      h("td", { class: "num" }, String(i + 1)),
      h("td", {}, item(r.item, answer.titles)),
      h("td", { class: "num" }, format.real(r.score)),
      h(
        "td",
        { class: "wide-cell" },
        r.reasons.length
          ? h(
              "div",
              { class: "reasons" },
              ...r.reasons.map((of) => reason(of.item, of.contribution, answer.titles)),
              r.reasons_total > r.reasons.length ? h("span", { class: "num" }, `and ${r.reasons_total - r.reasons.length} more`) : null,
            )
          : h("span", { class: "note" }, r.source === "popular" ? "popular" : `by ${r.source}`),
      ),
    ),
  );
  return h(
    "table",
    { class: "stack" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col", class: "num" }, "#"),
        h("th", { scope: "col" }, "Item"),
        h("th", { scope: "col", class: "num" }, "Score"),
        h("th", { scope: "col" }, "Because of"),
      ),
    ),
    h("tbody", {}, ...rows),
  );
}

function showUser(answer) {
  const more = answer.affinities_total - answer.affinities.length;
  return [
    h("h3", {}, answer.user),
    h(
      "p",
      { class: "note" },
      answer.known
        ? `${answer.events ? `${format.count(answer.events)} events, the newest of ${format.day(answer.last_event_ms)}` : "No events"}. ${answer.model} answers${answer.fallback ? "; popular items fill in" : ""}.`
        : "No event has named this user: what is popular is shown.",
    ),
    recommendations(answer),
    ...(answer.affinities.length
      ? [
          h("h4", {}, "Has chosen"),
          h(
            "div",
            { class: "chips" },
            ...answer.affinities.map((of) => reason(of.item, of.affinity, answer.titles)),
            more > 0 ? h("span", { class: "note" }, `and ${format.count(more)} more`) : null,
          ),
        ]
      : []),
  ];
}

function showItem(answer) {
  if (!answer.known) return [h("h3", {}, answer.item), h("p", { class: "note" }, "No event has named this item.")];
  const body = h("tbody"),
    largest = Math.max(...answer.similar.map((n) => n.similarity), 0) || 1;
  fillRows(
    body,
    answer.similar.map((n) => [
      { node: item(n.item, answer.titles), head: true },
      { node: bar(n.similarity / largest) },
      { text: format.real(n.similarity), class: "num" },
    ]),
  );
  return [
    h("h3", {}, answer.item),
    titleOf(answer.item, answer.titles) ? h("p", { class: "title" }, titleOf(answer.item, answer.titles)) : null,
    h(
      "p",
      { class: "note" },
      `${format.count(answer.users)} ${answer.users === 1 ? "user has" : "users have"} it; first seen ${format.day(answer.first_seen_ms)}.`,
    ),
    h("h4", {}, "Like it"),
    answer.similar.length ? h("table", { class: "bars" }, body) : h("p", { class: "note" }, "Nothing is known to be like it."),
  ];
}

function complain(text) {
  byId("explored").replaceChildren(h("p", { class: "error" }, text));
}

async function show(kind, id) {
  const form = byId("explore"),
    mine = ++latest;
  form.elements.kind.value = kind;
  form.elements.id.value = id;
  if (new TextEncoder().encode(id).length > ID_BYTES_MAX) {
    complain(`An id has at most ${ID_BYTES_MAX} bytes.`);
    return;
  }
  const question = new URLSearchParams({ [kind]: id, k: form.elements.k.value || "10", model: form.elements.model.value });
  try {
    const answer = await ask(`/api/explore?${question}`);
    if (mine !== latest) return; // another was asked for meanwhile
    byId("explored").replaceChildren(...(kind === "user" ? showUser(answer) : showItem(answer)).filter((part) => part !== null));
  } catch (error) {
    if (mine === latest) complain(error.message);
  }
}

export function startExploring(asker) {
  ask = asker;
  byId("explore").addEventListener("submit", (event) => {
    event.preventDefault();
    const { kind, id } = event.target.elements;
    show(kind.value, id.value);
  });
}
