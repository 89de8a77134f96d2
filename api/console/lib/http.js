/** Requests, and what went wrong with one in words. "Not responding" is said only where no answer came. */

const NOBODY_THERE = [502, 503, 504];
const LATER = [408, 425, 429];

/** A request that failed. The message is the server's own sentence where it has one. */
export class ApiError extends Error {
  /** @param {number} status 0: no answer came @param {{message: string, code?: string, param?: string}} error */
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code ?? null;
    this.param = error.param ?? null;
  }
}

/** Whether the same request would fail again later. */
export const isFinal = ({ status }) => status >= 400 && status < 500 && !LATER.includes(status);

export function away(method) {
  const then = method === "GET" ? "; this page tries again." : ", then try again.";
  return new ApiError(0, { message: `Fettle is not responding. Check that it is running${then}`, code: "away" });
}

export const broken = () => new ApiError(0, { message: "The connection ended before the whole answer was here. Try again.", code: "broken" });

const redirected = () => new ApiError(302, { message: "A proxy in front of Fettle asks you to sign in again. Reload this page.", code: "redirected" });

/** An answer that is not from Fettle. */
function foreign(status) {
  if (status === 413) return "The proxy in front of Fettle refused the upload as too large (status 413). Ask the operator to raise the proxy's limit.";
  if (NOBODY_THERE.includes(status)) return `The proxy in front of Fettle cannot reach it (status ${status}). Fettle may be starting. Try again in a minute, then ask the operator.`;
  return `The server answered with status ${status} and without a reason. Try again, then ask the operator to look at the log of Fettle and of any proxy in front of it.`;
}

function notJson(status) {
  const message = `The answer (status ${status}) is not from Fettle: it is not JSON. A proxy may have sent it. Reload this page, then ask the operator.`;
  return new ApiError(status, { message, code: "not_json" });
}

/** What a body says. @param {boolean} [well] whether it is the answer and no error @throws {ApiError} */
export function parsed(status, text, well = status >= 200 && status < 300) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  if (!well) throw new ApiError(status, body?.error?.message ? body.error : { message: foreign(status) });
  if (body === undefined) throw notJson(status);
  return body;
}

const textOf = (response) =>
  response.text().catch((error) => {
    throw error.name === "AbortError" ? error : broken();
  });

/** @param {Response} response @param {boolean} [well] as above @throws {ApiError} */
export const json = async (response, well = response.ok) => parsed(response.status, await textOf(response), well);

/** Sends a request and returns the response, whatever its status. @param {RequestInit} options @throws {ApiError} */
export async function attempt(method, path, options) {
  let response;
  try {
    response = await fetch(path, { method, credentials: "same-origin", redirect: "manual", ...options });
  } catch (error) {
    throw error.name === "AbortError" ? error : away(method);
  }
  if (response.type === "opaqueredirect") throw redirected();
  return response;
}

/** As `attempt`, but the response is a success. @throws {ApiError} */
export async function request(method, path, options) {
  const response = await attempt(method, path, options);
  if (!response.ok) await json(response); // which throws
  return response;
}
