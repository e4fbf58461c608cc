import { chown, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import type { Account } from "./Child.ts"
import { ServerError } from "./ServerError.ts"

/** A folder that is removed with the scope, owned by the account that is to work in it. */
export const temporaryFolder = (name: string, owner?: Account): Effect.Effect<string, ServerError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const folder = await mkdtemp(join(tmpdir(), `paystream-${name}-`))
        if (owner) await chown(folder, owner.uid, owner.gid)
        return folder
      },
      catch: (cause) => new ServerError({ message: `cannot make a temporary folder for ${name}`, cause })
    }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  )
