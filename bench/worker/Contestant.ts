/** What is measured: whole processes that take the same settings, store so many messages and exit. */
import { join } from "node:path"
import { Effect } from "effect"
import type { Child } from "../../test/support/servers/Child.ts"
import * as Program from "../../test/support/servers/Program.ts"
import { check } from "../BenchmarkError.ts"
import type { Services } from "./Services.ts"

export const names = ["product", "bare", "one-at-a-time"] as const
export type Name = (typeof names)[number]

export interface Contestant {
  readonly name: Name
  readonly runtime: Program.Runtime
}

const programs: Record<Name, { readonly main?: string; readonly args: ReadonlyArray<string> }> = {
  product: { args: ["--mode=worker"] },
  bare: { main: join(import.meta.dirname, "../reference/bare.ts"), args: [] },
  "one-at-a-time": { main: join(import.meta.dirname, "../reference/oneAtATime.ts"), args: [] }
}

/** `product on bun`, for people. */
export const titleOf = ({ name, runtime }: Contestant): string => `${name} on ${runtime}`

/** Starts it; it exits by itself after `messages`. */
export const launch = ({ name, runtime }: Contestant, services: Services, queue: string, messages: number) =>
  Program.start({
    ...programs[name],
    runtime,
    env: {
      RABBITMQ_URL: services.rabbitMqUrl,
      DATABASE_URL: services.databaseUrl,
      QUEUE_NAME: queue,
      MAX_MESSAGES: String(messages),
      HEALTH_PORT: "0"
    }
  })

/** Waits for its end, which must be a good one. */
export const ended = Effect.fnUntraced(function* (contestant: Contestant, child: Child) {
  const code = yield* child.exit
  const written = [...child.stdout, ...child.stderr].slice(-20).join("\n")
  yield* check(code === 0, `${titleOf(contestant)} ended with ${code}, having written:\n${written}`)
})
