/** The whole page: the shell with a page in it, or the sign-in page alone. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { address, go } from "../lib/router.js";
import { session } from "../lib/session.js";
import { routed } from "../routes.js";
import { Announcement } from "./announcement.js";
import { Loading } from "./loading.js";
import { Empty } from "./empty.js";
import { Problem } from "./problem.js";
import { Shell } from "./shell.js";

/** Modules that have been loaded, by route. */
const loaded = new Map();

function usePage(route) {
  const [, refresh] = useState(0);
  useEffect(() => {
    if (!route || loaded.has(route)) return;
    route
      .load()
      .then((module) => loaded.set(route, { Page: module.Page }))
      .catch(() => loaded.set(route, { error: new Error("This page could not be loaded. Reload it to try again.") }))
      .then(() => refresh((before) => before + 1));
  }, [route]);
  return route ? loaded.get(route) : null;
}

export function App() {
  const { path } = address.value;
  const { route, values } = routed(path);
  const signedIn = session.value !== null;
  const page = usePage(route);
  useEffect(() => {
    document.title = route && route.path !== "/" ? `${route.title} · Fettle` : "Fettle";
  }, [route]);
  useEffect(() => {
    if (!signedIn && route && !route.open) go(`#/sign-in?to=${encodeURIComponent(location.hash)}`, { replace: true });
    scrollTo(0, 0);
  }, [signedIn, path]);

  if (!signedIn && (!route || !route.open)) return null;
  const content = !route
    ? html`<${Empty} title="There is no such page">The address ends in <code>${path}</code>. <a href="#/">Go to Home</a>.<//>`
    : !page
      ? html`<${Loading}>Loading the page<//>`
      : page.error
        ? html`<${Problem} error=${page.error} />`
        : html`<${page.Page} key=${path} ...${values} />`;
  return html`
    ${route?.open && !route.nav ? content : html`<${Shell}>${content}<//>`}
    <${Announcement} />
  `;
}
