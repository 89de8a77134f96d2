/** What the votes come to, and what can be made of them. */
import { get } from "../lib/api.js";
import { pathOf, votesOf } from "../lib/comparisons.js";
import { count, many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { link } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Export } from "../comparisons/export.js";
import { Import } from "../comparisons/import.js";
import { People } from "../comparisons/people.js";
import { Strengths } from "../comparisons/strengths.js";
import { Train } from "../comparisons/train.js";
import { Loading } from "../parts/loading.js";
import { Page as Frame } from "../parts/page.js";
import { Problem } from "../parts/problem.js";

/** What a value of alpha means (Krippendorff 2004). */
function alphaWords(alpha) {
  if (alpha === null) return "Nobody's votes overlap yet.";
  if (alpha >= 0.8) return "People agree.";
  if (alpha >= 0.667) return "People agree enough for first conclusions.";
  if (alpha >= 0.2) return "People agree a little. Clearer guidelines help.";
  return "People do not agree. Check the guidelines.";
}

/** The comparison is read often; its results take seconds to compute, and are read again when there are other votes. */
export function Page({ id }) {
  const back = [link("comparisons", id), "Comparison"];
  const { data: comparison, error, loading } = useLoad((signal) => get(pathOf(id), {}, signal), [id], 10);
  const votes = comparison && votesOf(comparison);
  const results = useLoad((signal) => (votes === undefined ? Promise.resolve() : get(pathOf(id, "results"), {}, signal)), [id, votes]);
  if (loading) return html`<${Frame} title="Results" back=${back}><${Loading}>Loading the comparison<//><//>`;
  if (!comparison) return html`<${Frame} title="Results" back=${back}><${Problem} error=${error} /><//>`;
  return html`<${Frame} title="Results" back=${[back[0], comparison.name]}>
    ${(results.error ?? error) && html`<${Problem} error=${results.error ?? error} retry=${results.reload} />`}
    ${results.data ? html`<${Shown} comparison=${comparison} results=${results.data} />` : !results.error && html`<div class="card"><${Loading}>Counting the votes<//></div>`}
    ${may("comparisons.write") && html`<div class="grid-2">
      ${may("files.write") && html`<${Export} comparison=${comparison} />`}
      <${Import} comparison=${comparison} imported=${results.reload} />
    </div>`}
  <//>`;
}

const Shown = ({ comparison, results }) => html`
  <dl class="card figures">
    <div><dt>Votes</dt><dd>${count(results.votes)}${results.not_blind > 0 && html`<small>${results.not_blind} are void: a response named its model.</small>`}</dd></div>
    <div><dt>Rankings</dt><dd>${count(results.rows.rankings)}<small>${many(results.rows.pairs, "pair")}</small></dd></div>
    <div><dt>Annotators</dt><dd>${count(results.annotators.length)}</dd></div>
    <div><dt>Agreement (Krippendorff's α)</dt><dd>${results.alpha === null ? "–" : results.alpha.toFixed(2)}<small>${alphaWords(results.alpha)}</small></dd></div>
  </dl>
  ${may("comparisons.write") && may("jobs.write") && may("files.write") && html`<${Train} comparison=${comparison} results=${results} />`}
  <${Strengths} strengths=${results.strengths} models=${comparison.models} />
  <${People} annotators=${results.annotators} />`;
