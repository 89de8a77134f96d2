import { html } from "../lib/html.js";

/** An error, with the server's own sentence. */
export const Problem = ({ error, retry }) => html`<div class="message bad" role="alert">
  <p>${error.message}</p>
  ${retry && html`<p><button class="button small" onClick=${retry}>Try again</button></p>`}
</div>`;
