/** `dlq list` and `dlq show`: dead letters looked at, none taken. What is printed is safe for a terminal. */
import { Array as Arr, Console, Effect, Layer, Option, Result, Schema, type Scope, Stream } from "effect"
import { DeadLetterHeader } from "../domain/DeadLetter.ts"
import { printable, printableJson, printableLines, shortened } from "../domain/Printable.ts"
import { Broker, BrokerError, type Delivery, Unroutable } from "../domain/ports/Broker.ts"
import { readDeadLetter } from "../domain/ReadDeadLetter.ts"
import { idsOf, ReplayHeader } from "../domain/Replay.ts"
import * as Settings from "../layers/config/Settings.ts"
import { Shutdown, untilShutdown } from "../streams/Shutdown.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { type ServiceSettings, serviceSettings } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"
import { WrongUsage } from "./WrongUsage.ts"

const settings = Settings.all({ services: serviceSettings, log: Settings.logSettings })

/** Messages of which none, or not all, could be found or put back. */
export class NotAll extends Schema.TaggedError<NotAll>()("NotAll", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** Whether what was put back cannot be marked, on a broker that removes no single message. */
const lacksMarks = ({ process: { broker, database } }: ServiceSettings): boolean =>
  broker === "kafka" && database === "none"

const withMarks = Settings.refine(settings, (values) =>
  lacksMarks(values.services)
    ? Result.fail([
        {
          name: "DATABASE",
          got: '"none"',
          takes: "postgres or embedded for `dlq replay` with BROKER=kafka: what was put back is marked there"
        }
      ])
    : Result.succeed(values)
)

/** Runs with the broker of the settings; the log goes to the standard error. */
export const withBroker = <A, E, R>(
  program: Effect.Effect<A, E, R | Broker | Scope.Scope>,
  options: { readonly changes: boolean }
) =>
  withServices(
    options.changes ? withMarks : settings,
    Effect.fnUntraced(function* ({ broker, replayMarks }, { services: where }) {
      if (lacksMarks(where)) yield* Console.error("DATABASE is none: what was put back already is not left out")
      const isMarked = where.process.broker === "kafka" && !lacksMarks(where)
      return yield* Effect.provide(Effect.scoped(program), isMarked ? Layer.provide(broker, replayMarks) : broker)
    }),
    { stopsByItself: true }
  )

/** As many as a person reads. */
const listedByDefault = 100

/** Looking for ids: the broker keeps all that was looked at from others meanwhile. */
export const searchedByDefault = 10_000

export interface LookOptions {
  /** The topic or queue of the dead letters. */
  readonly name: string
  readonly limit: Option.Option<number>
  readonly json: boolean
}

/** Where the dead letters of a topic or a queue usually are, if there is such a place: people ask for the topic itself. */
const elsewhere = Effect.fnUntraced(function* (name: string) {
  const usual = `${name}.dlq`
  const found = yield* Broker.use((broker) => Effect.scoped(broker.browse(usual))).pipe(Effect.option)
  return Option.map(found, ({ waiting }) => ({
    waiting,
    hint: `those of ${name} are in ${usual}, where ${waiting} wait`
  }))
})

const noSuchQueue = Effect.fnUntraced(function* (name: string, error: BrokerError) {
  const place = error.reason._tag === "Unroutable" ? yield* elsewhere(name) : Option.none()
  if (Option.isNone(place)) return yield* error
  return yield* new BrokerError({ reason: new Unroutable({ detail: `${error.message}; ${place.value.hint}` }) })
})

/** The first of what waits, until asked to stop; and how many wait beyond it. */
export const look = Effect.fnUntraced(function* (name: string, limit: number) {
  const broker = yield* Broker
  const { messages, waiting } = yield* Effect.catch(broker.browse(name), (error) => noSuchQueue(name, error))
  const seen = { count: 0, letters: 0, attempts: 0 }
  const first = messages.pipe(
    Stream.take(limit),
    Stream.tap(({ attempt, headers }) =>
      Effect.sync(() => {
        seen.count++
        if (DeadLetterHeader.reason in headers) seen.letters++
        seen.attempts = Math.max(seen.attempts, attempt)
      })
    ),
    untilShutdown
  )
  return { name, waiting, wanted: Math.min(limit, waiting), seen, messages: first }
})

type Look = Effect.Success<ReturnType<typeof look>>

/** Half the way to where RabbitMQ 4 drops a message by default. */
const manyAttempts = 10

/** Says what was not looked at, and what looking has cost; fails if it was asked to stop before the end. */
export const concluding = Effect.fnUntraced(function* ({ name, seen, waiting, wanted }: Look, stoppedAfter: string) {
  if (seen.count < wanted && (yield* (yield* Shutdown).isRequested))
    return yield* new StoppedEarly({ detail: stoppedAfter })
  const place = seen.letters === 0 ? yield* elsewhere(name) : Option.none()
  if (Option.isSome(place) && place.value.waiting > 0)
    yield* Console.error(`no dead letter was seen in ${name}; ${place.value.hint}`)
  const more = waiting - wanted
  if (more > 0) yield* Console.error(`${more} more wait behind them; --limit=N looks at N`)
  if (seen.attempts < manyAttempts) return
  yield* Console.error(
    `one of them was given out ${seen.attempts} times: on a quorum queue with an x-delivery-limit the broker drops it at the limit, and every look counts`
  )
})

// list

/** What nobody knows of a stranger's message. */
const unreadable = {
  time: undefined,
  worker: undefined,
  group: undefined,
  reason: undefined,
  error: undefined,
  retries: undefined,
  source: undefined
}

/** What is told of a dead letter without its payload. */
const describe = (delivery: Delivery) => {
  const [id] = idsOf(delivery)
  const earlier = delivery.headers[ReplayHeader.replay]
  return {
    id,
    letterId: delivery.id === id ? undefined : delivery.id,
    ...Result.match(readDeadLetter(delivery), {
      onFailure: (problem) => ({ ...unreadable, problem }),
      onSuccess: ({ error, group, reason, retries, source, time, worker }) => ({
        time,
        worker,
        group,
        reason,
        error,
        retries,
        source,
        problem: undefined
      })
    }),
    bytes: delivery.body.length,
    replayedBefore: earlier === undefined ? undefined : String(earlier)
  }
}

type Description = ReturnType<typeof describe>

const errorCharacters = 60
const cell = (text: string | undefined, characters = 80): string => shortened(printable(text ?? "-"), characters)

const rowOf = (one: Description) => ({
  id: cell(one.id),
  time: cell(one.time),
  group: cell(one.group),
  reason: cell(one.reason),
  retries: one.retries ?? "-",
  source: cell(one.source),
  error: one.problem === undefined ? cell(one.error, errorCharacters) : cell(one.problem)
})

const reasonOf = ({ reason }: Description): string => (reason === undefined ? "not ours" : printable(reason))

const countsOf = (all: ReadonlyArray<Description>): string => {
  const counts = Object.entries(Arr.groupBy(all, reasonOf)).map(([reason, { length }]) => `${length} ${reason}`)
  return `${all.length} dead letter${all.length === 1 ? "" : "s"}: ${counts.join(", ")}`
}

const printList = Effect.fnUntraced(function* (all: ReadonlyArray<Description>) {
  yield* Console.log(
    all.length === 0 ? "no dead letters" : `${yield* Answer.fitted(all.map(rowOf))}\n\n${countsOf(all)}`
  )
})

/** Lists the oldest. */
export const list = ({ json, limit, name }: LookOptions) =>
  withBroker(
    Effect.gen(function* () {
      const looked = yield* look(
        name,
        Option.getOrElse(limit, () => listedByDefault)
      )
      const described = yield* Stream.runCollect(Stream.map(looked.messages, describe))
      yield* json ? Answer.line(described) : printList(described)
      yield* concluding(looked, `after ${looked.seen.count} of ${looked.wanted}`)
    }),
    { changes: false }
  )

// show

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (body: Uint8Array): string | undefined =>
  Option.getOrUndefined(Option.liftThrowable(() => utf8.decode(body))())

const base64 = (body: Uint8Array): string => Buffer.from(body).toString("base64")

const recordOf = (delivery: Delivery) => {
  const { body, contentType, headers } = delivery
  const text = textOf(body)
  const bodyBase64 = text === undefined ? base64(body) : undefined
  return { ...describe(delivery), contentType, headers, body: text, bodyBase64 }
}

const asText = (delivery: Delivery): string => {
  const said = Object.entries({ ...describe(delivery), contentType: delivery.contentType })
  const lines = said.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${printable(String(value))}`]))
  const headers = Object.entries(delivery.headers).map(
    ([name, value]) => `  ${printable(name)}: ${printableJson(value)}`
  )
  const text = textOf(delivery.body)
  const body =
    text === undefined ? ["body, not UTF-8, as base64:", base64(delivery.body)] : ["body:", printableLines(text)]
  return [...lines, "headers:", ...headers, ...body, ""].join("\n")
}

/** The messages that are asked for by their ids, and which of the ids were found so far. */
export const selecting = (ids: ReadonlyArray<string>) => {
  const wanted = new Set(ids)
  const found = new Set<string>()
  return {
    isWanted: (delivery: Delivery): boolean => {
      // As it is, or as the list shows it.
      const asked = idsOf(delivery)
        .flatMap((id) => [id, printable(id)])
        .filter((id) => wanted.has(id))
      for (const id of asked) found.add(id)
      return asked.length > 0
    },
    missing: (): ReadonlyArray<string> => ids.filter((id) => !found.has(id))
  }
}

/** Names the ids that were not found. */
export const notFound = (missing: ReadonlyArray<string>, looked: number): string =>
  `among ${looked} looked at there is no dead letter ${missing.map(printable).join(", ")}`

/** Shows everything of those asked for. */
export const show = Effect.fnUntraced(function* (options: LookOptions & { readonly ids: ReadonlyArray<string> }) {
  const { ids, json, limit, name } = options
  if (ids.length === 0)
    return yield* new WrongUsage({ detail: "say which to show: --id=ID, repeatable; `dlq list` has them" })
  yield* withBroker(
    Effect.gen(function* () {
      const looked = yield* look(
        name,
        Option.getOrElse(limit, () => searchedByDefault)
      )
      const { isWanted, missing } = selecting(ids)
      const wanted = Stream.filter(looked.messages, isWanted)
      if (json) yield* Effect.flatMap(Stream.runCollect(Stream.map(wanted, recordOf)), Answer.line)
      else yield* Stream.runForEach(wanted, (one) => Console.log(asText(one)))
      yield* concluding(looked, `after ${looked.seen.count} of ${looked.wanted}`)
      if (missing().length > 0) return yield* new NotAll({ detail: notFound(missing(), looked.seen.count) })
    }),
    { changes: false }
  )
})
