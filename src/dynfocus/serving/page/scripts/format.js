// Numbers and times for people.

/** A time in seconds as m:ss or h:mm:ss, with tenths where a frame is shorter than a second. */
export function clock(seconds, withTenths = false) {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  const whole = withTenths ? Math.floor(tenths / 10) : Math.floor(seconds + 1e-6);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const padded = String(whole % 60).padStart(2, "0");
  const fraction = withTenths ? `.${tenths % 10}` : "";
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${padded}${fraction}` : `${minutes}:${padded}${fraction}`;
}

/** A time in words, for screen readers. */
export function spoken(seconds) {
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ];
  const said = parts.filter(([count], place) => count || (place === 2 && whole === 0));
  return said.map(([count, unit]) => plural(count, unit)).join(" ");
}

/** Read a time that a person typed: seconds, m:ss or h:mm:ss; null for nothing, NaN for nonsense. */
export function readClock(text) {
  if (!text.trim()) return null;
  const parts = text.trim().split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d+)?$/.test(part))) return Number.NaN;
  return parts.reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** A count with its noun. */
export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A message that a program wrote, as a sentence. */
export function sentence(text) {
  const begun = /^\w+:\/\/|^\w*_/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** A share in percent. */
export function percent(share) {
  const value = 100 * share;
  return `${value > 0 && value < 1 ? "under 1" : Math.round(value)} %`;
}

/** A size of a file. */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB"];
  let [value, unit] = [count, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(value < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

const KINDS = { cone: "Cone", rod: "Rod", high: "dense frame", low: "low-frequency frame" };

/** What a frame of an answer is called. */
export function kindName(kind) {
  return KINDS[kind] ?? kind;
}

/** Whether a frame is one of those that matter. */
export function isFine(frame) {
  return frame.kind === "cone" || frame.kind === "high";
}

/** Times for the marks of an axis, at most about `most` of them. */
export function ticks(start, end, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];
  const step = steps.find((one) => (end - start) / one <= most) ?? 86400;
  const found = [];
  for (let time = Math.ceil(start / step) * step; time <= end; time += step) found.push(time);
  return found;
}
