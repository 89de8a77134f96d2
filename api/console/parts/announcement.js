import { announcement } from "../lib/announce.js";
import { html } from "../lib/html.js";

export const Announcement = () => html`<div class="announce" role="status" aria-live="polite">
  ${announcement.value && html`<span>${announcement.value}</span>`}
</div>`;
