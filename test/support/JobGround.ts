/** Jobs as processes: what they are started with, and a look at what is left in the database. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Redacted } from "effect"
import { query } from "./Databases.ts"
import * as Stage from "./Stage.ts"
import * as Program from "./servers/Program.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

const module = fileURLToPath(new URL("./workers/schedule.ts", import.meta.url))

export interface Ground {
  readonly env: Readonly<Record<string, string>>
  /** Where the jobs of the module note what they have done. */
  readonly journal: string
  readonly databaseUrl: string
}

/** On any servers. */
export const groundOn = Effect.fnUntraced(function* (brokerUrl: string, databaseUrl: string) {
  const journal = join(yield* temporaryFolder("journal"), "journal")
  const env = {
    RABBITMQ_URL: brokerUrl,
    DATABASE_URL: databaseUrl,
    JOBS: module,
    JOURNAL: journal,
    HEALTH_PORT: "0",
    LOG_FORMAT: "json"
  }
  return { env, journal, databaseUrl } satisfies Ground
})

/** On the shared servers. */
export const ground = Effect.flatMap(Stage.make, ({ brokerUrl, databaseUrl }) => groundOn(brokerUrl, databaseUrl))

/** The same with our own jobs. */
export const withOwnJobs = (on: Ground): Ground => {
  const { JOBS: _, ...env } = on.env
  return { ...on, env }
}

export const start = (
  { env }: Ground,
  args: ReadonlyArray<string>,
  { runtime = "bun", ...more }: Readonly<Record<string, string>> & { readonly runtime?: Program.Runtime } = {}
) => Program.start({ runtime, args, env: { ...env, ...more } })

/** Runs a command to its end. */
export const ran = (on: Ground, args: ReadonlyArray<string>, runtime: Program.Runtime = "bun") =>
  Effect.gen(function* () {
    const program = yield* start(on, args, { runtime })
    const code = yield* program.exit
    return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
  }).pipe(Effect.scoped)

export const rows = <Row extends Record<string, unknown>>(on: Ground, statement: string) =>
  query<Row>(Redacted.make(on.databaseUrl), statement)
