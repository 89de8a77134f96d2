/** Another job whose curves are laid over this one's. */
import { useEffect } from "preact/hooks";
import { get } from "../lib/api.js";
import { POINTS } from "../lib/curves.js";
import { html } from "../lib/html.js";
import { methodOf, nameOf } from "../lib/jobs.js";
import { useLoad } from "../lib/load.js";
import { Select } from "./select.js";

const NONE = ["", "No other job"];

/** @param {{job: any, chosen: string, choose: (id: string) => void, shown: (others: {name: string, series: any}[]) => void}} props */
export function CompareWith({ job, chosen, choose, shown }) {
  const { data: jobs } = useLoad((signal) => get("/v1/fine_tuning/jobs", { limit: 100 }, signal), [job.id]);
  const same = (jobs?.data ?? []).filter((each) => each.id !== job.id && each.method.type === job.method.type && each.status !== "queued");
  const other = same.find((each) => each.id === chosen);
  const { data } = useLoad((signal) => (chosen ? get(`/v1/fine_tuning/jobs/${chosen}/metrics`, { points: POINTS }, signal) : null), [chosen]);
  useEffect(() => shown(data && other ? [{ name: nameOf(other), series: data.series }] : []), [data, chosen]);
  if (same.length === 0) return null;
  return html`<${Select} inline label="Compare with" value=${chosen} choose=${choose} options=${[NONE, ...same.map((each) => [each.id, `${nameOf(each)} (${methodOf(each)})`])]} />`;
}
