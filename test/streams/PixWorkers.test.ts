/** The PIX workers together, on a broker and an audit log in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { topics } from "../../src/domain/PixEvent.ts"
import { AuditLog } from "../../src/domain/ports/AuditLog.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as MemoryAuditLog from "../../src/layers/memory/MemoryAuditLog.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as MemoryFinishedInputs from "../../src/layers/memory/MemoryFinishedInputs.ts"
import { Deduplication } from "../../src/streams/Deduplication.ts"
import * as PixWorkers from "../../src/streams/PixWorkers.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { bytes, text } from "../support/Messages.ts"
import { deadLetter, depth, elapse, json, seen, send, settled, start, watch } from "../support/TopicStage.ts"

const world = Layer.mergeAll(
  Shutdown.layer,
  Supervisor.layer,
  MemoryBroker.layer,
  MemoryAuditLog.layer,
  Layer.provide(Deduplication.layer, MemoryFinishedInputs.layer)
)

const startAll = Effect.gen(function* () {
  yield* watch(...Object.values(topics))
  yield* start(PixWorkers.pixValidate)
  yield* start(PixWorkers.pixSettle)
  yield* start(PixWorkers.pixNotify)
  yield* start(PixWorkers.pixClose)
  yield* start(PixWorkers.pixAudit)
})

const request = (fields: object = {}) =>
  JSON.stringify({ transactionId: "tx-1", amount: "12.34", payer: "Ana", receiver: "Bruno", ...fields })

const ask = (body: string, id: string | undefined = "m-1") =>
  Effect.andThen(send(topics.requested, body, { id, headers: { key: "tx-1" } }), settled)

const history = AuditLog.use((log) => log.history("tx-1"))
const actions = Effect.map(history, (entries) => entries.map(({ action }) => action))

const settledPath = [topics.requested, topics.validated, topics.settled, topics.notified]
const refusedPath = [topics.requested, "pix.payment.refused", topics.notified]

const onStage = <E>(name: string, test: Effect.Effect<void, E, Layer.Success<typeof world> | Scope.Scope>) =>
  it.effect(name, () => Effect.scoped(test).pipe(Effect.provide(world)))

describe("The PIX workers", () => {
  onStage(
    "take a payment from requested to notified, with its key, and audit each step",
    Effect.gen(function* () {
      yield* startAll
      yield* ask(request())
      assert.deepStrictEqual(yield* actions, settledPath)
      const [validated] = yield* seen(topics.validated)
      const [told] = yield* seen(topics.notified)
      assert.deepInclude(json(validated as never), { transactionId: "tx-1", status: "validated" })
      assert.deepInclude(json(told as never), { transactionId: "tx-1", status: "settled" })
      assert.strictEqual(told?.headers.key, "tx-1")
    })
  )

  onStage(
    "name the version of each event, and read that one and those that name none",
    Effect.gen(function* () {
      yield* startAll
      yield* ask(request())
      for (const topic of [topics.validated, topics.settled, topics.notified, topics.audit])
        for (const { headers } of yield* seen(topic)) assert.strictEqual(headers.version, "1", topic)
      yield* send(topics.requested, request(), { headers: { version: "2" } })
      yield* settled
      assert.match(text((yield* deadLetter(topics.requested)).body), /header version is \\"2\\": version 1/)
    })
  )

  onStage(
    "end a refused payment visibly: audited, told, and never settled",
    Effect.gen(function* () {
      yield* startAll
      yield* ask(request({ receiver: "Ana" }))
      assert.deepStrictEqual(yield* actions, refusedPath)
      const details = (yield* history).map(({ detail }) => detail)
      assert.deepStrictEqual(details, [undefined, "payer and receiver are the same", "refused"])
      assert.deepStrictEqual(yield* seen(topics.settled), [])
      const [told] = yield* seen(topics.notified)
      assert.deepInclude(json(told as never), { status: "refused", reason: "payer and receiver are the same" })
    })
  )

  onStage(
    "refuse what is above the limit, which is a setting",
    Effect.gen(function* () {
      yield* startAll.pipe(Effect.provideService(PixWorkers.Limits, { largestAmount: 1233n }))
      yield* ask(request())
      assert.deepStrictEqual(yield* actions, refusedPath)
    })
  )

  onStage(
    "settle nothing that is not validated, whoever publishes it",
    Effect.gen(function* () {
      yield* startAll
      yield* send(topics.validated, JSON.stringify({ transactionId: "tx-1", status: "pending" }))
      yield* settled
      assert.deepStrictEqual(yield* seen(topics.settled), [])
      assert.deepStrictEqual(yield* actions, ["pix.payment.refused", topics.notified])
    })
  )

  onStage(
    "audit a payment once however often it is delivered, with an id or without",
    Effect.gen(function* () {
      yield* startAll
      for (const id of ["m-1", "m-1"]) yield* ask(request(), id)
      assert.deepStrictEqual(yield* actions, settledPath)
      const other = JSON.stringify({ transactionId: "tx-1", action: "seen by a person" })
      for (let times = 0; times < 2; times++) yield* Effect.andThen(send(topics.audit, other), settled)
      assert.strictEqual((yield* actions).length, settledPath.length + 1)
    })
  )

  onStage(
    "settle a payment once and tell of it once, however often it is asked for or judged",
    Effect.gen(function* () {
      yield* startAll
      for (const id of ["m-1", "m-1"]) yield* ask(request(), id)
      const [judgement, again] = yield* seen(topics.validated)
      assert.isDefined(again)
      yield* Effect.andThen(send(topics.validated, text(judgement?.body ?? bytes("")), { id: judgement?.id }), settled)
      assert.deepStrictEqual([(yield* seen(topics.settled)).length, (yield* seen(topics.notified)).length], [1, 1])
    })
  )

  onStage(
    "keep the order of the steps when clocks run backwards",
    Effect.gen(function* () {
      yield* startAll
      yield* TestClock.adjust("1 second")
      yield* ask(request({ at: "2099-01-01T00:00:00Z" }))
      assert.deepStrictEqual(yield* actions, settledPath)
      const times = (yield* history).map(({ atMillis }) => atMillis)
      assert.deepStrictEqual(
        times,
        [0, 1, 2, 3].map((n) => Date.parse("2099-01-01T00:00:00Z") + n)
      )
    })
  )

  onStage(
    "dead-letter what does not fit its schema, as it was received",
    Effect.gen(function* () {
      yield* startAll
      yield* ask('{"transactionId":"tx-1","amount":0.100,"payer":"Ana","receiver":7}')
      const letter = yield* deadLetter(topics.requested)
      assert.include(new TextDecoder().decode(letter.body), '"amount":0.100,')
      assert.deepStrictEqual(yield* actions, [])
    })
  )

  onStage(
    "wait for an audit log that is away, however long, and lose no step",
    Effect.gen(function* () {
      let isAway = true
      const away = new StoreError({ reason: new StoreAway({ detail: "away", code: "test" }) })
      const log = yield* AuditLog
      const broken = AuditLog.of({ ...log, record: (entry) => (isAway ? Effect.fail(away) : log.record(entry)) })
      yield* startAll.pipe(Effect.provideService(AuditLog, broken))
      yield* ask(request())
      for (let times = 0; times < 10; times++) yield* elapse("5 seconds")
      assert.deepStrictEqual(yield* actions, [])
      isAway = false
      yield* elapse("5 seconds")
      assert.deepStrictEqual(yield* actions, settledPath)
      assert.strictEqual(yield* depth(`${topics.audit}.dlq`), 0)
    })
  )
})
