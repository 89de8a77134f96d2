/**
 * Which page is shown: what follows `#` in the address, of which the server sees nothing. Only the page of an invitation
 * has a path of its own, as its token is what follows `#`.
 */
import { computed, signal } from "@preact/signals";
import { ROUTES } from "../routes.js";

const hash = signal("/");
const read = () => (hash.value = location.pathname === "/" ? location.hash.slice(1) || "/" : location.pathname);

export function startRouter() {
  read();
  addEventListener("hashchange", read);
}

/** @returns {Record<string, string> | null} */
function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const found = {};
  for (const [place, part] of wanted.entries()) {
    if (part.startsWith(":")) found[part.slice(1)] = decode(given[place]);
    else if (part !== given[place]) return null;
  }
  return found;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The current place: its path, its query, the route and the path's values; route is null for an unknown path. */
export const place = computed(() => {
  const [path, query = ""] = hash.value.split("?");
  for (const route of ROUTES) {
    const values = match(route.path, path);
    if (values) return { path, query: new URLSearchParams(query), route, values };
  }
  return { path, query: new URLSearchParams(query), route: null, values: {} };
});

/** @param {...string} parts segments of a path; each is encoded */
export const link = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export function go(href, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", href);
    read();
  } else {
    location.hash = href.replace(/^#/, "");
  }
}
