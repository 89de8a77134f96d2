/** One chart: its lines, the newest value, and a sentence that says what good looks like. */
import { useEffect, useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { seriesName, shownValue } from "../lib/metrics.js";
import { plot } from "../lib/plot.js";

/**
 * @param {{chart: import("../lib/metrics.js").Chart, series: any, log: boolean, smooth: boolean,
 *   warnings: {step: number, message: string}[], others?: {name: string, series: any}[]}} props
 */
export function Curve({ chart, series, log, smooth, warnings, others = [] }) {
  const box = useRef(null);
  const drawn = useRef(null);
  const own = chart.metrics.map((name) => ({ name: seriesName(name), ...series[name] }));
  const theirs = others
    .filter((other) => other.series[chart.metrics[0]])
    .map((other) => ({ name: other.name, ...other.series[chart.metrics[0]] }));
  const lines = [...own, ...theirs].slice(0, 4);

  useEffect(() => {
    drawn.current = plot(box.current, { log, format: (value) => shownValue(chart, value) });
    return () => drawn.current.destroy();
  }, [log, chart.title, lines.length]);
  useEffect(() => drawn.current.show(lines, { smooth, marks: warnings.map((warning) => warning.step) }));

  const [main] = own;
  const newest = own.reduce((one, other) => ((other.step.at(-1) ?? -1) >= (one.step.at(-1) ?? -1) ? other : one)); // of one step, validation: a training batch may be a few rows
  const latest = newest.value.at(-1);
  return html`<figure class="card curve">
    <div class="card-head"><h3>${chart.title}</h3><span class="latest">${shownValue(chart, latest)}</span></div>
    <div class="plot" ref=${box} role="img" aria-label=${`${chart.title}: from ${shownValue(chart, main.value[0])} at step ${main.step[0]} to ${shownValue(chart, main.value.at(-1))} at step ${main.step.at(-1)}.`}></div>
    ${lines.length > 1 && html`<div class="legend">${lines.map((line, place) => html`<span key=${line.name} class=${`s${place + 1}`}><i></i>${line.name}${line.value.length ? ` ${shownValue(chart, line.value.at(-1))}` : ""}</span>`)}</div>`}
    ${chart.good && html`<figcaption class="good-looks">${chart.good}</figcaption>`}
  </figure>`;
}
