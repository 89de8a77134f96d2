/**
 * The address: what follows `#`, of which the server sees nothing. Only the page of an invitation has a path of its own,
 * as its token is what follows `#`. routes.js says which page an address shows.
 */
import { computed, signal } from "@preact/signals";

const hash = signal("/");
const read = () => (hash.value = location.pathname === "/" ? location.hash.slice(1) || "/" : location.pathname);

export function startRouter() {
  read();
  addEventListener("hashchange", read);
}

/** The current one: its path, and its query. */
export const address = computed(() => {
  const [path, query = ""] = hash.value.split("?");
  return { path, query: new URLSearchParams(query) };
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
