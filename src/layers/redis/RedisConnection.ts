/**
 * The connection to Redis: one, made when it is first needed, and again when it was lost.
 *
 * ## Guarantees
 * - Who asks has an answer or an error within twice the time that one step may take, also of a Redis that is frozen.
 * - While Redis is away, one of those who ask tries it again, once a second at most; the others are told so at once.
 */
import { Clock, Effect, Redacted, Semaphore } from "effect"
import { createClient } from "redis"
import type { StoreError } from "../../domain/StoreError.ts"
import * as Availability from "../../streams/Availability.ts"
import type { RedisSettings } from "../config/RedisSettings.ts"
import { away, toStoreError } from "./RedisError.ts"

/** Far above what a healthy Redis takes; who waits longer is better off without. */
const longestStep = "2 seconds"
const connectTimeoutMillis = 2000
const retryAfterMillis = 1000

const newClient = ({ database, host, password, port, tls, username }: RedisSettings) =>
  createClient({
    socket: { host, port, connectTimeout: connectTimeoutMillis, reconnectStrategy: false, ...(tls ? { tls } : {}) },
    database,
    name: "paystream",
    disableOfflineQueue: true,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Redacted.value(password) })
  })

type Client = ReturnType<typeof newClient>

/** Asking one Redis. */
export type Ask = <A>(question: (client: Client) => Promise<A>) => Effect.Effect<A, StoreError>

const drop = (client: Client) =>
  Effect.sync(() => {
    if (client.isOpen) client.destroy()
  })

/** A connection for as long as the scope lives. */
export const make = Effect.fnUntraced(function* (settings: RedisSettings) {
  const { address } = settings
  const availability = Availability.make("Redis", address)
  const turn = Semaphore.makeUnsafe(1)
  let client: Client | undefined
  let failed: { readonly error: StoreError; readonly atMillis: number } | undefined

  const failing = (error: StoreError) =>
    Effect.map(Clock.currentTimeMillis, (atMillis) => {
      failed = { error, atMillis }
    })
  const step = <A>(question: () => Promise<A>) =>
    Effect.tryPromise({ try: question, catch: toStoreError(address) }).pipe(
      Effect.timeoutOrElse({
        duration: longestStep,
        orElse: () => Effect.fail(away(address, `no answer within ${longestStep}`, "timeout"))
      })
    )

  const connect = Effect.gen(function* () {
    const made = newClient(settings)
    // Without a listener an error would end the process; who asks is told of it.
    made.on("error", () => {})
    yield* Effect.onError(
      step(() => made.connect()),
      () => drop(made)
    )
    client = made
    failed = undefined
    return made
  }).pipe(Effect.tapError(failing))

  const connectUnlessTried = Effect.gen(function* () {
    if (client?.isReady) return client
    const now = yield* Clock.currentTimeMillis
    if (failed !== undefined && now < failed.atMillis + retryAfterMillis) return yield* failed.error
    return yield* connect
  })
  // While it is away one finds out whether it is back; nobody else waits for that.
  const connected = Effect.suspend(() => {
    if (client?.isReady) return Effect.succeed(client)
    if (failed === undefined) return turn.withPermit(connectUnlessTried)
    const { error } = failed
    return Effect.flatMap(turn.withPermitsIfAvailable(1)(connectUnlessTried), (found) =>
      Effect.mapError(Effect.fromOption(found), () => error)
    )
  })

  const answered: Ask = (question) =>
    Effect.flatMap(connected, (current) =>
      // One that does not answer may never again: the next one who asks begins anew.
      Effect.tapError(
        step(() => question(current)),
        (error) => (isUnanswered(error) ? Effect.andThen(drop(current), failing(error)) : Effect.void)
      )
    )
  // Also where it refuses us: those who ask go on without it, and nobody else would say so.
  const ask: Ask = (question) => availability.watch(answered(question), { away: () => true })

  yield* Effect.addFinalizer(() => (client === undefined ? Effect.void : drop(client)))
  return ask
})

const isUnanswered = ({ reason }: StoreError): boolean => reason._tag === "StoreAway" && reason.code === "timeout"
