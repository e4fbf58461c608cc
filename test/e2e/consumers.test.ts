import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { inject } from "vitest"
import * as ConsumerStage from "../support/ConsumerStage.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import * as RabbitMq from "../support/servers/RabbitMq.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const rounds = Number(process.env.CHAOS_ROUNDS ?? 5)
const seed = process.env.CHAOS_SEED ?? String(Math.trunc(Math.random() * 1e9))

const started = /"starting"/
const deadline = { deadline: "60 seconds", every: "100 millis" } as const

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

/** One in twenty fails once before it succeeds. */
const mixed = (from: number, count: number): ReadonlyArray<ConsumerStage.Input> =>
  numbers(count).map((n) => (n % 20 === 0 ? { n: from + n, does: "fails once" } : { n: from + n }))

const numberOf = (message: Parameters<typeof Queues.idOf>[0]): number => JSON.parse(message.content.toString()).n

const sorted = (all: Iterable<number>) => [...all].sort((one, other) => one - other)

type Play = Effect.Success<ReturnType<typeof ConsumerStage.make>>

/** All that was published has come out, each at least once, and every repeat has the id of the first. */
const assertOutputs = Effect.fnUntraced(function* (stage: Play, published: number) {
  const ids = new Map<number, Set<string>>()
  yield* eventually(
    Effect.gen(function* () {
      for (const message of yield* stage.takeOutputs) {
        const n = numberOf(message)
        ids.set(n, (ids.get(n) ?? new Set()).add(Queues.idOf(message)))
      }
      assert.deepStrictEqual(sorted(ids.keys()), numbers(published))
    }),
    deadline
  )
  for (const [n, own] of ids) assert.deepStrictEqual([...own], [`input-${n}/relay.0`])
})

describe.concurrent("--mode=consumers", () => {
  it.live(
    `killed at ${rounds} random moments loses no input, and the worker after it has one effect of each`,
    () =>
      Effect.gen(function* () {
        console.log(`CHAOS_SEED=${seed}`)
        const stage = yield* ConsumerStage.make(inject("rabbitmqUrl"))
        const downstream = yield* stage.start("node", "effects")
        let published = 0
        let counted = 0
        for (let attempt = 0; counted < rounds && attempt < rounds * 3; attempt++) {
          yield* stage.publish(mixed(published, 600))
          published += 600
          const victim = yield* stage.start(Stage.runtimes[counted % 2] ?? "bun", "relay")
          yield* victim.waitForLine(started, { deadline: "60 seconds" })
          // not a wait but the moment of the crash
          yield* realSleep(yield* Random.nextIntBetween(50, 700))
          const before = yield* stage.waiting
          yield* victim.kill("SIGKILL")
          assert.strictEqual(yield* victim.exit, 128 + 9)
          // what was in hand comes back: more waits than before
          const inHand = Effect.map(stage.waiting, (after) => assert.isAbove(after, before))
          if (yield* Effect.isSuccess(Effect.sandbox(eventually(inHand, { deadline: "3 seconds" })))) counted++
        }
        assert.strictEqual(counted, rounds, "rounds with work in hand at the kill")
        yield* stage.start("bun", "relay")
        yield* assertOutputs(stage, published)
        yield* eventually(
          Effect.map(stage.effects, (effects) => assert.deepStrictEqual(sorted(effects), numbers(published))),
          deadline
        )
        yield* downstream.kill("SIGTERM")
        assert.strictEqual(yield* downstream.exit, 0)
        assert.deepStrictEqual(sorted(yield* stage.effects), numbers(published))
      }).pipe(Random.withSeed(seed)),
    { timeout: (rounds + 3) * 30_000 }
  )

  for (const [runtime, does, code] of [
    ["bun", "exits", 7],
    ["node", "kills", 128 + 9]
  ] as const) {
    it.live(`sets a message aside as crashed that ${does} the process, and nothing else with it (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* ConsumerStage.make(inject("rabbitmqUrl"))
        yield* stage.publish(numbers(100).map((n) => (n === 30 ? { n, does } : { n })))
        let deaths = 0
        const letter = yield* Effect.gen(function* () {
          while (true) {
            const worker = yield* stage.start(runtime, "relay", { MAX_CRASHES: "2" })
            const end = yield* Effect.raceFirst(
              worker.exit,
              Effect.as(worker.waitForLine(/"crashed"/, { deadline: "60 seconds" }), undefined)
            )
            if (end === undefined) break
            assert.strictEqual(end, code)
            deaths++
          }
          const outputs = new Set<number>()
          yield* eventually(
            Effect.gen(function* () {
              for (const output of yield* stage.takeOutputs) outputs.add(numberOf(output))
              assert.strictEqual(outputs.size, 99)
            }),
            deadline
          )
          return yield* stage.takeDeadLetters
        })
        // nobody was alone at the first two
        assert.strictEqual(deaths, 2 + 2)
        assert.deepStrictEqual(
          letter.map(({ properties }) => [properties.messageId, properties.headers?.["x-paystream-reason"]]),
          [["input-30/relay.dlq", "crashed"]]
        )
      })
    )
  }

  it.live("keeps retries that wait when it is killed and the broker is restarted", () =>
    Effect.gen(function* () {
      const server = yield* RabbitMq.startOwn
      const stage = yield* ConsumerStage.make(server.url)
      yield* stage.publish(numbers(50).map((n) => ({ n, does: "fails once" })))
      const first = yield* stage.start("bun", "relay", { RETRY_DELAY: "long" })
      yield* eventually(
        Effect.map(stage.delayed(4000), (waiting) => assert.isAbove(waiting, 0)),
        deadline
      )
      yield* first.kill("SIGKILL")
      yield* server.restart
      yield* stage.start("node", "relay", { RETRY_DELAY: "long" })
      yield* assertOutputs(stage, 50)
    })
  )

  it.live("goes on by itself after a restart of the broker, and drains when it is asked to stop", () =>
    Effect.gen(function* () {
      const server = yield* RabbitMq.startOwn
      const stage = yield* ConsumerStage.make(server.url)
      yield* stage.publish(mixed(0, 500))
      const first = yield* stage.start("node", "relay")
      yield* first.waitForLine(started)
      yield* server.restart
      yield* first.waitForLine(/is away/)
      yield* eventually(
        Effect.map(stage.depth("out", "seen"), (outputs) => assert.isAbove(outputs, 50)),
        deadline
      )
      yield* stage.publish([{ n: 500, does: "is slow" }])
      yield* first.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 0)
      yield* stage.start("bun", "relay")
      yield* assertOutputs(stage, 501)
    })
  )
})

const run = (runtime: Program.Runtime, module: string, flags: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.gen(function* () {
    const program = yield* Program.start({
      runtime,
      args: ["--mode=consumers", `--workers=${ConsumerStage.moduleOf(module)}`, ...flags],
      env: { RABBITMQ_URL: inject("rabbitmqUrl"), DATABASE: "none", HEALTH_PORT: "0", ...env }
    })
    return { code: yield* program.exit, stderr: program.stderr.join("\n") }
  }).pipe(Effect.scoped)

describe.concurrent("--mode=consumers that is not ready", () => {
  const start = (runtime: Program.Runtime, part: string, env: Record<string, string> = {}) =>
    Program.start({
      runtime,
      args: ["--mode=consumers", `--workers=${ConsumerStage.moduleOf("unready")}`],
      env: { RABBITMQ_URL: inject("rabbitmqUrl"), DATABASE: "none", HEALTH_PORT: "0", UNREADY: part, ...env }
    })

  for (const [index, part] of ["import", "layer", "onStart"].entries()) {
    it.live(`for its module's ${part} ends all the same when it is asked to stop`, () =>
      Effect.gen(function* () {
        const program = yield* start(Stage.runtimes[index % 2] ?? "bun", part)
        yield* program.waitForLine(/waiting in/, { deadline: "60 seconds" })
        yield* program.kill("SIGTERM")
        assert.strictEqual(yield* program.exit, 0)
      })
    )
  }

  it.live("for its handlers says so, and ends when it is asked to stop", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const program = yield* start("bun", "handlers", { HEALTH_PORT: `${port}` })
      yield* eventually(
        Effect.map(HealthPages.page(port, "/readyz"), ({ text }) =>
          assert.deepStrictEqual(JSON.parse(text), {
            status: "unavailable",
            broker: "connected",
            "worker orders": "starting"
          })
        ),
        deadline
      )
      yield* program.kill("SIGTERM")
      assert.strictEqual(yield* program.exit, 0)
    })
  )
})

describe.concurrent("--mode=consumers refuses to start", () => {
  const cases: ReadonlyArray<
    readonly [name: string, module: string, flags: ReadonlyArray<string>, env: Record<string, string>, said: RegExp]
  > = [
    ["a worker that is not there", "relay", ["--worker=nobody"], {}, /no worker "nobody".*effects, relay/],
    ["dedupe without a database", "relay", [], {}, /DATABASE: got "none".*worker effects \(dedupe: true\)/],
    ["crash marks asked for without a database", "relay", [], { MAX_CRASHES: "5" }, /MAX_CRASHES.*DATABASE=none/],
    [
      "names that collide, a reserved group and no handlers, all at once",
      "colliding",
      [],
      {},
      /idle: concurrency 0.*letters: groupId "dlq".*other: groupId "b\.c"/s
    ]
  ]
  cases.forEach(([name, module, flags, env, said], index) => {
    it.live(`for ${name}`, () =>
      Effect.gen(function* () {
        const { code, stderr } = yield* run(Stage.runtimes[index % 2] ?? "bun", module, flags, env)
        assert.match(stderr, said)
        assert.strictEqual(code, 2)
      })
    )
  })

  it.live("for a module that cannot be read, and says what of it", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder("workers"), "workers.ts")
      writeFileSync(path, "export const = 1")
      for (const runtime of Stage.runtimes) {
        const args = ["--mode=consumers", `--workers=${path}`]
        const program = yield* Program.start({ runtime, args, env: { BROKER: "embedded", HEALTH_PORT: "0" } })
        assert.strictEqual(yield* program.exit, 2)
        assert.match(program.stderr.join("\n"), /workers\.ts cannot be loaded: .*expected/i)
      }
    })
  )

  it.live("and ends for handlers that cannot be made, with the worker's name", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run("node", "broken", [], {})
      assert.strictEqual(
        stderr,
        "worker orders cannot start, its handlers could not be made: no warehouse at this address"
      )
      assert.strictEqual(code, 1)
    })
  )

  it.live("for PIX workers without a database, and names each that needs it", () =>
    Effect.gen(function* () {
      const args = ["--mode=consumers"]
      const program = yield* Program.start({ runtime: "node", args, env: { BROKER: "embedded", DATABASE: "none" } })
      assert.strictEqual(yield* program.exit, 2)
      const said = program.stderr.join("\n")
      for (const one of ["pix-settle (dedupe: true)", "pix-notify (dedupe: true)", "pix-audit (the audit log)"])
        assert.include(said, `worker ${one}`)
    })
  )

  for (const mode of ["worker", "migrate"]) {
    it.live(`in --mode=${mode} without a database`, () =>
      Effect.gen(function* () {
        const program = yield* Program.start({ runtime: "bun", args: [`--mode=${mode}`], env: { DATABASE: "none" } })
        assert.strictEqual(yield* program.exit, 2)
        assert.match(program.stderr.join("\n"), new RegExp(`DATABASE: got "none".*--mode=${mode}`))
      })
    )
  }
})
