import process from "node:process";
import type { Heartbeat } from "../protocol/messages.ts";

/** What the process itself says of its health. */
export function vitals(): Pick<Heartbeat, "uptimeMs" | "rssBytes" | "peakRssBytes" | "cpuMs"> {
  const { user, system } = process.cpuUsage();
  return {
    uptimeMs: Math.round(process.uptime() * 1000),
    rssBytes: process.memoryUsage.rss(),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    cpuMs: Math.round((user + system) / 1000),
  };
}
