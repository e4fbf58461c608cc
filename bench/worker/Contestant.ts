/** What is measured: whole processes that take the same settings, store so many messages and exit. */
import { join } from "node:path"
import * as Program from "../../test/support/servers/Program.ts"
import type * as Contestants from "../Contestant.ts"
import type { Services } from "./Services.ts"

export const names = ["product", "bare", "one-at-a-time"] as const
export type Name = (typeof names)[number]

export type Contestant = Contestants.Contestant<Name>

const programs: Record<Name, { readonly main?: string; readonly args: ReadonlyArray<string> }> = {
  product: { args: ["--mode=worker"] },
  bare: { main: join(import.meta.dirname, "../reference/bare.ts"), args: [] },
  "one-at-a-time": { main: join(import.meta.dirname, "../reference/oneAtATime.ts"), args: [] }
}

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
