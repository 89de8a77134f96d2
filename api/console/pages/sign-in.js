/** Sign-in: with an API key, or with a one-time link such as `fettle up` prints. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { address, go } from "../lib/router.js";
import { company, enterProject, farewell, openLink, session, signIn } from "../lib/session.js";
import { Brand } from "../parts/brand.js";
import { CompanySignIn } from "../parts/company-sign-in.js";
import { Field } from "../parts/field.js";
import { Loading } from "../parts/loading.js";

/** Where the reader wanted to go; only ever a place in the console. */
function wanted() {
  const to = address.value.query.get("to") ?? "";
  return to.startsWith("#/") && !to.startsWith("#/sign-in") ? to : "#/";
}

export function Page({ token }) {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(Boolean(token));
  const target = wanted();

  async function enter(work) {
    setBusy(true);
    setProblem("");
    try {
      await work();
      go(target, { replace: true });
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
      if (token) {
        farewell.value = error.message;
        go("#/sign-in", { replace: true }); // the token is worth nothing now
      }
    }
  }
  useEffect(() => {
    if (token) enter(() => openLink(token));
    else if (session.value) go(target, { replace: true });
  }, []);

  if (busy && token) return html`<main class="alone"><${Loading}>Signing in<//></main>`;
  return html`<main class="alone"><div>
    <${Brand} />
    ${company.value && html`<${CompanySignIn} ...${company.value} busy=${busy} enter=${(id) => enter(() => enterProject(id))} />`}
    <form class="card stack" onSubmit=${(event) => (event.preventDefault(), enter(() => signIn(key)))}>
      ${company.value ? html`<h2>Sign in with an API key</h2>` : html`<h1>Sign in</h1>`}
      ${farewell.value && !problem && html`<p class="message" role="status">${farewell.value}</p>`}
      <${Field} label="API key" wrong=${problem} hint=${html`The first key is in <code>admin.key</code> in the data folder.`}>
        ${(attributes) => html`<input ...${attributes} class="input mono" type="password" autocomplete="current-password"
          placeholder="fk_…" required autofocus=${!company.value} value=${key} onInput=${(event) => setKey(event.target.value)} />`}
      <//>
      <button class="button primary" disabled=${busy}>${busy ? "Signing in…" : "Sign in"}</button>
    </form>
    <p class="small quiet">On the machine that runs Fettle, <code>fettle console</code> prints a link that signs you in once,
      without a key.</p>
  </div></main>`;
}
