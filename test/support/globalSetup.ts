import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import * as Kafka from "./servers/Kafka.ts"
import * as KubernetesPrograms from "./servers/KubernetesPrograms.ts"
import * as Postgres from "./servers/Postgres.ts"
import * as RabbitMq from "./servers/RabbitMq.ts"
import * as Redis from "./servers/Redis.ts"
import { ServerError } from "./servers/ServerError.ts"
import * as StripeMock from "./servers/StripeMock.ts"

declare module "vitest" {
  export interface ProvidedContext {
    readonly rabbitmqUrl: string
    /** `host:port` */
    readonly kafkaBrokers: string
    readonly databaseUrl: string
    readonly redisUrl: string
  }
}

/** Starts the servers that the test files of a project share, and stops them after the last. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const scope = Scope.makeUnsafe()
  const { kafka, postgres, rabbitMq, redis } = await Effect.runPromise(Scope.provide(startServers, scope))
  project.provide("rabbitmqUrl", rabbitMq.url)
  project.provide("kafkaBrokers", kafka.address)
  project.provide("databaseUrl", postgres.url())
  project.provide("redisUrl", redis.url)
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}

const servers = { rabbitMq: RabbitMq.start, kafka: Kafka.start, postgres: Postgres.start, redis: Redis.start }

const startServers = Effect.suspend(() => Effect.andThen(findAll, Effect.all(servers, { concurrency: "unbounded" })))

const finds: ReadonlyArray<Effect.Effect<unknown, ServerError>> = [RabbitMq, Kafka, Postgres, Redis, StripeMock].map(
  ({ find }) => find
)

/** Looks for all before starting any, so that what is missing is named in one list. */
const findAll = Effect.gen(function* () {
  const [, missing] = yield* Effect.partition([...finds, KubernetesPrograms.check], (find) => find)
  if (missing.length === 0) return
  const list = missing.map((error) => `  - ${error.message}`).join("\n")
  return yield* new ServerError({ message: `The tests need servers that are not here:\n${list}` })
})
