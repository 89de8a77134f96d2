/** The navigation beside the page, or above it on a phone. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { address } from "../lib/router.js";
import { may, session, signOut } from "../lib/session.js";
import { NAV_GROUPS, ROUTES } from "../routes.js";
import { Brand } from "./brand.js";

function Entry({ route }) {
  const { path } = address.value;
  const here = route.path === "/" ? path === "/" : path === route.path || path.startsWith(`${route.path}/`);
  return html`<li><a href=${`#${route.path}`} aria-current=${here ? "page" : null}>${route.title}</a></li>`;
}

function Navigation() {
  const groups = NAV_GROUPS.map((name) => [name, ROUTES.filter((route) => route.nav === name && may(route.scope))]);
  return html`<nav class="nav" aria-label="Pages" id="pages">
    ${groups
      .filter(([, routes]) => routes.length > 0)
      .map(([name, routes]) => html`<div key=${name}>
        <h2>${name}</h2>
        <ul>${routes.map((route) => html`<${Entry} key=${route.path} route=${route} />`)}</ul>
      </div>`)}
  </nav>`;
}

function Who() {
  const { key, person, project } = session.value;
  return html`<div class="who">
    <span>Project <strong>${project.name}</strong></span>
    ${person && html`<span>Signed in as <strong>${person}</strong></span>`}
    <span>Key <strong>${key.name}</strong></span>
    <span><button class="button small" onClick=${() => signOut().catch(() => {})}>Sign out</button></span>
  </div>`;
}

export function Shell({ children }) {
  const [opened, setOpened] = useState(false);
  const main = useRef(null);
  const { path } = address.value;
  const first = useRef(true);
  useEffect(() => {
    setOpened(false);
    if (!first.current) main.current?.focus({ preventScroll: true }); // a screen reader reads on from here
    first.current = false;
  }, [path]);
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>Skip to content</a>
    <header class=${`side ${opened ? "opened" : ""}`}>
      <${Brand} />
      <button class="button menu-button" aria-expanded=${String(opened)} aria-controls="pages"
        onClick=${() => setOpened(!opened)}>Menu</button>
      <${Navigation} />
      ${session.value && html`<${Who} />`}
    </header>
    <main class="main" ref=${main} tabindex="-1">${children}</main>
  </div>`;
}
