export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null | undefined;
  /** Numbers stand to the right; a fixed count of decimals makes them comparable. */
  readonly digits?: number;
  readonly align?: "left" | "right";
}

/** A table in plain text. Missing values are a dash; `rulesBefore` are rows over which a line is drawn. */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { rulesBefore = [] }: { rulesBefore?: readonly number[] } = {},
): string {
  const cells = rows.map((row) => columns.map((column) => cell(column, row)));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => (isRight(columns[i]!) ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  const body = cells.flatMap((row, i) => (rulesBefore.includes(i) ? [rule, line(row)] : [line(row)]));
  return [line(columns.map(({ title }) => title)), rule, ...body].join("\n");
}

function cell<Row>(column: Column<Row>, row: Row): string {
  const value = column.value(row);
  if (value === null || value === undefined || (typeof value === "number" && Number.isNaN(value))) return "-";
  return typeof value === "number" && column.digits !== undefined
    ? value.toFixed(column.digits)
    : String(value);
}

function isRight<Row>({ align, digits }: Column<Row>): boolean {
  return align === "right" || (align === undefined && digits !== undefined);
}
