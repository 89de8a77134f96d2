/** One item: its prompt, its responses, and the vote on it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { promptText } from "../parts/evaluation.js";
import { Answer } from "./answer.js";
import { dropped, joined, missing, placeOf, pressed, stepBack, worded } from "./ballot.js";
import { Bar } from "./bar.js";
import { useKeys } from "./keys.js";
import { ordinal } from "./ordinals.js";
import { Places } from "./places.js";

/** @param {{mode: "rank" | "pick", item: any, before: any, send: (item: any, ballot: any) => void, undo: () => void, help: () => void}} props */
export function Booth({ mode, item, before, send, undo, help }) {
  const [ballot, setBallot] = useState(before);
  const [noting, setNoting] = useState(Boolean(before.note));
  const [spoken, setSpoken] = useState("");
  const [why, setWhy] = useState(""); // it cannot be sent
  const prompt = useRef(null);
  const latest = useRef(before); // keys may come faster than the page is drawn
  useEffect(() => {
    prompt.current.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, []);

  const numberOf = (id) => item.responses.findIndex((response) => response.id === id) + 1;
  function change(step) {
    latest.current = step(latest.current);
    setBallot(latest.current);
    setSpoken(sentence(latest.current, mode, numberOf));
    setWhy("");
  }
  const press = (id) => change((now) => pressed(now, mode, id));
  function finish() {
    const reason = missing(latest.current, mode, item);
    if (reason) setWhy(reason);
    else send(item, latest.current);
  }
  const actions = {
    number: (number) => item.responses[number - 1] && press(item.responses[number - 1].id),
    tie: () => change((now) => (mode === "pick" ? worded(now, "tie") : joined(now))),
    back: () => change(stepBack),
    bad: () => change((now) => worded(now, "both_bad")),
    skip: () => change((now) => worded(now, "skip")),
    note: () => setNoting(true),
    send: finish,
    undo,
    help,
  };
  useKeys(mode, (action, number) => actions[action]?.(number));

  return html`<div class=${`booth of-${item.responses.length}`}>
    <h1 class="hidden-text">${mode === "rank" ? "Rank the responses" : "Pick the better response"}</h1>
    <section class="asked" ref=${prompt} tabindex="-1" aria-label="Prompt">${promptText(item.prompt)}</section>
    <div class="answers">
      ${item.responses.map((response, at) => {
        const place = placeOf(ballot, response.id);
        return html`<${Answer} key=${response.id} number=${at + 1} response=${response} mode=${mode} place=${place}
          tied=${place > 0 && ballot.places[place - 1].length > 1} best=${place === 1} press=${() => press(response.id)} />`;
      })}
    </div>
    <${Bar} mode=${mode} ballot=${ballot} actions=${actions} noting=${noting} ready=${!missing(ballot, mode, item)} spoken=${spoken} why=${why}
      note=${(note) => setBallot((latest.current = { ...latest.current, note }))} closeNote=${() => setNoting(false)}>
      ${mode === "rank" && html`<${Places} places=${ballot.places} numberOf=${numberOf} press=${press}
        drop=${(id, target) => change((now) => dropped(now, id, target))} />`}
    <//>
  </div>`;
}

const WORDS = { tie: "A tie.", both_bad: "All are bad.", skip: "Skip this item." };

/** The vote so far, for who does not see it. */
function sentence(ballot, mode, numberOf) {
  if (ballot.word) return WORDS[ballot.word];
  if (ballot.places.length === 0) return "Nothing is chosen.";
  if (mode === "pick") return `Response ${numberOf(ballot.places[0][0])} is picked.`;
  return `${ballot.places.map((ids, at) => `${ordinal(at + 1)}: ${ids.map(numberOf).join(" and ")}`).join(", ")}.`;
}
