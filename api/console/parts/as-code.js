import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { curlCode, sdkCode } from "../lib/methods.js";
import { Code } from "./code.js";
import { Tabs } from "./tabs.js";

/** The same job for programs. */
export function AsCode({ body }) {
  const [view, setView] = useState("sdk");
  return html`<section class="card stack" aria-labelledby="as-code">
    <div class="row spread"><h2 id="as-code">As code</h2>
      <${Tabs} label="Language" value=${view} choose=${setView} options=${[["sdk", "SDK"], ["curl", "curl"]]} /></div>
    <${Code}>${(view === "sdk" ? sdkCode : curlCode)(body, location.origin)}<//>
  </section>`;
}
