import { figure } from "../lib/format.js";
import { html } from "../lib/html.js";

const AT_MOST = 20_000; // characters; more would make the page slow, not clearer

/** A text of a person or a model, as it is. @param {{who: any, what: any, score?: number | null, plain?: boolean}} props */
export function Said({ who, what, score, plain }) {
  const text = typeof what === "string" ? what : JSON.stringify(what, null, 2) ?? "";
  const shown = text.length > AT_MOST ? `${text.slice(0, AT_MOST)}…` : text;
  return html`<div class="stack tight">
    <div class="row spread small"><span class="faint">${who}</span>${typeof score === "number" && html`<span class="tag">reward ${figure(score)}</span>`}</div>
    ${plain ? html`<p class="wrap" style=${{ whiteSpace: "pre-wrap" }}>${shown}</p>` : html`<div class="said">${shown || html`<span class="faint">(empty)</span>`}</div>`}
  </div>`;
}
