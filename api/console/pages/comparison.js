/** One comparison: how far it is, who votes, and its items with the models that wrote the responses. */
import { useState } from "preact/hooks";
import { get, remove } from "../lib/api.js";
import { isMoving, pathOf, votePath } from "../lib/comparisons.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Annotators } from "../comparisons/annotators.js";
import { Facts } from "../comparisons/facts.js";
import { Items } from "../comparisons/items.js";
import { Progress } from "../comparisons/progress.js";
import { Confirm } from "../parts/confirm.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";

const BACK = ["#/comparisons", "Comparisons"];

export function Page({ id }) {
  const { data, error, loading, reload, set } = useLoad((signal) => get(pathOf(id), {}, signal), [id], (seen) => (isMoving(seen) ? 2.5 : 10));
  const [deleting, setDeleting] = useState(false);
  if (loading) return html`<${Frame} title="Comparison" back=${BACK}><${Loading}>Loading the comparison<//><//>`;
  if (!data) return html`<${Frame} title="Comparison" back=${BACK}><${Problem} error=${error} retry=${reload} /><//>`;
  const writes = may("comparisons.write");
  const actions = html`
    ${may("comparisons.vote") && data.progress.ready > 0 && html`<a class="button" href=${votePath(id)}>Vote</a>`}
    <a class="button primary" href=${link("comparisons", id, "results")}>Results</a>
    ${writes && html`<button class="button danger" onClick=${() => setDeleting(true)}>Delete</button>`}`;
  return html`<${Frame} title=${html`<span class="row">${data.name} <${Status} of=${data.status} /></span>`} back=${BACK} actions=${actions}>
    ${error && html`<${Problem} error=${error} />`}
    <${Progress} comparison=${data} />
    <div class="columns">
      <${Items} comparison=${data} changed=${(comparison) => (comparison ? set(comparison) : reload())} />
      <div class="stack">
        <${Annotators} comparison=${data} changed=${reload} />
        <${Facts} comparison=${data} />
      </div>
    </div>
    ${deleting && html`<${Confirm} title=${`Delete ${data.name}?`} action="Delete the comparison" close=${() => setDeleting(false)}
      act=${async () => (await remove(pathOf(id)), go("#/comparisons"))}>
      Its responses, votes and annotators are deleted. Files that were exported stay.
    <//>`}
  <//>`;
}
