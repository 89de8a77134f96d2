/** Rank and pick: one item at a time, for invited people and for whoever is signed in. */
import { useEffect, useState } from "preact/hooks";
import { announce } from "../lib/announce.js";
import { many } from "../lib/format.js";
import { html } from "../lib/html.js";
import { session } from "../lib/session.js";
import { lessonWith } from "../learn/store.js";
import { Empty } from "../parts/empty.js";
import { Loading } from "../parts/loading.js";
import { Problem } from "../parts/problem.js";
import { Booth } from "../voting/booth.js";
import { Guidelines } from "../voting/guidelines.js";
import { Head } from "../voting/head.js";
import { startVoting } from "../voting/session.js";

const Alone = ({ children }) => html`<main class="alone"><div class="card">${children}</div></main>`;

export function Page({ id }) {
  const [voting] = useState(() => startVoting(id));
  const [help, setHelp] = useState(null); // "first" | "again"
  const [busy, setBusy] = useState(false);
  const stranger = !voting.invited && session.value === null;
  useEffect(() => {
    if (!stranger) voting.start();
    return voting.close;
  }, []);
  const { phase, head, item, before, progress, message, error, refused } = voting.state.value;
  const { waiting, trouble } = voting.outbox.state.value;
  useEffect(() => {
    if (head) document.title = `${head.name} · Fettle`;
    if (head && progress.voted + waiting.length === 0) setHelp("first");
  }, [head?.name]);
  useEffect(() => {
    const warn = (event) => waiting.length > 0 && event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [waiting.length]);

  async function undo() {
    if (busy) return;
    setBusy(true);
    try {
      announce((await voting.undo()) ? "Your last vote is taken back." : "There is no vote to take back.");
    } catch (problem) {
      announce(problem.message);
    }
    setBusy(false);
  }

  const lesson = voting.invited ? undefined : lessonWith(id);
  const back = lesson ? [`/#/learn/${encodeURIComponent(lesson)}`, "Back to the lesson"] : [`/#/comparisons/${encodeURIComponent(id)}`, "Back to the comparison"];
  const signIn = `/#/sign-in?to=${encodeURIComponent(`#/comparisons/${id}`)}`;
  if (stranger)
    return html`<${Alone}><${Empty} title="Open your invitation again" action=${html`<a class="button" href=${signIn}>Sign in instead</a>`}>
      This page needs the whole link that was sent to you, with everything after the “#”.<//><//>`;
  if (phase === "problem")
    return html`<${Alone}><div class="stack"><h1>Voting is not possible now</h1><${Problem} error=${error} retry=${voting.retry} />
      ${waiting.length > 0 && html`<p class="small quiet">${many(waiting.length, "vote")} of yours ${waiting.length === 1 ? "is" : "are"} kept in this browser until ${waiting.length === 1 ? "it" : "they"} can be sent.</p>`}</div><//>`;
  if (!head) return html`<${Alone}><${Loading}>Loading the comparison<//><//>`;

  return html`<div class="vote">
    <${Head} head=${head} progress=${progress} unsent=${waiting.length} help=${() => setHelp("again")} back=${voting.invited ? null : back} />
    <main class="vote-main">
      ${trouble && html`<div class="message warn" role="status"><p>${trouble.code === "away" ? "Fettle is not responding." : trouble.message} ${many(waiting.length, "vote")} of yours ${waiting.length === 1 ? "is" : "are"} kept in this browser. This page tries to send ${waiting.length === 1 ? "it" : "them"} again.</p>
        <p><button class="button small" onClick=${voting.retry}>Send now</button></p></div>`}
      ${refused && html`<div class="message bad" role="alert"><p>Your last vote could not be counted. ${refused.message}</p></div>`}
      ${phase === "item" && html`<${Booth} key=${item.vote_id} mode=${head.mode} item=${item} before=${before} send=${voting.send} undo=${undo} help=${() => setHelp("again")} />`}
      ${phase === "loading" && html`<${Loading}>${waiting.length ? "Sending your votes" : "Loading the next item"}<//>`}
      ${phase === "none" && html`<section class="card done" role="status"><div class="empty">
        <h1>${message}</h1>
        <p>You voted on ${many(progress.voted + waiting.length, "item")}.</p>
        ${progress.voted + waiting.length > 0 && html`<button class="button" disabled=${busy} onClick=${undo}>Undo my last vote</button>`}
        ${lesson && html`<a class="button primary" href=${back[0]}>${back[1]}</a>`}
      </div></section>`}
    </main>
    ${help && html`<${Guidelines} mode=${head.mode} instructions=${head.instructions} first=${help === "first"} close=${() => setHelp(null)} />`}
  </div>`;
}
