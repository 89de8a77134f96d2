/** A new comparison: which models answer which prompts, and how people vote on the responses. */
import { useEffect, useState } from "preact/hooks";
import { get, post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { address, go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { hasPrompts, NO_PROMPTS, PromptsField, promptsOf } from "../comparisons/prompts-field.js";
import { ModelsField } from "../comparisons/models-field.js";
import { VotesFields } from "../comparisons/votes-fields.js";
import { Field } from "../parts/field.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";

const BACK = ["#/comparisons", "Comparisons"];
const FIELDS = ["name", "models", "prompts", "n", "instructions", "votes_per_item"]; // whose errors are shown beside them

/** The request's body. */
function bodyOf(form) {
  const body = { name: form.name.trim(), mode: form.mode, instructions: form.instructions };
  if (form.imported) return { ...body, models: [], prompts: [] };
  return {
    ...body,
    models: form.models,
    ...promptsOf(form.prompts),
    n: form.n,
    overlap: form.overlap,
    votes_per_item: form.overlap === "controlled" ? form.votesPerItem : 1,
    sampling: { temperature: form.temperature, max_completion_tokens: form.tokens },
  };
}

function beginning() {
  const models = (address.value.query.get("models") ?? "").split(",").filter(Boolean);
  return {
    name: "", mode: models.length > 1 ? "pick" : "rank", models, prompts: NO_PROMPTS, n: models.length > 1 ? models.length : 4,
    instructions: "", overlap: "controlled", votesPerItem: 1, temperature: 1, tokens: 256, imported: false,
  };
}

export function Page() {
  const [form, setForm] = useState(beginning);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const { data } = useLoad((signal) => (may("models.read") ? get("/v1/models", {}, signal) : Promise.resolve({ data: [] })), []);
  const set = (changes) => setForm((before) => ({ ...before, ...changes }));
  const chatting = (data?.data ?? []).filter((model) => model.kind !== "reward_model").map((model) => model.id);
  useEffect(() => {
    if (chatting.length === 1 && form.models.length === 0) set({ models: chatting });
  }, [chatting.length]);
  const wrong = (name) => (error?.param?.split(".")[0] === name ? error.message : "");
  const complete = form.name.trim() && (form.imported || (form.models.length > 0 && hasPrompts(form.prompts)));

  async function create(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { id } = await post("/v1/comparisons", bodyOf(form));
      go(link("comparisons", id));
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  }

  return html`<${Frame} title="New comparison" back=${BACK} narrow>
    <form class="stack wide" onSubmit=${create}>
      <section class="card stack">
        <${Field} label="Name" wrong=${wrong("name")} hint="Annotators see it.">
          ${(attributes) => html`<input ...${attributes} class="input" required maxlength="200" value=${form.name} onInput=${(event) => set({ name: event.target.value })} />`}<//>
        <label class="choice"><input type="checkbox" checked=${form.imported} onChange=${(event) => set({ imported: event.target.checked })} />
          The votes were made elsewhere: I import them</label>
      </section>
      ${!form.imported && html`<section class="card stack" aria-label="Models and prompts">
        <${ModelsField} models=${chatting} value=${form.models}
          set=${(models) => set({ models, n: Math.max(form.n, models.length) })} wrong=${wrong("models")} />
        <${PromptsField} value=${form.prompts} set=${(prompts) => set({ prompts })} wrong=${wrong("prompts")} />
      </section>`}
      <${VotesFields} form=${form} set=${set} wrong=${wrong} />
      ${error && !FIELDS.includes(error.param?.split(".")[0]) && html`<${Problem} error=${error} />`}
      <div class="row">
        <button class="button primary" disabled=${busy || !complete}>${busy ? "Creating…" : "Create comparison"}</button>
        ${!complete && html`<span class="small quiet">${form.imported ? "It needs a name." : "It needs a name, a model and prompts."}</span>`}
      </div>
    </form>
  <//>`;
}
