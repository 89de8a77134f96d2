/** What a screen reader says, and a short message that everyone sees. */
import { signal } from "@preact/signals";

export const announcement = signal("");
let timer = 0;

export function announce(sentence) {
  announcement.value = sentence;
  clearTimeout(timer);
  timer = setTimeout(() => (announcement.value = ""), 6000);
}
