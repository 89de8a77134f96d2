import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { Field } from "./field.js";
import { Problem } from "./problem.js";

/** For operators: a project has keys, data, jobs and quotas of its own. */
export function NewProject({ create, made }) {
  const [name, setName] = useState("");
  const [error, setError] = useState(null);
  async function submit(event) {
    event.preventDefault();
    setError(null);
    try {
      made(await create(name));
      setName("");
    } catch (problem) {
      setError(problem);
    }
  }
  return html`<section class="card stack" aria-labelledby="new-project"><h2 id="new-project">New project</h2>
    <p class="small quiet">A project has keys, datasets, jobs and models of its own, which no other project sees.</p>
    <form class="form-row" onSubmit=${submit}>
      <${Field} label="Name of the project">${(attributes) => html`<input ...${attributes} class="input" required maxlength="64" value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>
      <button class="button">Create project</button>
    </form>
    ${error && html`<${Problem} error=${error} />`}
  </section>`;
}
