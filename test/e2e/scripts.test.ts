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
        TIMEOUT: "15s"
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
