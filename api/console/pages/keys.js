/** The project's API keys, its quotas, and for an operator the other projects. */
import { useState } from "preact/hooks";
import { all, get, post, remove } from "../lib/api.js";
import { announce } from "../lib/announce.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { may, session } from "../lib/session.js";
import { Confirm } from "../parts/confirm.js";
import { Loading } from "../parts/loading.js";
import { NewKey } from "../parts/new-key.js";
import { NewProject } from "../parts/new-project.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Quotas } from "../parts/quotas.js";
import { Select } from "../parts/select.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";

async function look(project, signal) {
  const [projects, chosen, keys] = await Promise.all([
    all("/v1/projects", { limit: 100 }, 1000, signal),
    get(`/v1/projects/${project}`, {}, signal),
    may("keys.read") ? all("/v1/api_keys", { limit: 100, project }, 1000, signal) : [],
  ]);
  return { projects, chosen, keys };
}

export function Page() {
  const [project, setProject] = useState(session.value.project.id);
  const { data, error, loading, reload } = useLoad((signal) => look(project, signal), [project]);
  const [revoking, setRevoking] = useState(null);
  const [deleting, setDeleting] = useState(false);
  if (loading && !data) return html`<${Frame} title="Keys and quotas"><${Loading}>Loading keys<//><//>`;
  if (!data) return html`<${Frame} title="Keys and quotas"><${Problem} error=${error} retry=${reload} /><//>`;
  const columns = [
    { title: "Key", cell: (key) => html`<span class="wrap">${key.name}</span><span class="sub mono">${key.redacted_value}</span>` },
    { title: "Owner", cell: (key) => key.owner && html`<span class="wrap">${key.owner}</span>` },
    { title: "Status", cell: (key) => html`<${Status} of=${key.status} />` },
    { title: "May", cell: (key) => html`<span class="small wrap">${key.scopes.join(", ")}</span>` },
    { title: "Created", cell: (key) => html`<${When} at=${key.created_at} />` },
    { title: "Expires", cell: (key) => (key.expires_at ? html`<${When} at=${key.expires_at} />` : "never") },
    { title: "", end: true, cell: (key) => key.status === "live" && may("keys.write") && html`<button class="button small danger" aria-label=${`Revoke ${key.name}`} onClick=${() => setRevoking(key)}>Revoke</button>` },
  ];
  const picker = data.projects.length > 1 && html`<${Select} inline label="Project" value=${project} choose=${setProject} options=${data.projects.map((each) => [each.id, each.name])} />`;
  return html`<${Frame} title="Keys and quotas" lead="A key opens one project and does what its scopes say." actions=${picker}>
    ${error && html`<${Problem} error=${error} />`}
    ${may("keys.write") && html`<${NewKey} project=${project} made=${reload} />`}
    ${may("keys.read") && html`<section class="card flush" aria-label="API keys"><${Table} caption="API keys" columns=${columns} rows=${data.keys} rowKey=${(key) => key.id} /></section>`}
    <${Quotas} key=${project} project=${data.chosen} saved=${reload} />
    ${may("admin") && html`<${NewProject} made=${(made) => (setProject(made.id), announce(`${made.name} is created.`))} create=${(name) => post("/v1/projects", { name })} />`}
    ${may("admin") && project !== session.value.project.id && html`<section class="card row spread" aria-labelledby="end"><div class="grow"><h2 id="end">Delete ${data.chosen.name}</h2>
      <p class="small quiet">Its keys, datasets, jobs, models, comparisons and reward functions go with it.</p></div>
      <button class="button danger" onClick=${() => setDeleting(true)}>Delete the project</button></section>`}
    ${deleting && html`<${Confirm} title=${`Delete ${data.chosen.name}?`} action="Delete everything in it" typed=${data.chosen.name} close=${() => setDeleting(false)}
      act=${async () => {
        await remove(`/v1/projects/${project}`);
        announce(`${data.chosen.name} is deleted.`);
        setProject(session.value.project.id);
      }}>Its keys, datasets, jobs, models, comparisons and reward functions are deleted, and programs that use them are refused. This cannot be undone.<//>`}
    ${revoking && html`<${Confirm} title=${`Revoke ${revoking.name}?`} action="Revoke the key" close=${() => setRevoking(null)}
      act=${async () => {
        await remove(`/v1/api_keys/${revoking.id}`);
        announce(`${revoking.name} is revoked.`);
        reload();
      }}>Programs that use it are refused from now on, and browsers that signed in with it are signed out. A revoked key cannot be restored.<//>`}
  <//>`;
}
