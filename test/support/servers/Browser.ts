/** A real browser, without a window. */
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { type Browser, chromium } from "playwright-core"
import { folderOf } from "./command.ts"
import { ServerError } from "./ServerError.ts"
import { canInstall, install } from "./Source.ts"

const program = "chromium"

const pathOf = (): string | undefined => {
  const folder = folderOf(program, [])
  return folder === undefined ? undefined : join(folder, program)
}

const missing = new ServerError({
  message: `Chromium: put ${program} on the PATH (Debian: apt-get install ${program})`
})

const find = Effect.gen(function* () {
  const found = pathOf()
  if (found !== undefined) return found
  if (canInstall()) yield* install(program)
  return pathOf() ?? (yield* missing)
})

/** Starts one, which is closed at the end. */
export const start: Effect.Effect<Browser, ServerError, Scope.Scope> = Effect.flatMap(find, (executablePath) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] }),
      catch: (cause) => new ServerError({ message: `${executablePath} does not start`, cause })
    }),
    (browser) => Effect.promise(() => browser.close())
  )
)
