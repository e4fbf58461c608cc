/** Each example by its one command, on the embedded broker: what its first lines promise is what is seen. */
import { copyFileSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const folder = fileURLToPath(new URL("../../examples/", import.meta.url))

/** What each shows, in any order. */
const shows: Readonly<Record<string, ReadonlyArray<RegExp>>> = {
  "orders.ts": [
    /order A-1 is processed/,
    /order A-2 is processed/,
    /order A-3 is given up: there are not so many left/
  ],
  "etl.ts": [/booked 19.9 on BR-77/, /booked 0.1 on BR-78/, /; balance 20"/, /"reason":"rejected"/],
  "order-saga.ts": [/order S-1: paid and confirmed/, /order S-2: payment declined, stock given back/],
  "fan-out.ts": [/receipt for P-1 sent to ana/, /P-1 entered in the accounts with 1990 cents/, /19 points for ana/],
  "dead-letters.ts": [
    /transferred 10\.00 to ana/,
    /mended a transfer to bia/,
    /transferred 20\.50 to bia/,
    /a person has to look at a message that transfers could not handle/
  ]
}

/** What programs of their own show, at last. */
const programs: Readonly<Record<string, ReadonlyArray<RegExp>>> = {
  "own-program.ts": [/booked 500 on BR-77; balance 500/, /booked -200 on BR-77; balance 300/, /balance 350/]
}

/** What is sent to one that runs, as the list of examples says, and what it makes of it. */
const sent = { to: "orders.ts", says: /order B-1 is processed/ }
const sending = /bun run main (publish .+)/.exec(readFileSync(join(folder, "README.md"), "utf8"))?.[1] ?? ""

/** The data of the embedded server, which the examples of one runtime share. */
class DataFolder extends Context.Service<DataFolder, string>()("test/DataFolder") {}

const command = (example: string) => `--mode=consumers --workers=./examples/${example}`
const lineOf = (example: string) =>
  example in programs ? `bun examples/${example}` : `BROKER=embedded bun run main ${command(example)}`

describe("The examples", () => {
  it("are all shown here, say at their top how to run them, and stand in the list", () => {
    const examples = readdirSync(folder).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    assert.deepStrictEqual(examples.sort(), Object.keys({ ...shows, ...programs }).sort())
    const list = readFileSync(join(folder, "README.md"), "utf8")
    for (const example of examples) {
      const line = lineOf(example)
      const [top = ""] = readFileSync(join(folder, example), "utf8").split("*/")
      assert.include(top, line)
      assert.include(list, `[${example}](${example})`)
      assert.include(list, line)
    }
  })

  it.live("are listed with all that a worker is, for people and for machines", () =>
    Effect.gen(function* () {
      const list = (...flags: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const args = ["workers", `--workers=${folder}orders.ts`, ...flags]
          const program = yield* Program.start({ runtime: "node", args })
          assert.strictEqual(yield* program.exit, 0)
          return program.stdout
        })
      assert.deepStrictEqual(yield* list(), [
        "NAME            INPUT           OUTPUT            GROUP            CONCURRENCY  RETRIES  BACK-OFF               DEDUPE  ORDERED  SCHEMAS       DLQ",
        "OrderProcessor  orders.created  orders.processed  order-processor  10           2        exponential 250ms..1m  -       -        input+output  orders.dlq"
      ])
      const [worker] = JSON.parse((yield* list("--json")).join(""))
      assert.deepStrictEqual(
        { ...worker, schemas: undefined },
        {
          name: "OrderProcessor",
          input: "orders.created",
          output: "orders.processed",
          group: "order-processor",
          concurrency: 10,
          retry: { kind: "exponential", maxRetries: 2, initialDelayMillis: 250, maxDelayMillis: 60_000, jitter: 0 },
          dedupe: false,
          ordered: false,
          schemas: undefined,
          dlq: "orders.dlq"
        }
      )
      assert.deepStrictEqual(worker.schemas.input.required, ["orderId", "quantity"])
      assert.deepStrictEqual(worker.schemas.output.properties.orderId, { type: "string" })
    })
  )

  it.live("are sent nothing that is not JSON, or goes nowhere: the command says what is wrong", () =>
    Effect.gen(function* () {
      const refused = {
        "--topic=orders.created": "there is no value",
        "--value=1": "there is no topic",
        "--topic=orders.created --value=1 --count=2": "--count and --queue are for samples",
        "--topic=orders.created --value=1 --value={secret": "value 2 is not JSON"
      }
      for (const [flags, problem] of Object.entries(refused)) {
        const args = ["--mode=publish", ...flags.split(" ")]
        const program = yield* Program.start({ runtime: "bun", args, env: { BROKER: "embedded" } })
        assert.strictEqual(yield* program.exit, 2)
        assert.match(program.stderr.join(), new RegExp(`^a topic takes values in JSON.*: ${problem}$`))
      }
    })
  )

  for (const runtime of ["node", "bun"] as const) {
    for (const [example, lines] of Object.entries(programs)) {
      it.live(`${example} does what it says, and stops when it is asked to (${runtime})`, () =>
        Effect.gen(function* () {
          const env = { PAYSTREAM_DATA: yield* temporaryFolder("data") }
          const program = yield* Program.start({ runtime, main: join(folder, example), args: [], env })
          for (const line of lines) yield* program.waitForLine(line, { deadline: "40 seconds" })
          yield* program.kill("SIGTERM")
          yield* program.exit
          assert.strictEqual(program.stdout.filter((line) => line.includes("booked")).length, lines.length)
          assert.deepStrictEqual(program.stderr, [])
        })
      )
    }

    describe.concurrent(`on ${runtime}`, () => {
      it.layer(Layer.effect(DataFolder, Effect.orDie(temporaryFolder("examples"))))((it) => {
        for (const [index, [example, lines]] of Object.entries(shows).entries()) {
          // Every other one from where it is mounted alone, far from any package; on the other runtime the others.
          const isMounted = (index % 2 === 0) === (runtime === "node")
          it.effect(`${example} does what it says${isMounted ? ", mounted anywhere" : ""}`, () =>
            Effect.gen(function* () {
              const where = isMounted ? `${yield* temporaryFolder("mounted")}/` : folder
              if (isMounted) copyFileSync(join(folder, example), join(where, example))
              const env = {
                BROKER: "embedded",
                PAYSTREAM_DATA: yield* DataFolder,
                HEALTH_PORT: "0",
                LOG_FORMAT: "json"
              }
              const args = command(example).replace("./examples/", where).split(" ")
              const program = yield* Program.start({ runtime, args, env })
              for (const line of lines) yield* program.waitForLine(line, { deadline: "40 seconds" })
              if (example === sent.to) {
                const words = sending.replaceAll("'", "").split(" ")
                const sender = yield* Program.start({ runtime, args: words, env })
                assert.deepStrictEqual([yield* sender.exit, sender.stderr], [0, []])
                assert.deepStrictEqual(sender.stdout, ["1 published to the topic orders.created and confirmed"])
                yield* program.waitForLine(sent.says)
              }
              yield* program.kill("SIGTERM")
              assert.strictEqual(yield* program.exit, 0)
              assert.deepStrictEqual(
                program.stdout.filter((line) => /PostgreSQL.* (is )?away/.test(line)),
                []
              )
            })
          )
        }
      })
    })
  }
})
