/** Processes of an ordered worker that are stopped and killed at any step of any history. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Exit, Layer, Logger, Schema, Scope, Stream } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { leaseSeconds, WaitingMessages } from "../../src/domain/ports/WaitingMessages.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as MemoryWaitingMessages from "../../src/layers/memory/MemoryWaitingMessages.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { topicWorker } from "../../src/streams/TopicWorker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { elapse, send, settled } from "../support/TopicStage.ts"

interface Process {
  readonly scope: Scope.Closeable
  readonly isDead: { now: boolean }
}

// A process that was killed does nothing more, and tells nobody: what it held comes back to the broker, its claims lapse.
const deadly = <S extends object>(service: S, isDead: { readonly now: boolean }, spared: ReadonlyArray<string>): S =>
  new Proxy(service, {
    get: (target, name, receiver) => {
      const member: unknown = Reflect.get(target, name, receiver)
      if (typeof member !== "function" || spared.includes(String(name))) return member
      return (...parameters: ReadonlyArray<unknown>) =>
        Effect.suspend(() =>
          isDead.now
            ? Effect.interrupt
            : Effect.yieldNow.pipe(
                Effect.andThen(
                  Effect.suspend(() => (isDead.now ? Effect.interrupt : Reflect.apply(member, target, parameters)))
                )
              )
        )
    }
  })

const startProcess = (worker: Worker.Worker<string, never>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const isDead = { now: false }
    const broker = yield* Broker
    const store = yield* WaitingMessages
    const services = Layer.mergeAll(Shutdown.layer, Supervisor.layer).pipe(
      Layer.provideMerge(Layer.succeed(Broker, deadly(broker, isDead, ["deliveries"]))),
      Layer.provideMerge(Layer.succeed(WaitingMessages, deadly(store, isDead, [])))
    )
    const run = Effect.provide(Stream.runDrain(topicWorker(worker)), services)
    yield* Effect.forkIn(run, scope, { startImmediately: true })
    return { scope, isDead } satisfies Process
  })

const kill = ({ isDead, scope }: Process) => {
  isDead.now = true
  return Scope.close(scope, Exit.void)
}

/** What happens, one after the other. */
const Step = Schema.Union([
  Schema.TaggedStruct("Publish", { key: Schema.Literals(["a", "b", "c"]) }),
  Schema.TaggedStruct("Elapse", { millis: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4000 })) }),
  Schema.TaggedStruct("Kill", { process: Schema.Literals([0, 1]) }),
  Schema.TaggedStruct("Stop", { process: Schema.Literals([0, 1]) })
])

const Scenario = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isMinLength(1), Schema.isMaxLength(40)),
  /** How often each message fails before it succeeds, round and round. */
  failures: Schema.Array(Schema.Literals([0, 0, 0, 1, 2])).check(Schema.isMinLength(1), Schema.isMaxLength(7))
})

describe("Order per key", () => {
  it.effect.prop(
    "holds for any interleaving of messages, failures, crashes and restarts, and nothing is lost",
    { scenario: Scenario },
    ({ scenario }) =>
      Effect.gen(function* () {
        const done = new Map<string, Array<number>>()
        const tries = new Map<string, number>()
        const inHand = new Map<string, string>()
        const worker: Worker.Worker<string, never> = Worker.make(
          "w",
          {
            topic: "in",
            input: Schema.String,
            ordered: true,
            concurrency: 2,
            retry: RetryPolicy.fixed({ maxRetries: 9, initialDelay: "1 second" })
          },
          (input) =>
            Effect.gen(function* () {
              const [key = "", number] = input.split(":")
              assert.isUndefined(inHand.get(key), `two of key ${key} at the same time`)
              inHand.set(key, input)
              yield* Effect.sleep("300 millis")
              const tried = (tries.get(input) ?? 0) + 1
              tries.set(input, tried)
              if (tried <= (scenario.failures[Number(number) % scenario.failures.length] ?? 0))
                return yield* Effect.fail("no")
              done.set(key, [...(done.get(key) ?? []), Number(number)])
            }).pipe(Effect.ensuring(Effect.sync(() => inHand.delete(input.split(":")[0] ?? ""))))
        )
        const processes = [yield* startProcess(worker), yield* startProcess(worker)]
        const published = new Map<string, number>()
        yield* settled
        for (const step of scenario.steps) {
          if (step._tag === "Publish") {
            const number = published.get(step.key) ?? 0
            published.set(step.key, number + 1)
            yield* send("in", JSON.stringify(`${step.key}:${number}`), { headers: { key: step.key } })
          } else if (step._tag === "Elapse") yield* elapse(step.millis)
          else {
            const process = processes[step.process] as Process
            yield* step._tag === "Kill" ? kill(process) : Scope.close(process.scope, Exit.void)
            processes[step.process] = yield* startProcess(worker)
            yield* settled
          }
        }
        const isDone = () => [...published].every(([key, count]) => new Set(done.get(key)).size === count)
        // A killed owner's claim lapses first; then each message takes two retries at most, one after the other.
        for (let turn = 0; turn < 400 + leaseSeconds * 2 && !isDone(); turn++) yield* elapse("500 millis")
        for (const [key, count] of published) {
          const first = [...new Set(done.get(key))]
          assert.deepStrictEqual(
            first,
            Arr.makeBy(count, (index) => index),
            `key ${key}: ${done.get(key)}`
          )
        }
        for (const { scope } of processes) yield* Scope.close(scope, Exit.void)
      }).pipe(
        Effect.provide(Layer.mergeAll(MemoryBroker.layer, MemoryWaitingMessages.layer, Logger.layer([]))),
        Effect.scoped
      ),
    { arbitrary: { runs: 100, size: 40 }, timeout: 60_000 }
  )
})
