// Every request of the page; nothing else knows an address of the server.

import { h } from "./dom.js";

const ROOT = "/dynfocus";

/** What a server refused, in a sentence. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const BY_STATUS = {
  401: "The server asks for its key. Reload the page and give it as the password.",
  404: "This is not there any more.",
  413: "The video is larger than this server takes.",
  415: "This is not a video that can be read.",
  429: "The server is busy with other questions; try again in a moment.",
  503: "The server has too much to do just now; try again in a moment.",
};

async function failure(response) {
  let told = null;
  try {
    told = messageOf(await response.json());
  } catch {
    // What is no JSON says less than the status.
  }
  const usual = BY_STATUS[response.status] ?? `The server answered with error ${response.status}.`;
  return new ApiError(told ?? usual, response.status);
}

function messageOf(body) {
  if (typeof body?.error === "string") return body.error;
  if (body?.error?.message) return body.error.message;
  if (typeof body?.detail === "string") return body.detail;
  return body?.detail?.[0]?.msg ?? null;
}

const UNREACHABLE = "The server does not answer. See whether dynfocus serve still runs.";

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(ROOT + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(UNREACHABLE, 0);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

function json(body) {
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

const get = async (path) => (await request(path)).json();
const post = async (path, body, options = {}) => request(path, { method: "POST", ...json(body), ...options });
const at = (id) => `/videos/${encodeURIComponent(id)}`;

export const about = () => get("/about");
export const listVideos = async () => (await get("/videos")).videos;
export const getVideo = (id) => get(at(id));
export const deleteVideo = (id) => request(at(id), { method: "DELETE" });
export const addAddress = async (address) => (await post("/videos", { address })).json();
export const addExample = async () => (await post("/example", {})).json();
export const listQuestions = async (id) => (await get(`${at(id)}/questions`)).questions;
export const deleteQuestion = (id, asked) => request(`${at(id)}/questions/${asked}`, { method: "DELETE" });
export const getSuggestions = async (id) => (await get(`${at(id)}/suggestions`)).suggestions;
export const getStoryboard = (id) => get(`${at(id)}/storyboard?format=json`);
export const findWords = async (id, query) => (await get(`${at(id)}/find?q=${encodeURIComponent(query)}`)).results;
export const contentAddress = (id) => `${ROOT}${at(id)}/content`;

/** The address of one picture, or of several in a row. */
export function pictureAddress(id, times, width) {
  const wanted = [times].flat().map((time) => Number(time.toFixed(3))).join(",");
  return `${ROOT}${at(id)}/frames?times=${wanted}&width=${Math.max(16, Math.round(width))}`;
}

/** Save the report of all questions about a video. */
export async function saveReport(id, name) {
  const page = await (await request(`${at(id)}/report`)).blob();
  const link = h("a", { href: URL.createObjectURL(page), download: `${name.replace(/\.[^.]*$/, "")} report.html` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Send a file; `progress` is told the share that has arrived. */
export function upload(file, progress, signal) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name);
    sender.open("POST", `${ROOT}/videos`);
    sender.upload.addEventListener("progress", (event) => progress(event.loaded / event.total));
    sender.addEventListener("error", () => reject(new ApiError(`${file.name} did not arrive. ${UNREACHABLE}`, 0)));
    sender.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    sender.addEventListener("load", () => finishUpload(sender).then(resolve, reject));
    signal?.addEventListener("abort", () => sender.abort());
    sender.send(form);
  });
}

async function finishUpload(sender) {
  const answer = new Response(sender.response, { status: sender.status || 500 });
  if (!answer.ok) throw await failure(answer);
  return answer.json();
}

/** Follow how a video is read until it is ready or failed; gives each event. */
export async function* followReading(id, signal) {
  yield* readEvents(await request(`${at(id)}/events`, { signal }));
}

/** Ask; `onText` is given each piece of the answer, `onStep` what is done before; gives the whole. */
export async function ask(id, body, { onText, onStep, signal }) {
  const response = await post(`${at(id)}/ask`, { ...body, stream: true }, { signal });
  let answer = null;
  for await (const { data } of readEvents(response)) {
    if (data.error) throw new ApiError(messageOf(data) ?? "The answer broke off.", 500);
    if (data.progress) onStep(data.progress);
    if (data.delta) onText(data.delta);
    answer = data.answer ?? answer;
  }
  if (answer === null) throw new ApiError("The answer broke off. Ask again.", 0);
  return answer;
}

/** Read server-sent events as `{event, data}`. */
async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      held = (held + value).replaceAll("\r\n", "\n");
      const blocks = held.split("\n\n");
      held = blocks.pop();
      for (const block of blocks) {
        const found = parseEvent(block);
        if (found) yield found;
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(`The connection broke. ${UNREACHABLE}`, 0);
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  let [event, lines] = ["message", []];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) lines.push(line.slice(5).trimStart());
  }
  if (!lines.length || lines[0] === "[DONE]") return null;
  return { event, data: JSON.parse(lines.join("\n")) };
}
