import { useState } from "preact/hooks";
import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { Code } from "./code.js";
import { Field } from "./field.js";
import { Problem } from "./problem.js";
import { Select } from "./select.js";

const SCOPES = {
  all: ["Everything in the project", ["all"]],
  work: ["Datasets, jobs and models", ["files.read", "files.write", "jobs.read", "jobs.write", "models.read", "models.write", "chat"]],
  chat: ["Only send prompts to models", ["chat", "models.read"]],
  vote: ["Only vote in comparisons", ["comparisons.vote"]],
};
const LIFETIMES = [["", "Never"], ["2592000", "In 30 days"], ["7776000", "In 90 days"], ["31536000", "In a year"]];

/** Makes a key and shows it once. */
export function NewKey({ project, made }) {
  const [name, setName] = useState("");
  const [owner, setOwner] = useState("");
  const [scope, setScope] = useState("all");
  const [lifetime, setLifetime] = useState("");
  const [value, setValue] = useState(null);
  const [error, setError] = useState(null);
  async function create(event) {
    event.preventDefault();
    setError(null);
    try {
      const key = await post("/v1/api_keys", { name, project, ...(owner.trim() && { owner: owner.trim() }), scopes: SCOPES[scope][1], ...(lifetime && { expires_in: Number(lifetime) }) });
      setValue(key.value);
      setName("");
      made();
    } catch (problem) {
      setError(problem);
    }
  }
  return html`<section class="card stack" aria-labelledby="new-key"><h2 id="new-key">New key</h2>
    <form class="form-row" onSubmit=${create}>
      <${Field} label="Name">${(attributes) => html`<input ...${attributes} class="input" required maxlength="256" placeholder="What uses it" value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>
      <${Field} label="Owner (optional)">${(attributes) => html`<input ...${attributes} class="input" maxlength="256" placeholder="Whose it is" value=${owner} onInput=${(event) => setOwner(event.target.value)} />`}<//>
      <${Select} label="It may" value=${scope} choose=${setScope} options=${Object.entries(SCOPES).map(([key, [words]]) => [key, words])} />
      <${Select} label="Expires" value=${lifetime} choose=${setLifetime} options=${LIFETIMES} />
      <button class="button primary">Create key</button>
    </form>
    ${error && html`<${Problem} error=${error} />`}
    ${value && html`<div class="stack tight"><p class="message good">Copy the key now. It is not shown again.</p><${Code}>${value}<//></div>`}
  </section>`;
}
