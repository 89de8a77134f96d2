/** One tuned model: where it comes from, and what can be done with it. */
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { all, get, remove } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { go } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Code } from "../parts/code.js";
import { Confirm } from "../parts/confirm.js";
import { Lineage } from "../parts/lineage.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";

const BACK = ["#/models", "Models"];
const LOOKED_AT = 1000; // jobs in which the model's own is searched

async function look(name, signal) {
  const [model, jobs, files] = await Promise.all([
    get(`/v1/models/${encodeURIComponent(name)}`, {}, signal),
    may("jobs.read") ? all("/v1/fine_tuning/jobs", { limit: 100 }, LOOKED_AT, signal) : [],
    may("files.read") ? all("/v1/files", { limit: 100 }, LOOKED_AT, signal) : [],
  ]);
  return { model, jobs, files };
}

const example = (name) => `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1")
answer = client.chat.completions.create(
    model=${JSON.stringify(name)},
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`;

export function Page({ name }) {
  const { data, error, loading, reload } = useLoad((signal) => look(name, signal), [name]);
  const [asking, setAsking] = useState(false);
  if (loading) return html`<${Frame} title="Model" back=${BACK}><${Loading}>Loading the model<//><//>`;
  if (!data) return html`<${Frame} title="Model" back=${BACK}><${Problem} error=${error} retry=${reload} /><//>`;
  const { model, jobs, files } = data;
  const job = jobs.find((each) => each.fine_tuned_model === name);
  const chats = model.kind === "chat";
  const actions = html`
    ${chats && html`<a class="button primary" href=${`#/playground?models=${encodeURIComponent(job ? `${job.model},${name}` : name)}`}>Chat</a>`}
    <a class="button" href=${`#/new-job?model=${encodeURIComponent(name)}`}>Train it further</a>
    ${job && html`<a class="button" href=${`/v1/fine_tuning/jobs/${job.id}/adapter`} download>Download</a>`}
    ${may("models.write") && html`<button class="button danger" onClick=${() => setAsking(true)}>Delete</button>`}`;
  return html`<${Frame} title=${html`<span class="mono model-name">${name}</span>`} back=${BACK} actions=${actions}>
    <${Lineage} name=${name} jobs=${jobs} files=${files} />
    ${chats && html`<section class="stack" aria-labelledby="use"><h2 id="use">Use it</h2><${Code}>${example(name)}<//></section>`}
    ${asking && html`<${Confirm} title="Delete this model?" action="Delete the model" close=${() => setAsking(false)}
      act=${async () => {
        await remove(`/v1/models/${encodeURIComponent(name)}`);
        announce("The model is deleted.");
        go("#/models");
      }}>Requests that name it fail from now on. Its job and its dataset stay, so that you can train it again.<//>`}
  <//>`;
}
