/** The charts of a job, with one set of switches for all. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { chartsOf } from "../lib/metrics.js";
import { CompareWith } from "./compare-with.js";
import { Curve } from "./curve.js";
import { CurveTable } from "./curve-table.js";
import { Empty } from "./empty.js";
import { Loading } from "./loading.js";
import { Problem } from "./problem.js";
import { Tabs } from "./tabs.js";

const FIRST = 6; // charts that are shown at once

export function Curves({ job, series, error, warnings }) {
  const [log, setLog] = useState(false);
  const [smooth, setSmooth] = useState(false);
  const [view, setView] = useState("charts");
  const [every, setEvery] = useState(false);
  const [other, setOther] = useState("");
  const [others, setOthers] = useState([]);
  if (!series) return error ? html`<${Problem} error=${error} />` : html`<div class="card"><${Loading}>Loading the curves<//></div>`;
  const charts = chartsOf(Object.keys(series));
  if (charts.length === 0)
    return html`<section class="card"><${Empty} title="No curves yet">${job.status === "queued" ? "The first point appears when the job has done its first step." : "The job has not finished a step."}<//></section>`;
  const shown = every ? charts : charts.slice(0, FIRST);
  return html`<section class="stack" aria-labelledby="curves">
    <div class="row spread">
      <h2 id="curves">Curves</h2>
      <div class="row">
        <${CompareWith} job=${job} chosen=${other} choose=${setOther} shown=${setOthers} />
        <label class="choice small"><input type="checkbox" checked=${smooth} onChange=${(event) => setSmooth(event.target.checked)} />Smooth</label>
        <label class="choice small"><input type="checkbox" checked=${log} onChange=${(event) => setLog(event.target.checked)} />Log scale</label>
        <${Tabs} label="View of the curves" value=${view} choose=${setView} options=${[["charts", "Charts"], ["table", "Table"]]} />
      </div>
    </div>
    ${view === "table"
      ? html`<${CurveTable} charts=${charts} series=${series} />`
      : html`<div class="charts">${shown.map((chart) => html`<${Curve} key=${chart.title} chart=${chart} series=${series} log=${log} smooth=${smooth} warnings=${warnings} others=${others} />`)}</div>
        ${charts.length > FIRST && html`<div><button class="button" onClick=${() => setEvery(!every)}>${every ? "Show fewer charts" : `Show ${charts.length - FIRST} more charts`}</button></div>`}
        <p class="small faint">Drag across a chart to zoom in; double-click to see all of it.${warnings.length > 0 ? " Dashed lines mark warnings." : ""}</p>`}
  </section>`;
}
