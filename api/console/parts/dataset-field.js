import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { count, many } from "../lib/format.js";
import { link } from "../lib/router.js";
import { Dropzone } from "./dropzone.js";
import { Select } from "./select.js";

/** A dataset that fits the method: one that is there, or one that is dropped. */
export function DatasetField({ label, value, files, others, needs, choose, uploaded }) {
  const [broken, setBroken] = useState(null);
  function done(file) {
    uploaded(file);
    setBroken(file.status === "error" ? file : null);
    if (file.status !== "error") choose(file.id);
  }
  const options = [["", files.length ? "Choose a dataset" : "No dataset fits this method yet"], ...files.map((file) => [file.id, `${file.filename} (${count(file.validation.rows)} rows)`])];
  return html`<div class="stack tight">
    <${Select} label=${label} value=${value} options=${options} choose=${choose} hint=${`${needs}${others > 0 ? ` ${many(others, "other dataset")} of yours ${others === 1 ? "does" : "do"} not fit this method.` : ""}`} />
    <${Dropzone} compact done=${done} />
    ${broken && html`<div class="message bad" role="alert"><p>${broken.filename} has ${many(broken.validation.error_count, "problem")}. The first, at line ${broken.validation.errors[0].line}: ${broken.validation.errors[0].message}</p>
      <p><a href=${link("datasets", broken.id)}>See all problems</a></p></div>`}
  </div>`;
}
