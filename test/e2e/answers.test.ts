/** What every command says with `--json`: one value on one line, the same fields each time, and nothing else beside it. */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { Command } from "effect/cli"
import { subcommands } from "../../src/modes/Commands.ts"
import { newDatabase, query } from "../support/Databases.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"

const jobs = fileURLToPath(new URL("../support/workers/schedule.ts", import.meta.url))
const orders = join(fileURLToPath(new URL("../../examples", import.meta.url)), "orders.ts")

interface World extends Stage.Stage {
  readonly dead: string
  readonly required: string
  readonly quarantined: string
}

type Form = "array" | "object" | "lines"

interface Case {
  readonly args: ReadonlyArray<string>
  readonly form: Form
  /** Of the object, or of each in the array or on the lines. */
  readonly fields: string
  readonly code?: number
}

const summary = "id status amount currency paymentMethod orderId reference createdAt updatedAt reason"
const run = "job scheduledFor startedAt finishedAt durationMillis attempt outcome isOpen isManual replica error result"
const letter = "id letterId time worker group reason error retries source problem bytes replayedBefore"

/** In this order: what one changes the next may look at. */
const casesOf = (on: World): ReadonlyArray<Case> => [
  {
    args: ["workers", `--workers=${orders}`],
    form: "array",
    fields: "name input output group concurrency retry dedupe ordered schemas dlq"
  },
  { args: ["publish", "--count=1"], form: "object", fields: "queue confirmed" },
  { args: ["publish", `--topic=${on.queue}`, "--value=1"], form: "object", fields: "topic confirmed" },
  { args: ["--mode=publish", "--count=1"], form: "object", fields: "queue confirmed" },
  { args: ["--mode=migrate"], form: "object", fields: "applied" },
  { args: ["--mode=migrate", "--topics", `--workers=${orders}`], form: "object", fields: "made" },
  { args: ["--mode=migrate", "--status"], form: "object", fields: "migrations" },
  { args: ["--mode=migrate", "--topics", "--status"], form: "object", fields: "topics" },
  {
    args: ["jobs", "add", "--name=added", "--schedule=@daily", "--publish-topic=t", `--payload={"n":${exact}}`],
    form: "object",
    fields: "name next"
  },
  {
    args: ["jobs"],
    form: "array",
    fields: "name schedule timeZone overlap catchUp isPaused publishes next lastRun"
  },
  { args: ["jobs", "pause", "added"], form: "object", fields: "name isPaused" },
  { args: ["jobs", "resume", "added"], form: "object", fields: "name isPaused" },
  { args: ["jobs", "remove", "added"], form: "object", fields: "name isRemoved" },
  { args: ["runjob", "nightly"], form: "object", fields: run },
  { args: ["runjob", "failing"], form: "object", fields: run, code: 1 },
  { args: ["jobs", "history"], form: "array", fields: run },
  { args: ["dlq", "list", on.deadLetters], form: "array", fields: letter },
  {
    args: ["dlq", "show", on.deadLetters, "--id=stranger"],
    form: "array",
    fields: `${letter} contentType headers body bodyBase64`
  },
  {
    args: ["dlq", "replay", on.deadLetters, "--all", "--dry-run"],
    form: "lines",
    fields: "id outcome to why preview",
    code: 1
  },
  {
    args: ["outbox", "list"],
    form: "array",
    fields: "id state topic key createdAt attempts nextAttemptAt lastError"
  },
  {
    args: ["outbox", "stats"],
    form: "object",
    fields: "pending failing held dead skipped oldestPendingMillis openTransactions"
  },
  { args: ["outbox", "retry", `--id=${on.dead}`], form: "object", fields: "retried unchanged" },
  { args: ["outbox", "skip", `--id=${on.dead}`], form: "object", fields: "skipped unchanged", code: 1 },
  { args: ["sagas", "list"], form: "array", fields: `${summary} note` },
  { args: ["sagas", "show", on.required], form: "object", fields: `${summary} steps history` },
  { args: ["sagas", "compensate", on.required], form: "object", fields: "id asked" },
  { args: ["sagas", "resume", on.quarantined], form: "object", fields: "id asked" },
  { args: ["erase", "--payer=nobody", "--dry-run"], form: "object", fields: "dryRun tables" }
]

/** What a double does not hold. */
const exact = "9007199254740993.10"

const requested = {
  _tag: "Requested",
  amount: "9007199254740993",
  currency: "BRL",
  paymentMethod: "pm_card_visa",
  orderId: "order-1"
}

const lives = {
  required: [
    requested,
    { _tag: "Begun" },
    { _tag: "CompensationBegun", reason: "r" },
    { _tag: "CompensationRequired" }
  ],
  quarantined: [requested, { _tag: "Begun" }, { _tag: "Doubted", reason: "r" }, { _tag: "Quarantined", reason: "r" }]
}

const statuses = { required: "compensating", quarantined: "in_doubt" } as const

const payment = Effect.fnUntraced(function* (databaseUrl: string, which: keyof typeof lives) {
  const id = randomUUID()
  const events = lives[which]
  const url = Redacted.make(databaseUrl)
  yield* query(
    url,
    `WITH made AS (
       INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id, version)
       VALUES ($1::uuid, 9007199254740993, 'BRL', $1::uuid::text, 'pm_card_visa', 'order-1', $3) RETURNING id)
     INSERT INTO payment_events (payment_id, version, event)
     SELECT made.id, place, event FROM made, jsonb_array_elements($2::jsonb) WITH ORDINALITY AS all_events(event, place)`,
    [id, JSON.stringify(events), events.length]
  )
  yield* query(url, "UPDATE payment_intents SET status = 'processing' WHERE id = $1", [id])
  yield* query(
    url,
    "UPDATE payment_intents SET status = $2, compensation_required = $3, quarantined = NOT $3 WHERE id = $1",
    [id, statuses[which], which === "required"]
  )
  return id
})

/** Something for each command to tell of. */
const world = Effect.gen(function* () {
  const stage = yield* Stage.make
  const ran = yield* Stage.run(stage, { runtime: "bun", args: ["--mode=migrate"] })
  assert.strictEqual(ran.code, 0, ran.stderr)
  const [event] = yield* query<{ id: string }>(
    Redacted.make(stage.databaseUrl),
    "INSERT INTO outbox_events (topic, payload, attempts, next_attempt_at) VALUES ('t', '{}', 5, now()) RETURNING id"
  )
  yield* Queues.declare(stage.brokerUrl, stage.deadLetters)
  yield* Queues.publish(stage.brokerUrl, stage.deadLetters, [{ id: "stranger", body: "\u001b[2J" }])
  return {
    ...stage,
    dead: event?.id ?? "",
    required: yield* payment(stage.databaseUrl, "required"),
    quarantined: yield* payment(stage.databaseUrl, "quarantined")
  }
})

const env = { JOBS: jobs, JOURNAL: "/dev/null", USER: "ada" }

const valuesIn = (form: Form, stdout: string): ReadonlyArray<object> => {
  const lines = stdout.split("\n")
  if (form === "lines") return lines.map((line) => JSON.parse(line))
  assert.lengthOf(lines, 1)
  const value = JSON.parse(stdout)
  assert.strictEqual(Array.isArray(value), form === "array")
  return form === "array" ? value : [value]
}

const leavesOf = (command: Command.Command.Any, above: ReadonlyArray<string> = []): ReadonlyArray<string> => {
  const path = [...above, command.name]
  const below = command.subcommands.flatMap(({ commands }) => commands.flatMap((one) => leavesOf(one, path)))
  return below.length === 0 || command.name === "jobs" ? [path.join(" "), ...below] : below
}

describe.concurrent("--json", () => {
  it("is looked at here for every command that answers", () => {
    const nowhere = {
      dead: "",
      required: "",
      quarantined: "",
      brokerUrl: "",
      databaseUrl: "",
      queue: "",
      deadLetters: ""
    }
    const seen = casesOf(nowhere).map(({ args }) => args.join(" "))
    const silent = ["runworker", "help"]
    for (const leaf of subcommands.flatMap((command) => leavesOf(command)).filter((leaf) => !silent.includes(leaf)))
      assert.isTrue(
        seen.some((args) => `${args} `.startsWith(`${leaf} `)),
        leaf
      )
  })

  for (const runtime of Stage.runtimes) {
    it.live(`gives one value on one line, with all of its fields, for every command (${runtime})`, () =>
      Effect.gen(function* () {
        const on = yield* world
        for (const { args, code = 0, fields, form } of casesOf(on)) {
          const ran = yield* Stage.run(on, { runtime, args: [...args, "--json"], env })
          const said = `${args.join(" ")}\n${ran.stdout}\n${ran.stderr}`
          assert.strictEqual(ran.code, code, said)
          const values = valuesIn(form, ran.stdout)
          assert.isAbove(values.length, 0, said)
          for (const value of values) assert.deepStrictEqual(Object.keys(value), fields.split(" "), said)
          assert.notMatch(ran.stdout, /(?!\n)[\p{Cc}\p{Cf}]/u)
          if (args[0] === "sagas" && args[1] !== "compensate" && args[1] !== "resume")
            assert.deepInclude(values[0], { amount: "90071992547409.93", orderId: "order-1", reference: null })
          if (args.join() === "jobs") assert.include(ran.stdout, `{"n":${exact}}`)
        }
      })
    )
  }

  it.live("is told to people too, where nobody asks for it", () =>
    Effect.gen(function* () {
      const on = yield* world
      for (const { args, code = 0 } of casesOf(on)) {
        const ran = yield* Stage.run(on, { runtime: "node", args, env })
        assert.strictEqual(ran.code, code, `${args.join(" ")}\n${ran.stderr}`)
        assert.notMatch(ran.stdout, /^[[{]"/, args.join(" "))
        assert.notMatch(ran.stdout, /(?!\n)[\p{Cc}\p{Cf}]/u)
      }
    })
  )

  it.live("of an empty list is an empty list", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Queues.declare(stage.brokerUrl, stage.deadLetters)
      const env = { DATABASE_URL: Redacted.value(yield* newDatabase) }
      yield* Stage.run(stage, { runtime: "bun", args: ["--mode=migrate"], env })
      for (const args of [
        ["sagas", "list"],
        ["outbox", "list"],
        ["jobs", "history"],
        ["dlq", "list", stage.deadLetters]
      ]) {
        const { code, stdout } = yield* Stage.run(stage, { runtime: "bun", args: [...args, "--json"], env })
        assert.deepStrictEqual([code, stdout], [0, "[]"], args.join(" "))
      }
    })
  )
})
