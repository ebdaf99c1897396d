// Elements and their text. All text goes in as text, never as markup: ids come from outside.

export const byId = (id) => document.getElementById(id);

// h("td", { class: "num" }, "text", child, ...)
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Rows of a table: cells are { text, class, head } or an element. Cells that stay are kept, so that a selection or a focus stays too.
export function fillRows(body, rows) {
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((cells, r) => {
    const row = body.rows[r] ?? body.appendChild(h("tr"));
    while (row.cells.length > cells.length) row.lastElementChild.remove();
    cells.forEach((cell, c) => {
      const at = row.cells[c] ?? row.appendChild(h(cell.head ? "th" : "td", cell.head ? { scope: "row" } : {}));
      const name = cell.class ?? "";
      if (at.className !== name) at.className = name;
      if (cell.badge !== undefined) {
        const badge = at.firstElementChild ?? at.appendChild(h("span"));
        badge.className = `badge ${cell.badge}`;
        setText(badge, cell.text);
      } else if (cell.node) {
        at.replaceChildren(cell.node);
      } else {
        setText(at, cell.text);
      }
    });
  });
}

// A bar whose length is `share` of its track, for a table that says the number too.
export function bar(share) {
  const width = `${Math.max(share > 0 ? 1 : 0, Math.min(100, share * 100))}%`;
  return svg(
    "svg",
    { "aria-hidden": "true", focusable: "false" },
    svg("rect", { class: "bar-track", width: "100%", height: "8", rx: "4" }),
    svg("rect", { class: "bar", width, height: "8", rx: "4" }),
  );
}
