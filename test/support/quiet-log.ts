/** A log for tests that keeps what was said, so that a failing test can show it. */
export function quietLog() {
  const lines: string[] = [];
  const add = (level: string) => (fields: object, message: string) => {
    lines.push(
      `${level} ${message} ${JSON.stringify(fields, (_, value) => (value instanceof Error ? value.message : value))}`,
    );
  };
  return { lines, debug: () => undefined, info: add("info"), warn: add("warn"), error: add("error") };
}
