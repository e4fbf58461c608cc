/** What the API server admits, the operator can read: both go by the same Schema, each in its own way. */
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Result, Schema } from "effect"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { read } from "../../src/operator/PaymentJob.ts"
import { newNamespace, OperatorPlane } from "../support/OperatorPlane.ts"

const anyOf = (...values: ReadonlyArray<unknown>) =>
  Schema.optionalKey(Schema.Literals(values as ReadonlyArray<string>))

// spaces that only one side knows as such, characters that are two to JavaScript, ends of ranges and what is beyond
const texts = [
  ...[
    "payments",
    " x",
    "x ",
    "a b",
    "\u00a0x",
    "x\u2028",
    "a\u2028b",
    "a\nb",
    "\t",
    "",
    "-",
    "a.b",
    "A_B",
    "é",
    "日本"
  ],
  ...["😀".repeat(63), "😀".repeat(64), "😀".repeat(255), "😀".repeat(256), "a".repeat(63), "a".repeat(64)],
  ...["a".repeat(253), "a".repeat(254), "a".repeat(512), "a".repeat(513), 7, true, null]
]
const numbers = [-1, 0, 1, 2, 1_000, 1_001, 65_535, 65_536, 604_800, 604_801, 1e9, 1e9 + 1, 1.5, "1", true, null]
const amounts = ["250m", "1Gi", "1.5", "-1", "1e3", "", "x", "1 Gi", "m", "1".repeat(65), 2, 0, -3, 1.5, 2 ** 60, true]

const AnySpec = Schema.Struct({
  queueName: anyOf("payments", ...texts),
  image: anyOf("payments-worker:1", "registry:5000/a/b@sha256:0a", ...texts),
  maxMessages: anyOf(...numbers),
  idleTimeoutSeconds: anyOf(...numbers),
  parallelism: anyOf(...numbers),
  backoffLimit: anyOf(...numbers),
  ttlSecondsAfterFinished: anyOf(...numbers),
  suspend: anyOf(true, false, "true", 1, null),
  serviceAccountName: anyOf(...texts),
  imagePullPolicy: anyOf("Always", "IfNotPresent", "Never", "always", 1, null)
})
const AnyParts = Schema.Struct({
  host: anyOf("rabbitmq", ...texts),
  port: anyOf(...numbers),
  database: anyOf("payments", ...texts),
  secret: anyOf("login", ...texts),
  amount: anyOf(...amounts),
  variable: anyOf("LOG_LEVEL", ...texts),
  value: anyOf("debug", "😀".repeat(32_768), "😀".repeat(32_769), ...texts)
})

type Parts = typeof AnyParts.Type

/** A few of the fields at a time: with all of them hardly any would be right. */
const specOf = (fields: typeof AnySpec.Type, parts: Parts, index: number): Record<string, unknown> => {
  const names = Object.keys(fields) as ReadonlyArray<keyof typeof fields>
  const chosen = names.filter((_, place) => (place + index) % names.length < 2)
  return {
    queueName: "payments",
    image: "payments-worker:1",
    ...Object.fromEntries(chosen.map((name) => [name, fields[name]])),
    ...[serviceOf, resourcesOf, variablesOf, () => ({})][index % 4]?.(parts)
  }
}

const present = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

const serviceOf = ({ database, host, port, secret }: Parts) => ({
  rabbitmq: present({ host, port }),
  postgres: present({ host: "postgres", database, secretRef: secret === undefined ? undefined : { name: secret } })
})
const resourcesOf = ({ amount }: Parts) => ({ resources: { limits: present({ memory: amount }) } })
const variablesOf = ({ value, variable }: Parts) => ({ env: [present({ name: variable, value })] })

const seed = 20_261_121
const count = 400

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("A PaymentJob", (it) => {
  it.effect(`is admitted by the API server exactly if the operator can read it (seed ${seed})`, () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const namespace = yield* newNamespace
      const fields = yield* Arbitrary.sampleEffect(Arbitrary.schema(AnySpec), { count, seed })
      const parts = yield* Arbitrary.sampleEffect(Arbitrary.schema(AnyParts), { count, seed: seed + 1 })
      const specs = fields.map((one, index) => specOf(one, parts[index] ?? {}, index))
      const admitted = yield* Effect.forEach(
        specs,
        (spec, index) =>
          Effect.gen(function* () {
            const metadata = { name: `one-${index}`, namespace }
            const exit = yield* Effect.exit(cluster.create("PaymentJob", { metadata, spec }))
            const object = Exit.isSuccess(exit) ? exit.value : asKept(spec)
            const { flaw } = Result.getOrThrow(read(object))
            const said = `${JSON.stringify(spec)}: ${Exit.isSuccess(exit) ? flaw : exit.cause}`
            assert.strictEqual(flaw === undefined, Exit.isSuccess(exit), said.slice(0, 2_000))
            return Exit.isSuccess(exit)
          }),
        { concurrency: 8 }
      )
      assert.isAbove(admitted.filter((one) => one).length, count / 10)
      assert.isAbove(admitted.filter((one) => !one).length, count / 10)
    })
  )

  it.effect("keeps the variables that say where broker and database are, and may have others changed", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const namespace = yield* newNamespace
      const spec = (env: ReadonlyArray<unknown>) => ({ queueName: "payments", image: "payments-worker:1", env })
      const place = { name: "DATABASE_URL", value: "postgres://one/payments" }
      const other = { name: "LOG_LEVEL", value: "info" }
      yield* cluster.create("PaymentJob", { metadata: { name: "one", namespace }, spec: spec([place, other]) })
      const edit = (env: ReadonlyArray<unknown>) =>
        cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { env } as never })
      for (const env of [[{ ...place, value: "postgres://two/payments" }, other], [other]])
        assert.include((yield* Effect.flip(edit(env))).message, "cannot be changed")
      yield* edit([{ ...other, value: "debug" }, place])
      yield* edit([place])
      const broker = { name: "RABBITMQ_HOST", value: "elsewhere" }
      assert.include((yield* Effect.flip(edit([place, broker]))).message, "cannot be changed")
    })
  )
})

/** As the API server reads what it is given: a null is no value, and a port has a default. */
const asKept = (spec: Record<string, unknown>) => ({
  apiVersion: "payments.example.com/v1alpha1",
  kind: "PaymentJob",
  metadata: { name: "one", namespace: "n", uid: "u", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: withoutNulls(spec) as Record<string, unknown>
})

const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== null)
      .map(([name, field]) => [name, withoutNulls(field)])
  )
}
