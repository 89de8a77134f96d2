import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { hasEnded, nameOf, RESUMABLE } from "../lib/jobs.js";
import { may } from "../lib/session.js";
import { Confirm } from "./confirm.js";

const DONE = { pause: "The job pauses at its next checkpoint.", resume: "The job is back in the queue.", cancel: "The job is cancelled." };

/** Pause, resume and cancel. */
export function JobActions({ job, changed }) {
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  if (!may("jobs.write")) return null;

  async function change(action) {
    const answer = await post(`/v1/fine_tuning/jobs/${job.id}/${action}`);
    announce(DONE[action]);
    changed(answer);
  }
  async function press(action) {
    setBusy(true);
    await change(action).catch((error) => announce(error.message));
    setBusy(false);
  }
  const canResume = job.status === "paused" || (job.status === "failed" && RESUMABLE.includes(job.error?.code));
  const canPause = ["queued", "running"].includes(job.status) && !job.pause_requested_at;
  return html`
    ${canResume && html`<button class="button primary" disabled=${busy} onClick=${() => press("resume")}>Resume</button>`}
    ${canPause && html`<button class="button" disabled=${busy} onClick=${() => press("pause")}>Pause</button>`}
    ${!hasEnded(job) && html`<button class="button danger" disabled=${busy} onClick=${() => setAsking(true)}>Cancel job</button>`}
    ${asking && html`<${Confirm} title=${`Cancel ${nameOf(job)}?`} action="Cancel the job" act=${() => change("cancel")} close=${() => setAsking(false)}>
      Training stops within seconds. A cancelled job cannot be resumed. Its checkpoints stay.
    <//>`}`;
}
