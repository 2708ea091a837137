import type { ColumnProblem } from "./prepare.ts";

/** What is wrong with a column, and what to do, in a sentence. */
export function problemText(problem: ColumnProblem): string {
  const column = `column "${problem.column}"`;
  switch (problem.kind) {
    case "text":
      return `${column} holds "${problem.value}", which is no number and counts as missing: mend what writes it, or name the column as categorical`;
    case "negative":
      return `${column} is a counter and holds ${problem.value}, which counts as missing: mend what writes it, or name the column as something else`;
    case "appeared":
      return `${column} is new and is not used: to use it, start again with it in the data, on every device of the fleet`;
    case "vanished":
      return `${column} is not there any more and counts as missing: look at what writes it`;
    case "silent":
      return `${column} has had no value for ${problem.rows} rows: look at its sensor and wiring`;
  }
}

/** Tells each kind of problem of each column once: a column that falters would otherwise fill a log. */
export function onceEach(
  tell: (text: string, problem: ColumnProblem) => void,
): (problem: ColumnProblem) => void {
  const told = new Set<string>();
  return (problem) => {
    const key = `${problem.kind} ${problem.column}`;
    if (told.has(key)) return;
    told.add(key);
    tell(problemText(problem), problem);
  };
}
