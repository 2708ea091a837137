/**
 * The one error class of the project. `code` is stable and meant for machines; the message is one sentence that says
 * what is wrong and what to do next.
 */
export class FleetError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "FleetError";
    this.code = code;
  }
}

export type ErrorCode =
  /** A file, flag, config value or argument that the user gave is wrong: exit code 2 on the command line. */
  | "BAD_INPUT"
  /** A message from the wire does not have the form that its topic asks for. */
  | "BAD_MESSAGE"
  /** A message, frame or transfer is larger, longer or deeper than its limit. */
  | "TOO_LARGE"
  /** Bytes do not have the sha256 that was announced for them. */
  | "BAD_HASH"
  /** A manifest is not signed by a key that the device was enrolled with. */
  | "BAD_SIGNATURE"
  /** Weights do not fit the layout of the model that they are for. */
  | "BAD_SHAPE"
  /** Weights, or values computed from them, are NaN or infinite. */
  | "NOT_FINITE"
  /** An update is for another round than the open one, or on another base version. */
  | "STALE_ROUND"
  | "STALE_BASE"
  /** A device says more samples, or a larger change, than the gate lets pass. */
  | "OVER_WEIGHT"
  /** A device did what its credentials do not allow. */
  | "FORBIDDEN"
  /** The device takes no part: already training, not enough data, other channels. */
  | "UNAVAILABLE"
  /** Another process holds the state folder or the lease. */
  | "LOCKED"
  /** What was asked for is not there. */
  | "NOT_FOUND"
  /** The engine has no such layer, option, loss or optimizer. */
  | "UNSUPPORTED"
  /** Stored state does not read back as it was written. */
  | "CORRUPT"
  /** The other side is away, or an operation ran past its time. */
  | "TIMEOUT"
  | "ABORTED";

/** The FleetError inside `error`, or `error` wrapped as one with `code`. */
export function asFleetError(error: unknown, code: ErrorCode): FleetError {
  if (error instanceof FleetError) return error;
  return new FleetError(code, error instanceof Error ? error.message : String(error), { cause: error });
}
