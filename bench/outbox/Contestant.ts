/** What is measured: whole processes that relay the same table to the same exchange. */
import { join } from "node:path"
import * as Program from "../../test/support/servers/Program.ts"
import type * as beside from "../beside.ts"
import type { Contestant as General } from "../Contestant.ts"
import type { Testbed } from "./Testbed.ts"

export type Contestant = General<beside.Name>

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
