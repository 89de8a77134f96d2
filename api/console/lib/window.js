/** Which rows of a long list are in the document: those near the ones that are seen, and the one that has the focus. */
import { useEffect, useRef, useState } from "preact/hooks";

const ENOUGH = 100; // rows that are always rendered all
const AROUND = 12; // rows above and below those that are seen
const BESIDE = 2; // rows beside the one with the focus: the Tab key leads to them
const GUESS = 48; // pixels, before a row was measured

/**
 * @param {{current: HTMLElement | null}} body its children with `data-place` are the rows
 * @param {number} count of all rows
 * @returns {{places: number[], height: number}} height: of a row, for the gaps between them
 */
export function useWindow(body, count) {
  const [seen, setSeen] = useState({ first: 0, last: ENOUGH, focus: -1 });
  const height = useRef(GUESS);
  useEffect(() => {
    if (count <= ENOUGH) return undefined;
    let frame = 0;
    function measure() {
      const rows = [...body.current.querySelectorAll("[data-place]")];
      if (rows.length) height.current = Math.max(1, rows.reduce((sum, row) => sum + row.offsetHeight, 0) / rows.length);
    }
    function look() {
      frame = 0;
      if (!body.current) return;
      const { top } = body.current.getBoundingClientRect();
      const first = Math.max(0, Math.floor(-top / height.current) - AROUND);
      const last = Math.min(count, Math.ceil((innerHeight - top) / height.current) + AROUND);
      const row = document.activeElement?.closest("[data-place]");
      const focus = row && body.current.contains(row) ? Number(row.dataset.place) : -1;
      setSeen((before) => (before.first === first && before.last === last && before.focus === focus ? before : { first, last, focus }));
    }
    const soon = () => (frame ||= requestAnimationFrame(look));
    const resized = () => (measure(), soon());
    measure();
    look();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", resized);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", soon);
      removeEventListener("resize", resized);
    };
  }, [count]);
  if (count <= ENOUGH) return { places: range(0, count), height: height.current };
  const places = range(Math.min(seen.first, count), Math.min(seen.last, count));
  const kept = seen.focus < 0 ? [] : range(Math.max(0, seen.focus - BESIDE), Math.min(count, seen.focus + BESIDE + 1));
  return { places: [...new Set([...places, ...kept])].sort((one, other) => one - other), height: height.current };
}

const range = (first, last) => Array.from({ length: Math.max(0, last - first) }, (_, place) => first + place);
