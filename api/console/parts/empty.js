import { html } from "../lib/html.js";

/** An empty list: what will be here, and what to do next. @param {{title: string, action?: any, children?: any}} props */
export const Empty = ({ title, action, children }) => html`<div class="empty">
  <h2>${title}</h2>
  <p>${children}</p>
  ${action}
</div>`;
