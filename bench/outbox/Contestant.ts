/** What is measured: whole processes that relay the same table to the same exchange. */
import { join } from "node:path"
import * as Program from "../../test/support/servers/Program.ts"
import type { Testbed } from "./Testbed.ts"

export interface Contestant {
  readonly name: "product" | "bare"
  readonly runtime: Program.Runtime
}

/** `product on bun`, for people. */
export const titleOf = ({ name, runtime }: Contestant): string => `${name} on ${runtime}`

const references = { rabbitmq: "bareRelay.ts", kafka: "bareRelayKafka.ts" }

const programOf = (name: Contestant["name"], { broker }: Testbed) =>
  name === "product"
    ? { args: ["--mode=outbox"] }
    : { main: join(import.meta.dirname, "../reference", references[broker]), args: [] }

/** Starts it; it relays until it is killed, or the reference until so many are published. */
export const launch = (
  { name, runtime }: Contestant,
  testbed: Testbed,
  events: number,
  env: Readonly<Record<string, string>> = {}
) =>
  Program.start({
    ...programOf(name, testbed),
    runtime,
    env: { ...testbed.env, MAX_MESSAGES: String(events), HEALTH_PORT: "0", ...env }
  })
