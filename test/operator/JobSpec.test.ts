/** The Job of a PaymentJob, and its CustomResourceDefinition. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { parse } from "effect/encoding/Yaml"
import { crd } from "../../src/operator/Crd.ts"
import { jobOf, specHashOf } from "../../src/operator/JobSpec.ts"
import { eventNameOf, jobNameOf, labelOf, leaseNameOf } from "../../src/operator/Names.ts"
import type { PaymentJobSpec } from "../../src/operator/PaymentJob.ts"
import { yaml } from "../../src/operator/Yaml.ts"
import { namespace, spec } from "../support/PaymentJobs.ts"

const owner = { name: "one", namespace, uid: "uid-of-one" }
const job = (changes: Partial<PaymentJobSpec> = {}) =>
  jobOf(owner, { ...spec, ...changes }, { imagePullPolicy: "IfNotPresent" })

const containerOf = (changes: Partial<PaymentJobSpec> = {}) => {
  const [container] = job(changes).spec.template.spec.containers
  if (container === undefined) throw new Error("a Job has a container")
  return container
}

const environmentOf = (changes: Partial<PaymentJobSpec> = {}) =>
  new Map((containerOf(changes).env ?? []).map(({ name, value, valueFrom }) => [name, value ?? valueFrom]))

describe("The Job of a PaymentJob", () => {
  it("goes with its PaymentJob and is found by its label, as its pods are", () => {
    const { metadata, spec } = job()
    assert.strictEqual(metadata.name, "one-job")
    assert.strictEqual(metadata.labels?.["paymentjob"], "one")
    assert.strictEqual(spec.template.metadata?.labels?.["paymentjob"], "one")
    assert.deepStrictEqual(metadata.ownerReferences, [
      {
        apiVersion: "payments.example.com/v1alpha1",
        kind: "PaymentJob",
        name: "one",
        uid: "uid-of-one",
        controller: true,
        blockOwnerDeletion: true
      }
    ])
  })

  it("works by its environment alone, with logins that only the node reads", () => {
    const { args, command } = containerOf()
    assert.deepStrictEqual([args, command], [undefined, undefined])
    assert.deepStrictEqual(Object.fromEntries(environmentOf()), {
      MODE: "worker",
      RUN_ID: "uid-of-one",
      TERMINATION_MESSAGE_PATH: "/dev/termination-log",
      QUEUE_NAME: "payments",
      MAX_MESSAGES: "10",
      RABBITMQ_HOST: "rabbitmq",
      RABBITMQ_PORT: "5672",
      RABBITMQ_USER: { secretKeyRef: { name: "rabbitmq-login", key: "username" } },
      RABBITMQ_PASS: { secretKeyRef: { name: "rabbitmq-login", key: "password" } },
      POSTGRES_HOST: "postgres",
      POSTGRES_PORT: "5432",
      POSTGRES_DB: "payments_db",
      POSTGRES_USER: { secretKeyRef: { name: "postgres-login", key: "username" } },
      POSTGRES_PASS: { secretKeyRef: { name: "postgres-login", key: "password" } }
    })
  })

  it("is told nothing that the spec leaves out", () => {
    const bare = jobOf(owner, { queueName: "payments", image: "x" }, { imagePullPolicy: "IfNotPresent" })
    const names = bare.spec.template.spec.containers[0]?.env?.map(({ name }) => name)
    assert.deepStrictEqual(names, ["MODE", "RUN_ID", "TERMINATION_MESSAGE_PATH", "QUEUE_NAME"])
    assert.notProperty(bare.spec, "parallelism")
    assert.notProperty(bare.spec, "backoffLimit")
  })

  it("takes more variables, but not in place of its own", () => {
    const environment = environmentOf({
      env: [
        { name: "LOG_LEVEL", value: "debug" },
        { name: "RUN_ID", value: "another" }
      ]
    })
    assert.deepStrictEqual([environment.get("LOG_LEVEL"), environment.get("RUN_ID")], ["debug", "uid-of-one"])
  })

  it("cannot be taken to another broker or database by a variable", () => {
    const env = ["BROKER", "RABBITMQ_URL", "DATABASE_URL", "DATABASE_URL_FILE"].map((name) => ({ name, value: "x" }))
    const environment = environmentOf({ env })
    for (const { name } of env) assert.isFalse(environment.has(name), name)
    const elsewhere = jobOf(owner, { queueName: "q", image: "x", env }, { imagePullPolicy: "IfNotPresent" })
    assert.includeDeepMembers([...(elsewhere.spec.template.spec.containers[0]?.env ?? [])], env)
  })

  it("says a queue's name so that Kubernetes puts nothing in its place", () => {
    assert.strictEqual(environmentOf({ queueName: "a$$b$(MODE)" }).get("QUEUE_NAME"), "a$$$$b$$(MODE)")
  })

  it("is admitted where pods have to be restricted", () => {
    const { securityContext } = job().spec.template.spec
    assert.deepStrictEqual(securityContext, { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } })
    assert.deepInclude(containerOf().securityContext, {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] }
    })
    assert.isFalse(job().spec.template.spec.automountServiceAccountToken)
  })

  it("ignores disruptions and pods that were asked to stop, fails at once on a wrong configuration, and never has two pods for one share", () => {
    const { podFailurePolicy, podReplacementPolicy } = job().spec
    const onExit = (code: number) => ({ containerName: "worker", operator: "In", values: [code] })
    assert.deepStrictEqual(podFailurePolicy?.rules, [
      { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
      { action: "Ignore", onExitCodes: onExit(4) },
      { action: "FailJob", onExitCodes: onExit(2) }
    ])
    assert.strictEqual(podReplacementPolicy, "Failed")
  })

  it("is another one when the spec is, but not for what is applied to a Job that exists", () => {
    assert.notStrictEqual(specHashOf(spec), specHashOf({ ...spec, image: "other" }))
    assert.strictEqual(specHashOf(spec), specHashOf({ ...spec, suspend: true, ttlSecondsAfterFinished: 1 }))
    const { image, queueName, ...rest } = spec
    assert.strictEqual(specHashOf(spec), specHashOf({ queueName, ...rest, image }))
  })
})

describe("A name", () => {
  const AnyName = Schema.String.check(
    Schema.isPattern(/^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?$/),
    Schema.isMaxLength(253)
  )
  const runs = { arbitrary: { runs: 500, size: 300 } }

  it.prop(
    "is short enough for a label, and one that Kubernetes takes",
    { name: AnyName },
    ({ name }) => {
      for (const made of [jobNameOf(name), labelOf(name)]) {
        assert.isAtMost(made.length, 63)
        assert.match(made, /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
      }
      assert.isAtMost(eventNameOf(name, "it happened").length, 253)
    },
    runs
  )

  it("of a Lease is another one for other namespaces, in whatever order they are said", () => {
    assert.strictEqual(leaseNameOf([]), "paymentjob-operator")
    assert.strictEqual(leaseNameOf(["b", "a"]), "paymentjob-operator.a.b")
    const many = Array.from({ length: 30 }, (_, index) => `${"n".repeat(60)}${index}`)
    assert.isAtMost(leaseNameOf(many).length, 253)
    assert.notStrictEqual(leaseNameOf(many), leaseNameOf(many.slice(1)))
  })

  it("tells long names apart, and leaves short ones as they are", () => {
    const long = "a".repeat(200)
    assert.notStrictEqual(jobNameOf(`${long}b`), jobNameOf(`${long}c`))
    assert.strictEqual(jobNameOf("a".repeat(59)), `${"a".repeat(59)}-job`)
    assert.isTrue(jobNameOf("a".repeat(60)).endsWith("-job"))
  })
})

interface CrdShape {
  readonly spec: {
    readonly versions: readonly [
      { readonly schema: { readonly openAPIV3Schema: { readonly properties: Record<string, unknown> } } }
    ]
  }
}

describe("The CustomResourceDefinition", () => {
  const manifest = readFileSync(new URL("../../manifests/crd-paymentjob.yaml", import.meta.url), "utf8")

  it("in manifests is the one of the Schema: npm run crd writes it", () => {
    assert.strictEqual(manifest.slice(manifest.indexOf("\n") + 1), yaml(crd))
    assert.deepStrictEqual(parse(manifest), crd)
  })

  it("describes every field of the spec and of the status", () => {
    const undescribed: Array<string> = []
    const visit = (schema: unknown, path: string): void => {
      const { description, properties } = schema as {
        readonly description?: string
        readonly properties?: Readonly<Record<string, unknown>>
      }
      if (description === undefined) undescribed.push(path)
      for (const [name, field] of Object.entries(properties ?? {})) visit(field, `${path}.${name}`)
    }
    const { spec } = crd as unknown as CrdShape
    const { properties } = spec.versions[0].schema.openAPIV3Schema
    visit(properties["spec"], "spec")
    visit(properties["status"], "status")
    assert.deepStrictEqual(undescribed, [])
  })
})
