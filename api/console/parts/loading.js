import { html } from "../lib/html.js";

/** What is being waited for, in words. */
export const Loading = ({ children }) => html`<p class="loading" role="status">${children}…</p>`;
