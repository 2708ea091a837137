import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = fileURLToPath(new URL("../../../../shared/data", import.meta.url));

/** Third-party data beside the repository; it is never part of it, so tests that need it skip without it. */
export const SHARED_DATA: string | undefined = existsSync(path) ? path : undefined;
if (!SHARED_DATA) console.warn(`skipped: tests on real data, because ${path} is not there`);
