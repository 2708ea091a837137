import { openAedesIngest } from "../../../coordinator/embedded/aedes-ingest.ts";
import { ingestContract } from "../../contracts/ingest.contract.ts";

const log = { debug: () => undefined, warn: () => undefined, error: () => undefined };

ingestContract("aedes ingest", (handler) => openAedesIngest({ host: "127.0.0.1", port: 0, handler, log }));
