import type { RoundTraining, TaskSpec } from "../protocol/task.ts";

/**
 * How devices train in the round after `roundsDone` closed ones. The invitation says it all, so a device keeps no count; an aborted round has not taught the
 * pretext and takes none of its rounds.
 */
export function roundTraining({ training, pretrain }: TaskSpec, roundsDone: number): RoundTraining {
  return pretrain !== undefined && roundsDone < pretrain.rounds
    ? { ...training, pretext: pretrain.objective }
    : training;
}
