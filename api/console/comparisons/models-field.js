import { useId, useState } from "preact/hooks";
import { html } from "../lib/html.js";

/** Base models, tuned models, and checkpoints by their name. @param {{models: string[], value: string[], set: (value: string[]) => void, wrong?: string}} props */
export function ModelsField({ models, value, set, wrong }) {
  const [other, setOther] = useState("");
  const id = useId();
  const listed = [...models, ...value.filter((name) => !models.includes(name))];
  const turn = (name) => set(value.includes(name) ? value.filter((each) => each !== name) : [...value, name]);
  function add() {
    if (other.trim() && !value.includes(other.trim())) set([...value, other.trim()]);
    setOther("");
  }
  return html`<fieldset class="stack tight plain-set">
    <legend class="label">Models</legend>
    <p class="small quiet">One model answers each prompt several times. Of several models, each answers every prompt.</p>
    <div class="checks-list">${listed.map((name) => html`<label key=${name} class="choice"><input type="checkbox" checked=${value.includes(name)} onChange=${() => turn(name)} /><span class="mono wrap">${name}</span></label>`)}</div>
    <div class="row nowrap">
      <label class="hidden-text" for=${id}>A checkpoint or another model</label>
      <input id=${id} class="input mono" placeholder="A checkpoint: ft:…:ckpt-step-…" value=${other} onInput=${(event) => setOther(event.target.value)}
        onKeyDown=${(event) => event.key === "Enter" && (event.preventDefault(), add())} />
      <button type="button" class="button" onClick=${add}>Add</button>
    </div>
    ${wrong && html`<div class="field"><div class="wrong" role="alert">${wrong}</div></div>`}
  </fieldset>`;
}
