/**
 * Markup in tagged templates. Values become text nodes and attributes, never HTML: what a model or a file says is shown as
 * it is.
 */
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
