import { join } from "node:path"
import { Effect } from "effect"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

/** Where an embedded server of a test keeps its data: not there yet, and removed with the scope. */
export const dataFolder = Effect.map(temporaryFolder("embedded"), (folder) => join(folder, "server"))
