/** The manifests, as a real API server takes them, and the operator as they start it. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Container, PodSpec } from "../../src/domain/ClusterObjects.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { page, waitForStatus } from "../support/HealthPages.ts"
import { deployed, environmentOf, kubectl, manifest, serviceAccount } from "../support/Manifests.ts"
import { inNamespace, podOf, reaches } from "../support/OperatorGround.ts"
import { leads, newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { endedWell, resultOfGoodEnd } from "../support/PlayedPods.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"

const manifests = [
  { file: "operator-deploy.yaml", namespace: "paymentjob-system", runtime: "bun" },
  { file: "operator-deploy-namespaced.yaml", namespace: "payments", runtime: "node" }
] as const

const apply = (...args: ReadonlyArray<string>) => kubectl("apply", "--validate=strict", ...args)

/** Applies a manifest of the operator; the namespaced one wants its namespace there. */
const deploy = (file: string, namespace: string) =>
  Effect.gen(function* () {
    yield* Effect.ignore(kubectl("create", "namespace", namespace))
    yield* apply("--filename", manifest(file))
    return yield* deployed(namespace)
  })

const withPod = (namespace: string, name: string, spec: PodSpec) =>
  Cluster.use((cluster) => cluster.create("Pod", { metadata: { namespace, name }, spec }))

const withoutNonRoot = ({ containers, ...pod }: PodSpec): PodSpec => ({
  ...pod,
  securityContext: {},
  containers: containers.map(({ securityContext: _, ...container }): Container => container)
})

const restricted = (namespace: string) =>
  kubectl("label", "namespace", namespace, "--overwrite", "pod-security.kubernetes.io/enforce=restricted")

/** Of a page that a probe asks for. */
const probesOf = (container: Container): ReadonlyArray<string> => {
  const probes = container as unknown as Readonly<Record<string, { httpGet: { path: string; port: string } }>>
  return ["startupProbe", "livenessProbe", "readinessProbe"].map((probe) => {
    const { path = "", port } = probes[probe]?.httpGet ?? {}
    assert.strictEqual(port, "health", probe)
    return path
  })
}

const known = new Set(
  [
    ...readFileSync(fileURLToPath(new URL("../../.env.example", import.meta.url)), "utf8").matchAll(/^#?([A-Z_]+)=/gm)
  ].map(([, name]) => name)
)

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("The manifests", (it) => {
  it.effect("are taken whole by kubectl apply and by server-side apply, and a second time nothing changes", () =>
    Effect.gen(function* () {
      const namespace = yield* newNamespace
      yield* apply("--server-side", "--force-conflicts", "--filename", manifest("crd-paymentjob.yaml"))
      for (const [file, ...where] of [
        ["operator-deploy.yaml"],
        ["operator-deploy-namespaced.yaml", "--namespace=payments"],
        ["paymentjob-sample.yaml", `--namespace=${namespace}`]
      ] as const) {
        if (file === "operator-deploy-namespaced.yaml") yield* kubectl("create", "namespace", "payments")
        const target = ["--filename", manifest(file), ...where]
        assert.include(yield* apply(...target), "created")
        // what is meant by a secret's stringData, and by a budget, kubectl cannot tell from what is there
        const again = (yield* apply(...target))
          .split("\n")
          .filter((line) => !/^(secret|poddisruptionbudget)/.test(line))
        assert.isTrue(
          again.every((line) => line.endsWith(" unchanged")),
          again.join("\n")
        )
        yield* apply("--server-side", "--force-conflicts", ...target)
      }
    })
  )

  for (const { file, namespace, runtime } of manifests) {
    it.effect(`start an operator that serves what ${file} probes (${runtime})`, () =>
      Effect.gen(function* () {
        const deployment = yield* deploy(file, namespace)
        assert.strictEqual(deployment.replicas, 2)
        const [container] = deployment.pod.containers
        if (container === undefined) return assert.fail("no container")
        const declared = environmentOf(deployment)
        assert.deepStrictEqual(
          Object.keys(declared).filter((name) => !known.has(name)),
          [],
          "variables that the product does not know"
        )
        const ports = (container as { readonly ports?: ReadonlyArray<{ readonly containerPort: number }> }).ports
        assert.strictEqual(declared["HEALTH_PORT"], `${ports?.[0]?.containerPort}`)
        const kubeconfig = yield* serviceAccount(namespace)
        const start = Effect.gen(function* () {
          // its own port: others run beside it
          const port = yield* freePort
          const env = { ...declared, KUBECONFIG: kubeconfig, HEALTH_PORT: `${port}` }
          const operator = yield* Program.start({ runtime, args: [...(container.args ?? [])], env })
          return { operator, port }
        })
        const first = yield* start
        yield* first.operator.waitForLine(leads)
        const second = yield* start
        yield* second.operator.waitForLine(/standing by/)
        for (const { port } of [first, second])
          for (const path of probesOf(container)) yield* waitForStatus(port, path, 200)
        assert.include((yield* page(first.port, "/metrics")).text, 'leader_election_master_status{name="')
      })
    )

    it.effect(`have pods that a namespace for restricted ones admits (${file})`, () =>
      Effect.gen(function* () {
        const { pod } = yield* deploy(file, namespace)
        yield* restricted(namespace)
        yield* withPod(namespace, `admitted-${runtime}`, pod)
        const error = yield* Effect.flip(withPod(namespace, "refused", withoutNonRoot(pod)))
        assert.include(error.message, 'violates PodSecurity "restricted:latest"')
      })
    )
  }

  it.effect("have a sample whose worker's pod is admitted there too, and which comes to its end", () =>
    Effect.gen(function* () {
      const namespace = yield* newNamespace
      yield* restricted(namespace)
      const ground = yield* inNamespace(namespace)
      const operator = yield* startOperator({ namespace, runtime: "bun" })
      yield* apply("--filename", manifest("paymentjob-sample.yaml"), "--namespace", namespace)
      const { metadata, spec } = yield* podOf(ground, "sample-job")
      const [worker] = spec.containers
      assert.deepStrictEqual([worker?.image, worker?.imagePullPolicy], ["payments-worker:latest", "IfNotPresent"])
      const secrets = yield* kubectl("get", "secrets", "--namespace", namespace, "--output=name")
      for (const { name, valueFrom } of worker?.env ?? [])
        if (valueFrom?.secretKeyRef !== undefined)
          assert.include(secrets, `secret/${valueFrom.secretKeyRef.name}`, name)
      yield* ground.setPod(metadata.name, endedWell)
      yield* reaches(ground, "sample", "Succeeded")
      yield* operator.waitForLine(new RegExp(`"paymentjob":"${namespace}/sample"`))
      assert.deepStrictEqual((yield* ground.status("sample"))["result"], resultOfGoodEnd)
    })
  )
})
