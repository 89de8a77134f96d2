import { METHODS } from "../lib/methods.js";
import { html } from "../lib/html.js";
import { may } from "../lib/session.js";

/** From the lesson to the learner's own data. */
export const Own = ({ lesson }) => html`<section class="card stack tight" aria-labelledby="own">
  <h2 id="own">Do it with your own data</h2>
  <p class="measure">${lesson.own}</p>
  <p class="small quiet">What a file needs: ${METHODS[lesson.method].data}${lesson.method === "reinforcement" ? "" : " Ten rows are the least that a job takes."}</p>
  ${may("jobs.write") && html`<div><a class="button primary" href=${`#/new-job?method=${lesson.method}`}>New job with ${METHODS[lesson.method].title}</a></div>`}
</section>`;
