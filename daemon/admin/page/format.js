// Numbers as people read them. null and undefined are "–".

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NONE = "–";
const isNumber = (n) => typeof n === "number" && isFinite(n);

export const count = (n) => (isNumber(n) ? whole.format(n) : NONE);

// Three digits that matter: 0.0123, 1.23, 12.3, 1,234.
export function real(n) {
  if (!isNumber(n)) return NONE;
  const size = Math.abs(n);
  if (size >= 99.95 || n === 0) return whole.format(n);
  return size >= 0.01 ? String(Number(n.toPrecision(3))) : size >= 0.00001 ? n.toFixed(5) : n.toExponential(1);
}

export function rate(n) {
  if (!isNumber(n)) return NONE;
  if (n > 0 && n < 0.05) return "<0.1";
  return n < 10 && n > 0 ? n.toFixed(1) : short(n);
}

// 12,345 stays; 1,234,567 is 1.23 M.
export function short(n) {
  if (!isNumber(n)) return NONE;
  if (n >= 1e9) return `${(n / 1e9).toPrecision(3)} G`;
  if (n >= 1e6) return `${(n / 1e6).toPrecision(3)} M`;
  return whole.format(n);
}

export const share = (n) => (isNumber(n) ? n.toFixed(3) : NONE);

// [number, unit], for what is shown in two sizes.
export function spanParts(seconds) {
  if (!isNumber(seconds)) return [NONE, ""];
  const s = Math.abs(seconds);
  if (s === 0) return ["0", "s"];
  if (s < 0.001) return [real(seconds * 1e6), "µs"];
  if (s < 0.9995) return [real(seconds * 1e3), "ms"];
  if (s < 120) return [s < 10 ? real(seconds) : whole.format(seconds), "s"];
  if (s < 3600) return [whole.format(seconds / 60), "min"];
  if (s < 86400) return [real(Number((seconds / 3600).toFixed(1))), "h"];
  if (s < 172800) return [whole.format(seconds / 3600), "h"];
  return [whole.format(seconds / 86400), "days"];
}

export const span = (seconds) => spanParts(seconds).join(" ").trim();

export function bytesParts(n) {
  if (!isNumber(n)) return [NONE, ""];
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 999.5 && at < units.length - 1) {
    n /= 1000;
    at++;
  }
  return [real(n), units[at]];
}

export const bytes = (n) => bytesParts(n).join(" ");

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
export const clockSeconds = (ms) => new Date(ms).toLocaleTimeString("en-GB");
// Times may lie beyond what a date can be here, a quarter of a million years from now.
export const day = (ms) => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString().split("T")[0] : NONE);

export function ago(ms, now) {
  const seconds = Math.max(0, (now - ms) / 1000);
  return seconds < 2 ? "just now" : `${span(Math.round(seconds))} ago`;
}
