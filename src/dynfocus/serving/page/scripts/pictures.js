// Pictures of several moments, fetched as one row and painted each on its own canvas.

import * as api from "./api.js";
import { h } from "./dom.js";

const MOST = 64;

/** Give a canvas for each moment; they are painted once the row has come. */
export function pictureRow(id, times, width) {
  const canvases = times.map(() => h("canvas", { "aria-hidden": "true" }));
  for (let first = 0; first < times.length; first += MOST) {
    const part = canvases.slice(first, first + MOST);
    const row = loadRow(id, times.slice(first, first + MOST), width, () => {
      part.forEach((canvas, place) => {
        const [cell, high] = [row.naturalWidth / part.length, row.naturalHeight];
        Object.assign(canvas, { width: cell, height: (cell * 3) / 4 });
        paint(canvas, { x: 0, width: canvas.width }, row, { x: place * cell, width: cell, height: high });
      });
    });
  }
  return canvases;
}

/** Load the pictures of some moments side by side. */
export function loadRow(id, times, width, whenThere) {
  return h("img", { alt: "", onload: whenThere, src: api.pictureAddress(id, times, width) });
}

/** Paint a cell of a row over the whole height of a canvas, cut to fit. */
export function paint(canvas, target, row, cell) {
  const zoom = Math.max(target.width / cell.width, canvas.height / cell.height);
  const [width, height] = [target.width / zoom, canvas.height / zoom];
  const [left, top] = [cell.x + (cell.width - width) / 2, (cell.height - height) / 2];
  canvas.getContext("2d").drawImage(row, left, top, width, height, target.x, 0, target.width, canvas.height);
}
