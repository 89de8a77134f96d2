import { html } from "../lib/html.js";
import { singleKeys } from "./keys.js";

/** The key that does the same as the button it is in; read out as part of no name. */
export const Key = ({ children, always }) => (always || singleKeys.value) && html`<kbd class="key" aria-hidden="true">${children}</kbd>`;
