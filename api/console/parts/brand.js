import { html } from "../lib/html.js";

export const Brand = () => html`<a class="brand" href="#/">
  <svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="var(--accent)" />
    <path d="M9 23V9h13M9 16h9" fill="none" stroke="var(--on-accent)" stroke-width="3.4" stroke-linecap="round" stroke-linejoin="round" />
    <circle cx="22.5" cy="21.5" r="2.5" fill="var(--on-accent)" />
  </svg>
  Fettle
</a>`;
