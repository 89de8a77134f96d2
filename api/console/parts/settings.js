import { figure } from "../lib/format.js";
import { html } from "../lib/html.js";
import { settingsOf } from "../lib/jobs.js";
import { words } from "../lib/metrics.js";

const isGroup = ([name, value]) => name !== "hyperparameters" && value !== null && typeof value === "object" && !Array.isArray(value);

/** Every hyperparameter of the job, as it was resolved; those of another part of it under a heading. */
export function Settings({ job }) {
  const settings = Object.entries(settingsOf(job));
  const own = settings.filter((each) => !isGroup(each)).flatMap(([name, value]) => flat(name === "hyperparameters" ? "" : name, value));
  return html`<section class="card stack" aria-labelledby="settings">
    <h2 id="settings">Settings</h2>
    <p class="small quiet">Every value is the one that the job uses; what you left to Fettle is filled in.</p>
    <${Rows} rows=${own} />
    ${settings.filter(isGroup).map(([name, value]) => html`<h3 key=${name}>${words(name)}</h3><${Rows} rows=${flat("", value)} />`)}
  </section>`;
}

const Rows = ({ rows }) => html`<dl class="facts">${rows.map(([name, value]) => html`<dt key=${name} class="mono wrap">${name}</dt><dd class="mono wrap">${value}</dd>`)}</dl>`;

/** An element of a list; a reward function by its name and version, as its source is long. */
function shown(each) {
  if (typeof each !== "object") return String(each);
  const { source, ...rest } = each;
  const version = rest.version ? `, version ${rest.version}` : "";
  return source ? `${rest.name}${version}${rest.weight === undefined ? "" : `, weight ${figure(rest.weight)}`}` : JSON.stringify(each);
}

/** Nested settings as rows with dotted names. */
function flat(name, value) {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return [[name, value.map(shown).join(", ")]];
  if (typeof value === "object") return Object.entries(value).flatMap(([inner, each]) => flat(name ? `${name}.${inner}` : inner, each));
  return [[name, typeof value === "number" ? figure(value) : String(value)]];
}
