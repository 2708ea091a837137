import type { EvaluationResult } from "../evaluate/result.ts";
import type { DevicePlot } from "./device-plot.ts";
export function evaluationPage(_r: EvaluationResult, _p: readonly DevicePlot[]): string {
  return "";
}
