import { render } from "preact";
import { html } from "./lib/html.js";
import { watchInvitations } from "./lib/invitation.js";
import { address, startRouter } from "./lib/router.js";
import { loadSession } from "./lib/session.js";
import { App } from "./parts/app.js";
import { routed } from "./routes.js";

watchInvitations();
startRouter();
routed(address.value.path).route?.load().catch(() => {}); // while the session is read; the page itself says if it cannot be loaded
await loadSession();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
