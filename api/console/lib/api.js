/** The client of the public API. Pages use nothing else, so a program can do whatever a page can. */
import { ended, session } from "./session.js";

/** An answer that is an error. The message is the server's own sentence. */
export class ApiError extends Error {
  /** @param {number} status @param {{message: string, code?: string, param?: string}} error */
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code ?? null;
    this.param = error.param ?? null;
  }
}

const AWAY = { message: "Fettle is not responding. Check that it is running; this page tries again.", code: "away" };

/** @param {Response} response */
async function failure(response) {
  let error;
  try {
    error = (await response.json()).error;
  } catch {
    error = { message: `The server answered with status ${response.status}.` };
  }
  if (error.code === "session_ended") ended();
  return new ApiError(response.status, error);
}

/** @param {Record<string, any>} [query] values that are null or undefined are left out */
export function url(path, query = {}) {
  const used = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return used.length ? `${path}?${new URLSearchParams(used)}` : path;
}

/**
 * Sends a request and returns the response, which is a success.
 *
 * @param {{body?: any, form?: FormData, query?: Record<string, any>, signal?: AbortSignal, headers?: any, keepalive?: boolean}} [options]
 *   keepalive: it is sent even if the page closes
 * @throws {ApiError}
 */
export async function send(method, path, options = {}) {
  const headers = { ...options.headers };
  if (method !== "GET" && session.value) headers["x-csrf-token"] = session.value.csrf_token;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(url(path, options.query), {
      method,
      headers,
      body: options.form ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
      signal: options.signal,
      credentials: "same-origin",
      keepalive: options.keepalive,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, AWAY);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export const get = async (path, query, signal) => (await send("GET", path, { query, signal })).json();
export const post = async (path, body, signal) => (await send("POST", path, { body, signal })).json();
export const patch = async (path, body) => (await send("PATCH", path, { body })).json();
export const remove = async (path) => (await send("DELETE", path)).json();

/** Every row of a list, page after page, up to `most`. */
export async function all(path, query = {}, most = 1000, signal = undefined) {
  const rows = [];
  let after;
  while (rows.length < most) {
    const page = await get(path, { ...query, after }, signal);
    rows.push(...page.data);
    if (!page.has_more || page.data.length === 0) break;
    after = page.data.at(-1).id;
  }
  return rows;
}

/**
 * Server-sent events of a streamed answer, parsed, until `[DONE]`.
 *
 * @returns {AsyncGenerator<any>}
 */
export async function* stream(path, body, signal) {
  const response = await send("POST", path, { body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(500, event.error);
      yield event;
    }
  }
}

/** Uploads a dataset; `progress` gets the share that is sent. @returns {Promise<any>} the file */
export function upload(file, progress) {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch cannot say how much it has sent
    request.open("POST", "/v1/files");
    request.setRequestHeader("x-csrf-token", session.value?.csrf_token ?? "");
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new ApiError(0, AWAY));
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { error: { message: `The server answered with status ${request.status}.` } };
      }
      if (request.status < 300) resolve(answer);
      else reject(new ApiError(request.status, answer.error));
    };
    request.send(form);
  });
}
