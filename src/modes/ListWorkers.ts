/** `workers`: what the topic workers of a module take, give and do when they fail; for people, or as JSON for machines. */
import { Duration, Effect, Option, Schema } from "effect"
import type { RetryPolicy } from "../domain/RetryPolicy.ts"
import type { Any } from "../streams/Worker.ts"
import * as Answer from "./Answer.ts"
import { modulePath, registered } from "./RegisteredWorkers.ts"

const backOff = ({ initialDelay, jitter, kind, maxDelay, maxRetries }: RetryPolicy): string => {
  if (maxRetries === 0) return "-"
  const wait = Duration.format(initialDelay)
  const spread = jitter === 0 ? "" : ` ±${Math.round(jitter * 100)}%`
  return kind === "fixed" ? `${kind} ${wait}${spread}` : `${kind} ${wait}..${Duration.format(maxDelay)}${spread}`
}

const row = (worker: Any) => ({
  name: worker.name,
  input: worker.topic,
  output: worker.outputTopic ?? "-",
  group: worker.groupId,
  concurrency: worker.concurrency,
  retries: worker.retry.maxRetries,
  "back-off": backOff(worker.retry),
  dedupe: worker.dedupe ? "yes" : "-",
  ordered: worker.ordered ? "yes" : "-",
  schemas: [worker.input && "input", worker.output && "output"].filter(Boolean).join("+") || "-",
  dlq: worker.dlqTopic
})

/** The JSON Schema (2020-12) of what is on the wire; null without a schema, or for one that JSON Schema cannot say. */
const jsonSchema = (schema: Any["input"]) =>
  schema === undefined ? null : Option.getOrNull(Option.map(document(schema), inOnePiece))

const document = Option.liftThrowable((schema: Schema.Top) => Schema.toJsonSchemaDocument(schema))

const inOnePiece = ({ definitions, schema }: ReturnType<typeof Schema.toJsonSchemaDocument>) =>
  Object.keys(definitions).length === 0 ? schema : { ...schema, $defs: definitions }

const record = (worker: Any) => ({
  name: worker.name,
  input: worker.topic,
  output: worker.outputTopic,
  group: worker.groupId,
  concurrency: worker.concurrency,
  retry: {
    kind: worker.retry.kind,
    maxRetries: worker.retry.maxRetries,
    initialDelayMillis: Duration.toMillis(worker.retry.initialDelay),
    maxDelayMillis: Duration.toMillis(worker.retry.maxDelay),
    jitter: worker.retry.jitter
  },
  dedupe: worker.dedupe,
  ordered: worker.ordered !== undefined,
  schemas: { input: jsonSchema(worker.input), output: jsonSchema(worker.output) },
  dlq: worker.dlqTopic
})

export interface ListOptions {
  /** The module that exports the workers. */
  readonly module: string | undefined
  readonly json: boolean
}

/** Lists the workers of a module: a line for each, or a card where the terminal is too narrow for that. */
export const listWorkers = Effect.fnUntraced(function* (options: ListOptions) {
  const { workers } = yield* registered(yield* modulePath(options.module), [])
  yield* Answer.list(options.json, { found: workers, record, row, nothing: "there are no workers" })
})
