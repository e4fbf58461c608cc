/** Sees what becomes of the PaymentJobs of a namespace, and when, by watches of its own. */
import { Effect, Schedule, Stream } from "effect"
import { Cluster, type ClusterEvent } from "../../src/domain/ports/Cluster.ts"
import { paymentJob } from "../../test/support/PaymentJobs.ts"
import { BenchmarkError } from "../BenchmarkError.ts"

/** When each of these was first known, in milliseconds. */
export interface Moments {
  readonly created: number
  readonly job: number
  readonly running: number
}

const objectsOf = <O>(event: ClusterEvent<O>): ReadonlyArray<O> => {
  if (event._tag === "Synced") return event.objects
  return event._tag === "Applied" ? [event.object] : []
}

const keepFirst = (moments: Map<string, number>, name: string): void => {
  if (!moments.has(name)) moments.set(name, performance.now())
}

/** Watches until the scope closes. */
export const watch = Effect.fnUntraced(function* (namespace: string) {
  const cluster = yield* Cluster
  const created = new Map<string, number>()
  const jobs = new Map<string, number>()
  const running = new Map<string, number>()
  const succeeded = new Set<string>()
  const scope = { namespaces: [namespace] }
  yield* cluster.watch("PaymentJob", scope).pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        for (const { metadata, status } of objectsOf(event)) {
          keepFirst(created, metadata.name)
          if (status?.["phase"] === "Running") keepFirst(running, metadata.name)
          if (status?.["phase"] === "Succeeded") succeeded.add(metadata.name)
        }
      })
    ),
    Effect.forkScoped
  )
  yield* cluster.watch("Job", scope).pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        for (const { metadata } of objectsOf(event)) keepFirst(jobs, metadata.ownerReferences?.[0]?.name ?? "")
      })
    ),
    Effect.forkScoped
  )
  const create = (name: string) =>
    cluster
      .create("PaymentJob", { ...paymentJob(name), metadata: { name, namespace } })
      .pipe(Effect.tap(() => Effect.sync(() => keepFirst(created, name))))
  return {
    create,
    untilRunning: (names: ReadonlyArray<string>) => until("run", names, (name) => running.has(name)),
    untilSucceeded: (names: ReadonlyArray<string>) => until("succeed", names, (name) => succeeded.has(name)),
    /** Of one that runs: what was known in the wrong order was known at the same time. */
    momentsOf: (name: string): Moments => {
      const began = created.get(name) ?? Number.NaN
      const job = Math.max(began, jobs.get(name) ?? Number.NaN)
      return { created: began, job, running: Math.max(job, running.get(name) ?? Number.NaN) }
    }
  }
})

export type Witness = Effect.Success<ReturnType<typeof watch>>

/** Looks every few milliseconds; what is measured is when it was seen, not when it was looked at. */
const until = (what: string, names: ReadonlyArray<string>, holds: (name: string) => boolean) => {
  const missing = () => names.filter((name) => !holds(name))
  return Effect.sync(missing).pipe(
    Effect.repeat({ until: (left) => left.length === 0, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({
      duration: `${120 + names.length / 5} seconds`,
      orElse: () => {
        const left = missing()
        const message = `${left.length} of ${names.length} PaymentJobs do not ${what}: ${left.slice(0, 5).join(", ")}`
        return Effect.fail(new BenchmarkError({ message }))
      }
    })
  )
}
