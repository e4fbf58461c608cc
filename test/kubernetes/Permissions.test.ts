/** The operator as its own service account: what it is granted is what it uses, and nothing else. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { resourceOf } from "../../src/domain/ClusterObjects.ts"
import { permissions, startChecks } from "../../src/operator/StartChecks.ts"
import { cluster } from "../support/ClusterAccess.ts"
import { grantsOf, kubectl, kubectlRefusal, manifest, type Rule, serviceAccount } from "../support/Manifests.ts"
import { inNamespace, soon } from "../support/OperatorGround.ts"
import { leads, newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { eventually } from "../support/servers/eventually.ts"
import { refusedTo, usesOf } from "../support/UsedGrants.ts"
import { deletion, podlessness, wholeLife } from "../support/WholeLife.ts"

const home = "paymentjob-system"
const account = `system:serviceaccount:${home}:paymentjob-operator`

const setUp = Effect.andThen(
  kubectl("apply", "--validate=strict", "--filename", manifest("operator-deploy.yaml")),
  serviceAccount(home)
)

/** As its Deployment runs it. */
const env = { WATCH_NAMESPACE: "all", LEADER_ELECTION_NAMESPACE: home }

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

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("The operator's roles", (it) => {
  it.effect(
    "grant what a whole life uses, and nothing more; nothing is refused",
    () =>
      Effect.gen(function* () {
        const kubeconfig = yield* setUp
        const namespace = yield* newNamespace
        const ground = yield* inNamespace(namespace)
        const first = yield* startOperator({ namespace, runtime: "node", kubeconfig, env })
        yield* first.waitForLine(leads)
        const second = yield* startOperator({ namespace, runtime: "bun", kubeconfig, env })
        yield* second.waitForLine(/standing by/)
        const podless = yield* Effect.flatMap(newNamespace, inNamespace)
        yield* Effect.all([wholeLife(ground), podlessness(podless)], { concurrency: "unbounded" })
        yield* first.kill("SIGTERM")
        assert.strictEqual(yield* first.exit, 0)
        yield* second.waitForLine(leads)
        yield* deletion(ground)

        assert.deepStrictEqual(yield* refusedTo(account), [])
        assert.deepStrictEqual(yield* usesOf(account), yield* grants)
      }),
    { timeout: 180_000 }
  )

  it.effect("are what the operator asks for at its start", () =>
    Effect.gen(function* () {
      yield* setUp
      assert.deepStrictEqual(asked.toSorted(), yield* grants)
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
