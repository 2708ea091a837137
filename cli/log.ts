export type Level = "debug" | "info" | "warn" | "error";
const rank: Record<Level, number> = { debug: 20, info: 30, warn: 40, error: 50 };

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** One JSON object a line, in pino's form. Not pino itself: an agent's memory is counted in megabytes. */
export function jsonLog(write: (line: string) => void, level: Level, nowMs: () => number = Date.now): Log {
  const at = (own: Level) => (fields: object, message: string) => {
    if (rank[own] < rank[level]) return;
    write(`${JSON.stringify({ level: rank[own], time: nowMs(), ...plain(fields), msg: message })}\n`);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Errors have no enumerable properties: as they are, JSON would show them as {}. */
function plain(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error
        ? {
            type: value.name,
            message: value.message,
            ...("code" in value ? { code: value.code } : {}),
            stack: value.stack,
          }
        : value,
    ]),
  );
}
