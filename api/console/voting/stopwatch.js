/** How long an item was on a screen that somebody could see. */
export function startStopwatch() {
  let sum = 0;
  let since = document.hidden ? null : performance.now();
  const seconds = () => (sum + (since === null ? 0 : performance.now() - since)) / 1000;
  const turn = () => {
    if (document.hidden && since !== null) {
      sum += performance.now() - since;
      since = null;
    } else if (!document.hidden && since === null) since = performance.now();
  };
  document.addEventListener("visibilitychange", turn);
  return {
    seconds,
    restart() {
      sum = 0;
      since = document.hidden ? null : performance.now();
    },
    stop: () => document.removeEventListener("visibilitychange", turn),
  };
}
