import { render } from "preact";
import { html } from "./lib/html.js";
import { watchInvitations } from "./lib/invitation.js";
import { startRouter } from "./lib/router.js";
import { loadSession } from "./lib/session.js";
import { App } from "./parts/app.js";

watchInvitations();
startRouter();
await loadSession();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
