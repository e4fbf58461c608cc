/** The operator as its own service account: what it is granted is what it uses, and nothing else. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { resourceOf } from "../../src/domain/ClusterObjects.ts"
import { permissions, startChecks } from "../../src/operator/StartChecks.ts"
import { cluster } from "../support/ClusterAccess.ts"
import { grantsOf, kubectl, kubectlRefusal, manifest, type Rule, serviceAccount } from "../support/Manifests.ts"
import { type Ground, inNamespace, podOf, reaches, says, soon } from "../support/OperatorGround.ts"
import { newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { ended, waiting } from "../support/PaymentJobs.ts"
import { endedWell, runningPod } from "../support/PlayedPods.ts"
import { recordedRequests } from "../support/RecordedRequests.ts"
import { eventually } from "../support/servers/eventually.ts"

const home = "paymentjob-system"
const account = `system:serviceaccount:${home}:paymentjob-operator`

const setUp = Effect.andThen(
  kubectl("apply", "--validate=strict", "--filename", manifest("operator-deploy.yaml")),
  serviceAccount(home)
)

/** As its Deployment runs it. */
const env = { WATCH_NAMESPACE: "all", LEADER_ELECTION_NAMESPACE: home }

/** What admission asks for on behalf of a request; no request says it by itself. */
const impliedBy: Readonly<Record<string, string>> = {
  "create jobs.batch": "update paymentjobs.payments.example.com/finalizers"
}

const success = (ground: Ground) =>
  Effect.gen(function* () {
    yield* ground.create("good", { ttlSecondsAfterFinished: 3_600 })
    const { metadata } = yield* podOf(ground, "good-job")
    yield* ground.setPod(metadata.name, waiting("CreateContainerConfigError", 'secret "rabbitmq-login" not found'))
    yield* says(ground, "good", "Stalled", "SecretMissing")
    yield* ground.setPod(metadata.name, runningPod)
    yield* says(ground, "good", "Stalled", undefined)
    yield* ground.setPod(metadata.name, endedWell)
    yield* reaches(ground, "good", "Succeeded")
    yield* eventually(
      Effect.map(ground.job("good-job"), ({ spec }) => assert.strictEqual(spec.ttlSecondsAfterFinished, 3_600)),
      soon
    )
  })

const failure = (ground: Ground) =>
  Effect.gen(function* () {
    yield* ground.create("bad", { backoffLimit: 0 })
    const { metadata } = yield* podOf(ground, "bad-job")
    yield* ground.setPod(metadata.name, ended(1))
    yield* reaches(ground, "bad", "Failed")
  })

const suspension = (ground: Ground) =>
  Effect.gen(function* () {
    yield* ground.create("paused")
    yield* reaches(ground, "paused", "Running")
    for (const [suspend, reason] of [
      [true, "Suspended"],
      [false, undefined]
    ] as const) {
      yield* ground.cluster.patch("PaymentJob", { namespace: ground.namespace, name: "paused" }, { spec: { suspend } })
      yield* says(ground, "paused", "Suspended", reason)
    }
  })

const conflict = (ground: Ground) =>
  Effect.gen(function* () {
    const { namespace } = ground
    yield* kubectl("create", "job", "taken-job", "--image=other", "--namespace", namespace)
    yield* ground.create("taken")
    yield* says(ground, "taken", "Stalled", "NameConflict")
  })

/** Where no pod may be made, what the cluster's own controller says of it is asked for. */
const podlessness = Effect.gen(function* () {
  const ground = yield* Effect.flatMap(newNamespace, inNamespace)
  yield* kubectl("create", "quota", "none", "--hard=pods=0", "--namespace", ground.namespace)
  yield* ground.create("podless")
  yield* says(ground, "podless", "Stalled", "PodsNotCreated")
})

const deletion = (ground: Ground) =>
  Effect.gen(function* () {
    const { cluster, namespace } = ground
    for (const name of ["good", "bad", "paused", "taken"]) yield* cluster.delete("PaymentJob", { namespace, name })
    yield* eventually(
      Effect.map(ground.jobs, (jobs) =>
        assert.deepStrictEqual(
          jobs.map(({ metadata }) => metadata.name),
          ["taken-job"]
        )
      ),
      soon
    )
  })

/** What a whole life asks for: all of it by the service account. */
const wholeLife = (ground: Ground) =>
  Effect.all([success(ground), failure(ground), suspension(ground), conflict(ground), podlessness], {
    concurrency: "unbounded"
  })

const grants = Effect.map(
  Effect.all([
    grantsOf("clusterrole", "paymentjob-operator"),
    grantsOf("role", "paymentjob-operator-lease", "--namespace", home)
  ]),
  (both) => both.flat().toSorted()
)

const asked = permissions({ namespaces: [], leaseNamespace: home }).map(({ kind, subresource, verb }) => {
  const resource = subresource === undefined ? resourceOf(kind) : `${resourceOf(kind)}/${subresource}`
  return `${verb} ${resource}`
})

/** What there is, and what he himself may, everybody may ask. */
const needsGrant = (use: string) => !use.includes("authorization.k8s.io") && !use.endsWith(" ")

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("The operator's roles", (it) => {
  it.effect("grant what a whole life uses, and nothing more; nothing is refused", () =>
    Effect.gen(function* () {
      const kubeconfig = yield* setUp
      const namespace = yield* newNamespace
      const ground = yield* inNamespace(namespace)
      const first = yield* startOperator({ namespace, runtime: "node", kubeconfig, env })
      yield* first.waitForLine(/ leads/)
      const second = yield* startOperator({ namespace, runtime: "bun", kubeconfig, env })
      yield* second.waitForLine(/standing by/)
      yield* wholeLife(ground)
      yield* first.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 0)
      yield* second.waitForLine(/ leads/)
      yield* deletion(ground)

      const requests = (yield* recordedRequests((yield* OperatorPlane).folder)).filter(({ user }) => user === account)
      assert.deepStrictEqual(
        requests.filter(({ code }) => code === 401 || code === 403),
        []
      )
      const uses = new Set(requests.map(({ resource, verb }) => `${verb} ${resource}`).filter(needsGrant))
      const implied = [...uses].flatMap((use) => impliedBy[use] ?? [])
      assert.deepStrictEqual([...uses, ...implied].toSorted(), yield* grants)
    })
  )

  it.effect("are what the operator asks for at its start", () =>
    Effect.gen(function* () {
      yield* setUp
      assert.deepStrictEqual(asked.toSorted(), yield* grants)
    })
  )

  it.effect("grant in the namespaced manifest the same, and nothing in all namespaces", () =>
    Effect.gen(function* () {
      yield* kubectl("create", "namespace", "payments")
      yield* kubectl("apply", "--filename", manifest("operator-deploy-namespaced.yaml"))
      const granted = yield* grantsOf("role", "paymentjob-operator", "--namespace=payments")
      assert.deepStrictEqual(granted.toSorted(), asked.toSorted())
      const kubeconfig = yield* serviceAccount("payments")
      const checks = (namespaces: ReadonlyArray<string>) =>
        Effect.provide(startChecks({ namespaces, leaseNamespace: "payments" }), cluster({ kubeconfig }))
      yield* checks(["payments"])
      assert.include(
        (yield* Effect.flip(checks([]))).message,
        "list paymentjobs.payments.example.com in all namespaces"
      )
    })
  )

  it.effect("do not let it near a secret", () =>
    Effect.gen(function* () {
      yield* setUp
      for (const verb of ["get", "list", "watch", "create", "delete"])
        for (const where of ["--all-namespaces", `--namespace=${home}`])
          assert.include(yield* kubectlRefusal("auth", "can-i", verb, "secrets", `--as=${account}`, where), "\nno")
    })
  )

  it.effect("are each missed at the start, by name", () =>
    Effect.gen(function* () {
      const kubeconfig = yield* setUp
      const checks = Effect.provide(startChecks({ namespaces: [], leaseNamespace: home }), cluster({ kubeconfig }))
      for (const [role, where] of [
        ["clusterrole/paymentjob-operator", "in all namespaces"],
        ["role/paymentjob-operator-lease", `in namespace ${home}`]
      ] as const) {
        const { rules } = JSON.parse(yield* kubectl("get", role, "--namespace", home, "--output=json")) as {
          readonly rules: ReadonlyArray<Rule>
        }
        for (const [index, rule] of rules.entries())
          for (const verb of rule.verbs) {
            const less = { ...rule, verbs: rule.verbs.filter((other) => other !== verb) }
            yield* setRules(role, rules.toSpliced(index, 1, ...(less.verbs.length > 0 ? [less] : [])))
            const missing = `${verb} ${resourceOfRule(rule)} ${where}`
            // who may what is read from a cache
            yield* eventually(
              Effect.map(Effect.flip(checks), ({ message }) => assert.include(message, `does not grant: ${missing}.`)),
              soon
            )
          }
        yield* setRules(role, rules)
      }
      yield* eventually(checks, soon)
    })
  )

  for (const runtime of ["node", "bun"] as const) {
    it.effect(`are named where the operator ends for want of one (${runtime})`, () =>
      Effect.gen(function* () {
        const kubeconfig = yield* setUp
        const namespace = yield* newNamespace
        yield* kubectl("delete", "rolebinding", "paymentjob-operator-lease", "--namespace", home)
        const operator = yield* startOperator({ namespace, runtime, kubeconfig, env })
        assert.strictEqual(yield* operator.exit, 3)
        const said = operator.stderr.join("\n")
        assert.include(said, `get leases.coordination.k8s.io in namespace ${home}`)
        assert.include(said, "manifests/operator-deploy.yaml")
      })
    )
  }
})

layer(OperatorPlane.layerWithoutCrd, { excludeTestServices: true, timeout: "60 seconds" })("Without the CRD", (it) => {
  it.effect("the operator ends with exit code 3, and says what to apply", () =>
    Effect.gen(function* () {
      const operator = yield* startOperator({ namespace: "default" })
      assert.strictEqual(yield* operator.exit, 3)
      assert.include(operator.stderr.join("\n"), "kubectl apply -f manifests/crd-paymentjob.yaml")
    })
  )
})

const resourceOfRule = ({ apiGroups: [group = ""], resources: [resource = ""] }: Rule): string => {
  const [plural = "", subresource] = resource.split("/")
  const kind = group === "" ? plural : `${plural}.${group}`
  return subresource === undefined ? kind : `${kind}/${subresource}`
}

const setRules = (role: string, rules: ReadonlyArray<Rule>) =>
  kubectl("patch", role, "--namespace", home, "--type=merge", `--patch=${JSON.stringify({ rules })}`)
