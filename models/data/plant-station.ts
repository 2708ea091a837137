import type { Draws } from "./draws.ts";
import { PLANT_CHANNELS, ROW_SECONDS, type StationDesign } from "./plant-design.ts";
import { intensityOf, type PlantEvent } from "./plant-faults.ts";

/**
 * A station that moves one row ahead per call and returns its true state (channels), overwritten by the next call.
 *
 * Pump curve by the affinity laws (head with speed^2, power with speed^3): p = H0 s^2 - a q^2. System: p = Hs + R q^2 / v^2 for
 * valve opening v. Current follows shaft power, bearing temperature follows it with a delay, vibration grows with
 * speed^2 and away from the best efficiency point.
 */
export function pumpStation(
  design: StationDesign,
  random: Draws,
): (row: number, event: PlantEvent | undefined, testRow: number) => Float64Array {
  const { flow: qN, pressure: pN, current: iN, valve: vN } = design;
  // The curves meet at nominal load: p = pN at q = qN, s = 1, v = vN.
  const H0 = 1.25 * pN;
  const a = (0.25 * pN) / qN ** 2;
  const Hs = 0.3 * pN;
  const R = (0.7 * pN * vN ** 2) / qN ** 2;
  const load = stationLoad(design, random);
  let speed = 1;
  let valve = vN;
  let temperature = design.ambient + design.heating;
  const state = new Float64Array(PLANT_CHANNELS.length);

  return (row, event, testRow) => {
    const fault = (kind: PlantEvent["kind"]) => (event?.kind === kind ? intensityOf(event, testRow) : 0);
    const demand = load(row);
    speed += (1 + 0.25 * (demand - 1) - speed) * lag(15);
    const wanted = Math.min(1, Math.max(0.15, vN * demand ** 0.8));
    // A stuck valve gives way only when it is far off, and then in a jerk: stick and slip.
    const stuck = fault("sticking-valve") > 0;
    if (!stuck) valve += (wanted - valve) * lag(25);
    else if (Math.abs(wanted - valve) > STICTION * vN) valve += 0.7 * (wanted - valve);

    // A leak lies between pump and flow meter and spurts: the pump delivers more, the meter sees less, the pressure falls.
    const spurt = Math.max(0, 1 + 0.35 * random.normal());
    const leak = fault("leak") * spurt * (event?.severity ?? 0) * qN;
    let delivered = 0;
    let pumped = 0;
    let pressure = state[1] || pN;
    for (let i = 0; i < 8; i++) {
      const lost = leak * Math.sqrt(Math.max(0, pressure) / pN);
      delivered = Math.sqrt(Math.max(0, pressure - Hs) / R) * valve;
      pumped = delivered + lost;
      // Halfway each time: the plain iteration overshoots where the curves are steep.
      pressure += 0.5 * (Math.max(Hs, H0 * speed ** 2 - a * pumped ** 2) - pressure);
    }
    const power = 0.3 * speed ** 3 + (0.7 * pumped * pressure) / (qN * pN);
    const wear = fault("bearing-wear") * (event?.severity ?? 0);
    const hours = (row * ROW_SECONDS) / 3600;
    const ambient = design.ambient + 3 * Math.sin((2 * Math.PI * (hours - 3)) / 24);
    temperature += (ambient + design.heating * power * (1 + 0.5 * wear) - temperature) * lag(900);
    const offBest = pumped / (qN * speed) - 1;
    // A worn bearing also knocks: now and then a row of much more vibration.
    const knock = wear > 0 && random.unit() < 0.3 ? 1 + wear * random.unit() : 1;
    const level = design.vibration * (0.4 + 0.6 * speed ** 2) * (1 + 8 * offBest ** 2) * (1 + wear) * knock;

    state[0] = delivered;
    state[1] = pressure;
    state[2] = iN * power * (1 + 0.15 * wear);
    state[3] = temperature;
    state[4] = level * Math.exp(0.06 * random.normal());
    state[5] = 100 * valve;
    return state;
  };
}

/** A stuck valve holds until it is this part of its nominal opening away from where it should be. */
const STICTION = 0.22;

/** Demand, 1 = nominal: two humps a day, three shifts, batches of 5 to 40 minutes, and a slow wander. */
function stationLoad(design: StationDesign, random: Draws): (row: number) => number {
  const { mean, day, shift, batch } = design.load;
  let smooth = mean;
  let wander = 0;
  let level = 0;
  let left = 0;
  return (row) => {
    const hour = (((row * ROW_SECONDS) / 3600 + 6 + design.phase) % 24) + (row < 0 ? 24 : 0);
    const daily = Math.sin((2 * Math.PI * (hour - 7)) / 24) + 0.4 * Math.sin((4 * Math.PI * (hour - 5)) / 24);
    const shiftly = hour % 24 < 6 || hour % 24 >= 22 ? -1 : hour % 24 < 14 ? 0.6 : 0.2;
    if (left-- <= 0) {
      level = random.between(-1, 1);
      left = random.whole(30, 240);
    }
    wander += -wander * lag(600) + 0.006 * random.normal();
    const target = mean + day * daily + shift * shiftly + batch * level + wander;
    smooth += (target - smooth) * lag(60);
    return Math.min(1.45, Math.max(0.45, smooth));
  };
}

/** Step of a first-order lag with a time constant in seconds. */
function lag(seconds: number): number {
  return 1 - Math.exp(-ROW_SECONDS / seconds);
}
