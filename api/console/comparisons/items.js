/** Prompts and responses, with the models that wrote them: for whoever made the comparison. */
import { useEffect, useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { post } from "../lib/api.js";
import { pathOf } from "../lib/comparisons.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { usePages } from "../lib/pages.js";
import { may } from "../lib/session.js";
import { Confirm } from "../parts/confirm.js";
import { Empty } from "../parts/empty.js";
import { promptText } from "../parts/evaluation.js";
import { Loading } from "../parts/loading.js";
import { Problem } from "../parts/problem.js";
import { Said } from "../parts/said.js";
import { AddPrompts } from "./add-prompts.js";

const AT_ONCE = 20;

function Item({ item, ask, writes }) {
  const right = item.gold && item.gold.map((level) => level.map((id) => item.responses.findIndex((each) => each.id === id) + 1).join(" = ")).join(" > ");
  return html`<article class="card stack far" aria-label=${`Item ${item.number}`}>
    <div class="card-head">
      <span class="row small"><span class="faint">Item ${item.number}</span>
        ${item.source !== "generated" && html`<span class="tag">${item.source}</span>`}
        ${right && html`<span class="tag">right order ${right}</span>`}
        ${!item.blind && html`<span class="tag">not blind: a response names its model</span>`}</span>
      ${writes && item.source === "generated" && (item.ready || item.error) && html`<button class="button small plain" onClick=${() => ask(item)}>Regenerate</button>`}
    </div>
    <p class="wrap pre">${promptText(item.prompt)}</p>
    ${item.error && html`<div class="message bad small">${item.error.message}</div>`}
    ${item.responses.length > 0
      ? html`<div class="sides">${item.responses.map((response, place) => html`<${Said} key=${response.id} who=${`${place + 1}. ${response.model ?? "from a file"}`} what=${response.text} />`)}</div>`
      : !item.error && html`<p class="small quiet">The responses are not generated yet.</p>`}
  </article>`;
}

export function Items({ comparison, changed }) {
  const [asked, setAsked] = useState(null);
  const { ready, failed, items } = comparison.progress;
  const { rows, more, error, busy, reload, grow } = usePages(pathOf(comparison.id, "items"), { limit: AT_ONCE });
  useEffect(() => reload(), [ready, failed, items]);
  const writes = may("comparisons.write") && may("chat");

  async function regenerate(item) {
    const { deleted_votes: deleted } = await post(pathOf(comparison.id, "items", item.id, "regenerate"), { delete_votes: true });
    announce(`Item ${item.number} gets other responses.${deleted ? ` ${many(deleted, "vote")} deleted.` : ""}`);
    reload();
    changed();
  }

  return html`<section class="stack" aria-labelledby="items">
    <h2 id="items">Items</h2>
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${!rows && !error && html`<${Loading}>Loading the items<//>`}
    ${rows?.length === 0 && html`<div class="card"><${Empty} title="No items yet">Import votes on the page of results.<//></div>`}
    ${rows?.map((item) => html`<${Item} key=${item.id} item=${item} writes=${writes} ask=${setAsked} />`)}
    ${more && html`<div><button class="button" disabled=${busy} onClick=${grow}>${busy ? "Reading more items…" : "Show more items"}</button></div>`}
    ${writes && comparison.models.length > 0 && html`<${AddPrompts} comparison=${comparison} added=${(after) => (changed(after), reload())} />`}
    ${asked && html`<${Confirm} title=${`Regenerate item ${asked.number}?`} action="Regenerate it" act=${() => regenerate(asked)} close=${() => setAsked(null)}>
      Its responses are replaced. Votes on them are deleted.<//>`}
  </section>`;
}
