import { useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { figure } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Problem } from "./problem.js";

const FIRST = 5;

/** The job's checkpoints, newest first: chat with one, or go on from it. news: changes when there may be another one. */
export function Checkpoints({ job, news }) {
  const [every, setEvery] = useState(false);
  const { data, error } = useLoad((signal) => get(`/v1/fine_tuning/jobs/${job.id}/checkpoints`, { limit: 100 }, signal), [job.id, news]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!data || data.data.length === 0) return null;
  const { length } = data.data;
  const shown = every ? data.data : data.data.slice(0, FIRST);
  return html`<section class="card stack" aria-labelledby="checkpoints">
    <h2 id="checkpoints">Checkpoints</h2>
    <ul class="lines small">${shown.map((checkpoint) => html`<li key=${checkpoint.id} class="row spread">
      <div><strong>Step ${checkpoint.step_number}</strong> <span class="quiet">${scoreOf(checkpoint.metrics)}</span></div>
      <div class="row">
        ${job.method.type !== "reward_model" && html`<a href=${`#/playground?models=${encodeURIComponent(checkpoint.fine_tuned_model_checkpoint)}`}>Chat</a>`}
        <a href=${`#/new-job?model=${encodeURIComponent(checkpoint.fine_tuned_model_checkpoint)}`}>Go on from here</a>
      </div>
    </li>`)}</ul>
    ${length > FIRST && html`<div><button class="button small" onClick=${() => setEvery(!every)}>${every ? "Show fewer" : `Show all ${length}${data.has_more ? " newest" : ""}`}</button></div>`}
  </section>`;
}

function scoreOf(metrics) {
  const [name, word] = [["valid_reward_mean", "validation reward"], ["valid_loss", "validation loss"], ["train_reward_mean", "reward"], ["train_loss", "loss"]].find(([each]) => metrics[each] !== null && metrics[each] !== undefined) ?? [];
  return name ? `${word} ${figure(metrics[name])}` : "";
}
