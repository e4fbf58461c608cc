/** What `dlq` says of what it cannot do, and of what it should not trust. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { depth, depthIs, newQueue, onKafka, onRabbitMq, playing, twoGroups } from "../support/DeadLetterStage.ts"
import { message } from "../support/Messages.ts"

describe.concurrent("dlq", () => {
  it.live("shows a stranger's message so that it can do nothing to a terminal, and leaves it where it is", () =>
    Effect.gen(function* () {
      const world = yield* onRabbitMq
      const { dlq } = playing(world, "node")
      yield* Effect.gen(function* () {
        const { deadLetters } = yield* newQueue
        const hostile = { id: "\u001b[2Jid", headers: { "\u0007": "\u202e" }, body: Uint8Array.from([27, 91, 255]) }
        yield* Broker.use((broker) => broker.publish([message(deadLetters, hostile)]))
        const listed = yield* dlq("list", deadLetters)
        assert.match(listed.stdout, /\\u001b\[2Jid .* not set aside by Paystream/)
        const shown = yield* dlq("show", deadLetters, "--id=\\u001b[2Jid")
        assert.include(shown.stdout, Buffer.from(hostile.body).toString("base64"))
        const replayed = yield* dlq("replay", deadLetters, "--all")
        assert.strictEqual(replayed.code, 1)
        for (const { stdout } of [listed, shown, replayed]) assert.notMatch(stdout, /(?!\n)[\p{Cc}\p{Cf}]/u)
        yield* depthIs(deadLetters, 1)
      }).pipe(Effect.provide(world.broker))
    })
  )

  it.live("needs a database to put back what Kafka keeps, and none to look at it", () =>
    Effect.gen(function* () {
      const world = yield* onKafka
      const { dlq } = playing({ ...world, env: { ...world.env, DATABASE: "none" } }, "node")
      const topic = `topic-${randomUUID()}`
      yield* playing(world, "node").migrate(`--workers=${yield* twoGroups(topic)}`)
      const headers = { "x-paystream-reason": "rejected", "x-paystream-source": "queue" }
      const letter = { ...message("", { id: "o-1", headers }), topic: `${topic}.dlq` }
      yield* Effect.provide(
        Broker.use((broker) => broker.publishToTopics([letter])),
        world.broker
      )
      const listed = yield* dlq("list", letter.topic)
      assert.match(listed.stdout, /\n1 dead letter: 1 rejected$/)
      assert.include(listed.stderr, "DATABASE is none: what was put back already is not left out")
      const asked = yield* dlq("list", topic)
      assert.include(asked.stderr, `those of ${topic} are in ${letter.topic}, where 1 wait`)
      const refused = yield* dlq("replay", letter.topic, "--all")
      assert.strictEqual(refused.code, 2)
      assert.match(refused.stderr, /DATABASE: got "none"; takes postgres or embedded .*BROKER=kafka/)
      // a queue's worker has no place here
      const stranger = yield* playing(world, "node").dlq("replay", letter.topic, "--all")
      assert.strictEqual(stranger.code, 1)
      assert.match(stranger.stdout, /^o-1 stays: there is no queue queue any more/m)
    })
  )

  it.live("says what is wrong with a command, and makes no queue of a wrong name", () =>
    Effect.gen(function* () {
      const world = yield* onRabbitMq
      const { dlq } = playing(world, "node")
      const name = `typo-${randomUUID()}`
      const [unknown, neither] = yield* Effect.all([dlq("list", name), dlq("replay", name)], { concurrency: 2 })
      assert.strictEqual(unknown.code, 3)
      assert.include(unknown.stderr, `there is no queue ${name}`)
      assert.strictEqual(neither.code, 2)
      assert.include(neither.stderr, "--id=ID, repeatable, or --all")
      const exit = yield* Effect.exit(Effect.provide(depth(name), world.broker))
      assert.strictEqual(exit._tag, "Failure")
    })
  )

  it.live("names the dead letters of a queue that is asked for itself, there or not", () =>
    Effect.gen(function* () {
      const world = yield* onRabbitMq
      const { dlq } = playing(world, "bun")
      yield* Effect.gen(function* () {
        const { deadLetters, queue } = yield* newQueue
        const topic = `topic-${randomUUID()}`
        yield* Broker.use((broker) => broker.ensureQueue(`${topic}.dlq`))
        yield* Broker.use((broker) => broker.publish([message(deadLetters)]))
        const [ofQueue, ofTopic] = yield* Effect.all([dlq("list", queue), dlq("list", topic)], { concurrency: 2 })
        assert.strictEqual(ofQueue.code, 0)
        assert.include(ofQueue.stderr, `no dead letter was seen in ${queue}; those of ${queue} are in ${deadLetters}`)
        assert.strictEqual(ofTopic.code, 3)
        assert.include(ofTopic.stderr, `those of ${topic} are in ${topic}.dlq, where 0 wait`)
      }).pipe(Effect.provide(world.broker))
    })
  )
})
