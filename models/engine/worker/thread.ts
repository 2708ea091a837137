// The script of the engine's thread, as it stands in dist/.
import { runEngineThread } from "./run.ts";

runEngineThread();
