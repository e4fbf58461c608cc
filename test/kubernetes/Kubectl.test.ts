/** PaymentJobs as people see them: with kubectl. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { kubectl, kubectlRefusal } from "../support/Manifests.ts"
import { inNamespace, podOf, reaches, says, soon } from "../support/OperatorGround.ts"
import { newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { ended, spec as good } from "../support/PaymentJobs.ts"
import { endedWell, playPods, runningPod } from "../support/PlayedPods.ts"
import { eventually } from "../support/servers/eventually.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

/** A namespace with an operator, and kubectl there. */
const place = (runtime: "node" | "bun") =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const ground = yield* inNamespace(namespace)
    yield* startOperator({ namespace, runtime })
    const plane = yield* OperatorPlane
    const here = (...args: ReadonlyArray<string>) =>
      Effect.provideService(kubectl("--namespace", namespace, ...args), OperatorPlane, plane)
    const refused = (...args: ReadonlyArray<string>) =>
      Effect.provideService(kubectlRefusal("--namespace", namespace, ...args), OperatorPlane, plane)
    return { namespace, ground, here, refused }
  })

const waitFor = (what: string, ...names: ReadonlyArray<string>) =>
  ["wait", `--for=${what}`, "--timeout=40s", ...names] as const

const columns = (table: string): ReadonlyArray<ReadonlyArray<string>> =>
  table.split("\n").map((line) => line.split(/ {2,}/))

/** What `explain` says of one path: each of its fields has a description. */
const explained = (path: string) =>
  Effect.map(kubectl("explain", path), (text) => {
    assert.notInclude(text, "<empty>", path)
    // below a field's own line is what it is for
    const fields = text.slice(text.indexOf("FIELDS:")).split(/\n\n(?= {2}\S)/)
    for (const field of fields.slice(1)) assert.match(field, /\n {4}[A-Z]/, `${path}: ${field}`)
    return text
  })

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("kubectl", (it) => {
  it.effect("shows how PaymentJobs go, by each of their names", () =>
    Effect.gen(function* () {
      const { ground, here, namespace } = yield* place("bun")
      yield* playPods([namespace], () => Effect.succeed(endedWell))
      yield* ground.create("one")
      yield* here(...waitFor("condition=Complete", "pj/one"))
      for (const name of ["pj", "pjob", "paymentjob", "paymentjobs"]) {
        const [header, row] = columns(yield* here("get", name))
        assert.deepStrictEqual(header, ["NAME", "PHASE", "JOB", "QUEUE", "AGE"])
        assert.deepStrictEqual(row?.slice(0, 4), ["one", "Succeeded", "one-job", "payments"])
      }
      const [header, row] = columns(yield* here("get", "pj", "--output=wide"))
      const wide = ["STORED", "DUPLICATES", "DEAD", "READY", "IMAGE", "MESSAGE"]
      assert.deepStrictEqual(header, ["NAME", "PHASE", "JOB", "QUEUE", "AGE", ...wide])
      const told = ["8", "1", "1", "Succeeded", "payments-worker:1", "the Job one-job succeeded"]
      assert.deepStrictEqual(row?.slice(5), told)
    })
  )

  it.effect("waits for an end, for a phase, and for a condition", () =>
    Effect.gen(function* () {
      const { ground, here } = yield* place("node")
      yield* ground.create("good")
      yield* ground.create("bad", { backoffLimit: 0 })
      yield* here(...waitFor("jsonpath={.status.phase}=Running", "pj/good", "pj/bad"))
      const endPod = (name: string, status: object) =>
        Effect.flatMap(podOf(ground, `${name}-job`), ({ metadata }) => ground.setPod(metadata.name, status))
      yield* endPod("good", endedWell)
      yield* endPod("bad", ended(1))
      yield* here(...waitFor("condition=Complete", "pj/good"))
      yield* here(...waitFor("condition=Failed", "pj/bad"))
      const described = yield* here("describe", "pj", "bad")
      assert.match(described, /Warning +JobFailed .* paymentjob-operator +the Job bad-job failed: BackoffLimitExceeded/)
      assert.match(described, /ended with exit code 1 \(failed\)/)
      yield* here("delete", "pj", "--all", "--timeout=20s")
      yield* here(...waitFor("delete", "job/good-job", "job/bad-job"))
    })
  )

  it.effect("explains every field", () =>
    Effect.gen(function* () {
      const whole = yield* explained("paymentjob")
      assert.match(whole, /GROUP: +payments.example.com\nKIND: +PaymentJob\nVERSION: +v1alpha1/)
      const spec = yield* explained("paymentjob.spec")
      assert.match(spec, /queueName\t<string> -required-/)
      assert.match(spec, /image\t<string> -required-/)
      assert.match(spec, /enum: Always, IfNotPresent, Never/)
      const inside = ["rabbitmq", "rabbitmq.secretRef", "postgres", "postgres.secretRef", "resources", "env"]
      yield* Effect.forEach(
        [
          ...inside.map((field) => `spec.${field}`),
          "spec.env.valueFrom",
          "status",
          "status.conditions",
          "status.result"
        ],
        (path) => explained(`paymentjob.${path}`),
        { concurrency: 2 }
      )
    })
  )

  it.effect("says which fields cannot be changed, and what to do", () =>
    Effect.gen(function* () {
      const { ground, refused } = yield* place("node")
      yield* ground.create("one")
      for (const [field, change] of [
        ["queueName", '{"queueName":"other"}'],
        ["maxMessages", '{"maxMessages":11}'],
        ["maxMessages", '{"maxMessages":null}'],
        ["rabbitmq", '{"rabbitmq":{"host":"other"}}'],
        ["rabbitmq", '{"rabbitmq":{"secretRef":{"name":"other"}}}'],
        ["postgres", '{"postgres":null}']
      ] as const)
        assert.match(
          yield* refused("patch", "pj", "one", "--type=merge", `--patch={"spec":${change}}`),
          new RegExp(
            `The PaymentJob "one" is invalid: spec\\.${field}: Invalid value: .*: ${field} cannot be changed: delete this PaymentJob and create another one`
          ),
          change
        )
    })
  )

  it.effect("takes another spec for what may change, and tells that the running Job is left alone", () =>
    Effect.gen(function* () {
      const { ground, here } = yield* place("bun")
      yield* ground.create("one")
      yield* reaches(ground, "one", "Running")
      const before = yield* ground.job("one-job")
      const { metadata } = yield* podOf(ground, "one-job")
      yield* ground.setPod(metadata.name, runningPod)
      for (const change of [
        '{"image":"payments-worker:2"}',
        '{"parallelism":2}',
        '{"env":[{"name":"LOG_LEVEL","value":"debug"}]}'
      ])
        yield* here("patch", "pj", "one", "--type=merge", `--patch={"spec":${change}}`)
      yield* here(...waitFor("condition=SpecDrift", "pj/one"))
      const drift = yield* ground.condition("one", "SpecDrift")
      assert.include(drift?.message, "kubectl delete job one-job runs the new one")
      const { metadata: now, spec } = yield* ground.job("one-job")
      assert.deepStrictEqual([now.uid, spec], [before.metadata.uid, before.spec])
      // as it says
      yield* here("delete", "job", "one-job")
      yield* says(ground, "one", "SpecDrift", undefined)
      yield* eventually(
        Effect.map(ground.job("one-job"), (job) => assert.strictEqual(job.spec.parallelism, 2)),
        soon
      )
    })
  )

  it.effect("says what is wrong with a PaymentJob before anything is made of it", () =>
    Effect.gen(function* () {
      const { refused } = yield* place("node")
      const file = join(yield* temporaryFolder("paymentjob"), "paymentjob.json")
      const { queueName: _, ...withoutQueue } = good
      for (const [spec, message] of [
        [withoutQueue, "spec.queueName: Required value"],
        [{ ...good, maxMessages: 0 }, "spec.maxMessages in body should be greater than or equal to 1"],
        [{ ...good, queue: "payments" }, 'unknown field "spec.queue"'],
        [{ ...good, env: [{ name: "MODE", value: "all" }] }, "the operator itself sets MODE, QUEUE_NAME, MAX_MESSAGES"]
      ] as const) {
        const object = {
          apiVersion: "payments.example.com/v1alpha1",
          kind: "PaymentJob",
          metadata: { name: "bad" },
          spec
        }
        yield* Effect.promise(() => writeFile(file, JSON.stringify(object)))
        assert.include(yield* refused("apply", "--filename", file), message)
      }
    })
  )
})
