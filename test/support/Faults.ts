/** Ways for ports to fail, around any implementation: the n-th call of a worker crashes it, or fails once. */
import { Context, Effect, Latch, Layer } from "effect"
import { Broker, BrokerAway, BrokerError } from "../../src/domain/ports/Broker.ts"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"

/** What goes wrong at a call, and whether all, half or nothing of it had its effect by then. */
export interface Fault {
  /** The how manieth call of `store`, `publish` and `settle` together, from 0. */
  readonly call: number
  readonly kind: "crash" | "failure"
  readonly moment: "before" | "midway" | "after"
}

/** The process as a test sees it: `crashed` succeeds when it is to be killed; it can be started again. */
export class FaultyProcess extends Context.Service<
  FaultyProcess,
  {
    readonly crashed: Effect.Effect<void>
    readonly restart: Effect.Effect<void>
  }
>()("paystream/test/FaultyProcess") {}

const brokerFailure = new BrokerError({ reason: new BrokerAway({ detail: "a fault of the test" }) })
const storeFailure = new StoreError({ reason: new StoreAway({ detail: "a fault of the test", code: "fault" }) })

// On memory a call is over at once; a real one leaves time to be interrupted, before its effect and after.
const unhurried = <A, E>(call: Effect.Effect<A, E>) =>
  Effect.yieldNow.pipe(Effect.andThen(call), Effect.tap(Effect.yieldNow))

const make = (faults: ReadonlyArray<Fault>) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    const store = yield* PaymentStore
    const crash = yield* Latch.make(false)
    let calls = 0

    const end = <E>(fault: Fault, failure: E): Effect.Effect<never, E> =>
      fault.kind === "crash" ? Effect.andThen(crash.open, Effect.never) : Effect.fail(failure)
    // Once it has crashed, a process does nothing more, whatever else was under way.
    const faulty = <A, B, E>(
      items: ReadonlyArray<A>,
      failure: E,
      run: (items: ReadonlyArray<A>) => Effect.Effect<B, E>
    ) =>
      Effect.suspend((): Effect.Effect<B, E> => {
        if (Latch.isOpen(crash)) return Effect.never
        const current = calls++
        const fault = faults.find(({ call }) => call === current)
        if (fault === undefined) return unhurried(run(items))
        const done = { before: 0, midway: items.length >> 1, after: items.length }[fault.moment]
        return Effect.andThen(run(items.slice(0, done)), end(fault, failure))
      })

    return Context.make(FaultyProcess, { crashed: crash.await, restart: Effect.asVoid(crash.close) }).pipe(
      Context.add(Broker, {
        ...broker,
        settle: (settlements) => faulty(settlements, brokerFailure, broker.settle),
        publish: (messages) => faulty(messages, brokerFailure, broker.publish)
      }),
      Context.add(PaymentStore, {
        ...store,
        store: (queue, payments) => faulty(payments, storeFailure, (some) => store.store(queue, some))
      })
    )
  })

/** The ports below, with these faults. */
export const layer = (
  faults: ReadonlyArray<Fault>
): Layer.Layer<Broker | PaymentStore | FaultyProcess, never, Broker | PaymentStore> => Layer.effectContext(make(faults))
