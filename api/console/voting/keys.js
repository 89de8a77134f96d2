/** The keys of the voting page. Single keys can be switched off, for who speaks to their computer. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";

const SLOT = "fettle single keys";

function wasOn() {
  try {
    return localStorage.getItem(SLOT) !== "off";
  } catch {
    return true;
  }
}

export const singleKeys = signal(wasOn());

export function setSingleKeys(on) {
  singleKeys.value = on;
  try {
    localStorage.setItem(SLOT, on ? "on" : "off");
  } catch {
    // it holds until the page is reloaded
  }
}

/** @type {Record<"rank" | "pick", [string, string][]>} */
export const HELP = {
  rank: [
    ["1 – 9", "Give this response the next place. Press again to take it out."],
    ["=", "Tie: the last place joins the place above"],
    ["⌫", "Take the last response out"],
    ["b", "All are bad"],
    ["s", "Skip"],
    ["n", "Write a note"],
    ["u", "Undo the last vote"],
    ["g", "Guidelines and keys"],
    ["Enter", "Send. The one response that is left gets the last place."],
  ],
  pick: [
    ["1 – 9", "Pick this response"],
    ["0 or t", "Tie"],
    ["b", "Both are bad"],
    ["s", "Skip"],
    ["n", "Write a note"],
    ["u", "Undo the last vote"],
    ["g", "Guidelines and keys"],
    ["Enter", "Send"],
  ],
};

/** What a key press asks for: ["number", 3], ["tie"], … */
function meaning(event, mode) {
  const { key } = event;
  if (key === "Enter") return ["send"];
  if (!singleKeys.value) return null;
  if (/^[1-9]$/.test(key)) return ["number", Number(key)];
  if (key === "Backspace" && mode === "rank") return ["back"];
  if (key === "=" || key === "t" || (key === "0" && mode === "pick")) return ["tie"];
  return { b: ["bad"], s: ["skip"], n: ["note"], u: ["undo"], g: ["help"] }[key.toLowerCase()] ?? null;
}

/** @param {(action: string, number?: number) => void} act */
export function useKeys(mode, act) {
  const latest = useRef(act);
  latest.current = act;
  useLayoutEffect(() => { // before the next key, which may come before the next frame
    function pressed(event) {
      if (document.querySelector("dialog[open]")) return;
      const { target } = event;
      const typing = target.matches("input, textarea, select");
      if (typing && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        latest.current("send");
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || typing) return;
      if (event.key === "Enter" && target.closest("button, a")) return; // it presses what has the focus
      const found = meaning(event, mode);
      if (!found) return;
      event.preventDefault();
      latest.current(...found);
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [mode]);
}
