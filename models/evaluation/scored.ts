import type { AlarmSpec } from "../../protocol/task.ts";
import type { DeviceData } from "../data/device-set.ts";
import type { Calibration, Detector } from "../detectors/detector.ts";
import { warmUpRows } from "../detectors/open.ts";
import type { AlarmRule } from "../scoring/events.ts";
import type { Tail } from "../scoring/tail.ts";
import type { Arm } from "./arms.ts";

/** The scores of one device's test rows, with what they were judged by. */
export interface Scored extends TestScores {
  readonly detector: string;
  readonly arm: Arm;
  readonly seed: number;
  readonly device: string;
  readonly threshold: number;
  readonly rule: AlarmRule;
  /** Of the held-back rows' scores: what normal ones look like. */
  readonly tail: Tail;
  readonly labels: Uint8Array;
}

/** The receiver may do as it likes with the buffers. */
export interface TestScores {
  readonly scores: Float64Array;
  /** (rows, terms): what each channel made of each row's score. */
  readonly contributions: Float32Array;
  readonly terms: number;
}

export interface TestScorerOptions {
  readonly detector: Detector;
  readonly alarm: AlarmSpec;
  /** A row stands for itself: devices that share a model and a test part (images) have the same scores, which are then computed once. */
  readonly alone: boolean;
}

export interface ToScore {
  readonly weights: Float32Array;
  readonly calibration: Calibration;
  readonly data: DeviceData;
}

/** As an agent would: the stream has seen the end of the training rows before the first test row comes. */
export function testScorer({ detector, alarm, alone }: TestScorerOptions): (of: ToScore) => TestScores {
  let last: (ToScore & { readonly found: TestScores }) | undefined;
  return (of) => {
    if (alone && last && scoreAlike(last, of)) return copied(last.found);
    const found = scoreTest(of);
    last = { ...of, found };
    return alone ? copied(found) : found;
  };

  function scoreTest({ calibration, data: { train, test } }: ToScore): TestScores {
    const { channels } = train;
    const scorer = detector.scorer(calibration, alarm.smooth);
    for (let i = Math.max(0, train.rows - warmUpRows(detector, alarm.smooth)); i < train.rows; i++) {
      scorer.push(train.values.subarray(i * channels, (i + 1) * channels));
    }
    const terms = scorer.contributions.length;
    const contributions = new Float32Array(test.rows * terms);
    const scores = new Float64Array(test.rows);
    for (let i = 0; i < test.rows; i++) {
      scores[i] = scorer.push(test.values.subarray(i * channels, (i + 1) * channels));
      contributions.set(scorer.contributions, i * terms);
    }
    return { scores, contributions, terms };
  }
}

/** The threshold has no part in the scores. */
function scoreAlike(a: ToScore, b: ToScore): boolean {
  const key = ({ calibration: { sigma, scalerMean, scalerSigma, levels } }: ToScore) =>
    JSON.stringify([sigma, scalerMean, scalerSigma, levels]);
  return a.weights === b.weights && a.data.test === b.data.test && key(a) === key(b);
}

function copied({ scores, contributions, terms }: TestScores): TestScores {
  return { scores: scores.slice(), contributions: contributions.slice(), terms };
}
