import { html } from "../lib/html.js";

/** Status of a job, a file, a worker or a check → its word and its look. The word is always there: colour never stands alone. */
const LOOKS = {
  queued: ["Waiting", "hollow"],
  running: ["Running", "live"],
  paused: ["Paused", "warn hollow"],
  succeeded: ["Succeeded", "good"],
  failed: ["Failed", "bad"],
  cancelled: ["Cancelled", "hollow"],
  processed: ["Valid", "good"],
  error: ["Has errors", "bad"],
  ready: ["Ready", "good"],
  stopping: ["Stopping", "warn"],
  lost: ["Not responding", "bad"],
  live: ["Live", "good"],
  expired: ["Expired", "warn"],
  revoked: ["Revoked", "hollow"],
  ok: ["Passed", "good"],
  warning: ["Warning", "warn"],
};

export function Status({ of }) {
  const [word, look] = LOOKS[of] ?? [of, "hollow"];
  return html`<span class=${`status ${look}`}>${word}</span>`;
}
