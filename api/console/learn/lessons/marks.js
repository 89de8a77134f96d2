/** Results in words. */
import { figure, percent } from "../../lib/format.js";

/** What a guess about right answers turned out to be: the number of the option. Shares are compared in tenths. */
export const leap = ({ base, tuned }) => (tuned.right - base.right > 0.3 ? "leap" : tuned.right - base.right > 0.1 ? "some" : "none");

export const went = (base, tuned) => (percent(base) === percent(tuned) ? `stayed at ${percent(base)}` : `went from ${percent(base)} to ${percent(tuned)}`);

/** A figure with two decimals and its sign. */
export const signed = (value) => (value === undefined ? "–" : `${value < 0 ? "−" : "+"}${figure(Math.abs(Math.round(value * 100) / 100))}`);
