/** The end-to-end script on a real API server, with the node of the tests: what it says, and how it ends. */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import { newDatabase } from "../support/Databases.ts"
import { NodeAgent } from "../support/kubernetes/NodeAgent.ts"
import { OperatorPlane } from "../support/OperatorPlane.ts"
import { type Child, spawn } from "../support/servers/Child.ts"
import { eventually } from "../support/servers/eventually.ts"
import { kubectl } from "../support/servers/Kubernetes.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const { HOME, PATH } = process.env

/** A folder with a kubectl that is the control plane's own. */
const kubectlFolder = Effect.gen(function* () {
  const { kubectl } = yield* OperatorPlane
  const folder = yield* temporaryFolder("kubectl")
  const words = kubectl.map((word) => `'${word}'`).join(" ")
  writeFileSync(join(folder, "kubectl"), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 })
  return folder
})

/** Runs the script to its end, on the current context. */
const runScript = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const { kubeconfig } = yield* OperatorPlane
    const programs = [yield* kubectlFolder, join(root, "node_modules/.bin"), PATH].join(delimiter)
    const script: Child = yield* spawn("bash", [join(root, "scripts/e2e.sh"), ...args], {
      env: {
        HOME,
        PATH: programs,
        KUBECONFIG: kubeconfig,
        E2E_CLUSTER: "existing",
        E2E_RABBITMQ_URL: inject("rabbitmqUrl"),
        E2E_DATABASE_URL: Redacted.value(yield* newDatabase),
        ...env
      }
    })
    const code = yield* script.exit
    return { code, stdout: script.stdout.join("\n"), stderr: script.stderr.join("\n") }
  })

layer(NodeAgent.layer, { excludeTestServices: true, timeout: "60 seconds" })("scripts/e2e.sh", (it) => {
  it.effect("goes in eleven steps to PASS, says which it skips, and ends with 0", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runScript([], { MESSAGE_COUNT: "25" })
      assert.strictEqual(code, 0, `${stdout}\n${stderr}`)
      assert.match(stdout, /^PASS$/m)
      assert.match(stdout, /25 25; the status says stored: 25/)
      assert.deepStrictEqual(
        [...stdout.matchAll(/^\[(\d+)\/11\]/gm)].map(([, number]) => Number(number)),
        Array.from({ length: 11 }, (_, index) => index + 1)
      )
      assert.strictEqual([...stdout.matchAll(/^ +skipped: /gm)].length, 5)
    })
  )

  it.effect("says FAIL and why, cleans up when it is asked to, and ends with 1", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runScript(["--cleanup"], {
        E2E_WORKER_IMAGE: "payments-worker:not-there",
        // as long as a busy machine takes until the PaymentJob says what is wrong
        TIMEOUT: "30s"
      })
      assert.strictEqual(code, 1, `${stdout}\n${stderr}`)
      assert.match(stdout, /^FAIL: the PaymentJob is (Pending|Running): .*the image cannot be pulled/m)
      assert.match(stdout, /^cleaning up$/m)
      const [, namespace = ""] = /^namespace\/(e2e-\S+) created$/m.exec(stdout) ?? []
      const plane = yield* OperatorPlane
      yield* eventually(
        Effect.map(kubectl(plane, "get", "namespaces", "-o", "name"), (namespaces) => {
          assert.include(namespaces, "namespace/default")
          assert.notInclude(namespaces, namespace)
        }),
        { deadline: "60 seconds", every: "200 millis" }
      )
    })
  )

  it.effect("ends with 2 when it is told nonsense, or not where the servers are", () =>
    Effect.gen(function* () {
      for (const [env, said] of [
        [{ MESSAGE_COUNT: "0" }, "MESSAGE_COUNT=0"],
        [{ TIMEOUT: "soon" }, "TIMEOUT=soon"],
        [{ E2E_CLUSTER: "moon" }, "E2E_CLUSTER=moon"],
        [{ E2E_DATABASE_URL: "" }, "E2E_DATABASE_URL"],
        [{ E2E_RABBITMQ_URL: "amqps://user:word@host" }, "amqps://"],
        [{ E2E_DATABASE_URL: "postgres://host/name?sslmode=require" }, "sslmode"]
      ] as const) {
        const { code, stderr } = yield* runScript([], env)
        assert.strictEqual(code, 2)
        assert.include(stderr, said)
      }
    })
  )
})

/** Programs that only write down how they were called. */
const recorders = Effect.fnUntraced(function* (...names: ReadonlyArray<string>) {
  const folder = yield* temporaryFolder("recorders")
  for (const name of names) {
    writeFileSync(join(folder, name), `#!/bin/sh\necho "$(basename "$0") $*" >> "${folder}/calls"\n`, { mode: 0o755 })
  }
  return { folder, calls: () => readFileSync(join(folder, "calls"), "utf8").trimEnd().split("\n") }
})

/**
 * A machine with docker and kind, of which everything is only written down: kubectl finds what `there` names, the run
 * succeeds, and creating a cluster may fail.
 */
const playedMachine = Effect.fnUntraced(function* (there: ReadonlyArray<string>, creation = 0) {
  const { calls, folder } = yield* recorders("docker")
  const record = `echo "$(basename "$0") $*" >> "${folder}/calls"`
  const programs = {
    kind: `case "$*" in
      "get clusters") grep '^cluster/' "${folder}/there" | cut -d/ -f2 ;;
      "create cluster "*) exit ${creation} ;;
    esac`,
    kubectl: `for last; do :; done
    case "$*" in
      *port-forward*) echo "Forwarding from 127.0.0.1:4321 -> 1234"; exec sleep 600 ;;
      *status.phase*) printf Succeeded ;;
      *status.result.stored*) printf 10 ;;
      "get "*crd/* | "get "*namespace/* | "get "*deployment/*) grep -qx "$last" "${folder}/there" ;;
    esac`,
    node: `if [ "$1" = -e ]; then exec "${process.execPath}" "$@"; fi
    case "$*" in *count-payments*) echo "10 10" ;; esac`
  }
  writeFileSync(join(folder, "there"), `${there.join("\n")}\n`)
  for (const [name, script] of Object.entries(programs))
    writeFileSync(join(folder, name), `#!/bin/sh\n${record}\n${script}\n`, { mode: 0o755 })
  const env = { PATH: `${folder}${delimiter}${PATH}`, HOME: folder }
  const script = yield* spawn("bash", [join(root, "scripts/e2e.sh"), "--cleanup"], { env })
  const code = yield* script.exit
  return { code, calls: calls(), said: `${script.stdout.join("\n")}\n${script.stderr.join("\n")}` }
})

const isOf =
  (...programs: ReadonlyArray<string>) =>
  (call: string) =>
    programs.some((program) => call.startsWith(`${program} `))

describe("scripts/e2e.sh on kind", () => {
  it.live("makes a cluster, with images and servers, and deletes it at the end when it is asked to clean up", () =>
    Effect.gen(function* () {
      const { calls, code, said } = yield* playedMachine([])
      assert.strictEqual(code, 0, said)
      assert.match(said, /^PASS$/m)
      assert.deepStrictEqual(calls.filter(isOf("kind")), [
        "kind get clusters",
        "kind create cluster --name payments-e2e --wait 120s",
        "kind get kubeconfig --name payments-e2e",
        "kind load docker-image --name payments-e2e payments-worker:latest paymentjob-operator:latest",
        "kind delete cluster --name payments-e2e"
      ])
      const order = [
        /^kind create/,
        /^docker build .*worker/,
        /^docker build .*operator/,
        /^kind load/,
        /^kubectl apply --server-side -f manifests\/crd/,
        /^kubectl apply --namespace payments-e2e -f manifests\/e2e-servers/,
        /^kubectl apply -f manifests\/operator-deploy/,
        /^kubectl port-forward .*rabbitmq/,
        /^kubectl port-forward .*postgres/,
        /^node .*--mode=publish --count=10/,
        /^kubectl wait .*(Complete|Failed) paymentjob\/e2e-/,
        /^node .*count-payments/,
        /^kind delete/
      ].map((step) => calls.findIndex((call) => step.test(call)))
      assert.notInclude(order, -1)
      assert.deepStrictEqual(
        order,
        order.toSorted((one, other) => one - other)
      )
    })
  )

  it.live("leaves a cluster that was there, and in it what was there, and removes what it has made", () =>
    Effect.gen(function* () {
      const system = ["namespace/paymentjob-system", "deployment/paymentjob-operator"]
      const definition = "crd/paymentjobs.payments.example.com"
      const [clusterOnly, all] = [
        yield* playedMachine(["cluster/payments-e2e"]),
        yield* playedMachine([
          ...["cluster/payments-e2e", "namespace/payments-e2e", "deployment/rabbitmq"],
          ...[definition, ...system]
        ])
      ]
      for (const { calls, code, said } of [clusterOnly, all]) {
        assert.strictEqual(code, 0, said)
        assert.deepStrictEqual(
          calls.filter((call) => /^kind (create|delete)/.test(call)),
          []
        )
      }
      const removed = ({ calls }: typeof all) =>
        calls
          .filter((call) => call.startsWith("kubectl delete "))
          .map((call) => call.replace(/^kubectl delete | --ignore-not-found --wait=false$/g, ""))
          .map((call) => call.replaceAll(/e2e-\d+-\d+/g, "RUN"))
      assert.deepStrictEqual(removed(clusterOnly), [
        "namespace payments-e2e",
        "-f manifests/operator-deploy.yaml",
        "-f manifests/crd-paymentjob.yaml"
      ])
      assert.deepStrictEqual(removed(all), [
        "--namespace payments-e2e paymentjob/RUN secret/RUN-rabbitmq secret/RUN-postgres"
      ])
    })
  )

  it.live("touches nothing where the cluster cannot be made, whatever kubectl would reach", () =>
    Effect.gen(function* () {
      const { calls, code, said } = yield* playedMachine([], 1)
      assert.strictEqual(code, 1)
      assert.match(said, /^FAIL: step 1 ended with 1$/m)
      assert.deepStrictEqual(calls, ["kind get clusters", "kind create cluster --name payments-e2e --wait 120s"])
    })
  )
})

describe("scripts/build_and_load_kind_images.sh", () => {
  it.live("builds an image each of the worker and the operator, and loads both into the cluster", () =>
    Effect.gen(function* () {
      const { calls, folder } = yield* recorders("docker", "kind")
      const env = { PATH: `${folder}${delimiter}${PATH}`, HOME, BUILD_ARGS: "--build-arg BASE=my-base:1" }
      const script = join(root, "scripts/build_and_load_kind_images.sh")
      const child = yield* spawn("bash", [script, "some-cluster"], { env })
      assert.strictEqual(yield* child.exit, 0, child.stderr.join("\n"))
      const [worker, operator, load, ...more] = calls()
      assert.match(
        worker ?? "",
        /^docker build --build-arg BASE=my-base:1 --target worker .*--tag payments-worker:latest \.$/
      )
      assert.match(operator ?? "", /^docker build .*--target operator .*--tag paymentjob-operator:latest \.$/)
      assert.strictEqual(
        load,
        "kind load docker-image --name some-cluster payments-worker:latest paymentjob-operator:latest"
      )
      assert.deepStrictEqual(more, [])
      const lost = yield* spawn("bash", [script], { env })
      assert.strictEqual(yield* lost.exit, 2)
    })
  )
})

describe("the shell scripts", () => {
  it("are ones that bash can read", () => {
    const scripts = [".ci/run", ...readdirSync(join(root, "scripts")).filter((name) => name.endsWith(".sh"))]
    assert.isAtLeast(scripts.length, 3)
    for (const script of scripts) {
      const path = script === ".ci/run" ? join(root, script) : join(root, "scripts", script)
      assert.strictEqual(spawnSync("bash", ["-n", path], { encoding: "utf8" }).stderr, "")
    }
  })
})
