import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Worker from "../../src/streams/Worker.ts"
import { check } from "../../src/streams/WorkerChecks.ts"

const worker = (name: string, options: Partial<Worker.WorkerOptions<Worker.JsonObject, unknown>> = {}) =>
  Worker.make(name, { topic: "orders", ...options }, () => Effect.void)

const refused: Record<string, readonly [workers: ReadonlyArray<Worker.Any>, said: ReadonlyArray<RegExp>]> = {
  "a group whose queue could be another's": [
    [worker("one", { topic: "a.b", groupId: "c" }), worker("other", { topic: "a", groupId: "b.c" })],
    [/worker other: groupId "b\.c" has a dot/]
  ],
  "a name with a dot that is the group too": [[worker("orders.process")], [/groupId "orders\.process" has a dot/]],
  "the group dlq": [[worker("w", { groupId: "dlq" })], [/groupId "dlq" is taken/]],
  "the group retry": [[worker("w", { groupId: "retry" })], [/groupId "retry" is taken/]],
  "an empty name": [[worker("")], [/its name "" is no name/, /groupId "" is no name/]],
  "a name of 65 bytes": [[worker("é".repeat(33))], [/its name .* longer than 64 bytes/, /groupId .* longer than 64/]],
  "a queue of 231 bytes": [[worker("w", { topic: "t".repeat(229) })], [/<topic>\.<groupId> is longer than 230 bytes/]],
  "a dlqTopic of 256 bytes": [[worker("w", { dlqTopic: "t".repeat(256) })], [/dlqTopic is longer than 255 bytes/]],
  "an outputTopic of 256 bytes": [[worker("w", { outputTopic: "é".repeat(128) })], [/outputTopic is longer than 255/]],
  "a topic for retries": [[worker("w", { topic: "orders.w.retry" })], [/ends in \.retry/]],
  "its own dead letters": [[worker("w", { dlqTopic: "orders" })], [/takes its own dead letters/]],
  "its own dead letters by a wildcard": [[worker("w", { topic: "orders.#" })], [/takes its own dead letters/]],
  "no concurrency": [[worker("w", { concurrency: 0 })], [/concurrency 0 is no whole number from 1 to 8191/]],
  "half a handler": [[worker("w", { concurrency: 1.5 })], [/concurrency 1\.5/]],
  "more handlers than a broker counts": [[worker("w", { concurrency: 8192 })], [/concurrency 8192/]],
  "an endless concurrency": [[worker("w", { concurrency: Number.POSITIVE_INFINITY })], [/concurrency Infinity/]],
  "no time for hooks": [[worker("w", { hookTimeout: 0 })], [/worker w: hookTimeout 0 is no time at all/]],
  "two of one name": [[worker("w"), worker("w", { topic: "other" })], [/workers w, w: have one name, "w"/]],
  "two of one group and topic": [
    [worker("a", { groupId: "g" }), worker("b", { groupId: "g" })],
    [/workers a, b: are one group of one topic \(\["orders","g"\]\)/]
  ],
  "two for the same dead letters": [
    [worker("a", { topic: "failed" }), worker("b", { topic: "failed" }), worker("c", { dlqTopic: "failed" })],
    [/workers a, b: dead letters of "failed" are kept once/]
  ],
  "two for the same commands": [
    [worker("a", { topic: "payment.commands.process" }), worker("b", { topic: "payment.commands.process" })],
    [/workers a, b: commands of "payment\.commands\.process" are kept once/]
  ],
  "a wildcard for commands": [[worker("w", { topic: "payment.commands.*" })], [/has a wildcard, and a command is in/]],
  "a command whose queue is a group's": [
    [
      worker("a", { topic: "payment.commands", groupId: "process" }),
      worker("b", { topic: "payment.commands.process" })
    ],
    [/worker b: topic "payment\.commands\.process" is the queue of a group/]
  ],
  "a dead-letter topic that is a group's queue": [
    [worker("a", { topic: "failed", groupId: "orders" }), worker("b", { dlqTopic: "failed.orders" })],
    [/dlqTopic "failed\.orders" is the queue of a group/]
  ]
}

describe("Workers are refused, named, that have", () => {
  for (const [name, [workers, said]] of Object.entries(refused)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const mistake = yield* Effect.flip(check(workers))
        assert.strictEqual(mistake.problems.length, said.length, mistake.message)
        said.forEach((pattern, index) => {
          assert.match(mistake.problems[index] ?? "", pattern)
        })
      })
    )
  }
})

describe("Workers are taken that have", () => {
  const taken: Record<string, ReadonlyArray<Worker.Any>> = {
    "one topic and two groups": [worker("a"), worker("b")],
    "one group name on two topics": [worker("a", { groupId: "g" }), worker("b", { groupId: "g", topic: "other" })],
    "one dead-letter topic": [worker("a", { dlqTopic: "failed" }), worker("b", { dlqTopic: "failed" })],
    "wildcards that leave dead letters alone": [worker("a", { topic: "orders.*" })],
    "the largest concurrency and the longest names": [
      worker("w", { concurrency: 8191, topic: "t".repeat(228), dlqTopic: "d".repeat(255) })
    ],
    "different commands": [worker("a", { topic: "a.commands.b" }), worker("b", { topic: "a.commands.c" })],
    "dead letters of their own": [worker("a"), worker("undertaker", { topic: "orders.dlq" })]
  }
  for (const [name, workers] of Object.entries(taken)) it.effect(name, () => check(workers))
})
