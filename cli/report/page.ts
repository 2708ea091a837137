/** Text for HTML: names come from files and devices. */
export function htmlText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function count(n: number, what: string): string {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

export interface Page {
  readonly title: string;
  readonly lead: string;
  /** HTML. */
  readonly body: string;
  /** For the script, as JSON in the page; absent where there is nothing to draw. */
  readonly drawings?: unknown;
  readonly script?: string;
}

/** One file that asks for nothing from a network: a policy in it makes the browser hold to that. */
export function page({ title, lead, body, drawings, script }: Page): string {
  // "</script>" within a name would end the script.
  const json = JSON.stringify(drawings ?? null).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>${htmlText(title)}</title>
<style>${css}</style>
</head>
<body>
<main>
<h1>${htmlText(title)}</h1>
<p class="lead">${htmlText(lead)}</p>
${body}
</main>
${script === undefined ? "" : `<script type="application/json" id="drawings">${json}</script>\n<script>${script}</script>`}
</body>
</html>
`;
}

/** Colours that stay apart for most kinds of colour blindness. Source: Okabe and Ito 2008, "Color Universal Design". */
export const colors = {
  score: "#2563a8",
  label: "#f5c99b",
  labelEdge: "#d9822b",
  alarm: "#c0392b",
  threshold: "#c0392b",
  grid: "#e6e9ee",
  ink: "#1c2733",
  faint: "#6b7785",
} as const;

/** For the arms, in their order. */
export const seriesColors = ["#8a97a6", "#e69f00", "#0072b2", "#009e73", "#cc79a7"] as const;

const css = `
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f9; color: ${colors.ink}; font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 0 0 10px; }
.lead, .note { color: ${colors.faint}; margin: 0 0 12px; }
.note { font-size: 13px; margin: 8px 0 0; }
.card { background: #fff; border: 1px solid #e1e6ed; border-radius: 10px; padding: 16px 18px; margin: 0 0 16px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; width: 100%; }
th { font-weight: 600; text-align: right; color: ${colors.faint}; border-bottom: 2px solid #dfe4ea; padding: 4px 8px; vertical-align: bottom; line-height: 1.25; }
td { text-align: right; padding: 4px 8px; border-bottom: 1px solid #eef1f5; white-space: nowrap; }
th.text, td.text { text-align: left; }
tr.guess td { color: ${colors.faint}; background: #fafbfc; }
tr.first td { border-top: 2px solid #dfe4ea; }
td.best { font-weight: 700; }
.sd { color: ${colors.faint}; font-size: 11px; }
.charts { display: flex; flex-wrap: wrap; gap: 18px 26px; justify-content: space-between; }
.charts figure, .calibration { margin: 0; }
svg { display: block; }
figure { overflow-x: auto; max-width: 100%; }
svg text { font: 11px system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: ${colors.faint}; }
svg .title { font-weight: 600; font-size: 12.5px; fill: ${colors.ink}; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 12.5px; color: ${colors.faint}; margin: 0 0 12px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.legend i.line { height: 0; border-top: 2px dashed; border-radius: 0; vertical-align: 3px; width: 18px; }
.choose { display: flex; flex-wrap: wrap; gap: 10px 18px; margin: 0 0 14px; }
.choose label { font-size: 13px; color: ${colors.faint}; }
select { font: inherit; font-size: 13px; padding: 3px 8px; border: 1px solid #ccd4de; border-radius: 6px; background: #fff; margin-left: 6px; }
.plot { margin: 0 0 22px; }
.plot h4 { font-size: 13.5px; margin: 0 0 4px; display: flex; justify-content: space-between; gap: 12px; }
.plot h4 span { font-weight: 400; color: ${colors.faint}; font-variant-numeric: tabular-nums; }
canvas { display: block; width: 100%; }
code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: #eef1f5; border-radius: 4px; padding: 1px 5px; overflow-wrap: anywhere; }
`;
