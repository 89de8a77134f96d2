/** The lessons' own data, which comes with the console. */

const texts = new Map();

/** A file's text. @param {string} name */
export async function textOf(name) {
  if (!texts.has(name)) {
    const response = await fetch(new URL(`learn/rows/${name}.jsonl`, import.meta.url));
    if (!response.ok) throw new Error(`The lesson's data ${name} could not be loaded. Reload this page.`);
    texts.set(name, await response.text());
  }
  return texts.get(name);
}

export const rowsIn = (text) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
export const rowsOf = async (name) => rowsIn(await textOf(name));
export const fileOf = async (name) => new File([await textOf(name)], `lesson-${name.replaceAll("_", "-")}.jsonl`, { type: "application/jsonl" });
