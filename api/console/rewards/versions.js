import { html } from "../lib/html.js";
import { link } from "../lib/router.js";
import { When } from "../parts/when.js";

/** @param {{versions: any[], shown: string}} props newest first. shown: the id of the one on the page */
export const Versions = ({ versions, shown }) => html`<section class="card stack" aria-labelledby="versions">
  <h2 id="versions">Versions</h2>
  <ul class="lines">${versions.map((each) => html`<li key=${each.id} class="row spread small">
    ${each.id === shown ? html`<strong>Version ${each.version}</strong>` : html`<a href=${link("rewards", each.id)}>Version ${each.version}</a>`}
    <span class="faint"><${When} at=${each.created_at} /></span></li>`)}</ul>
</section>`;
