// Lines over time, as SVG. Each says in words what it shows, for those who do not see it.
//
//   caption   Title   — a 12.3  — b 4.5        the newest numbers, or those under the pointer
//   svg       top ┈┈┈┈┈┈┈┈┈┈┈┈┈┈
//               0 ──────────────
//               10:00      11:00

import { h, svg } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 132,
  LEFT = 44,
  BOTTOM = 18,
  TOP = 8;

// The least round number that is not below the largest value.
function ceiling(largest) {
  if (!(largest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(largest));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= largest * 1.0001 || step === 10) * power;
}

// "M x y L x y": a gap where there is no number.
function path(values, x, y) {
  let text = "",
    drawing = false;
  values.forEach((value, i) => {
    if (value === null) {
      drawing = false;
      return;
    }
    text += `${drawing ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!drawing && (values[i + 1] ?? null) === null) text += "h.01"; // alone: a dot
    drawing = true;
  });
  return text;
}

const newest = (values) => {
  for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null) return values[i];
  return null;
};

function inWords(title, times, series, format) {
  const of = series.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    return `${name}: now ${format(newest(values))}, highest ${format(Math.max(...known))}, lowest ${format(Math.min(...known))}`;
  });
  return `${title} from ${clock(times[0])} to ${clock(times.at(-1))}. ${of.join(". ")}.`;
}

function caption(title, series, at, format, when) {
  return h(
    "figcaption",
    {},
    h("span", { class: "title" }, when ? `${title}, ${when}` : title),
    ...series.map((s) =>
      h(
        "span",
        { class: "key" },
        h("span", { class: `swatch f${s.color}` }),
        `${s.name} `,
        h("b", {}, format(at === null ? newest(s.values) : s.values[at])),
      ),
    ),
  );
}

// Draws into `place`: series [{ name, color: 0..7, values: [number or null, ...] }], one value for each of `times`. The scale
// reaches to `least` at the least, so that a few of something do not look like many.
export function chart(place, { title, times, series, format, empty, unit, least = 0 }) {
  const shown = series.filter(({ values }) => values.some((value) => value !== null));
  if (times.length < 2 || !shown.length) {
    place.replaceChildren(
      h(
        "figure",
        { class: "chart" },
        h("figcaption", {}, h("span", { class: "title" }, title)),
        h("div", { class: "empty" }, times.length < 2 ? "The first samples are being taken." : empty),
      ),
    );
    return;
  }
  const width = Math.max(220, place.clientWidth),
    top = ceiling(Math.max(least * 0.999, ...shown.flatMap(({ values }) => values.filter((v) => v !== null))));
  const first = times[0],
    length = Math.max(1, times.at(-1) - first);
  const x = (i) => LEFT + ((times[i] - first) / length) * (width - LEFT - 4);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": inWords(title, times, shown, format) });
  for (const level of [0, top / 2, top]) {
    picture.append(
      svg("line", { class: "grid", x1: LEFT, x2: width - 4, y1: y(level), y2: y(level) }),
      svg("text", { x: LEFT - 7, y: y(level) + 4, "text-anchor": "end" }, (unit ?? format)(level)),
    );
  }
  picture.append(
    svg("text", { x: LEFT, y: HEIGHT - 2 }, clock(first)),
    svg("text", { x: width - 4, y: HEIGHT - 2, "text-anchor": "end" }, clock(times.at(-1))),
  );
  for (const s of shown) picture.append(svg("path", { class: `line s${s.color}`, d: path(s.values, x, y) }));

  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  picture.append(cursor);
  const figure = h("figure", { class: "chart" }, caption(title, shown, null, format), picture);
  const point = (event) => {
    const at = (event.offsetX / picture.clientWidth) * width;
    let nearest = 0;
    times.forEach((_, i) => {
      if (Math.abs(x(i) - at) < Math.abs(x(nearest) - at)) nearest = i;
    });
    cursor.setAttribute("x1", x(nearest));
    cursor.setAttribute("x2", x(nearest));
    cursor.setAttribute("visibility", "visible");
    figure.firstElementChild.replaceWith(caption(title, shown, nearest, format, clock(times[nearest])));
  };
  picture.addEventListener("pointermove", point);
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    figure.firstElementChild.replaceWith(caption(title, shown, null, format));
  });
  if (!place.firstElementChild || !place.matches(":hover")) place.replaceChildren(figure); // not under the pointer of who reads
}

// A line without words, under a number that has them.
export function sparkline(picture, values) {
  const known = values.filter((value) => value !== null),
    top = Math.max(...known, 0) || 1;
  const x = (i) => (i / Math.max(1, values.length - 1)) * 100,
    y = (value) => 31 - (value / top) * 27;
  if (known.length < 2) {
    picture.replaceChildren();
    return;
  }
  const line = path(values, x, y),
    filled = values.map((value) => value ?? 0);
  picture.replaceChildren(
    svg("path", { class: "area f0", d: `${path(filled, x, y)}L100 34L0 34Z` }),
    svg("path", { class: "line s0", d: line }),
  );
}
