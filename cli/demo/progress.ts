import type { Fleet } from "./follow.ts";
import type { Plan } from "./plan.ts";
import type { Screen } from "./screen.ts";

/** Every round is over, and every device has scored its test data with the last version and handed over its alerts. */
export function finished(fleet: Fleet, plan: Plan): boolean {
  const { task } = fleet;
  if (task?.phase !== "serving" || task.version === null) return false;
  return plan.devices.every(({ device }) => deviceFinished(fleet, device));
}

function deviceFinished({ devices, task }: Fleet, device: string): boolean {
  const view = devices.get(device);
  const heartbeat = view?.heartbeat;
  return (
    heartbeat?.sourceEnded === true &&
    heartbeat.spooledAlerts === 0 &&
    view?.running?.sha256 === task?.version?.sha256
  );
}

export function showProgress(screen: Screen, fleet: Fleet, plan: Plan): void {
  const rounds = [...fleet.rounds.values()].filter(({ phase }) => phase === "closed").length;
  const done = plan.devices.filter(({ device }) => deviceFinished(fleet, device)).length;
  const online = [...fleet.devices.values()].filter(({ online }) => online).length;
  const open = [...fleet.rounds.values()].find(({ phase }) => phase === "collecting");
  const text =
    fleet.task?.phase === "serving"
      ? `scoring: ${done} of ${plan.devices.length} devices are done`
      : open !== undefined
        ? `round ${open.round}: ${open.accepted.length} of ${open.invited.length} updates`
        : `${online} of ${plan.devices.length} devices are online`;
  screen.progress(rounds + done, text);
}
