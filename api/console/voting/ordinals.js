const SUFFIXES = { one: "st", two: "nd", few: "rd", other: "th" };
const rules = new Intl.PluralRules("en", { type: "ordinal" });

/** "1st", "2nd" */
export const ordinal = (number) => `${number}${SUFFIXES[rules.select(number)]}`;
