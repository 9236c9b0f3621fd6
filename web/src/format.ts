/** Formats numbers, durations, times and names for people. */

import type { Labels } from "./types.ts";

const SPACE = "\u00a0";
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const NAMES: Record<string, string> = {
  api: "API", cpu: "CPU", dns: "DNS", http: "HTTP", pnl: "PnL", sql: "SQL", tls: "TLS",
};
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A value with its unit, as short as possible without hiding a relevant difference. */
export function formatValue(value: number, unit: string): string {
  switch (unit) {
    case "percent":
      return number(value, Math.abs(value) < 10 ? 2 : 1) + SPACE + "%";
    case "bytes":
      return formatBytes(value);
    case "ms":
      return Math.abs(value) < 1000 ? digits(value) + SPACE + "ms" : digits(value / 1000) + SPACE + "s";
    case "seconds":
      return formatDuration(value);
    default:
      return plain(value) + (unit && SPACE + unit);
  }
}

/** A whole number. */
export function formatCount(count: number): string {
  return number(count, 0);
}

/** The two largest parts of a duration. */
export function formatDuration(seconds: number): string {
  const length = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (length < MINUTE) return sign + (length < 1 && length > 0 ? digits(length) : number(length, 0)) + SPACE + "s";
  if (length < HOUR) return sign + parts(length, MINUTE, "min", 1, "s");
  if (length < DAY) return sign + parts(length, HOUR, "h", MINUTE, "min");
  return sign + parts(length, DAY, "d", HOUR, "h");
}

/** A time ago, in minutes from one minute on. */
export function formatAge(seconds: number): string {
  if (seconds < 10) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds / 10) * 10}${SPACE}s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}${SPACE}min ago`;
  return `${formatDuration(seconds)} ago`;
}

/** A percentage, rounded down: a component that was down for a moment never shows 100 %. */
export function formatUptime(percent: number | null): string {
  return percent === null ? "–" : number(Math.floor(percent * 100) / 100, 2) + SPACE + "%";
}

/** A time on the axis of the chart, with the day if the range has several. */
export function formatTick(epoch: number, range_s: number): string {
  const time = new Date(epoch * 1000);
  return range_s > DAY ? DAYS.format(time) : TIMES.format(time);
}

export function formatTime(epoch: number): string {
  return MOMENTS.format(new Date(epoch * 1000));
}

/** The name of a metric without the words that its component, category and unit repeat. */
export function titleOf(metric: string, component: string, category: string, unit: string): string {
  const words = metric.split("_").filter((word) => word !== "" && word !== unit);
  if (words.length > 1 && (words[0] === component || words[0] === category)) words.shift();
  const text = words.map((word) => NAMES[word] ?? word.replace(/^load(\d+)$/, "load $1 min")).join(" ");
  return text === "" ? metric : text.charAt(0).toUpperCase() + text.slice(1);
}

/** Labels as text. The name of a single label is left out. */
export function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels);
  if (pairs.length === 1) return String(pairs[0]?.[1]);
  return pairs.map(([name, value]) => `${name}=${value}`).join(", ");
}

const TIMES = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAYS = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric" });
const MOMENTS = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

function formatBytes(value: number): string {
  const power = Math.min(Math.floor(Math.log2(Math.max(Math.abs(value), 1)) / 10), BYTES.length - 1);
  const scaled = value / 1024 ** power;
  return (power === 0 ? number(scaled, 0) : digits(scaled)) + SPACE + BYTES[power];
}

function parts(seconds: number, large: number, name: string, small: number, rest: string): string {
  const whole = Math.floor(seconds / large);
  const left = Math.floor((seconds % large) / small);
  return `${whole}${SPACE}${name}` + (left ? ` ${left}${SPACE}${rest}` : "");
}

function plain(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e12 || (size > 0 && size < 1e-4)) return value.toExponential(2).replace("-", "−");
  return size >= 1000 || Number.isInteger(value) ? number(value, 0) : digits(value);
}

/** A number with three significant digits, without trailing zeros. */
function digits(value: number): string {
  const size = Math.abs(value);
  return number(value, size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0);
}

function number(value: number, decimals: number): string {
  return new Intl.NumberFormat("en", { maximumFractionDigits: decimals }).format(value).replace("-", "−");
}
