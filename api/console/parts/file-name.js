import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { link } from "../lib/router.js";
import { may } from "../lib/session.js";

/** A dataset by its name; by its id while the name is not known, or when it was deleted. */
export function FileName({ id }) {
  const { data } = useLoad((signal) => (may("files.read") ? get(`/v1/files/${encodeURIComponent(id)}`, {}, signal).catch(() => null) : null), [id]);
  return html`<a class="wrap" href=${link("datasets", id)}>${data?.filename ?? id}</a>`;
}
