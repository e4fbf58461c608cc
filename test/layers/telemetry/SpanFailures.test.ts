import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, type Tracer } from "effect"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { BrokerAway, BrokerError } from "../../../src/domain/ports/Broker.ts"
import * as SpanFailures from "../../../src/layers/telemetry/SpanFailures.ts"

/** Words of a server that quote what was to be stored. */
const quoting = 'invalid input syntax for type numeric: "4111 1111"'

const sqlError = (code: string) =>
  new SqlError({ reason: new UnknownError({ cause: Object.assign(new Error(quoting), { code }), message: "failed" }) })

const away = new BrokerError({ reason: new BrokerAway({ detail: "RabbitMQ at localhost:5672: gone" }) })

/** What a span tells of how its work has ended: its attributes, and all that an exporter writes of the error. */
const told = (work: Effect.Effect<unknown, unknown>, attributes: Record<string, unknown> = {}) =>
  Effect.gen(function* () {
    const spans: Array<Tracer.Span> = []
    yield* Effect.useSpan("work", { attributes }, (span) => {
      spans.push(span)
      return work
    }).pipe(Effect.exit, Effect.provide(SpanFailures.layer))
    const [status] = spans.map((span) => span.status)
    const exit = status?._tag === "Ended" ? status.exit : Exit.void
    const errors = Exit.isFailure(exit) ? Cause.prettyErrors(exit.cause, { includeCauseInStack: true }) : []
    return {
      attributes: Object.fromEntries(spans.flatMap((span) => [...span.attributes])),
      text: errors.map(({ name, stack }) => `${name}\n${stack}`).join("\n")
    }
  })

const database = { "db.system.name": "postgresql" }

describe("A span of what has failed", () => {
  it.effect("tells the code of the database, and none of its words", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* told(Effect.fail(sqlError("22P02")), database), {
        attributes: { ...database, "error.type": "22P02", "db.response.status_code": "22P02" },
        text: "SqlError\nSqlError: 22P02"
      })
    })
  )

  it.effect("tells the code of the system where there is no answer of the database", () =>
    Effect.gen(function* () {
      const { attributes } = yield* told(Effect.fail(sqlError("EPIPE")), database)
      assert.deepStrictEqual(attributes, { ...database, "error.type": "EPIPE" })
    })
  )

  it.effect("tells the reason of an error that has no code, or what it is called", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* told(Effect.fail(away)), {
        attributes: { "error.type": "BrokerAway" },
        text: "BrokerError\nBrokerError: BrokerAway"
      })
      assert.deepStrictEqual((yield* told(Effect.die(new TypeError(quoting)))).text, "TypeError\nTypeError: TypeError")
      assert.deepStrictEqual((yield* told(Effect.fail(quoting))).attributes, { "error.type": "_OTHER" })
    })
  )

  it.effect("keeps the kind that it was given", () =>
    Effect.gen(function* () {
      const given = { "error.type": "retried" }
      assert.deepStrictEqual((yield* told(Effect.fail("retried"), given)).attributes, given)
    })
  )

  it.effect("is left as it is where nothing has failed, or the work was interrupted", () =>
    Effect.gen(function* () {
      for (const work of [Effect.void, Effect.interrupt])
        assert.notProperty((yield* told(work)).attributes, "error.type")
    })
  )
})
