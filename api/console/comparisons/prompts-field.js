/** Prompts as pasted lines, or those of a dataset. */
import { get } from "../lib/api.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { may } from "../lib/session.js";
import { Field } from "../parts/field.js";
import { Tabs } from "../parts/tabs.js";

/** @typedef {{from: "lines" | "file", lines: string, file: string, limit: number}} Prompts @type {Prompts} */
export const NO_PROMPTS = { from: "lines", lines: "", file: "", limit: 50 };

const linesOf = (text) => text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);

/** Fields of the request. */
export const promptsOf = (value) => (value.from === "lines" ? { prompts: linesOf(value.lines) } : { prompts: value.file, limit: value.limit });
export const hasPrompts = (value) => (value.from === "lines" ? linesOf(value.lines).length > 0 : value.file !== "");

const datasets = (signal) => get("/v1/files", { purpose: "fine-tune", limit: 100 }, signal);

/** @param {{value: Prompts, set: (value: Prompts) => void, wrong?: string}} props */
export function PromptsField({ value, set, wrong }) {
  const { data } = useLoad((signal) => (may("files.read") ? datasets(signal) : Promise.resolve({ data: [] })), []);
  const change = (changes) => set({ ...value, ...changes });
  const files = (data?.data ?? []).filter((file) => file.status !== "error");
  const count = linesOf(value.lines).length;
  return html`<div class="stack tight">
    <div class="row spread"><span class="label">Prompts</span>
      <${Tabs} label="Where the prompts come from" value=${value.from} choose=${(from) => change({ from })} options=${[["lines", "Paste lines"], ["file", "From a dataset"]]} /></div>
    ${value.from === "lines"
      ? html`<${Field} label="One prompt in each line" wrong=${wrong} hint=${count ? many(count, "prompt") : "Ten prompts are enough for a first job."}>
          ${(attributes) => html`<textarea ...${attributes} class="input" rows="7" value=${value.lines} onInput=${(event) => change({ lines: event.target.value })}></textarea>`}<//>`
      : html`<div class="grid-2">
          <${Field} label="Dataset" wrong=${wrong} hint=${files.length ? "The messages before each answer become prompts." : "This project has no dataset yet."}>
            ${(attributes) => html`<select ...${attributes} class="input" value=${value.file} onChange=${(event) => change({ file: event.target.value })}>
              <option value="">Choose one</option>
              ${files.map((file) => html`<option key=${file.id} value=${file.id}>${file.filename}</option>`)}
            </select>`}<//>
          <${Field} label="At most" hint="Prompts, from the beginning">
            ${(attributes) => html`<input ...${attributes} class="input" type="number" min="1" max="1000" required value=${value.limit} onInput=${(event) => change({ limit: Number(event.target.value) })} />`}<//>
        </div>`}
  </div>`;
}
