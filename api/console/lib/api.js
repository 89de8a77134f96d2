/** The client of the public API. Pages use nothing else, so a program can do whatever a page can. */
import { ApiError, away, broken, json, parsed, request } from "./http.js";
import { ended, session } from "./session.js";

/** Lets the sign-in page know of a session that is over, and passes the error on. */
function noticed(error) {
  if (error.code === "session_ended") ended();
  return error;
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
  try {
    return await request(method, url(path, options.query), {
      headers,
      body: options.form ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
      signal: options.signal,
      keepalive: options.keepalive,
    });
  } catch (error) {
    throw noticed(error);
  }
}

export const get = async (path, query, signal) => json(await send("GET", path, { query, signal }));
export const post = async (path, body, signal) => json(await send("POST", path, { body, signal }));
export const patch = async (path, body) => json(await send("PATCH", path, { body }));
export const remove = async (path) => json(await send("DELETE", path));

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
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : broken();
    });
    if (done) throw broken();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const event = parsed(response.status, data);
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
    const sending = new XMLHttpRequest(); // fetch cannot say how much it has sent
    sending.open("POST", "/v1/files");
    sending.setRequestHeader("x-csrf-token", session.value?.csrf_token ?? "");
    sending.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    sending.onerror = () => reject(away("POST"));
    sending.onload = () => {
      try {
        resolve(parsed(sending.status, sending.responseText));
      } catch (error) {
        reject(noticed(error));
      }
    };
    sending.send(form);
  });
}
