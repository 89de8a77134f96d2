/** A place to drop a dataset, or to choose one; uploads it and hands over the file that the server made of it. */
import { useRef, useState } from "preact/hooks";
import { upload } from "../lib/api.js";
import { announce } from "../lib/announce.js";
import { bytes, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Problem } from "./problem.js";

const ACCEPTED = ".jsonl,.json,.csv,.tsv,.parquet";

/** @param {{done: (file: any) => void, compact?: boolean}} props */
export function Dropzone({ done, compact }) {
  const input = useRef(null);
  const [over, setOver] = useState(false);
  const [sending, setSending] = useState(null);
  const [error, setError] = useState(null);

  async function take(files) {
    const [file] = files;
    if (!file || sending) return;
    setError(null);
    setSending({ name: file.name, size: file.size, share: 0 });
    try {
      const made = await upload(file, (share) => setSending({ name: file.name, size: file.size, share }));
      announce(`${file.name} is uploaded.`);
      done(made);
    } catch (problem) {
      setError(problem);
    }
    setSending(null);
    if (input.current) input.current.value = "";
  }
  const dropped = (event) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files);
  };
  return html`<div class="stack tight">
    <div class=${`drop ${over ? "over" : ""} ${compact ? "compact" : ""}`} onDrop=${dropped}
      onDragOver=${(event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)}>
      ${sending
        ? html`<p class="wrap" role="status">${sending.share < 1 ? `Uploading ${sending.name}, ${percent(sending.share)} of ${bytes(sending.size)}` : `Checking the rows of ${sending.name}`}…</p>
          <progress class="progress" max="1" value=${sending.share} aria-label="Upload"></progress>`
        : html`<p><strong>Drop a dataset here</strong> <span class="quiet">or</span></p>
          <button type="button" class="button" onClick=${() => input.current.click()}>Choose a file</button>
          <p class="small faint">JSONL, CSV or Parquet. Every row is checked before it is stored.</p>`}
      <input ref=${input} type="file" accept=${ACCEPTED} hidden onChange=${(event) => take(event.target.files)} />
    </div>
    ${error && html`<${Problem} error=${error} />`}
  </div>`;
}
