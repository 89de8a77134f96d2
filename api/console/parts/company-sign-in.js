/** The person whom a company's sign-in names: their projects, or what to do without one. */
import { html } from "../lib/html.js";
import { Code } from "./code.js";

const command = (person) => `fettle keys create console --project NAME --owner '${person.replaceAll("'", "'\\''")}'`;

/** @param {{person: string, projects: {id: string, name: string}[], busy: boolean, enter: (id: string) => void}} props */
export function CompanySignIn({ person, projects, busy, enter }) {
  return html`<section class="card stack">
    <h1>Sign in</h1>
    <p class="wrap">Your company's sign-in says that you are <strong>${person}</strong>.</p>
    ${projects.length > 0
      ? projects.map((project) => html`<button key=${project.id} class="button primary" disabled=${busy} onClick=${() => enter(project.id)}>Open the project ${project.name}</button>`)
      : html`<p>You have no project here yet. Ask an operator of Fettle to run this command with the project's name, then reload this page:</p>
        <${Code}>${command(person)}<//>`}
  </section>`;
}
