import { useState } from "preact/hooks";
import { post } from "../lib/api.js";
import { pathOf } from "../lib/comparisons.js";
import { html } from "../lib/html.js";
import { Code } from "../parts/code.js";
import { Field } from "../parts/field.js";

const DAYS = [1, 7, 30, 90];

/** A form that makes one invitation. Its link is shown once: the server keeps no copy of the token. */
export function Invite({ comparison, invited }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState(7);
  const [made, setMade] = useState(null);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);

  async function invite(event) {
    event.preventDefault();
    setBusy(true);
    setWrong("");
    try {
      setMade(await post(pathOf(comparison.id, "annotators"), { name: name.trim(), expires_in_days: days }));
      setName("");
      invited();
    } catch (error) {
      setWrong(error.message);
    }
    setBusy(false);
  }

  return html`<div class="stack">
    ${made && html`<div class="stack tight" role="status">
      <p class="small"><strong class="wrap">Send this link to ${made.name}.</strong> It is shown only now.</p>
      <${Code} label="Copy link">${location.origin + made.link}<//>
    </div>`}
    <form class="stack tight" onSubmit=${invite}>
      <${Field} label="Invite a person" wrong=${wrong}>
        ${(attributes) => html`<input ...${attributes} class="input" required maxlength="200" placeholder="Their name" value=${name} onInput=${(event) => setName(event.target.value)} />`}
      <//>
      <div class="row spread nowrap">
        <label class="choice small nobreak">Valid for
          <select class="input" value=${days} onChange=${(event) => setDays(Number(event.target.value))}>
            ${DAYS.map((each) => html`<option key=${each} value=${each}>${each === 1 ? "1 day" : `${each} days`}</option>`)}
          </select></label>
        <button class="button" disabled=${busy}>${busy ? "Inviting…" : "Invite"}</button>
      </div>
    </form>
  </div>`;
}
