/** uPlot with the console's colours: drag to zoom, double click to see all again. */
import uPlot from "uplot";
import { count } from "./format.js";

const HEIGHT = 190;
const SMOOTHING = 0.9; // of an exponential moving average

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** An exponential moving average without the bias towards its start. */
export function smoothed(values) {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * SMOOTHING + value * (1 - SMOOTHING);
    weight = weight * SMOOTHING + (1 - SMOOTHING);
    return sum / weight;
  });
}

/** Lines with steps of their own as uPlot's columns. */
function columns(lines) {
  const tables = lines.map((line) => [line.step, line.value]);
  return tables.length > 1 ? uPlot.join(tables) : tables[0];
}

function axes(format) {
  const base = { stroke: colour("--ink-3"), font: `11px ${colour("--font")}`, ticks: { show: false } };
  const grid = { stroke: colour("--line"), width: 1 };
  return [
    { ...base, grid: { show: false }, size: 24, gap: 4, space: 70, values: (_, steps) => steps.map((step) => (Number.isInteger(step) ? count(step) : "")) },
    { ...base, grid, size: 52, gap: 6, space: 34, values: (_, values) => values.map((value) => (value === null ? "" : format(value))) },
  ];
}

/** A vertical line at each marked step. */
function drawMarks(chart, marks) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = colour("--warn");
  ctx.setLineDash([4, 4]);
  for (const step of marks) {
    const x = Math.round(chart.valToPos(step, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/**
 * @param {HTMLElement} box
 * @param {{log: boolean, format: (value: number) => string}} options
 */
export function plot(box, { log, format }) {
  let chart = null;
  let shown = { lines: [], smooth: false, marks: [] };

  function make() {
    chart?.destroy();
    const { lines } = shown;
    chart = new uPlot(
      {
        width: Math.max(120, box.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        padding: [8, 8, 0, 0],
        cursor: { drag: { x: true, y: false }, points: { size: 7 } },
        scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
        axes: axes(format),
        series: [{}, ...lines.map((line, place) => ({
          stroke: colour(`--series-${place + 1}`), width: 1.75, spanGaps: true,
          points: { show: line.step.length < 3 },
        }))],
        hooks: { draw: [(self) => drawMarks(self, shown.marks)] },
      },
      data(),
      box,
    );
  }

  function data() {
    const lines = shown.lines.map((line) => ({
      step: line.step,
      value: (shown.smooth ? smoothed(line.value) : line.value).map((value) => (log && value <= 0 ? null : value)),
    }));
    return columns(lines);
  }

  const sized = new ResizeObserver(() => chart && box.clientWidth && chart.setSize({ width: box.clientWidth, height: HEIGHT }));
  sized.observe(box);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", make);
  return {
    show(lines, { smooth, marks }) {
      const zoomed = chart && chart.scales.x.max < chart.data[0].at(-1);
      shown = { lines, smooth, marks };
      if (!chart) make();
      else chart.setData(data(), !zoomed);
    },
    destroy() {
      sized.disconnect();
      scheme.removeEventListener("change", make);
      chart?.destroy();
    },
  };
}
