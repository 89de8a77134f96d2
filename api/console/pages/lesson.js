/** One lesson, from plain words to the learner's own data. */
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { may } from "../lib/session.js";
import { Empty } from "../parts/empty.js";
import { Markdown } from "../parts/markdown.js";
import { Page as Frame } from "../parts/page.js";
import { Choose } from "../learn/choose.js";
import { Data } from "../learn/data.js";
import { Guess } from "../learn/guess.js";
import { LESSONS } from "../learn/lessons/index.js";
import { Own } from "../learn/own.js";
import { Run } from "../learn/run.js";
import { Votes } from "../learn/votes.js";

const BACK = ["#/learn", "Learn"];
const NEEDED = ["files.write", "jobs.read", "jobs.write", "chat"]; // scopes; a lesson with votes needs those of comparisons too
const VOTING = ["comparisons.read", "comparisons.write", "comparisons.vote"];

export function Page({ lesson: id }) {
  const place = LESSONS.findIndex((lesson) => lesson.id === id);
  if (place < 0) return html`<${Frame} title="Lesson" back=${BACK}><section class="card"><${Empty} title="There is no such lesson">The lessons are ${LESSONS.map((lesson) => lesson.id).join(", ")}.<//></section><//>`;
  return html`<${Shown} key=${id} lesson=${LESSONS[place]} place=${place} />`;
}

function Shown({ lesson, place }) {
  const [votes, setVotes] = useState(0);
  const { Picture } = lesson;
  const missing = [...NEEDED, ...(lesson.people ? VOTING : [])].filter((scope) => !may(scope));
  const next = LESSONS[place + 1];
  return html`<${Frame} title=${lesson.title} lead=${`Lesson ${place + 1} of ${LESSONS.length} · ${lesson.name}`} back=${BACK}>
    <div class="lesson-story">
      <div class="lesson-words"><${Markdown} text=${lesson.words} /></div>
      <figure class="card lesson-figure"><${Picture} /><figcaption class="small quiet">${lesson.caption}</figcaption></figure>
    </div>
    <${Data} lesson=${lesson} />
    ${missing.length > 0
      ? html`<p class="message warn">Your key cannot run this lesson: it lacks ${missing.join(", ")}. Sign in with a key that has these scopes.</p>`
      : html`<${Guess} lesson=${lesson} />
        ${lesson.people && html`<${Votes} lesson=${lesson} changed=${setVotes} />`}
        <${Run} lesson=${lesson} votes=${votes} />`}
    <${Own} lesson=${lesson} />
    ${next
      ? html`<p><a class="button" href=${`#/learn/${next.id}`}>Next lesson: ${next.name}</a></p>`
      : html`<${Choose} />`}
  <//>`;
}
