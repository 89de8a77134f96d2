/** What pages say about a comparison. */
import { many } from "./format.js";

export const pathOf = (id, ...more) => ["/v1/comparisons", id, ...more].map((part, place) => (place ? encodeURIComponent(part) : part)).join("/");
export const votePath = (id) => `/vote/${encodeURIComponent(id)}`;

export const MODES = { rank: "Rank", pick: "Pick the better one" };
export const KINDS = { rankings: "ranking", pairs: "pair" };
export const kindOf = (comparison) => (comparison.mode === "rank" ? "rankings" : "pairs");

/** Whether somebody has to look again before long. */
export const isMoving = (comparison) => comparison.status === "generating";

/** One sentence about the responses. */
export function generationOf({ status, progress, waiting, error }) {
  if (progress.items === 0) return "No responses are generated: this comparison takes votes that you import.";
  if (status === "failed") return error?.message ?? "Generation failed.";
  const failed = progress.failed ? ` ${many(progress.failed, "item")} could not be generated.` : "";
  if (status === "generating") return `${waiting ?? `Generating responses: ${progress.ready} of ${many(progress.items, "item")} ready.`}${failed}`;
  return `${many(progress.ready, "item")} ready for votes.${failed}`;
}

export const votesOf = ({ progress }) => progress.votes + progress.imported_votes;
