import { render } from "preact";
import { html } from "./lib/html.js";
import { startRouter } from "./lib/router.js";
import { loadSession } from "./lib/session.js";
import { App } from "./parts/app.js";

startRouter();
await loadSession();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
