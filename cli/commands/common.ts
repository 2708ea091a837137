import { z } from "zod";
import type { Flag } from "../command.ts";

/** Options that many commands share, each with its flag. */
export const json = z.boolean().default(false);
export const jsonFlag: Flag = {
  path: "json",
  flag: "--json",
  description: "write JSON for machines on stdout",
};

export const stateDir = z.string().min(1, "give the path of a folder");

export const exitWithParent = z.boolean().default(false);
export const exitWithParentFlag: Flag = {
  path: "exitWithParent",
  flag: "--exit-with-parent",
  description: "end when stdin ends",
  hidden: true,
};

export const logLevel = z.enum(["debug", "info", "warn", "error"]).default("info");
export const logLevelFlag: Flag = {
  path: "logLevel",
  flag: "--log-level <level>",
  description: "debug, info, warn or error",
};

/** 0 takes any free port. */
export const port = z.int().min(0).max(65535);
