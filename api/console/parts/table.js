import { useEffect, useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { useWindow } from "../lib/window.js";

/**
 * A table that becomes a list of cards on a phone. Of a long one only the rows near those that are seen are rendered.
 *
 * @param {{caption: string, columns: {title: string, cell: (row: any) => any, end?: boolean}[], rows: any[],
 *   rowKey: (row: any) => string, more?: boolean, grow?: () => void}} props more: there are other rows, which `grow` reads
 */
export function Table({ caption, columns, rows, rowKey, more = false, grow }) {
  const body = useRef(null);
  const { places, height } = useWindow(body, rows.length);
  const nearEnd = places.at(-1) >= rows.length - 1;
  const long = places.length < rows.length || more;
  useEffect(() => {
    if (!more || !grow || !nearEnd) return undefined;
    const watch = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && grow(), { rootMargin: "600px" });
    if (body.current.lastElementChild) watch.observe(body.current.lastElementChild);
    return () => watch.disconnect();
  }, [more, nearEnd, rows.length]);

  const lines = [];
  let next = 0;
  for (const place of [...places, rows.length]) {
    if (place > next) lines.push(html`<${Gap} key=${`gap ${next}`} height=${(place - next) * height} wide=${columns.length} />`);
    if (place < rows.length) lines.push(html`<${Row} key=${rowKey(rows[place])} row=${rows[place]} columns=${columns} place=${place} />`);
    next = place + 1;
  }
  return html`<div class="table-box">
    <table class="table cards" aria-rowcount=${long ? (more ? -1 : rows.length + 1) : null}>
      <caption class="hidden-text">${caption}</caption>
      <thead>
        <tr aria-rowindex=${long ? 1 : null}>${columns.map((column) => html`<th key=${column.title} scope="col" class=${column.end ? "end" : ""}>${column.title || html`<span class="hidden-text">Actions</span>`}</th>`)}</tr>
      </thead>
      <tbody ref=${body}>${lines}</tbody>
    </table>
  </div>`;
}

const Row = ({ row, columns, place }) => html`<tr data-place=${place} aria-rowindex=${place + 2}>
  ${columns.map((column, number) => {
    const shown = column.cell(row);
    const blank = shown === null || shown === undefined || shown === "";
    const look = `${column.end ? "end" : ""} ${number ? "" : "main-cell"} ${blank ? "blank" : ""}`;
    return html`<td key=${column.title} class=${look} data-label=${number ? column.title : null}>${blank ? "–" : shown}</td>`;
  })}
</tr>`;

const Gap = ({ height, wide }) => html`<tr class="gap" aria-hidden="true"><td colspan=${wide} style=${{ height: `${height}px` }}></td></tr>`;
