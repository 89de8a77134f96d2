/** Who changed what, and from where, newest first. */
import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

const SHOWN = 200;
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
  const { data, error, loading, reload } = useLoad((signal) => get("/v1/audit_logs", { limit: SHOWN }, signal));
  if (loading) return html`<${Frame} title=${TITLE}><${Loading}>Reading the log<//><//>`;
  if (!data) return html`<${Frame} title=${TITLE}><${Problem} error=${error} retry=${reload} /><//>`;
  return html`<${Frame} title=${TITLE} lead=${data.has_more ? `The newest ${SHOWN} changes. The command "fettle audit --jsonl" exports all.` : ""}>
    <div class="card flush">
      ${data.data.length ? html`<${Table} caption="Changes" columns=${COLUMNS} rows=${data.data} rowKey=${(entry) => entry.id} />`
        : html`<${Empty} title="Nothing was changed yet">Each change by a key or by a command of the operator appears here.<//>`}
    </div>
  <//>`;
}
