/** What one model answers, as it writes. */
import { useEffect, useState } from "preact/hooks";
import { stream } from "../lib/api.js";
import { html } from "../lib/html.js";
import { Problem } from "./problem.js";

export function Answer({ model, messages, sampling }) {
  const [text, setText] = useState("");
  const [state, setState] = useState("waiting");
  const [error, setError] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    (async () => {
      const body = { model, messages, stream: true, temperature: sampling.temperature, max_tokens: sampling.max_tokens };
      try {
        for await (const event of stream("/v1/chat/completions", body, stop.signal)) {
          const piece = event.choices?.[0]?.delta?.content;
          if (piece) setText((before) => before + piece);
          if (event.choices?.[0]?.finish_reason === "length") setState("cut");
        }
        setState((before) => (before === "cut" ? before : "done"));
      } catch (problem) {
        if (!stop.signal.aborted) setError(problem);
      }
    })();
    return () => stop.abort();
  }, []);
  return html`<article class="card stack tight" aria-label=${`Answer of ${model}`}>
    <strong class="mono small wrap">${model}</strong>
    ${error ? html`<${Problem} error=${error} />` : html`<p class="answer" aria-busy=${String(state === "waiting")}>${text || (state === "waiting" ? html`<span class="faint">Thinking…</span>` : html`<span class="faint">(empty)</span>`)}</p>`}
    ${state === "cut" && html`<p class="small faint">Cut off at the limit of tokens.</p>`}
  </article>`;
}
