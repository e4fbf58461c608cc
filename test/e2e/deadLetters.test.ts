/** Dead letters looked at and put back by the product's own command, whatever happens in between. */
import { randomUUID } from "node:crypto"
import { assert, describe } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { depth, depthIs, type Environment, newQueue, scenario, twoGroups } from "../support/DeadLetterStage.ts"
import * as Lines from "../support/Lines.ts"
import { bytes, message, takeAll } from "../support/Messages.ts"
import { eventually } from "../support/servers/eventually.ts"

const payment = (n: number) => `{"payment" : ${n}, "amount" : 10.00}`

describe.concurrent("dlq", () => {
  scenario(
    "shows the payment worker's dead letters, and puts them back to be stored",
    [
      ["RabbitMQ", "bun"],
      ["embedded", "node"]
    ],
    ({ dlq, run }) =>
      Effect.gen(function* () {
        const { deadLetters, queue } = yield* newQueue
        const four = Arr.makeBy(4, (n) => message(queue, { id: `p-${n}`, body: bytes(payment(n)) }))
        yield* Broker.use((broker) => broker.publish(four))
        const settleFour = { QUEUE_NAME: queue, MAX_MESSAGES: "4" }
        yield* run(["--mode=worker"], { ...settleFour, MAX_MESSAGE_BYTES: "10" })
        yield* depthIs(deadLetters, 4)

        const listed = yield* dlq("list", deadLetters)
        assert.strictEqual(listed.code, 0, listed.stderr)
        assert.match(listed.stdout, /^ID +TIME +GROUP +REASON/)
        assert.match(listed.stdout, /\np-2 +\d{4}-\S+ +- +too_large +0 +test-\S+ +\d+ bytes, at most 10/)
        assert.match(listed.stdout, /\n4 dead letters: 4 too_large$/)
        const two = yield* dlq("list", deadLetters, "--limit=2", "--json")
        // Set aside together, they are of one age: any two of them, where the broker keeps no order of such.
        const oldest = JSON.parse(two.stdout).map(({ id }: { readonly id: string }) => id)
        assert.strictEqual(new Set(oldest).size, 2)
        assert.isTrue(oldest.every((id: string) => /^p-[0-3]$/.test(id)))
        assert.match(two.stderr, /^2 more wait/m)

        const shown = yield* dlq("show", deadLetters, "--id=p-1")
        assert.include(shown.stdout, payment(1))
        assert.notInclude(shown.stdout, payment(0))
        assert.include(shown.stdout, 'x-paystream-reason: "too_large"')

        const tried = yield* dlq("replay", deadLetters, "--all", "--dry-run")
        assert.include(tried.stdout, `p-3 would go to queue ${queue}`)
        yield* depthIs(deadLetters, 4)
        yield* depthIs(queue, 0)

        const one = yield* dlq("replay", deadLetters, "--id=p-1", "--id=nobody", "--by=ada")
        assert.strictEqual(one.code, 1)
        assert.match(one.stdout, /^1 put back: 1 to queue test-/)
        assert.match(one.stderr, /among 4 looked at there is no dead letter nobody/)
        assert.notInclude(one.stderr, payment(1))
        yield* depthIs(queue, 1)
        yield* depthIs(deadLetters, 3)

        const rest = yield* dlq("replay", deadLetters, "--all", "--json")
        assert.strictEqual(rest.code, 0, rest.stderr)
        assert.lengthOf(rest.stdout.split("\n"), 3)
        const stored = yield* run(["--mode=worker"], settleFour)
        assert.match(stored.stdout, /"stored":4/)
        yield* depthIs(deadLetters, 0)
      })
  )

  scenario(
    "puts a topic worker's dead letters back to the group that failed alone",
    [
      ["RabbitMQ", "node"],
      ["embedded", "bun"],
      ["Kafka", "node"],
      ["Kafka", "bun"]
    ],
    ({ dlq, migrate, run, start }) =>
      Effect.gen(function* () {
        const topic = `topic-${randomUUID()}`
        const workers = `--workers=${yield* twoGroups(topic)}`
        yield* migrate(workers)
        const broker = yield* Broker
        for (const group of ["calm", "failing"]) yield* broker.subscribe(topic, group)
        const three = Arr.makeBy(3, (n) => ({ ...message("", { id: `o-${n}`, body: bytes(`{"n":${n}}`) }), topic }))
        yield* broker.publishToTopics(three)
        const broken = yield* start(["--mode=consumers", workers], { BROKEN: "1" })
        yield* Lines.waitFor(broken, "calm has", 3)
        yield* Lines.waitFor(broken, "dead letter", 3)
        yield* broken.kill("SIGTERM")
        yield* broken.exit
        yield* depthIs(`${topic}.dlq`, 3)

        const tried = (env: Environment) =>
          run(["dlq", "replay", `${topic}.dlq`, "--id=o-1", "--dry-run", workers], env)
        const [asBefore, asNow] = yield* Effect.all([tried({ BROKEN: "1" }), tried({})])
        assert.match(asBefore.stdout, /^o-1 would go to group failing of topic topic-\S+; it would fail again: .*n/m)
        assert.match(asNow.stdout, /^o-1 would go to group failing of topic topic-\S+; it would decode$/m)

        const mended = yield* start(["--mode=consumers", workers])
        const shown = yield* dlq("show", `${topic}.dlq`, "--id=o-2")
        assert.include(shown.stdout, '"original":{"n":2}')
        const one = yield* dlq("replay", `${topic}.dlq`, "--id=o-1")
        assert.strictEqual(one.code, 0, one.stderr)
        yield* Lines.waitFor(mended, "failing has 1", 1)
        yield* depthIs(`${topic}.dlq`, 2)
        const listed = yield* dlq("list", `${topic}.dlq`)
        assert.match(listed.stdout, /\n2 dead letters: 2 invalid_input$/)
        assert.notMatch(listed.stdout, /^o-1 /m)
        yield* dlq("replay", `${topic}.dlq`, "--all", "--rate=100")
        yield* Lines.waitFor(mended, "failing has", 3)
        yield* depthIs(`${topic}.dlq`, 0)
        yield* mended.kill("SIGTERM")
        yield* mended.exit
        assert.strictEqual(Lines.count(mended, "failing has"), 3)
        assert.strictEqual(Lines.count(mended, "calm has"), 0)
      })
  )

  scenario(
    "is spared those that are older than a process beside it is told to keep",
    [
      ["embedded", "bun"],
      ["embedded", "node"]
    ],
    ({ run, start }) =>
      Effect.gen(function* () {
        const { deadLetters, queue } = yield* newQueue
        yield* Broker.use((broker) => broker.publish(Arr.makeBy(3, (n) => message(deadLetters, { id: `${n}` }))))
        const keeping = { QUEUE_NAME: queue, EMBEDDED_DEAD_LETTERS_RETENTION: "1 hour", MAX_MESSAGES: "1" }
        yield* Broker.use((broker) => broker.publish([message(queue, { id: "p-1", body: bytes(payment(1)) })]))
        assert.strictEqual((yield* run(["--mode=worker"], keeping)).code, 0)
        yield* depthIs(deadLetters, 3)
        const worker = yield* start(["--mode=worker"], {
          QUEUE_NAME: queue,
          EMBEDDED_DEAD_LETTERS_RETENTION: "0 seconds"
        })
        yield* depthIs(deadLetters, 0)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
      })
  )

  scenario(
    "loses nothing when it is killed or stopped in the middle of a replay",
    [
      ["RabbitMQ", "bun"],
      ["embedded", "node"]
    ],
    ({ dlq, start }) =>
      Effect.gen(function* () {
        const count = 200
        const { deadLetters, queue } = yield* newQueue
        const headers = { "x-paystream-reason": "too_large", "x-paystream-source": queue }
        const letters = Arr.makeBy(count, (n) => message(deadLetters, { id: `${n}`, headers }))
        yield* Broker.use((broker) => broker.publish(letters))

        // slow enough that seconds are left to whoever sees that it has begun
        const killed = yield* start(["dlq", "replay", deadLetters, "--all", "--rate=40"])
        yield* atLeast(queue, 20)
        yield* killed.kill("SIGKILL")
        yield* killed.exit
        assert.isAbove(yield* depth(deadLetters), 0)
        const before = yield* depth(queue)

        const stopped = yield* start(["dlq", "replay", deadLetters, "--all", "--rate=25"])
        yield* atLeast(queue, before + 10)
        yield* stopped.kill("SIGTERM")
        assert.strictEqual(yield* stopped.exit, 4)
        const done = Number(/^(\d+) put back/m.exec(stopped.stdout.join("\n"))?.[1])
        assert.match(stopped.stderr.join("\n"), /stopped after \d+ of \d+: \d+ put back/)
        // What was under way when the first was killed may have come in since.
        const found = yield* depth(queue)
        assert.isAtLeast(found, before + done)
        assert.isAtMost(found, before + done + underWay)

        assert.strictEqual((yield* dlq("replay", deadLetters, "--all")).code, 0)
        yield* depthIs(deadLetters, 0)
        const ids = (yield* takeAll(queue)).map(({ id }) => id)
        assert.strictEqual(new Set(ids).size, count)
        assert.isAtMost(ids.length, count + underWay)
      })
  )
})

/** As many as a replay has in its hands at most. */
const underWay = 8

const atLeast = (queue: string, count: number) =>
  eventually(
    Effect.map(depth(queue), (found) => assert.isAtLeast(found, count)),
    { deadline: "30 seconds", every: "5 millis" }
  )
