import { html } from "../lib/html.js";
import { ago, moment } from "../lib/format.js";

/** A moment, as far away as it is; the exact time in the reader's zone on hover. @param {{at: number}} props */
export const When = ({ at }) => html`<time dateTime=${new Date(at * 1000).toISOString()} title=${moment(at)}>${ago(at)}</time>`;
