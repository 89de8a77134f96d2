import { html } from "../lib/html.js";

/** A choice among a few views. @param {{label: string, value: string, options: [string, string][], choose: (value: string) => void}} props */
export const Tabs = ({ label, value, options, choose }) => html`<div class="tabs" role="group" aria-label=${label}>
  ${options.map(([key, word]) => html`<button key=${key} type="button" aria-pressed=${String(key === value)} onClick=${() => choose(key)}>${word}</button>`)}
</div>`;
