/**
 * The law of the payment worker: whatever is sent, however it is batched and whenever it crashes, every distinct
 * message ends in the table or in the dead-letter queue, never in both, and no id has two rows.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Result, Schema } from "effect"
import type { BatchReport } from "../../src/domain/BatchReport.ts"
import { DeadLetterHeader } from "../../src/domain/DeadLetter.ts"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as Jsonb from "../../src/layers/memory/Jsonb.ts"
import { type StoredPayment, StoredPayments } from "../../src/layers/memory/MemoryPaymentStore.ts"
import type { PaymentWorkerOptions } from "../../src/streams/PaymentWorker.ts"
import { type Fault, FaultyProcess, layer as withFaults } from "../support/Faults.ts"
import { deadLetterQueue, ports, process, queue, runClockUntil, runWorker, sum } from "../support/MemoryWorker.ts"
import { message, takeAll } from "../support/Messages.ts"

interface Message {
  readonly id: string | undefined
  /** A body as Latin-1, so that any bytes can be written down. */
  readonly body: string
}

// The first two are one value to jsonb, the third is another; the rest cannot be stored, each for its own reason.
const bodies = ['{"a":1}', ' {"a" : 1.0}', '{"a":2}', "", "{", "\xff", '"\\u0000"', `"${"x".repeat(40)}"`] as const
const maxMessageBytes = 30
const mostMessages = 14

const Messages = Schema.Array(
  Schema.Struct({
    id: Schema.UndefinedOr(Schema.Literals(["a", "b", "c"])),
    body: Schema.Literals(bodies)
  })
).check(Schema.isMaxLength(mostMessages))

const Options = Schema.Struct({
  batchSize: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
  batchesInFlight: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })),
  batchWindow: Schema.Literals([0, 20])
})

const Faults = Schema.Array(
  Schema.Struct({
    call: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
    kind: Schema.Literals(["crash", "failure"]),
    moment: Schema.Literals(["before", "midway", "after"])
  })
).check(Schema.isMaxLength(4))

const Turns = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))).check(Schema.isMaxLength(3))

const bytesOf = (body: string): Uint8Array => Uint8Array.from(body, (character) => character.charCodeAt(0))
const bodyOf = (body: Uint8Array): string => String.fromCharCode(...body)

/** What jsonb makes of a body; `undefined` if it cannot be stored. */
const jsonbOf = (body: string): string | undefined =>
  body === "\xff" || body.length > maxMessageBytes ? undefined : Result.getOrUndefined(Jsonb.canonical(body))

const workerOptions = ({
  batchSize,
  batchesInFlight,
  batchWindow
}: typeof Options.Type): Partial<PaymentWorkerOptions> => ({
  batchSize,
  batchesInFlight,
  batchWindow: Duration.millis(batchWindow),
  prefetch: batchSize * (batchesInFlight + 1),
  maxMessageBytes
})

const publishAll = (messages: ReadonlyArray<Message>) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    yield* Effect.forEach([queue, deadLetterQueue], broker.ensureQueue)
    yield* broker.publish(messages.map(({ id, body }) => message(queue, { id, body: bytesOf(body) })))
  })

/** Starts the worker again after each crash, until it has emptied the queue; `crash` says when the next one is due. */
const runUntilDone = Effect.fnUntraced(function* <E, R>(
  options: typeof Options.Type,
  reports: Array<BatchReport>,
  crash: Effect.Effect<void, E, R>
) {
  const once = Effect.raceFirst(
    Effect.as(Effect.provide(runWorker(workerOptions(options), reports), process, { local: true }), true),
    Effect.as(crash, false)
  )
  while (!(yield* runClockUntil(yield* Effect.forkChild(once))))
    yield* Effect.flatMap(FaultyProcess, ({ restart }) => restart)
})

interface End {
  readonly messages: ReadonlyArray<Message>
  readonly rows: ReadonlyArray<StoredPayment>
  readonly letters: ReadonlyArray<Message & { readonly reason: unknown }>
}

/** Everything that is left when the queue is empty. */
const lookAround = Effect.fnUntraced(function* (messages: ReadonlyArray<Message>) {
  assert.strictEqual(yield* Effect.flatMap(Broker, ({ depth }) => depth(queue)), 0)
  const rows = yield* Effect.flatMap(StoredPayments, ({ all }) => all)
  const letters = (yield* takeAll(deadLetterQueue)).map(({ id, body, headers }) => ({
    id,
    body: bodyOf(body),
    reason: headers[DeadLetterHeader.reason]
  }))
  return { messages, rows, letters }
})

const count = <A>(items: ReadonlyArray<A>, holds: (item: A) => boolean): number => items.filter(holds).length
const messageOf = ({ id, payload }: StoredPayment): Message => ({ id, body: payload })
const isEqual =
  (one: Message) =>
  ({ id, body }: Message) =>
    id === one.id && body === one.body

/** The same message: what cannot be stored is its bytes, what can is its value. */
const isSame =
  (one: Message) =>
  (other: Message): boolean =>
    jsonbOf(one.body) === undefined
      ? isEqual(one)(other)
      : other.id === one.id && jsonbOf(other.body) === jsonbOf(one.body)

const assertStoredOrSetAside = ({ messages, rows, letters }: End): void => {
  for (const one of messages) {
    const stored = count(rows.map(messageOf), isSame(one))
    const setAside = count(letters, stored > 0 ? isSame(one) : isEqual(one))
    // Without an id every copy is a message of its own.
    const expected = one.id === undefined ? count(messages, isSame(one)) : 1
    assert.isAtLeast(stored + setAside, expected, `lost: ${JSON.stringify(one)}`)
    assert.isFalse(stored > 0 && setAside > 0, `stored and set aside: ${JSON.stringify(one)}`)
  }
}

const assertNothingTwiceOrInvented = ({ messages, rows, letters }: End): void => {
  const ids = rows.flatMap(({ id }) => (id === undefined ? [] : [id]))
  assert.strictEqual(new Set(ids).size, ids.length, "an id has two rows")
  for (const one of [...rows.map(messageOf), ...letters]) assert.isTrue(messages.some(isEqual(one)), "invented")
  for (const { body, reason } of letters) assert.strictEqual(reason === "conflict", jsonbOf(body) !== undefined)
}

const assertFirstOfConflictsWins = ({ messages, rows }: End): void => {
  for (const row of rows.filter(({ id }) => id !== undefined)) {
    const first = messages.find(({ id, body }) => id === row.id && jsonbOf(body) !== undefined)
    assert.strictEqual(first?.body, row.payload)
  }
}

const run = <E, R>(
  {
    faults = [],
    messages,
    options
  }: {
    readonly messages: ReadonlyArray<Message>
    readonly options: typeof Options.Type
    readonly faults?: ReadonlyArray<Fault>
  },
  crash: Effect.Effect<void, E, R>,
  check: (end: End, report: BatchReport) => void
) =>
  Effect.gen(function* () {
    const reports: Array<BatchReport> = []
    yield* publishAll(messages)
    yield* Effect.provide(runUntilDone(options, reports, crash), withFaults(faults))
    check(yield* lookAround(messages), sum(reports))
  }).pipe(Effect.provide(ports, { local: true }))

const crashAtFault = Effect.flatMap(FaultyProcess, ({ crashed }) => crashed)

/** Interrupts the worker after so many turns of the scheduler, then after so many more, and then not any more. */
const interruptAfter = (turns: ReadonlyArray<number>) => {
  const left = [...turns]
  return Effect.suspend(() => {
    const next = left.shift()
    return next === undefined ? Effect.never : Effect.repeat(Effect.yieldNow, { times: next })
  })
}

const assertNothingLost = (end: End): void => {
  assertStoredOrSetAside(end)
  assertNothingTwiceOrInvented(end)
}

describe("the payment worker, for any messages and any batches", () => {
  it.effect.prop(
    "stores each or sets it aside, once, and counts every one",
    { messages: Messages, options: Options },
    (input) =>
      run(input, Effect.never, (end, { stored, duplicates, deadLettered, returned }) => {
        assertNothingLost(end)
        if (input.options.batchesInFlight === 1) assertFirstOfConflictsWins(end)
        assert.deepStrictEqual([stored, deadLettered], [end.rows.length, end.letters.length])
        assert.deepStrictEqual([stored + duplicates + deadLettered, returned], [input.messages.length, 0])
      }),
    { arbitrary: { runs: 1000, size: mostMessages } }
  )

  it.effect.prop(
    "loses none and stores none twice, at whatever calls it crashes or a service fails",
    { messages: Messages, options: Options, faults: Faults },
    (input) => run(input, crashAtFault, assertNothingLost),
    { arbitrary: { runs: 2000, size: mostMessages } }
  )

  it.effect.prop(
    "loses none and stores none twice, at whatever steps it is interrupted",
    { messages: Messages, options: Options, turns: Turns },
    (input) => run(input, interruptAfter(input.turns), assertNothingLost),
    { arbitrary: { runs: 1000, size: mostMessages } }
  )
})
