/** How people vote, and how the responses are drawn. */
import { html } from "../lib/html.js";
import { Markdown } from "../parts/markdown.js";
import { Field } from "../parts/field.js";

const number = (value, set, { min, max, step = 1 }) => (attributes) =>
  html`<input ...${attributes} class="input" type="number" required min=${min} max=${max} step=${step} value=${value} onInput=${(event) => set(event.target.value === "" ? min : Number(event.target.value))} />`;

function Choice({ name, value, now, set, title, words }) {
  return html`<label class="choice top"><input type="radio" name=${name} checked=${now === value} onChange=${() => set(value)} />
    <span><strong>${title}</strong><span class="sub small quiet">${words}</span></span></label>`;
}

export function VotesFields({ form, set, wrong }) {
  return html`<section class="card stack" aria-label="Votes">
    <fieldset class="stack tight plain-set">
      <legend class="label">People</legend>
      <${Choice} name="mode" value="rank" now=${form.mode} set=${(mode) => set({ mode })} title="Rank the responses" words="The best one first, ties allowed. For reward models and RLHF." />
      <${Choice} name="mode" value="pick" now=${form.mode} set=${(mode) => set({ mode, n: Math.max(2, form.models.length) })} title="Pick the better one" words="Quicker for each item. For DPO." />
    </fieldset>
    ${!form.imported && html`<div class="grid-3">
      <${Field} label="Responses to each prompt" wrong=${wrong("n")}>${number(form.n, (n) => set({ n }), { min: 2, max: 9 })}<//>
      <${Field} label="Votes">
        ${(attributes) => html`<select ...${attributes} class="input" value=${form.overlap} onChange=${(event) => set({ overlap: event.target.value })}>
          <option value="controlled">A number for each item</option>
          <option value="full">Each annotator votes on every item</option>
        </select>`}<//>
      ${form.overlap === "controlled" && html`<${Field} label="Votes for each item" wrong=${wrong("votes_per_item")} hint="Two or more show whether people agree.">${number(form.votesPerItem, (votesPerItem) => set({ votesPerItem }), { min: 1, max: 100 })}<//>`}
      <${Field} label="Temperature" hint="Higher: responses differ more.">${number(form.temperature, (temperature) => set({ temperature }), { min: 0, max: 2, step: 0.1 })}<//>
      <${Field} label="Tokens of a response, at most">${number(form.tokens, (tokens) => set({ tokens }), { min: 1, max: 8192 })}<//>
    </div>`}
    <${Field} label="Guidelines (optional)" wrong=${wrong("instructions")} hint="What a good response is, in Markdown. Annotators can always open them.">
      ${(attributes) => html`<textarea ...${attributes} class="input" rows="5" maxlength="20000" value=${form.instructions} onInput=${(event) => set({ instructions: event.target.value })}></textarea>`}<//>
    ${form.instructions.trim() && html`<details><summary class="small">Preview</summary><${Markdown} text=${form.instructions} /></details>`}
  </section>`;
}
