/** What goes wrong between an operator and its API server, and what becomes of PaymentJobs meanwhile: the right thing. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as AnsweringProxy from "../support/AnsweringProxy.ts"
import { throughProxy } from "../support/Clusters.ts"
import { waitForStatus } from "../support/HealthPages.ts"
import { kubectl } from "../support/Manifests.ts"
import { createdJobs, type Ground, hasOneJobEach, inNamespace, reaches, says, soon } from "../support/OperatorGround.ts"
import { newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { waiting } from "../support/PaymentJobs.ts"
import { endedWell, playPods, runningPod } from "../support/PlayedPods.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import type { Runtime } from "../support/servers/Program.ts"

/** Who acts alone, and notices soon that nobody answers. */
const env = {
  LEADER_ELECTION: "false",
  KUBERNETES_WATCH_SILENCE_SECONDS: "2",
  KUBERNETES_REQUEST_TIMEOUT_SECONDS: "2"
}

const place = Effect.flatMap(newNamespace, inNamespace)

/** An operator whose API server says what a test decides. */
const proxied = (ground: Ground, runtime: Runtime) =>
  Effect.gen(function* () {
    const proxy = yield* AnsweringProxy.start(yield* OperatorPlane)
    const start = startOperator({ namespace: ground.namespace, runtime, kubeconfig: proxy.kubeconfig, env })
    return { proxy, start }
  })

const asksFor = (method: string, path: RegExp) => (request: AnsweringProxy.ProxiedRequest) =>
  request.method === method && path.test(request.path)

const createsJob = asksFor("POST", /\/jobs$/)
const patchesStatus = asksFor("PATCH", /\/paymentjobs\/[^/]+\/status$/)
const watchesPaymentJobs = asksFor("GET", /\/paymentjobs\?.*watch=/)

/** Befalls the first so many of them; the others pass. */
const firstOf = (
  count: number,
  isMeant: (request: AnsweringProxy.ProxiedRequest) => boolean,
  fate: AnsweringProxy.Fate
) => {
  let left = count
  return (request: AnsweringProxy.ProxiedRequest): AnsweringProxy.Fate => {
    if (left === 0 || !isMeant(request)) return AnsweringProxy.pass
    left -= 1
    return fate
  }
}

const expired = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Expired", code: 410 }
const expiredInStream: AnsweringProxy.Fate = {
  _tag: "Answer",
  status: 200,
  body: `${JSON.stringify({ type: "ERROR", object: expired })}\n`
}

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("The operator under faults", (it) => {
  for (const [what, isMeant, fate, runtime] of [
    ["a 409 for a status", patchesStatus, AnsweringProxy.refusal(409, "Conflict"), "bun"],
    ["a 429 for a Job", createsJob, AnsweringProxy.refusal(429, "TooManyRequests", { "retry-after": "1" }), "node"],
    ["a 500 for a Job", createsJob, AnsweringProxy.refusal(500, "InternalError"), "bun"],
    ["no answer for a Job that was created", createsJob, AnsweringProxy.lose, "node"],
    ["no answer for a status that was written", patchesStatus, AnsweringProxy.lose, "bun"]
  ] as const) {
    it.effect(`gets ${what}, and makes one Job (${runtime})`, () =>
      Effect.gen(function* () {
        const ground = yield* place
        const { proxy, start } = yield* proxied(ground, runtime)
        yield* proxy.decide(firstOf(2, isMeant, fate))
        yield* start
        yield* playPods([ground.namespace], () => Effect.succeed(endedWell))
        yield* ground.create("one")
        yield* reaches(ground, "one", "Succeeded")
        yield* hasOneJobEach(ground, ["one"])
        assert.deepStrictEqual((yield* ground.reasons).toSorted(), ["JobCreated", "JobSucceeded"])
        const tries = proxy.requests.filter(isMeant).map(({ at }) => at)
        // what had its effect is also told by a watch
        assert.isAtLeast(tries.length, fate._tag === "Answer" ? 3 : 1)
        const [first = 0, second = 0] = tries
        if (fate._tag === "Answer" && fate.headers?.["retry-after"] !== undefined)
          assert.isAtLeast(second - first, 1_000, "not before it was asked to come back")
      })
    )
  }

  for (const [how, fate, runtime] of [
    ["as a status", AnsweringProxy.refusal(410, "Expired"), "bun"],
    ["in the stream", expiredInStream, "node"]
  ] as const) {
    it.effect(`lists again when it is told ${how} that its watch is too old, and goes on (${runtime})`, () =>
      Effect.gen(function* () {
        const ground = yield* place
        const { proxy, start } = yield* proxied(ground, runtime)
        yield* proxy.decide(firstOf(2, watchesPaymentJobs, fate))
        yield* start
        yield* eventually(
          Effect.sync(() => assert.isAtLeast(proxy.requests.filter(watchesPaymentJobs).length, 3)),
          soon
        )
        assert.isAtLeast(proxy.requests.filter(asksFor("GET", /\/paymentjobs\?limit=/)).length, 3)
        yield* ground.create("one")
        yield* reaches(ground, "one", "Running")
        yield* hasOneJobEach(ground, ["one"])
      })
    )
  }

  for (const [what, fault, runtime] of [
    ["are cut", "cut", "node"],
    ["are held up", "stall", "bun"]
  ] as const) {
    it.effect(`goes on when its connections ${what} (${runtime})`, () =>
      Effect.gen(function* () {
        const ground = yield* place
        const { kubeconfig, proxy } = yield* throughProxy(yield* OperatorPlane)
        yield* startOperator({ namespace: ground.namespace, runtime, kubeconfig, env })
        yield* ground.create("one")
        yield* reaches(ground, "one", "Running")
        yield* proxy[fault]
        yield* ground.create("two")
        if (fault === "cut") yield* proxy.heal
        yield* reaches(ground, "two", "Running")
        yield* hasOneJobEach(ground, ["one", "two"])
      })
    )
  }

  for (const runtime of ["node", "bun"] as const) {
    it.effect(`is not ready while its API server is away, and is again when it is back (${runtime})`, () =>
      Effect.gen(function* () {
        const ground = yield* place
        const { kubeconfig, proxy } = yield* throughProxy(yield* OperatorPlane)
        const port = yield* freePort
        yield* startOperator({
          namespace: ground.namespace,
          runtime,
          kubeconfig,
          env: { ...env, HEALTH_PORT: `${port}` }
        })
        yield* waitForStatus(port, "/readyz", 200)
        for (const fault of ["cut", "freeze"] as const) {
          yield* proxy[fault]
          yield* waitForStatus(port, "/readyz", 503)
          yield* waitForStatus(port, "/healthz", 200)
          yield* proxy.heal
          yield* waitForStatus(port, "/readyz", 200)
        }
      })
    )
  }

  it.effect("goes on when the API server is killed amid it all", () =>
    Effect.gen(function* () {
      const { apiServer } = yield* OperatorPlane
      const ground = yield* place
      yield* startOperator({ namespace: ground.namespace, runtime: "node", env })
      yield* playPods([ground.namespace], () => Effect.succeed(endedWell))
      const names = Array.from({ length: 40 }, (_, index) => `run-${index}`)
      yield* Effect.forEach(names, (name) => ground.create(name), { concurrency: 20 })
      yield* eventually(
        Effect.map(ground.jobs, (jobs) => assert.isAbove(jobs.length, 5)),
        soon
      )
      yield* apiServer.kill
      yield* apiServer.start
      yield* Effect.forEach(names, (name) => eventually(reaches(ground, name, "Succeeded"), { deadline: "30 seconds" }))
      // what it was about to record when it was killed it has not
      const created = yield* createdJobs(ground)
      assert.strictEqual(new Set(created).size, created.length, "no Job was made twice")
      assert.strictEqual((yield* ground.jobs).length, names.length)
    })
  )

  it.effect("leaves nothing behind of PaymentJobs that are deleted while their Jobs are created", () =>
    Effect.gen(function* () {
      const ground = yield* place
      const operator = yield* startOperator({ namespace: ground.namespace, runtime: "bun", env })
      yield* operator.waitForLine(/starting/)
      const names = Array.from({ length: 40 }, (_, index) => `run-${index}`)
      const come = (name: string, index: number) =>
        Effect.gen(function* () {
          yield* ground.create(name)
          // some at once, some with their Job there, some with its pod
          if (index % 3 === 1) yield* eventually(ground.job(`${name}-job`), soon)
          if (index % 3 === 2) yield* reaches(ground, name, "Running")
          yield* ground.cluster.delete("PaymentJob", { namespace: ground.namespace, name })
        })
      yield* Effect.forEach(names, come, { concurrency: 10 })
      yield* ground.create("stays")
      yield* reaches(ground, "stays", "Running")
      yield* eventually(
        Effect.gen(function* () {
          assert.deepStrictEqual(
            (yield* ground.jobs).map(({ metadata }) => metadata.name),
            ["stays-job"]
          )
          assert.strictEqual((yield* ground.pods).length, 1)
        }),
        soon
      )
    })
  )

  it.effect("tells that a secret is missing, until somebody creates it", () =>
    Effect.gen(function* () {
      const ground = yield* place
      yield* startOperator({ namespace: ground.namespace, runtime: "bun", env })
      const isThere = (name: string) =>
        Effect.map(kubectl("get", "secrets", "--namespace", ground.namespace, "--output=name"), (secrets) =>
          assert.include(secrets, `secret/${name}`)
        )
      // as a node does: the pod waits for it, and then starts by itself
      yield* playPods([ground.namespace], ({ metadata }) =>
        Effect.gen(function* () {
          yield* ground.setPod(
            metadata.name,
            waiting("CreateContainerConfigError", 'secret "rabbitmq-login" not found')
          )
          yield* eventually(isThere("rabbitmq-login"), { deadline: "40 seconds", every: "200 millis" })
          return runningPod
        }).pipe(Effect.orDie)
      )
      yield* ground.create("one")
      yield* says(ground, "one", "Stalled", "SecretMissing")
      assert.include((yield* ground.status("one"))["message"], "rabbitmq-login")
      yield* kubectl("create", "secret", "generic", "rabbitmq-login", "--namespace", ground.namespace)
      yield* says(ground, "one", "Stalled", undefined)
      yield* says(ground, "one", "Ready", "Running")
      assert.include(yield* ground.reasons, "SecretMissing")
    })
  )

  it.effect("runs one again that was deleted, as another", () =>
    Effect.gen(function* () {
      const ground = yield* place
      yield* startOperator({ namespace: ground.namespace, runtime: "node", env })
      yield* playPods([ground.namespace], () => Effect.succeed(runningPod))
      const first = yield* ground.create("one")
      yield* reaches(ground, "one", "Running")
      yield* ground.cluster.delete("PaymentJob", { namespace: ground.namespace, name: "one" })
      const second = yield* ground.create("one")
      const ownerOf = Effect.map(ground.job("one-job"), ({ metadata }) => metadata.ownerReferences?.[0]?.uid)
      yield* eventually(
        Effect.map(ownerOf, (uid) => assert.strictEqual(uid, second.metadata.uid)),
        soon
      )
      assert.notStrictEqual(first.metadata.uid, second.metadata.uid)
      yield* reaches(ground, "one", "Running")
    })
  )
})
