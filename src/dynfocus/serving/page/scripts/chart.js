// The drawing of one answer over time: scores as an area, Cones as bars, Rods as ticks.

import { svg } from "./dom.js";
import { isFine } from "./format.js";

const FOOT = 16;
const WIDEST = 12;
const THINNEST = 1.5;

/** Where times and scores lie in a drawing of so many pixels. */
class Axes {
  constructor({ start, end, width, height }) {
    Object.assign(this, { start, end, width, height, base: height - FOOT });
  }

  x(time) {
    return (this.width * (Math.min(Math.max(time, this.start), this.end) - this.start)) / (this.end - this.start);
  }

  y(score) {
    return this.base - (this.base - 6) * Math.min(Math.max(score, 0), 1);
  }
}

/** Draw the frames of an answer; `place` has start, end, width and height. */
export function drawChart(answer, place, evidence = []) {
  const axes = new Axes(place);
  const frames = answer.frames;
  const looked = answer.looks?.intervals ?? [];
  const lasts = (place.end - place.start) / Math.max(1, frames.length);
  return svg(
    "svg",
    { class: "chart", width: axes.width, height: axes.height, viewBox: `0 0 ${axes.width} ${axes.height}`, "aria-hidden": "true" },
    ...evidence.flatMap((one) => [band(axes, one, "evidence"), band(axes, one, "evidence-edge", 3)]),
    ...looked.map((one) => band(axes, one, "looked")),
    svg("path", { class: "area", d: area(axes, frames) }),
    svg("path", { class: "rods", d: rods(axes, frames) }),
    svg("path", { class: "cones", d: cones(axes, frames, lasts) }),
    svg("path", { class: "base", d: `M0 ${axes.base + 0.5}H${axes.width}` }),
  );
}

function band(axes, [start, end], kind, height = axes.base) {
  const left = axes.x(start);
  return svg("rect", { class: kind, x: left, y: 0.5, width: Math.max(axes.x(end) - left, THINNEST), height, rx: kind === "looked" ? 3 : 0 });
}

/** Give the highest score in each column of pixels, so that hours draw as fast as a minute. */
function columns(axes, frames) {
  if (frames.length <= axes.width) return frames.map((frame) => [axes.x(frame.time), frame.score]);
  const highest = new Map();
  for (const frame of frames) {
    const column = Math.floor(axes.x(frame.time));
    highest.set(column, Math.max(highest.get(column) ?? 0, frame.score));
  }
  return [...highest].sort(([left], [right]) => left - right);
}

function area(axes, frames) {
  const points = columns(axes, frames);
  if (!points.length) return "";
  const steps = points.map(([x, score], place) => {
    const next = points[place + 1]?.[0] ?? axes.width;
    return `L${x.toFixed(1)} ${axes.y(score).toFixed(1)}H${next.toFixed(1)}`;
  });
  return `M${points[0][0].toFixed(1)} ${axes.base}${steps.join("")}V${axes.base}Z`;
}

function rods(axes, frames) {
  const places = new Set(frames.filter((frame) => !isFine(frame)).map((frame) => (Math.round(axes.x(frame.time) * 2) / 2 + 1).toFixed(1)));
  return [...places].map((x) => `M${x} ${axes.base + 5}v${FOOT - 7}`).join("");
}

function cones(axes, frames, lasts) {
  const width = Math.min(Math.max((axes.width * lasts) / (axes.end - axes.start) - 1.5, THINNEST), WIDEST);
  return frames
    .filter(isFine)
    .map((frame) => {
      const top = Math.min(axes.y(frame.score), axes.base - 6);
      return bar(axes.x(frame.time), top, width, axes.base);
    })
    .join("");
}

/** A bar with a round top. */
function bar(x, top, width, base) {
  const round = Math.min(width / 2, 3);
  const [left, right] = [x.toFixed(1), (x + width).toFixed(1)];
  const [inner, outer] = [(x + round).toFixed(1), (x + width - round).toFixed(1)];
  const below = (top + round).toFixed(1);
  return `M${left} ${base}V${below}Q${left} ${top.toFixed(1)} ${inner} ${top.toFixed(1)}H${outer}Q${right} ${top.toFixed(1)} ${right} ${below}V${base}Z`;
}
