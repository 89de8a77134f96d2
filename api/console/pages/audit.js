/** Who changed what, and from where, newest first. */
import { html } from "../lib/html.js";
import { usePages } from "../lib/pages.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const TITLE = "Audit log";

const who = ({ actor }) => actor[actor.type];
const COLUMNS = [
  { title: "When", cell: (entry) => html`<${When} at=${entry.effective_at} />` },
  { title: "Who", cell: (entry) => html`${who(entry).name}<span class="sub mono">${who(entry).id}</span>` },
  { title: "Change", cell: (entry) => html`<span class="mono small">${entry.type}</span>` },
  { title: "Of", cell: (entry) => html`<span class="mono small wrap">${entry[entry.type].id ?? ""}</span>` },
  { title: "From", cell: (entry) => entry.ip_address ?? entry.request },
];

export function Page() {
  const { rows, more, error, busy, reload, grow } = usePages("/v1/audit_logs");
  if (!rows && !error) return html`<${Frame} title=${TITLE}><${Loading}>Reading the log<//><//>`;
  if (!rows) return html`<${Frame} title=${TITLE}><${Problem} error=${error} retry=${reload} /><//>`;
  return html`<${Frame} title=${TITLE} lead=${more ? `The command "fettle audit --jsonl" exports all of it.` : ""}>
    <div class="card flush">
      ${rows.length ? html`<${Table} caption="Changes" columns=${COLUMNS} rows=${rows} rowKey=${(entry) => entry.id} more=${more} grow=${grow} />`
        : html`<${Empty} title="Nothing was changed yet">Each change by a key or by a command of the operator appears here.<//>`}
    </div>
    ${more && html`<div><button class="button" disabled=${busy} onClick=${grow}>${busy ? "Reading older changes…" : "Show older changes"}</button></div>`}
  <//>`;
}
