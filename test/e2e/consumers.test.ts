/** Topic workers as processes: what they do with messages that kill, at a broker's restart, before they are ready, and when wrongly told. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import * as ConsumerGrounds from "../support/ConsumerGrounds.ts"
import * as ConsumerStage from "../support/ConsumerStage.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Stage from "../support/Stage.ts"
import type { Child } from "../support/servers/Child.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

/** Far longer than any of it takes: on a busy machine all of it takes long. */
const patience = 300_000
const deadline = { deadline: "90 seconds", every: "100 millis" } as const

/** How a worker ends that gets a deadly message: its exit code, or `undefined` once the message is set aside. */
const endOf = Effect.fnUntraced(function* (stage: ConsumerStage.Stage, runtime: Program.Runtime) {
  const worker = yield* stage.start(runtime, "relay", { MAX_CRASHES: "2" })
  return yield* Effect.raceFirst(
    worker.exit,
    Effect.as(worker.waitForLine(/"crashed"/, { deadline: "60 seconds" }), undefined)
  )
})

/** A restart under work is overcome without help, and asked to stop, the worker finishes what it has begun. */
const goesOnAfter = Effect.fnUntraced(function* (
  restart: Effect.Effect<void, unknown>,
  stage: ConsumerStage.Stage,
  worker: Child
) {
  yield* stage.publish(ConsumerStage.mixed(50, 500))
  yield* eventually(
    Effect.sync(() => assert.isAbove(stage.seen.size, 55)),
    deadline
  )
  yield* restart
  yield* worker.waitForLine(/is away/, { deadline: "60 seconds" })
  yield* eventually(
    Effect.sync(() => assert.isAbove(stage.seen.size, 100)),
    deadline
  )
  yield* stage.publish([{ n: 550, does: "is slow" }])
  yield* worker.kill("SIGTERM")
  assert.strictEqual(yield* worker.exit, 0)
  yield* stage.start("bun", "relay")
  yield* ConsumerStage.assertOutputs(stage, ConsumerStage.numbers(551))
})

/** How a message ends the process, and the process then. */
const deadly = [
  ["bun", "exits", 7],
  ["node", "kills", 128 + 9]
] as const

for (const [index, [broker, ground]] of Object.entries(ConsumerGrounds.shared).entries()) {
  describe.concurrent(`--mode=consumers on ${broker}`, () => {
    for (const [runtime, does, code] of deadly.filter((_, place) => index === 0 || place === index % 2)) {
      it.live(
        `sets a message aside as crashed that ${does} the process, and nothing else with it (${runtime})`,
        () =>
          Effect.gen(function* () {
            const stage = yield* ConsumerStage.make(yield* ground)
            yield* stage.publish(ConsumerStage.numbers(100).map((n) => (n === 30 ? { n, does } : { n })))
            let deaths = 0
            for (let end = yield* endOf(stage, runtime); end !== undefined; end = yield* endOf(stage, runtime)) {
              assert.strictEqual(end, code)
              deaths++
            }
            yield* ConsumerStage.assertOutputs(
              stage,
              ConsumerStage.numbers(100).filter((n) => n !== 30)
            )
            // nobody was alone at the first two
            assert.strictEqual(deaths, 2 + 2)
            assert.deepStrictEqual(
              (yield* stage.deadLetters).map(({ headers, id }) => [id, headers["x-paystream-reason"]]),
              [["input-30/relay.dlq", "crashed"]]
            )
          }),
        { timeout: patience }
      )
    }
  })
}

// By themselves: servers of their own take long to start beside all of the above.
describe("--mode=consumers", () => {
  describe.concurrent("whose broker is restarted", () => {
    for (const [index, [broker, ground]] of Object.entries(ConsumerGrounds.own).entries()) {
      const [one, other] = index % 2 === 0 ? (["bun", "node"] as const) : (["node", "bun"] as const)
      it.live(
        `keeps retries that wait when it is killed as well, and goes on (${broker})`,
        () =>
          Effect.gen(function* () {
            const { restart, ...own } = yield* ground
            const stage = yield* ConsumerStage.make(own)
            yield* stage.publish(ConsumerStage.numbers(50).map((n) => ({ n, does: "fails once" })))
            const first = yield* stage.start(one, "relay", { RETRY_DELAY: "long" })
            yield* eventually(
              Effect.map(stage.parked(4000), (waiting) => assert.isAbove(waiting, 0)),
              deadline
            )
            yield* first.kill("SIGKILL")
            yield* restart
            const second = yield* stage.start(other, "relay", { RETRY_DELAY: "long" })
            yield* ConsumerStage.assertOutputs(stage, ConsumerStage.numbers(50))
            // the embedded one ends and starts with those who use it
            if (broker !== "the embedded broker") yield* goesOnAfter(restart, stage, second)
          }),
        { timeout: patience }
      )
    }
  })
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
  const mode = ["--mode=consumers"]
  const start = (runtime: Program.Runtime, part: string, command = mode, env: Record<string, string> = {}) =>
    Program.start({
      runtime,
      args: [...command, `--workers=${ConsumerStage.moduleOf("unready")}`],
      env: { RABBITMQ_URL: inject("rabbitmqUrl"), DATABASE: "none", HEALTH_PORT: "0", UNREADY: part, ...env }
    })

  // the subcommand is the same as the mode
  for (const [runtime, part, command] of [
    ["bun", "import", ["runworker", "all"]],
    ["node", "layer", ["runworker", "orders"]],
    ["bun", "onStart", mode]
  ] as const) {
    it.live(`for its module's ${part} ends all the same when it is asked to stop (${command.join(" ")})`, () =>
      Effect.gen(function* () {
        const program = yield* start(runtime, part, [...command])
        yield* program.waitForLine(/waiting in/, { deadline: "60 seconds" })
        yield* program.kill("SIGTERM")
        assert.strictEqual(yield* program.exit, 0)
      })
    )
  }

  it.live("for its handlers says so, and ends when it is asked to stop", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const program = yield* start("bun", "handlers", mode, { HEALTH_PORT: `${port}` })
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
    ...["rabbitmq", "kafka", "embedded"].map(
      (broker) =>
        [
          `order per key through retries without a database (${broker})`,
          "ordered",
          [],
          { BROKER: broker },
          /DATABASE: got "none".*worker ledger \(ordered: true\)/
        ] as const
    ),
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
