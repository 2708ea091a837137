import { colors } from "./page.ts";

/**
 * Runs in the page: draws each `[data-plot]` canvas that can be seen from the drawings, and says under the pointer what stands there. Each drawing is a
 * score curve with labels and alarms, a heat map of the channels and curves of the channels, all where they are there.
 */
export const drawScript = `
"use strict";
const drawings = JSON.parse(document.getElementById("drawings").textContent);
const C = ${JSON.stringify(colors)};
const LEFT = 104, RIGHT = 10, FONT = "11px system-ui, Segoe UI, Roboto, Arial, sans-serif";
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const unpack = (curve) => (curve.l ??= bytes(curve.lowest), curve.h ??= bytes(curve.highest), curve);
// Dark violet over red to pale yellow on white: nothing is white.
const heat = Array.from({ length: 256 }, (_, i) => {
  const t = i / 255;
  const stops = [[255,255,255],[253,224,178],[246,153,84],[200,64,84],[82,18,92]];
  const at = Math.min(3.999, t * 4), k = Math.floor(at), f = at - k;
  return stops[k].map((v, c) => Math.round(v + f * (stops[k + 1][c] - v)));
});
const number = (v) => (v === 0 ? "0" : Math.abs(v) >= 1000 || Math.abs(v) < 0.01 ? v.toExponential(1) : String(Number(v.toPrecision(3))));

function draw(canvas) {
  const d = drawings[Number(canvas.dataset.plot)];
  const width = canvas.clientWidth;
  if (width === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const line = d.heat ? (d.heat.names.length > 12 ? 10 : 13) : 0;
  const parts = [];
  let at = 2;
  for (const curve of d.series ?? []) { parts.push({ kind: "series", curve, top: at, height: 40 }); at += 48; }
  if (d.score) { parts.push({ kind: "score", curve: d.score, top: at, height: 120 }); at += 128; }
  if (d.heat) { parts.push({ kind: "heat", heat: d.heat, top: at, height: line * d.heat.names.length }); at += line * d.heat.names.length + 6; }
  const height = at + 18;
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio); g.font = FONT; g.textBaseline = "middle";
  const inner = width - LEFT - RIGHT;
  const x = (row) => LEFT + (inner * row) / d.rows;
  const spans = (list, top, size, color) => {
    g.fillStyle = color;
    for (let i = 0; i < list.length; i += 2) g.fillRect(x(list[i]), top, Math.max(1, x(list[i + 1]) - x(list[i])), size);
  };
  for (const { kind, curve, heat: map, top, height: size } of parts) {
    if (kind !== "heat") {
      unpack(curve);
      const y = (byte) => top + size * (1 - (byte - 1) / 253);
      const value = (v) => top + size * (1 - (v - curve.low) / ((curve.high - curve.low) || 1));
      spans(d.labels, top, size, C.label);
      g.strokeStyle = C.grid; g.strokeRect(LEFT + 0.5, top + 0.5, inner - 1, size - 1);
      g.fillStyle = C.faint; g.textAlign = "right";
      if (kind === "score") {
        const ticks = [];
        if (curve.log) for (let e = Math.ceil(curve.low); e <= curve.high; e++) ticks.push([e, e === 0 ? "threshold" : number(10 ** e) + " \\u00d7"]);
        else {
          ticks.push([curve.low, number(curve.low)], [curve.high, number(curve.high)]);
          if (curve.threshold !== null) ticks.push([curve.threshold, "threshold"]);
        }
        for (const [v, text] of ticks) {
          g.strokeStyle = C.grid; g.beginPath(); g.moveTo(LEFT, value(v)); g.lineTo(width - RIGHT, value(v)); g.stroke();
          g.fillStyle = text === "threshold" ? C.threshold : C.faint;
          g.fillText(text, LEFT - 8, Math.min(top + size - 6, Math.max(top + 6, value(v))));
        }
      } else {
        g.fillStyle = C.ink; g.fillText(clip(g, curve.name), LEFT - 8, top + size / 2);
        g.fillStyle = C.faint; g.fillText(number(curve.high), LEFT - 8, top + 7); g.fillText(number(curve.low), LEFT - 8, top + size - 7);
      }
      g.fillStyle = C.score;
      const step = inner / curve.columns;
      for (let i = 0; i < curve.columns; i++) {
        if (curve.l[i] > curve.h[i]) continue;
        // Columns meet, so that a jump from one to the next is a line.
        let low = Math.min(254, Math.max(1, curve.l[i])), high = Math.min(254, Math.max(1, curve.h[i]));
        if (i > 0 && curve.l[i - 1] <= curve.h[i - 1]) { low = Math.min(low, curve.h[i - 1]); high = Math.max(high, curve.l[i - 1]); }
        const upper = y(Math.min(254, high)), lower = y(Math.max(1, low));
        g.fillRect(LEFT + i * step, upper - 0.6, Math.max(step, 1), Math.max(1.2, lower - upper + 1.2));
      }
      if (kind === "score") {
        const v = curve.log ? 0 : curve.threshold;
        if (v !== null) {
          g.strokeStyle = C.threshold; g.setLineDash([6, 4]); g.beginPath(); g.moveTo(LEFT, value(v)); g.lineTo(width - RIGHT, value(v)); g.stroke(); g.setLineDash([]);
        }
        spans(d.alarms, top + size - 4, 4, C.alarm);
      }
    } else {
      map.b ??= bytes(map.cells);
      const n = map.names.length;
      const picture = new ImageData(map.columns, n);
      for (let i = 0; i < map.b.length; i++) { const [r, gr, b] = heat[map.b[i]]; picture.data.set([r, gr, b, 255], i * 4); }
      const small = document.createElement("canvas");
      small.width = map.columns; small.height = n;
      small.getContext("2d").putImageData(picture, 0, 0);
      g.imageSmoothingEnabled = false; g.drawImage(small, LEFT, top, inner, size);
      g.strokeStyle = C.grid; g.strokeRect(LEFT + 0.5, top + 0.5, inner - 1, size - 1);
      g.fillStyle = C.faint; g.textAlign = "right";
      g.font = line < 12 ? FONT.replace("11px", "9.5px") : FONT;
      map.names.forEach((name, k) => g.fillText(clip(g, name), LEFT - 8, top + line * (k + 0.5)));
      g.font = FONT;
    }
  }
  g.fillStyle = C.faint; g.textBaseline = "alphabetic";
  for (let k = 0; k <= 4; k++) {
    g.textAlign = k === 0 ? "left" : k === 4 ? "right" : "center";
    g.fillText((k === 0 ? "row " : "") + Math.round((d.rows * k) / 4).toLocaleString("en"), LEFT + (inner * k) / 4, height - 4);
  }
  canvas.onmousemove = (event) => {
    const part = (event.offsetX - LEFT) / inner;
    const says = canvas.parentElement.querySelector("h4 span");
    if (part < 0 || part >= 1) { says.textContent = says.dataset.text; return; }
    const text = ["row " + Math.floor(part * d.rows).toLocaleString("en")];
    if (d.score) {
      const s = unpack(d.score), i = Math.floor(part * s.columns);
      const v = s.low + ((s.high - s.low) * (s.h[i] - 1)) / 253;
      text.push(s.log ? number(10 ** v) + " \\u00d7 threshold" : "score " + number(v));
    }
    if (d.heat?.b) {
      const column = Math.floor(part * d.heat.columns);
      let best = 0;
      d.heat.names.forEach((_, k) => { if (d.heat.b[k * d.heat.columns + column] > d.heat.b[best * d.heat.columns + column]) best = k; });
      text.push("most from " + d.heat.names[best]);
    }
    says.textContent = text.join("  \\u00b7  ");
  };
  canvas.onmouseleave = () => { const says = canvas.parentElement.querySelector("h4 span"); says.textContent = says.dataset.text; };
}
const clip = (g, text) => {
  let most = text.length;
  while (most > 1 && g.measureText(most < text.length ? text.slice(0, most) + "\\u2026" : text).width > LEFT - 12) most--;
  return most < text.length ? text.slice(0, most) + "\\u2026" : text;
};
const drawAll = () => document.querySelectorAll("canvas[data-plot]").forEach(draw);
function choose(section) {
  const [detector, arm] = [...section.querySelectorAll("select")].map((one) => one.value);
  for (const one of section.querySelectorAll("[data-detector]"))
    one.hidden = one.dataset.detector !== detector || one.dataset.arm !== arm;
  drawAll();
}
for (const section of document.querySelectorAll("[data-choose]")) {
  section.addEventListener("change", () => choose(section));
  choose(section);
}
let later;
addEventListener("resize", () => { clearTimeout(later); later = setTimeout(drawAll, 100); });
drawAll();
`;
