/** The operator with the namespaced roles, in one namespace and in several: what they grant it uses, and nothing else. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { startChecks } from "../../src/operator/StartChecks.ts"
import { cluster } from "../support/ClusterAccess.ts"
import { grantsOf, kubectl, manifest, serviceAccount } from "../support/Manifests.ts"
import { inNamespace, soon } from "../support/OperatorGround.ts"
import { leads, newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { eventually } from "../support/servers/eventually.ts"
import type { Runtime } from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import { refusedTo, usesOf } from "../support/UsedGrants.ts"
import { deletion, podlessness, wholeLife } from "../support/WholeLife.ts"

/** What the manifest has for an operator of one namespace, in another: all of it, or what has these labels. */
const apply = (home: string, namespace: string, ...selector: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const file = join(yield* temporaryFolder("manifest"), "operator.yaml")
    const text = readFileSync(manifest("operator-deploy-namespaced.yaml"), "utf8")
    writeFileSync(
      file,
      text
        .replace(/^ {2}namespace: payments$/gm, `  namespace: ${namespace}`)
        .replace(/^ {4}namespace: payments$/gm, `    namespace: ${home}`)
    )
    yield* kubectl("apply", "--validate=strict", ...selector, "--filename", file)
  })

/** So many namespaces, of which the operator runs in the first. */
const deploy = (count: number) =>
  Effect.gen(function* () {
    const home = yield* newNamespace
    const others = yield* Effect.replicateEffect(newNamespace, count - 1)
    yield* apply(home, home)
    yield* Effect.forEach(others, (namespace) =>
      apply(home, namespace, "--selector=app.kubernetes.io/component=permissions")
    )
    return { home, namespaces: [home, ...others], kubeconfig: yield* serviceAccount(home) }
  })

const grantsIn = (home: string, namespace: string) =>
  Effect.map(
    Effect.forEach(["paymentjob-operator", ...(namespace === home ? ["paymentjob-operator-lease"] : [])], (role) =>
      grantsOf("role", role, "--namespace", namespace)
    ),
    (all) => all.flat().toSorted()
  )

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("The namespaced roles", (it) => {
  for (const [count, [leading, standingBy]] of [
    [1, ["node", "bun"]],
    [2, ["bun", "node"]]
  ] as ReadonlyArray<readonly [number, readonly [Runtime, Runtime]]>) {
    it.effect(
      `grant what a whole life in each of ${count} uses, and nothing more; nothing is refused (${leading})`,
      () =>
        Effect.gen(function* () {
          const { home, kubeconfig, namespaces } = yield* deploy(count)
          const env = { LEADER_ELECTION_NAMESPACE: home }
          const namespace = namespaces.join(",")
          const first = yield* startOperator({ namespace, runtime: leading, kubeconfig, env })
          yield* first.waitForLine(leads)
          const second = yield* startOperator({ namespace, runtime: standingBy, kubeconfig, env })
          yield* second.waitForLine(/standing by/)
          const grounds = yield* Effect.forEach(namespaces, inNamespace)
          yield* Effect.forEach(grounds, wholeLife, { concurrency: "unbounded" })
          yield* Effect.forEach(grounds, podlessness, { concurrency: "unbounded" })
          yield* first.kill("SIGTERM")
          assert.strictEqual(yield* first.exit, 0)
          yield* second.waitForLine(leads)
          yield* Effect.forEach(grounds, deletion)
          const account = `system:serviceaccount:${home}:paymentjob-operator`
          assert.deepStrictEqual(yield* refusedTo(account), [])
          for (const one of namespaces)
            assert.deepStrictEqual(yield* usesOf(account, one), yield* grantsIn(home, one), one)
        }),
      { timeout: 180_000 }
    )
  }

  it.effect("grant nothing in all namespaces, and the start says so", () =>
    Effect.gen(function* () {
      const { home, kubeconfig, namespaces } = yield* deploy(1)
      const checks = (asked: ReadonlyArray<string>) =>
        Effect.provide(startChecks({ namespaces: asked, leaseNamespace: home }), cluster({ kubeconfig }))
      // who may what is read from a cache
      yield* eventually(checks(namespaces), soon)
      assert.include(
        (yield* Effect.flip(checks([]))).message,
        "list paymentjobs.payments.example.com in all namespaces"
      )
    })
  )
})
