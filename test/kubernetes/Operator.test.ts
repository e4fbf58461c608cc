/** The operator as a process, on a real API server with the product's own CustomResourceDefinition. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { inNamespace, podOf, reaches, says, soon } from "../support/OperatorGround.ts"
import { leads, newNamespace, OperatorPlane, startOperator, versionsIn } from "../support/OperatorPlane.ts"
import { asksOf, member, named, place, run } from "../support/OperatorTeam.ts"
import { ended, waiting } from "../support/PaymentJobs.ts"
import { runningPod } from "../support/PlayedPods.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Kubernetes from "../support/servers/Kubernetes.ts"
import { writeKubeconfig } from "../support/servers/KubernetesCertificates.ts"

const isEventOf = (name: string, event = "") => event.startsWith(`${name}.`)

const result = { stored: 8, duplicates: 1, deadLettered: 1 }

/** An operator, one PaymentJob, and the pod of its Job. */
const begun = Effect.gen(function* () {
  const ground = yield* Effect.flatMap(newNamespace, inNamespace)
  yield* startOperator({ namespace: ground.namespace })
  yield* ground.create("one")
  const { metadata } = yield* podOf(ground, "one-job")
  return { ground, pod: metadata.name }
})

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("The operator", (it) => {
  for (const runtime of ["node", "bun"] as const) {
    it.effect(`brings a PaymentJob from its creation to its end, and its Job goes with it (${runtime})`, () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const ground = yield* inNamespace(namespace)
        yield* startOperator({ namespace, runtime })
        const { metadata } = yield* ground.create("one", { ttlSecondsAfterFinished: 3_600 })
        yield* reaches(ground, "one", "Running")
        const job = yield* ground.job("one-job")
        assert.deepStrictEqual(
          job.metadata.ownerReferences?.map(({ blockOwnerDeletion, controller, uid }) => [
            uid,
            controller,
            blockOwnerDeletion
          ]),
          [[metadata.uid, true, true]]
        )
        const pod = yield* podOf(ground, "one-job")
        assert.strictEqual(pod.metadata.labels?.["paymentjob"], "one")
        const environment = new Map(pod.spec.containers[0]?.env?.map(({ name, value }) => [name, value]))
        assert.deepStrictEqual([environment.get("RUN_ID"), environment.get("MODE")], [metadata.uid, "worker"])
        yield* ground.setPod(pod.metadata.name, ended(0, JSON.stringify(result)))
        yield* reaches(ground, "one", "Succeeded")
        assert.deepStrictEqual((yield* ground.status("one"))["result"], result)
        assert.deepStrictEqual((yield* ground.reasons).toSorted(), ["JobCreated", "JobSucceeded"])
        yield* ground.cluster.delete("PaymentJob", { namespace, name: "one" })
        yield* eventually(
          Effect.map(ground.jobs, (jobs) => assert.deepStrictEqual(jobs, [])),
          soon
        )
      })
    )
  }

  for (const runtime of ["node", "bun"] as const) {
    it.effect(`asks eight times at most in the life of each, as the API server has recorded it (${runtime})`, () =>
      Effect.gen(function* () {
        const ground = yield* place
        const user = `counted-on-${runtime}`
        const operator = yield* member({ ground, user, runtime })
        yield* operator.waitForLine(leads)
        yield* run(ground, named("run"))
        const asked = yield* asksOf(ground, user)
        for (const name of named("run")) {
          const own = asked.filter((ask) => [name, `${name}-job`].includes(ask.name ?? "") || isEventOf(name, ask.name))
          assert.isAtMost(own.length, 8, JSON.stringify(own))
          assert.deepStrictEqual(own.filter(({ resource }) => resource === "events").length, 2)
        }
        // what has no name: the lists that begin the watches, and pods that were asked for
        assert.isAtMost(asked.length, 8 * named("run").length + 3)
      })
    )
  }

  it.effect("says why a pod does not start, and forgets it when it does", () =>
    Effect.gen(function* () {
      const { ground, pod } = yield* begun
      yield* ground.setPod(pod, waiting("CreateContainerConfigError", 'secret "rabbitmq-login" not found'))
      yield* says(ground, "one", "Stalled", "SecretMissing")
      yield* ground.setPod(pod, runningPod)
      yield* says(ground, "one", "Stalled", undefined)
    })
  )

  it.effect(
    "says what keeps a Job from having a pod, and forgets it when there is one",
    () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const ground = yield* inNamespace(namespace)
        yield* startOperator({ namespace })
        yield* ground.create("one", { serviceAccountName: "nobody" })
        const patient = { ...soon, deadline: "50 seconds" } as const
        const isStalled = Effect.gen(function* () {
          assert.strictEqual((yield* ground.condition("one", "Stalled"))?.reason, "PodsNotCreated")
          assert.include((yield* ground.status("one"))["message"], 'serviceaccount "nobody" not found')
        })
        yield* eventually(isStalled, patient)
        yield* Kubernetes.kubectl(yield* OperatorPlane, "create", "serviceaccount", "nobody", "--namespace", namespace)
        const isRunning = Effect.gen(function* () {
          assert.strictEqual((yield* ground.status("one"))["phase"], "Running")
          assert.isUndefined(yield* ground.condition("one", "Stalled"))
        })
        yield* eventually(isRunning, patient)
      }),
    { timeout: 120_000 }
  )

  it.effect("suspends a Job that turns up when its run has ended", () =>
    Effect.gen(function* () {
      const { ground, pod } = yield* begun
      const { namespace } = ground
      const { metadata, spec } = yield* ground.job("one-job")
      yield* ground.setPod(pod, ended(0, JSON.stringify(result)))
      yield* reaches(ground, "one", "Succeeded")
      yield* ground.cluster.delete("Job", { namespace, name: "one-job" })
      const { annotations = {}, labels = {}, ownerReferences = [] } = metadata
      const { containers, ...podSpec } = spec.template.spec
      const template = {
        metadata: { labels: { paymentjob: "one" }, annotations },
        spec: { ...podSpec, containers }
      }
      const late = {
        metadata: { name: "one-job", namespace, annotations, labels, ownerReferences },
        spec: { template }
      }
      yield* eventually(ground.cluster.create("Job", late), soon)
      yield* eventually(
        Effect.map(ground.job("one-job"), (job) => assert.isTrue(job.spec.suspend)),
        soon
      )
      assert.strictEqual((yield* ground.status("one"))["phase"], "Succeeded")
    })
  )

  it.effect("writes nothing when it starts again and all is settled, and hands the lease over at once", () =>
    Effect.gen(function* () {
      const namespace = yield* newNamespace
      const ground = yield* inNamespace(namespace)
      const first = yield* startOperator({ namespace })
      const names = Array.from({ length: 20 }, (_, index) => `run-${index}`)
      yield* Effect.forEach(names, (name) => ground.create(name), { concurrency: 10 })
      yield* Effect.forEach(names, (name) => reaches(ground, name, "Running"))
      const pods = yield* Effect.forEach(names, (name) => podOf(ground, `${name}-job`))
      yield* Effect.forEach(pods, ({ metadata }) => ground.setPod(metadata.name, ended(0, JSON.stringify(result))))
      yield* Effect.forEach(names, (name) => reaches(ground, name, "Succeeded"))
      const second = yield* startOperator({ namespace })
      yield* second.waitForLine(/standing by/)
      const before = yield* versionsIn(namespace)
      yield* first.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 0)
      // a lease of ten seconds, renewed two seconds ago at the most, that nobody hands over
      yield* second.waitForLine(leads, { deadline: "7 seconds" })
      // the end of a PaymentJob made after it is written after all that could have been written for the others
      yield* ground.create("last")
      yield* reaches(ground, "last", "Running")
      const after = new Set(yield* versionsIn(namespace))
      assert.deepStrictEqual(
        before.filter((version) => !after.has(version)),
        []
      )
    })
  )

  it.effect("makes one Job each though the one that acts is killed in the midst of it", () =>
    Effect.gen(function* () {
      const namespace = yield* newNamespace
      const ground = yield* inNamespace(namespace)
      const first = yield* startOperator({ namespace })
      yield* first.waitForLine(leads)
      const second = yield* startOperator({ namespace })
      yield* second.waitForLine(/standing by/)
      const names = Array.from({ length: 60 }, (_, index) => `run-${index}`)
      yield* Effect.forEach(names.slice(0, 30), (name) => ground.create(name), { concurrency: 10 })
      yield* eventually(
        Effect.map(ground.jobs, (jobs) => assert.isAbove(jobs.length, 3)),
        soon
      )
      yield* first.kill("SIGKILL")
      yield* Effect.forEach(names.slice(30), (name) => ground.create(name), { concurrency: 10 })
      yield* second.waitForLine(leads, { deadline: "30 seconds" })
      yield* Effect.forEach(names, (name) => reaches(ground, name, "Running"))
      const jobs = yield* ground.jobs
      assert.strictEqual(jobs.length, names.length)
      assert.strictEqual(new Set(jobs.map(({ metadata }) => metadata.ownerReferences?.[0]?.uid)).size, names.length)
      const pods = yield* ground.pods
      assert.strictEqual(pods.length, names.length, "no Job was made twice")
    })
  )

  it.effect("ends with exit code 3 where something is not granted, naming it", () =>
    Effect.gen(function* () {
      const namespace = yield* newNamespace
      const { folder, port } = yield* OperatorPlane
      const kubeconfig = yield* writeKubeconfig({ folder, port, name: "nobody", groups: [] })
      const operator = yield* startOperator({ namespace, kubeconfig })
      assert.strictEqual(yield* operator.exit, 3)
      assert.include(operator.stderr.join("\n"), `create jobs.batch in namespace ${namespace}`)
    })
  )

  for (const [field, changes] of [
    ["queueName", { queueName: "other" }],
    ["maxMessages", { maxMessages: 11 }],
    ["rabbitmq", { rabbitmq: { host: "other" } }],
    ["postgres", { postgres: null }]
  ] as const) {
    it.effect(`cannot be told another ${field}: the API server says so`, () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const ground = yield* inNamespace(namespace)
        yield* ground.create("one")
        const error = yield* Effect.flip(
          ground.cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: changes })
        )
        assert.include(error.message, `${field} cannot be changed`)
        yield* ground.cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { image: "payments-worker:2" } })
      })
    )
  }
})
