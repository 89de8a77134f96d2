/** Who votes: invitations, and what can be done with each. */
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { get, remove } from "../lib/api.js";
import { pathOf } from "../lib/comparisons.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { may } from "../lib/session.js";
import { Confirm } from "../parts/confirm.js";
import { Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { When } from "../parts/when.js";
import { Invite } from "./invite.js";

const KINDS = { key: "votes with a key", imported: "imported" };

function Row({ row, ask, writes }) {
  return html`<li class="stack tight">
    <div class="row spread"><strong class="wrap">${row.name}</strong>
      ${row.kind === "invited" ? html`<${Status} of=${row.status} />` : html`<span class="tag">${KINDS[row.kind]}</span>`}</div>
    <div class="row spread small">
      <span class="faint">${row.kind === "invited" && row.status === "live" && html`Expires <${When} at=${row.expires_at} />`}</span>
      ${writes && html`<span class="row">
        ${row.kind === "invited" && row.status === "live" && html`<button class="button small plain" onClick=${() => ask("revoke", row)}>Revoke</button>`}
        <button class="button small plain" onClick=${() => ask("delete", row)}>Delete votes</button>
      </span>`}
    </div>
  </li>`;
}

export function Annotators({ comparison, changed }) {
  const { data, error, reload } = useLoad((signal) => get(pathOf(comparison.id, "annotators"), {}, signal), [comparison.id, comparison.annotators], 15);
  const [asked, setAsked] = useState(null);
  const writes = may("comparisons.write");
  const again = () => (reload(), changed());

  async function revoke(row) {
    await remove(pathOf(comparison.id, "annotators", row.id));
    announce(`The invitation of ${row.name} is revoked.`);
    again();
  }
  async function deleteVotes(row) {
    const { deleted, files } = await remove(pathOf(comparison.id, "annotators", row.id, "votes"));
    announce(`${many(deleted, "vote")} deleted.${files.length ? ` Files that were made of some of them stay: ${files.join(", ")}.` : ""}`);
    again();
  }

  return html`<section class="card stack" aria-labelledby="annotators">
    <h2 id="annotators">Annotators</h2>
    ${writes && html`<${Invite} comparison=${comparison} invited=${again} />`}
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${data?.data.length === 0 && html`<p class="small quiet">Nobody votes yet. An invited person needs no account: the link is enough.</p>`}
    ${data?.data.length > 0 && html`<ul class="lines people">${data.data.map((row) => html`<${Row} key=${row.id} row=${row} writes=${writes} ask=${(what, of) => setAsked({ what, of })} />`)}</ul>`}
    ${asked?.what === "revoke" && html`<${Confirm} title=${`Revoke the invitation of ${asked.of.name}?`} action="Revoke it" act=${() => revoke(asked.of)} close=${() => setAsked(null)}>
      The link stops working at once. The votes stay.<//>`}
    ${asked?.what === "delete" && html`<${Confirm} title=${`Delete the votes of ${asked.of.name}?`} action="Delete the votes" act=${() => deleteVotes(asked.of)} close=${() => setAsked(null)}>
      The items become open again. Files that were made of these votes stay until you delete them.<//>`}
  </section>`;
}
