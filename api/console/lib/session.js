/** Who is signed in. The cookie itself is out of reach for every script. */
import { signal } from "@preact/signals";
import { json, request } from "./http.js";

/** @type {import("@preact/signals").Signal<any>} null when nobody is signed in */
export const session = signal(null);

/** Whom the company's sign-in names, and the projects where a key is theirs; null without one. */
export const company = signal(null);

/** Why the last session ended, for the sign-in page. */
export const farewell = signal("");

async function ask(method, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  if (session.value) headers["x-csrf-token"] = session.value.csrf_token;
  const answer = await json(await request(method, "/session", { headers, body: body && JSON.stringify(body) }));
  session.value = answer.session;
  if (answer.person) company.value = { person: answer.person, projects: answer.projects };
}

/** A person with one project is signed in without a click. */
export async function loadSession() {
  try {
    await ask("GET");
    if (!session.value && company.value?.projects.length === 1) await enterProject(company.value.projects[0].id);
  } catch (error) {
    farewell.value = error.code === "away" ? "Fettle is not responding. Check that it is running, then reload this page." : error.message;
  }
}

export async function signIn(apiKey) {
  await ask("POST", { api_key: apiKey });
  farewell.value = "";
}

export async function openLink(token) {
  await ask("POST", { link_token: token });
  farewell.value = "";
}

export async function enterProject(id) {
  await ask("POST", { project_id: id });
  farewell.value = "";
}

export async function signOut() {
  await ask("DELETE");
  farewell.value = "You are signed out.";
}

/** The server no longer knows the session. */
export function ended() {
  session.value = null;
  farewell.value = "Your session has ended. Sign in again.";
}

/** Whether the key covers a scope. */
export function may(scope) {
  const scopes = session.value?.key.scopes ?? [];
  return !scope || scopes.includes(scope) || (scope !== "admin" && scopes.includes("all"));
}
