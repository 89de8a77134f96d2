/** Numbers, times and sizes as people read them, in the reader's own language and zone. */

const whole = new Intl.NumberFormat("en");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  [60, "second"],
  [3600, "minute"],
  [86400, "hour"],
  [86400 * 30, "day"],
  [86400 * 365, "month"],
  [Infinity, "year"],
];

export const count = (value) => whole.format(value);

/** "1 row", "2 rows" */
export const many = (value, noun, plural = `${noun}s`) => `${count(value)} ${value === 1 ? noun : plural}`;

/** Four significant digits at most; powers of ten for what is tiny or huge. */
export function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e7)) return value.toExponential(1).replace("e-", "e−").replace("e+", "e");
  if (size >= 1000) return count(Math.round(value));
  return String(Number(value.toPrecision(4)));
}

export const percent = (value) => (value === null || value === undefined ? "–" : `${figure(Math.round(value * 1000) / 10)}%`);

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  const shown = value / 1000 ** power;
  return `${shown < 10 && power ? shown.toFixed(1) : Math.round(shown)} ${units[power]}`;
}

/** "3 minutes ago", "in 2 hours" @param {number} seconds since 1970 */
export function ago(seconds, now = Date.now() / 1000) {
  const away = seconds - now;
  if (Math.abs(away) < 5) return "just now";
  for (const [place, [limit, unit]] of UNITS.entries()) {
    if (Math.abs(away) < limit) return relative.format(Math.round(away / (place ? UNITS[place - 1][0] : 1)), unit);
  }
  return "";
}

/** The exact moment, in the reader's zone. */
export function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    timeZoneName: "short",
  });
}

/** The time of day. */
export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "1 h 4 min", "12 s" */
export function duration(seconds) {
  const left = Math.max(0, Math.round(seconds));
  if (left < 60) return `${left} s`;
  if (left < 3600) return `${Math.floor(left / 60)} min${left < 600 && left % 60 ? ` ${left % 60} s` : ""}`;
  const hours = Math.floor(left / 3600);
  if (hours < 48) return `${hours} h ${Math.round((left % 3600) / 60)} min`;
  return `${Math.floor(hours / 24)} days`;
}
