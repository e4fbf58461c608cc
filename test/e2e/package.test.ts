/** What `npm pack` ships, as somebody uses it who has nothing but the package. */
import { randomUUID } from "node:crypto"
import { cpSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import { newDatabase } from "../support/Databases.ts"
import { InstalledPackage, layer } from "../support/InstalledPackage.ts"
import * as Queues from "../support/Queues.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const workers = `
import { Context, Effect, Layer, Schema } from "effect"
import { RetryPolicy, Worker } from "paystream"

const Order = Schema.Struct({ orderId: Schema.String, quantity: Schema.Int })
const Receipt = Schema.Struct({ orderId: Schema.String, status: Schema.Literals(["reserved"]) })

class Inventory extends Context.Service<
  Inventory,
  { readonly reserve: (quantity: number) => Effect.Effect<void, "not yet"> }
>()("somebody/Inventory") {}

export const layer = Layer.sync(Inventory, () => {
  let asked = 0
  return Inventory.of({ reserve: () => (asked++ === 0 ? Effect.fail("not yet") : Effect.void) })
})

export const reserve = Worker.make(
  "reserve",
  { topic: "orders", outputTopic: "reserved", input: Order, output: Receipt, retry: RetryPolicy.fixed() },
  ({ orderId, quantity }) =>
    Inventory.use((inventory) => inventory.reserve(quantity)).pipe(Effect.as({ orderId, status: "reserved" as const }))
)
`

const flow = `
import { Console, Effect } from "effect"
import { Worker } from "paystream"
import { layer, reserve } from "./workers.ts"

const program = Worker.testFlow([reserve], (topics) =>
  Effect.gen(function* () {
    yield* topics.publish("orders", { orderId: "1", quantity: 2 }, { key: "1" })
    yield* topics.settle
    yield* Console.log(JSON.stringify((yield* topics.published("reserved")).map(({ key, value }) => ({ key, value }))))
  })
)

Effect.runPromise(Effect.provide(program, layer))
`

/** A program of somebody's own: what it is sent at its first start comes in order, once, and may end the process. */
const serviceOn = (topic: string) => `
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Brokers, Stores, Worker } from "paystream"

declare const process: { readonly argv: ReadonlyArray<string>; exit(code: number): never }

const handle = Worker.make(
  "handle",
  { topic: "${topic}", dedupe: true, ordered: true, partitions: 1, concurrency: 4 },
  ({ n }) => (n === "last" ? Effect.sync(() => process.exit(7)) : Console.log(\`handled \${String(n)}\`))
)

const send = Effect.forEach(
  process.argv.includes("first") ? ["1", "2", "1", "3", "last"] : [],
  (n) => Worker.publish("${topic}", { n }, { key: "one", id: n })
)

const given = { MAX_CRASHES: "2" }
Worker.run([handle], { onStart: send }).pipe(
  Effect.provide(Layer.merge(Brokers.fromSettings(given), Stores.fromSettings(given))),
  NodeRuntime.runMain
)
`

const wrong = `
import { Effect, Schema } from "effect"
import { Worker } from "paystream"

export const wrong = Worker.make("wrong", { topic: "a", output: Schema.Struct({ n: Schema.Finite }) }, () =>
  Effect.succeed({ n: "1" })
)
`

/** Runs a program of the project to its end. */
const run = (options: Program.ProgramOptions) =>
  Effect.gen(function* () {
    const program = yield* Program.start(options)
    const code = yield* program.exit
    return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
  })

describe("The package", () => {
  it.layer(layer, { timeout: "3 minutes" })((it) => {
    it.effect("holds JavaScript and types, nothing for development, and little of it", () =>
      Effect.gen(function* () {
        const { files, folder, isRestored } = yield* InstalledPackage
        const others = files.filter(({ path }) => !/^dist\/.+\.(js|d\.ts)$/.test(path))
        assert.deepStrictEqual(others.map(({ path }) => path).sort(), ["LICENSE", "README.md", "package.json"])
        assert.isBelow(
          files.reduce((sum, { size }) => sum + size, 0),
          2_500_000
        )
        const manifest = JSON.parse(readFileSync(join(folder, "node_modules/paystream/package.json"), "utf8"))
        assert.notProperty(manifest, "devDependencies")
        assert.notProperty(manifest.dependencies, "effect")
        assert.isTrue(isRestored)
      })
    )

    it.effect("has workers' types checked against their schemas, and wants what they need where they run", () =>
      Effect.gen(function* () {
        const { compile } = yield* InstalledPackage
        const sound = { "workers.ts": workers, "flow.ts": flow, "service.ts": serviceOn("orders") }
        assert.strictEqual(yield* compile(sound), "")
        const complaint = yield* compile({ "wrong.ts": wrong })
        assert.match(complaint, /wrong\.ts\(5,.*'string' is not assignable to type 'number'/s)
        assert.notMatch(complaint, /(workers|flow|service)\.ts/)
        const lacking = flow.replace("Effect.provide(program, layer)", "program")
        assert.match(yield* compile({ "wrong.ts": "", "lacking.ts": lacking }), /lacking\.ts.*Inventory/s)
        assert.strictEqual(yield* compile({ "lacking.ts": "" }), "")
      })
    )

    for (const runtime of ["node", "bun"] as const) {
      it.effect(`runs a worker on the broker in memory (${runtime})`, () =>
        Effect.gen(function* () {
          const { folder, write } = yield* InstalledPackage
          yield* write({ "workers.ts": workers, "flow.ts": flow })
          const { code, stderr, stdout } = yield* run({ runtime, main: join(folder, "flow.ts"), args: [], cwd: folder })
          assert.deepStrictEqual([code, stderr], [0, ""])
          assert.deepStrictEqual(JSON.parse(stdout), [{ key: "1", value: { orderId: "1", status: "reserved" } }])
        })
      )

      it.effect(`guards the workers of a program of somebody's own as it does ours (${runtime})`, () =>
        Effect.gen(function* () {
          const { folder, write } = yield* InstalledPackage
          const topic = `service-${randomUUID()}`
          yield* write({ "service.ts": serviceOn(topic) })
          const env = {
            RABBITMQ_URL: inject("rabbitmqUrl"),
            DATABASE_URL: Redacted.value(yield* newDatabase)
          }
          const letters = Queues.depth(env.RABBITMQ_URL, `${topic}.dlq`)
          const isSetAside = eventually(
            Effect.map(letters, (count) => assert.strictEqual(count, 1)),
            { deadline: "60 seconds", every: "100 millis" }
          )
          const handled: Array<string> = []
          let deaths = 0
          while (true) {
            const args = deaths === 0 ? ["first"] : []
            const program = yield* Program.start({ runtime, main: join(folder, "service.ts"), args, cwd: folder, env })
            const end = yield* Effect.raceFirst(program.exit, Effect.as(isSetAside, undefined))
            handled.push(...program.stdout.filter((line) => line.startsWith("handled")))
            if (end === undefined) break
            assert.strictEqual(end, 7, program.stderr.join("\n"))
            deaths++
          }
          assert.deepStrictEqual(handled, ["handled 1", "handled 2", "handled 3"])
          // it was not known at the first, and not alone at the second
          assert.strictEqual(deaths, 2 + 2)
          const [letter] = yield* Queues.takeAll(env.RABBITMQ_URL, `${topic}.dlq`)
          assert.strictEqual(letter?.properties.headers?.["x-paystream-reason"], "crashed")
        })
      )

      it.effect(`has a command that takes the project's module, and one mounted anywhere (${runtime})`, () =>
        Effect.gen(function* () {
          const { folder, write } = yield* InstalledPackage
          yield* write({ "workers.ts": workers })
          const elsewhere = join(yield* temporaryFolder("mounted"), "workers.ts")
          cpSync(join(folder, "workers.ts"), elsewhere)
          const main = join(folder, "node_modules/.bin/paystream")
          for (const module of ["./workers.ts", elsewhere]) {
            const args = ["workers", `--workers=${module}`, "--json"]
            const { code, stderr, stdout } = yield* run({ runtime, main, args, cwd: folder })
            assert.deepStrictEqual([code, stderr], [0, ""])
            assert.deepStrictEqual(
              JSON.parse(stdout).map(({ name }: { readonly name: string }) => name),
              ["reserve"]
            )
          }
        })
      )
    }
  })
})
