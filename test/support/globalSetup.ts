import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import * as Kafka from "./servers/Kafka.ts"
import * as KubernetesPrograms from "./servers/KubernetesPrograms.ts"
import * as Postgres from "./servers/Postgres.ts"
import * as RabbitMq from "./servers/RabbitMq.ts"
import { ServerError } from "./servers/ServerError.ts"

declare module "vitest" {
  export interface ProvidedContext {
    readonly rabbitmqUrl: string
    /** `host:port` */
    readonly kafkaBrokers: string
    readonly databaseUrl: string
  }
}

/** Starts the servers that the test files of a project share, and stops them after the last. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const scope = Scope.makeUnsafe()
  const [rabbitMq, kafka, postgres] = await Effect.runPromise(Scope.provide(startServers, scope))
  project.provide("rabbitmqUrl", rabbitMq.url)
  project.provide("kafkaBrokers", kafka.address)
  project.provide("databaseUrl", postgres.url())
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}

const startServers = Effect.suspend(() =>
  Effect.andThen(findAll, Effect.all([RabbitMq.start, Kafka.start, Postgres.start], { concurrency: "unbounded" }))
)

const finds: ReadonlyArray<Effect.Effect<unknown, ServerError>> = [RabbitMq.find, Kafka.find, Postgres.find]

/** Looks for all before starting any, so that what is missing is named in one list. */
const findAll = Effect.gen(function* () {
  const [, missing] = yield* Effect.partition([...finds, KubernetesPrograms.check], (find) => find)
  if (missing.length === 0) return
  const list = missing.map((error) => `  - ${error.message}`).join("\n")
  return yield* new ServerError({ message: `The tests need servers that are not here:\n${list}` })
})
