/** A new job: the method first, then only what the method needs. */
import { useEffect, useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { all, get, post } from "../lib/api.js";
import { fits, isDataset } from "../lib/files.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { bodyOf, METHODS } from "../lib/methods.js";
import { address, go, link } from "../lib/router.js";
import { Advice } from "../parts/advice.js";
import { AsCode } from "../parts/as-code.js";
import { DatasetField } from "../parts/dataset-field.js";
import { DatasetPreview } from "../parts/dataset-preview.js";
import { DryRun } from "../parts/dry-run.js";
import { Estimate } from "../parts/estimate.js";
import { Field } from "../parts/field.js";
import { Loading } from "../parts/loading.js";
import { MethodPicker } from "../parts/method-picker.js";
import { MethodSettings } from "../parts/method-settings.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Select } from "../parts/select.js";
import { RewardChoice } from "../rewards/choice.js";

const LEAD = "Choose how the model learns. Fettle fills in what you leave empty.";

async function choices(signal) {
  const [models, files] = await Promise.all([get("/v1/models", {}, signal), all("/v1/files", { limit: 100 }, 1000, signal)]);
  return { models: models.data, files: files.filter(isDataset) };
}

export function Page() {
  const { query } = address.value;
  const { data, error, loading, reload, set } = useLoad(choices);
  const [form, setForm] = useState({ method: METHODS[query.get("method")] ? query.get("method") : "supervised", model: query.get("model") ?? "", training: query.get("file") ?? "", validation: "", suffix: "", settings: {}, rewards: [] });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const change = (part) => setForm((before) => ({ ...before, ...part }));
  useEffect(() => {
    if (data && !form.model) change({ model: data.models.find((model) => model.kind === "chat")?.id ?? "" });
    const asked = data?.files.find((file) => file.id === form.training);
    if (asked && !fits(asked, form.method)) change({ method: Object.keys(METHODS).find((method) => fits(asked, method)) ?? form.method });
  }, [data]);
  if (loading) return html`<${Frame} title="New job"><${Loading}>Loading models and datasets<//><//>`;
  if (!data) return html`<${Frame} title="New job"><${Problem} error=${error} retry=${reload} /><//>`;

  const usable = data.files.filter((file) => fits(file, form.method));
  const training = usable.some((file) => file.id === form.training) ? form.training : "";
  const validation = usable.some((file) => file.id === form.validation) ? form.validation : "";
  const body = bodyOf({ ...form, training, validation });
  const missing = !form.model ? "Choose a model." : !training ? "Choose a dataset." : form.method === "reinforcement" && form.rewards.length === 0 ? "Choose at least one reward function." : "";
  const models = [...new Set([...data.models.filter((model) => model.kind === "chat" || form.method === "reward_model").map((model) => model.id), form.model].filter(Boolean))];
  const uploaded = (file) => set({ ...data, files: [file, ...data.files] });

  async function start(event) {
    event.preventDefault();
    if (missing) return setProblem(new Error(missing));
    setBusy(true);
    setProblem(null);
    try {
      const job = await post("/v1/fine_tuning/jobs", body);
      announce("The job is in the queue.");
      go(link("jobs", job.id));
    } catch (refusal) {
      setProblem(refusal);
      setBusy(false);
    }
  }
  return html`<${Frame} title="New job" lead=${LEAD} back=${["#/jobs", "Jobs"]}>
    <form class="columns" onSubmit=${start}>
      <div class="stack">
        <${MethodPicker} value=${form.method} choose=${(method) => change({ method })} />
        <section class="card stack" aria-labelledby="what"><h2 id="what">Model and data</h2>
          <${Select} label="Start from" value=${form.model} options=${models} choose=${(model) => change({ model })} hint="A tuned model or a checkpoint goes on learning where it stopped." />
          <${DatasetField} label="Dataset" value=${training} files=${usable} others=${data.files.length - usable.length} needs=${METHODS[form.method].data} choose=${(id) => change({ training: id })} uploaded=${uploaded} />
          <${Advice} file=${training} method=${form.method} choose=${(method) => change({ method })} />
          <${Select} label="Validation set (recommended)" value=${validation} choose=${(id) => change({ validation: id })} hint="Rows that the model does not train on. They show whether it has learned or only memorised."
            options=${[["", "None"], ...usable.filter((file) => file.id !== training).map((file) => [file.id, file.filename])]} />
          ${training && form.model && form.method !== "reinforcement" && html`<${Preview} key=${`${training} ${form.model}`} file=${training} model=${form.model} />`}
        </section>
        ${form.method === "reinforcement" && html`<${RewardChoice} chosen=${form.rewards} first=${query.get("reward")} choose=${(step) => setForm((before) => ({ ...before, rewards: step(before.rewards) }))} />
          <${DryRun} body=${missing ? null : body} />`}
        <${MethodSettings} method=${form.method} values=${form.settings} change=${(settings) => change({ settings })} />
        <section class="card stack"><${Field} label="Name (optional)" hint="Letters, digits, '_', '.' or '-'. It becomes a part of the model's name.">
          ${(attributes) => html`<input ...${attributes} class="input" maxlength="64" value=${form.suffix} onInput=${(event) => change({ suffix: event.target.value })} />`}<//></section>
      </div>
      <aside class="stack side-notes">
        <section class="card stack" aria-label="Start">
          <${Estimate} body=${missing ? null : body} />
          ${problem && html`<${Problem} error=${problem} />`}
          <button class="button primary" disabled=${busy}>${busy ? "Starting…" : "Start the job"}</button>
          ${missing && html`<p class="small quiet">${missing}</p>`}
        </section>
        <${AsCode} body=${body} />
      </aside>
    </form>
  <//>`;
}

/** What the model would see of the dataset, read when somebody asks for it. */
function Preview({ file, model }) {
  const [open, setOpen] = useState(false);
  return html`<details class="details" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>See the tokens, and which of them are learned</summary>
    ${open && html`<${DatasetPreview} path=${`/v1/files/${encodeURIComponent(file)}`} model=${model} />`}
  </details>`;
}
