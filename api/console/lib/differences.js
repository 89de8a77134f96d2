/** Which words of a text are new, and which are gone. */

const WORDS_AT_MOST = 1500; // of both texts: the table below has the product of the two

const wordsOf = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];

/**
 * The shortest way from one text to the other, word by word, by their longest common subsequence.
 *
 * @returns {{kind: "same" | "gone" | "new", text: string}[] | null} null where they are too long to compare
 */
export function differences(before, after) {
  const [old, fresh] = [wordsOf(before), wordsOf(after)];
  if (old.length + fresh.length > WORDS_AT_MOST) return null;
  const common = lengths(old, fresh);
  const parts = [];
  const add = (kind, text) => (parts.at(-1)?.kind === kind ? (parts.at(-1).text += text) : parts.push({ kind, text }));
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) add("same", (i++, fresh[j++]));
    else if (i < old.length && (j === fresh.length || common[i + 1][j] >= common[i][j + 1])) add("gone", old[i++]);
    else add("new", fresh[j++]);
  }
  return parts;
}

/** How long the longest common subsequence of old[i…] and fresh[j…] is, for each i and j. */
function lengths(old, fresh) {
  const table = Array.from({ length: old.length + 1 }, () => new Uint16Array(fresh.length + 1));
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = fresh.length - 1; j >= 0; j--) table[i][j] = old[i] === fresh[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  return table;
}
