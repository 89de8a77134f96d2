/** One prompt, several models side by side. */
import { useEffect, useRef, useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { get, post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { address, go, link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Answer } from "../parts/answer.js";
import { Loading } from "../parts/loading.js";
import { ModelPicker } from "../parts/model-picker.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";
import { Sampling } from "../parts/sampling.js";

const AT_MOST = 4; // models at once

export function Page() {
  const asked = (address.value.query.get("models") ?? "").split(",").filter(Boolean).slice(0, AT_MOST);
  const models = useLoad((signal) => get("/v1/models", {}, signal).then((page) => page.data.filter((each) => each.kind === "chat").map((each) => each.id)));
  const [chosen, setChosen] = useState(asked);
  const [prompt, setPrompt] = useState("");
  const [sampling, setSampling] = useState({ system: "", temperature: 0.7, max_tokens: 256 });
  const [turn, setTurn] = useState(null);
  const [problem, setProblem] = useState(null);
  const field = useRef(null);
  useEffect(() => {
    if (models.data && chosen.length === 0) setChosen(models.data.slice(0, 2));
  }, [models.data]);
  if (models.loading) return html`<${Frame} title="Playground"><${Loading}>Loading models<//><//>`;
  if (!models.data) return html`<${Frame} title="Playground"><${Problem} error=${models.error} retry=${models.reload} /><//>`;

  function ask(event) {
    event.preventDefault();
    if (prompt.trim() === "" || chosen.length === 0) return;
    const system = sampling.system.trim() ? [{ role: "system", content: sampling.system }] : [];
    setTurn({ number: (turn?.number ?? 0) + 1, models: chosen, prompt, messages: [...system, { role: "user", content: prompt }] });
  }
  async function compare() {
    setProblem(null);
    const body = { name: turn.prompt.trim().split("\n")[0].slice(0, 80), models: turn.models, prompts: [turn.messages], mode: turn.models.length > 2 ? "rank" : "pick" };
    try {
      const made = await post("/v1/comparisons", body);
      announce("The comparison is saved. A worker writes its responses.");
      go(link("comparisons", made.id));
    } catch (error) {
      setProblem(error);
    }
  }
  const keys = (event) => (event.metaKey || event.ctrlKey) && event.key === "Enter" && ask(event);
  return html`<${Frame} title="Playground" lead="Ask several models the same thing.">
    <form class="card stack" onSubmit=${ask}>
      <${ModelPicker} models=${models.data} chosen=${chosen} choose=${setChosen} most=${AT_MOST} />
      <div class="field"><label for="prompt">Prompt</label>
        <textarea id="prompt" ref=${field} class="input" rows="4" value=${prompt} onInput=${(event) => setPrompt(event.target.value)} onKeyDown=${keys} placeholder="Tom has 24 cards and buys 2 more. How many cards does Tom have now?"></textarea></div>
      <${Sampling} values=${sampling} change=${setSampling} />
      <div class="row"><button class="button primary" disabled=${prompt.trim() === "" || chosen.length === 0}>Ask ${chosen.length > 1 ? `${chosen.length} models` : "the model"}</button>
        <span class="small faint">or press Ctrl Enter</span></div>
    </form>
    ${problem && html`<${Problem} error=${problem} />`}
    ${turn && html`<section class="stack" aria-label="Answers">
      <div class="replies">${turn.models.map((model, number) => html`<${Answer} key=${`${turn.number} ${number}`} model=${model} messages=${turn.messages} sampling=${sampling} />`)}</div>
      ${may("comparisons.write") && turn.models.length > 1 && html`<div><button class="button" onClick=${compare}>Save as a comparison</button></div>`}
    </section>`}
  <//>`;
}
