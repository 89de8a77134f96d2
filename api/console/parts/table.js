import { html } from "../lib/html.js";

/**
 * A table that becomes a list of cards on a phone.
 *
 * @param {{caption: string, columns: {title: string, cell: (row: any) => any, end?: boolean}[], rows: any[],
 *   rowKey: (row: any) => string}} props
 */
export const Table = ({ caption, columns, rows, rowKey }) => html`<div class="table-box">
  <table class="table cards">
    <caption class="hidden-text">${caption}</caption>
    <thead>
      <tr>${columns.map((column) => html`<th key=${column.title} scope="col" class=${column.end ? "end" : ""}>${column.title || html`<span class="hidden-text">Actions</span>`}</th>`)}</tr>
    </thead>
    <tbody>
      ${rows.map((row) => html`<tr key=${rowKey(row)}>
        ${columns.map((column, place) => {
          const shown = column.cell(row);
          const blank = shown === null || shown === undefined || shown === "";
          const look = `${column.end ? "end" : ""} ${place ? "" : "main-cell"} ${blank ? "blank" : ""}`;
          return html`<td key=${column.title} class=${look} data-label=${place ? column.title : null}>${blank ? "–" : shown}</td>`;
        })}
      </tr>`)}
    </tbody>
  </table>
</div>`;
