/** What is measured: whole processes that relay the same table to the same exchange. */
import { join } from "node:path"
import * as Program from "../../test/support/servers/Program.ts"
import type { Services } from "../worker/Services.ts"

export interface Contestant {
  readonly name: "product" | "bare"
  readonly runtime: Program.Runtime
}

/** `product on bun`, for people. */
export const titleOf = ({ name, runtime }: Contestant): string => `${name} on ${runtime}`

const programs = {
  product: { args: ["--mode=outbox"] },
  bare: { main: join(import.meta.dirname, "../reference/bareRelay.ts"), args: [] }
}

/** Starts it; it relays until it is killed, or the reference until so many are published. */
export const launch = ({ name, runtime }: Contestant, services: Services, events: number) =>
  Program.start({
    ...programs[name],
    runtime,
    env: {
      RABBITMQ_URL: services.rabbitMqUrl,
      DATABASE_URL: services.databaseUrl,
      MAX_MESSAGES: String(events),
      HEALTH_PORT: "0"
    }
  })
