import { MODES } from "../lib/comparisons.js";
import { count, figure } from "../lib/format.js";
import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { Markdown } from "../parts/markdown.js";
import { When } from "../parts/when.js";

const OVERLAPS = {
  none: () => "One vote for each item",
  full: () => "One vote of each annotator for each item",
  controlled: (each) => (each === 1 ? "One vote for each item" : `${each} votes for each item`),
};

/** How the comparison was made. */
export function Facts({ comparison }) {
  const { sampling, progress } = comparison;
  const facts = [
    ["Task", MODES[comparison.mode]],
    ["Votes", OVERLAPS[comparison.overlap](comparison.votes_per_item)],
    ["Models", comparison.models.length > 0 && html`<ul>${comparison.models.map((model, place) => html`<li key=${place} class="mono wrap">${model}</li>`)}</ul>`],
    ["Responses", progress.items > 0 && `${comparison.n} for each prompt`],
    ["Sampling", progress.items > 0 && `temperature ${figure(sampling.temperature ?? 1)}, up to ${count(sampling.max_completion_tokens ?? 256)} tokens`],
    ["Hidden checks", (progress.gold > 0 || comparison.repeats) && `${count(progress.gold)} gold items${comparison.repeats ? ", and repeated items" : ""}; one item in ${comparison.check_every}`],
    ["From job", comparison.fine_tuning_job_id && html`<a class="mono wrap" href=${link("jobs", comparison.fine_tuning_job_id)}>${comparison.fine_tuning_job_id}</a>`],
    ["Created", html`<${When} at=${comparison.created_at} />`],
    ["Id", html`<span class="mono">${comparison.id}</span>`],
  ].filter(([, value]) => value);
  return html`<section class="card stack" aria-labelledby="facts">
    <h2 id="facts">About this comparison</h2>
    <dl class="facts">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    ${comparison.instructions.trim() && html`<details><summary class="small">Guidelines for annotators</summary><${Markdown} text=${comparison.instructions} /></details>`}
  </section>`;
}
