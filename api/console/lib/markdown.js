/**
 * A small part of Markdown as a tree: headings, lists, paragraphs, code, bold, italic and links. Whatever else a text
 * holds, HTML above all, stays text.
 *
 * @typedef {{kind: "text" | "bold" | "italic" | "code" | "link", text: string, href?: string}} Span
 * @typedef {{kind: "heading" | "paragraph" | "list" | "numbers" | "code", level?: number, lines: Span[][], text?: string}} Block
 */

const FENCE = /^\s{0,3}```/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^\s{0,3}[-*+]\s+(.*)$/;
const NUMBER = /^\s{0,3}\d{1,3}[.)]\s+(.*)$/;
// Each part ends at the next sign of its kind and holds no line break, so that reading takes linear time.
const SPAN = /`([^`]+)`|\*\*([^*]+)\*\*|__([^_]+)__|\*([^*\s][^*]*)\*|\b_([^_\s][^_]*)_\b|\[([^[\]]{1,300})\]\(([^()\s]{1,2000})\)/g;

/** @returns {Span[]} */
export function spans(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(SPAN)) {
    if (match.index > end) found.push({ kind: "text", text: text.slice(end, match.index) });
    const [whole, code, bold, bold2, italic, italic2, label, href] = match;
    if (code) found.push({ kind: "code", text: code });
    else if (bold ?? bold2) found.push({ kind: "bold", text: bold ?? bold2 });
    else if (italic ?? italic2) found.push({ kind: "italic", text: italic ?? italic2 });
    else found.push(isWeb(href) ? { kind: "link", text: label, href } : { kind: "text", text: whole });
    end = match.index + whole.length;
  }
  if (end < text.length) found.push({ kind: "text", text: text.slice(end) });
  return found;
}

/** No `javascript:` and no `data:`: a link leads to a web page. */
function isWeb(href) {
  try {
    return ["http:", "https:"].includes(new URL(href).protocol);
  } catch {
    return false;
  }
}

/** @returns {Block[]} */
export function blocks(markdown) {
  const found = [];
  let open = null; // the block that the next line may belong to
  const add = (kind, line, more = {}) => {
    if (open?.kind !== kind || kind === "heading") found.push((open = { kind, lines: [], ...more }));
    open.lines.push(spans(line));
  };
  let code = null;
  for (const line of markdown.split(/\r?\n/)) {
    if (FENCE.test(line)) {
      if (code) code = null;
      else found.push((code = { kind: "code", lines: [], text: "" }));
      open = null;
    } else if (code) code.text += (code.text ? "\n" : "") + line;
    else if (!line.trim()) open = null;
    else if (HEADING.test(line)) {
      const [, signs, title] = HEADING.exec(line);
      add("heading", title, { level: signs.length });
    } else if (ITEM.test(line)) add("list", ITEM.exec(line)[1]);
    else if (NUMBER.test(line)) add("numbers", NUMBER.exec(line)[1]);
    else if (open && (open.kind === "list" || open.kind === "numbers")) open.lines.at(-1).push({ kind: "text", text: " " }, ...spans(line.trim()));
    else add("paragraph", line);
  }
  return found;
}
