/**
 * `npm run test:images`: builds the images of the Dockerfile and runs them for real. With a Docker engine, or as root on
 * Debian with Buildah; and on a real node of Kubernetes, where one is root on Debian: the operator's Deployment and a
 * PaymentJob, from `scripts/e2e.sh`. Ends with 2 where the machine can do neither.
 */
import { strict as assert } from "node:assert"
import { mkdir, writeFile } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Cause, Effect } from "effect"
import * as Builder from "../test/support/images/Builder.ts"
import { run } from "../test/support/servers/command.ts"
import * as Kubernetes from "../test/support/servers/Kubernetes.ts"
import * as KubernetesNode from "../test/support/servers/KubernetesNode.ts"
import * as Postgres from "../test/support/servers/Postgres.ts"
import * as RabbitMq from "../test/support/servers/RabbitMq.ts"
import { ServerError } from "../test/support/servers/ServerError.ts"
import { temporaryFolder } from "../test/support/servers/temporaryFolder.ts"

/** Told apart from a failure: what this machine lacks. */
const cannotHere = 2

const root = fileURLToPath(new URL("..", import.meta.url))

/** Which target each is of. */
const images = {
  "payments-worker:latest": "worker",
  "paymentjob-operator:latest": "operator",
  "payments-embedded:latest": "embedded"
} as const

const modeOf = (target: string): string => (target === "embedded" ? "all" : target)

const say = (line: string) => Effect.sync(() => console.log(line))
const must = (what: string, check: () => void) => Effect.andThen(Effect.sync(check), say(`ok ${what}`))

const checkImage = (builder: Builder.Builder, image: string, target: string) =>
  Effect.gen(function* () {
    const mode = modeOf(target)
    yield* builder.build(image, target)
    yield* say(`ok ${image} is built by ${builder.name}`)
    const config = yield* builder.config(image)
    yield* must(`${image} runs the mode ${mode} as a user that is not root, known by number`, () => {
      assert.equal(config.User, "65532:65532")
      assert.deepEqual(config.Entrypoint, ["/usr/local/bin/node", "/app/src/main.ts"])
      assert.ok(config.Env?.includes(`MODE=${mode}`))
      assert.equal(config.StopSignal ?? "SIGTERM", "SIGTERM")
      assert.equal(config.Labels?.["org.opencontainers.image.title"], `paystream ${target}`)
    })
    const files = (yield* builder.files(image)).split("\n")
    yield* must(`${image} has what it runs, and nothing of development, tests or secrets`, () => {
      assert.ok(files.includes("app/src/main.ts"))
      assert.ok(files.some((file) => /^app\/compiled\/v.*-65532\//.test(file)))
      const foreign = /node_modules\/(vitest|typescript|@biomejs|bun)\/|\.npmrc|\.env|app\/test/
      assert.deepEqual(
        files.filter((file) => foreign.test(file)),
        []
      )
      assert.equal(
        files.some((file) => file.endsWith("/bin/postgres")),
        target === "embedded"
      )
    })
  })

/** What a container may not do, as the operator's pods are run. */
const restricted = ["--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"]

/** One process in a container of the engine. */
const runByDocker = Effect.gen(function* () {
  const docker = (...args: ReadonlyArray<string>) => run("docker", args, { env: process.env })
  const said = yield* docker("run", ...restricted, "payments-worker:latest", "--version")
  yield* must("payments-worker:latest starts with a file system that it cannot write to", () => {
    assert.match(said, /\d+\.\d+\.\d+/)
  })
  const misled = docker("run", ...restricted, "--env=BATCH_SIZE=none", "payments-worker:latest")
  const wrong = yield* Effect.match(misled, { onFailure: ({ message }) => message, onSuccess: () => "ended with 0" })
  yield* must("payments-worker:latest tells of a wrong configuration, and ends with 2", () => {
    assert.match(wrong, /ended with 2:[\s\S]*BATCH_SIZE/)
  })
})

/** A control plane that a pod reaches by its own address, and kubectl by its name. */
const startPlane = (folder: string) =>
  Effect.gen(function* () {
    const kubelet = ["--kubelet-client-certificate=admin.crt", "--kubelet-client-key=admin.key"]
    const flags = [...kubelet, "--kubelet-preferred-address-types=InternalIP"]
    const crds = [join(root, "manifests/crd-paymentjob.yaml")]
    const plane = yield* Kubernetes.start({ crds, apiServerFlags: flags })
    const [program, ...args] = plane.kubectl
    const words = [program, ...args].map((word) => `'${word}'`).join(" ")
    yield* written(join(folder, "kubectl"), `#!/bin/sh\nexec ${words} "$@"\n`)
    return plane
  })

const written = (path: string, text: string) =>
  Effect.tryPromise({
    try: () => writeFile(path, text, { mode: 0o755 }),
    catch: (cause) => new ServerError({ message: `cannot write ${path}`, cause })
  })

/** The embedded broker and database, in a container with no right but to write to its two volumes. */
const embeddedPod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "embedded" },
  spec: {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: "embedded",
        image: "payments-embedded:latest",
        imagePullPolicy: "Never",
        args: ["--mode=publish", "--count=10"],
        // says of each file whether it was compiled before
        env: [{ name: "NODE_DEBUG_NATIVE", value: "COMPILE_CACHE" }],
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] }
        },
        volumeMounts: ["data", "tmp"].map((name) => ({ name, mountPath: `/${name}` }))
      }
    ],
    volumes: ["data", "tmp"].map((name) => ({ name, emptyDir: {} }))
  }
}

const runEmbedded = (plane: Kubernetes.KubernetesAddress, folder: string) =>
  Effect.gen(function* () {
    const file = join(folder, "embedded.json")
    yield* written(file, JSON.stringify(embeddedPod))
    yield* Kubernetes.kubectl(plane, "apply", "-f", file)
    const ended = ["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/embedded", "--timeout=60s"]
    const logs = Kubernetes.kubectl(plane, "logs", "embedded")
    yield* Effect.tapError(Kubernetes.kubectl(plane, ...ended), () => Effect.flatMap(logs, say))
    const said = yield* logs
    yield* must("payments-embedded:latest starts its own broker and database, and publishes", () => {
      assert.match(said, /10 payments published/)
    })
    yield* must("payments-embedded:latest was compiled when it was built", () => {
      assert.match(said, /code cache for ESM file:\/\/\/app\/src\/main\.ts was accepted/)
      assert.doesNotMatch(said, /code cache for .* was rejected/)
    })
  })

/** The end-to-end script, with images in pods of a real node. */
const runOnNode = (builder: Builder.Builder) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder("images-test")
    const archives = join(folder, "archives")
    yield* Effect.promise(() => mkdir(archives))
    for (const [image, target] of Object.entries(images)) yield* builder.save(image, join(archives, `${target}.tar`))
    const plane = yield* startPlane(folder)
    const rabbitMq = yield* RabbitMq.startOwn
    const postgres = yield* Postgres.startOwn
    yield* KubernetesNode.reachable([
      [443, plane.port],
      [5672, rabbitMq.port],
      [5432, postgres.port]
    ])
    const node = yield* KubernetesNode.start({ plane, images: archives })
    yield* say("ok a node is ready, with the images in it")
    const at = (url: string, port: number) =>
      Object.assign(new URL(url), { hostname: KubernetesNode.servicesHost, port: `${port}` }).href
    const env = {
      ...process.env,
      PATH: `${folder}${delimiter}${process.env.PATH}`,
      KUBECONFIG: plane.kubeconfig,
      E2E_CLUSTER: "existing",
      E2E_RABBITMQ_URL: at(rabbitMq.url, 5672),
      E2E_DATABASE_URL: at(postgres.url(), 5432),
      MESSAGE_COUNT: "1000"
    }
    const script = run("scripts/e2e.sh", [], { cwd: root, env })
    const said = yield* Effect.tapError(script, () => Effect.flatMap(node.logs, say))
    yield* say(said.replaceAll(/^/gm, "   "))
    yield* must("a PaymentJob goes from its creation to its end in pods of these images", () => {
      assert.match(said, /^PASS$/m)
    })
    yield* runEmbedded(plane, folder)
    const report = yield* Kubernetes.kubectl(plane, "get", "pods", "--all-namespaces", "-o", "json")
    yield* must("its pods, and the operator's, have run as they were built", () => {
      const { items } = JSON.parse(report) as { readonly items: ReadonlyArray<Pod> }
      const states = items.map(({ status }) => status.containerStatuses?.[0])
      assert.ok(states.length >= 3)
      for (const state of states) assert.equal(state?.restartCount, 0)
    })
  }).pipe(Effect.scoped)

interface Pod {
  readonly status: { readonly containerStatuses?: ReadonlyArray<{ readonly restartCount: number }> }
}

const program = Effect.gen(function* () {
  const builder = yield* Builder.find.pipe(Effect.result)
  if (builder._tag === "Failure") {
    console.error(`cannot build images here; this lacks ${builder.failure.message}`)
    return cannotHere
  }
  for (const [image, target] of Object.entries(images)) yield* checkImage(builder.success, image, target)
  const isDocker = builder.success.name === "docker"
  if (isDocker) yield* runByDocker
  const lacking = yield* KubernetesNode.missing
  if (lacking.length === 0) yield* runOnNode(builder.success)
  else console.error(`no node of Kubernetes here; this lacks\n${lacking.map((what) => `  - ${what}`).join("\n")}`)
  return lacking.length === 0 || isDocker ? 0 : cannotHere
}).pipe(
  Effect.scoped,
  Effect.catchCause((cause) => {
    const error = Cause.squash(cause)
    console.error(error instanceof ServerError ? error.message : Cause.pretty(cause))
    return Effect.succeed(1)
  })
)

process.exitCode = await Effect.runPromise(program)
