import { html } from "../lib/html.js";
import { blocks } from "../lib/markdown.js";

const AT_MOST = 20_000; // characters

const SPANS = {
  text: (span) => span.text,
  bold: (span) => html`<strong>${span.text}</strong>`,
  italic: (span) => html`<em>${span.text}</em>`,
  code: (span) => html`<code>${span.text}</code>`,
  link: (span) => html`<a href=${span.href} target="_blank" rel="noopener noreferrer">${span.text}</a>`,
};
const line = (spans) => spans.map((span) => SPANS[span.kind](span));
const items = (lines) => lines.map((spans, place) => html`<li key=${place}>${line(spans)}</li>`);

const BLOCKS = {
  heading: (block) => (block.level < 3 ? html`<h3>${line(block.lines[0])}</h3>` : html`<h4>${line(block.lines[0])}</h4>`),
  paragraph: (block) => html`<p>${block.lines.map((spans, place) => html`${place ? html`<br />` : ""}${line(spans)}`)}</p>`,
  list: (block) => html`<ul>${items(block.lines)}</ul>`,
  numbers: (block) => html`<ol>${items(block.lines)}</ol>`,
  code: (block) => html`<pre>${block.text}</pre>`,
};

/** Guidelines and the like. Every text becomes a text node. @param {{text: string}} props */
export const Markdown = ({ text }) => html`<div class="prose">
  ${blocks(text.slice(0, AT_MOST)).map((block, place) => html`<div key=${place}>${BLOCKS[block.kind](block)}</div>`)}
</div>`;
