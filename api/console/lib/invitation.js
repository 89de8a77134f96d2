/** The token of an invitation link. It leaves the address bar at once and stays in this tab only. */

const PATH = /^\/vote\/([^/]+)$/;
const memory = new Map(); // where the browser keeps nothing for this site

const slot = (comparison) => `fettle invitation ${comparison}`;

/** @returns {boolean} whether the address had a token */
export function takeInvitation() {
  const [, comparison] = PATH.exec(location.pathname) ?? [];
  const token = location.hash.slice(1);
  if (!comparison || !token.startsWith("fv_")) return false;
  memory.set(comparison, token);
  try {
    sessionStorage.setItem(slot(comparison), token);
  } catch {
    // it works until the page is reloaded
  }
  history.replaceState(null, "", location.pathname);
  return true;
}

/** @returns {string | null} */
export function invitationTo(comparison) {
  if (memory.has(comparison)) return memory.get(comparison);
  try {
    return sessionStorage.getItem(slot(comparison));
  } catch {
    return null;
  }
}

/** Another link in the same tab is another invitation. */
export function watchInvitations() {
  takeInvitation();
  addEventListener("hashchange", () => takeInvitation() && location.reload());
}
