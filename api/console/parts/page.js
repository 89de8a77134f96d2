import { html } from "../lib/html.js";

/**
 * A page's head and body.
 *
 * @param {{title: any, lead?: any, actions?: any, back?: [string, string], narrow?: boolean, children?: any}} props
 *   back: address and title of the page above
 */
export const Page = ({ title, lead, actions, back, narrow, children }) => html`<div class=${`page ${narrow ? "narrow" : ""}`}>
  <div class="page-head">
    ${back && html`<div class="crumb"><a href=${back[0]}>← ${back[1]}</a></div>`}
    <div class="row spread">
      <h1>${title}</h1>
      ${actions && html`<div class="row">${actions}</div>`}
    </div>
    ${lead && html`<p>${lead}</p>`}
  </div>
  ${children}
</div>`;
