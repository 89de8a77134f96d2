import { post } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { METHODS } from "../lib/methods.js";

/** The advisor's word on a dataset, where it would choose another method. */
export function Advice({ file, method, choose }) {
  const { data } = useLoad((signal) => (file ? post("/v1/fine_tuning/advise", { file }, signal).catch(() => null) : null), [file]);
  const first = data?.methods.find((each) => each.possible);
  if (!first) return null;
  const [wanted] = first.jobs;
  const reasons = first.reasons.map((reason) => reason.message).join(" ");
  if (wanted === method) return html`<div class="message good"><p>${METHODS[method].title} suits this dataset. ${reasons}</p></div>`;
  if (!METHODS[wanted]) return null;
  return html`<div class="message warn"><p>For this dataset the advisor puts ${METHODS[wanted].title} first. ${reasons}</p>
    <p><button type="button" class="button small" onClick=${() => choose(wanted)}>Use ${METHODS[wanted].title}</button></p></div>`;
}
