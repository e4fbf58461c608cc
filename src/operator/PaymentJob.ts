/** A PaymentJob as people write it and as the operator answers: the CustomResourceDefinition is generated from here. */
import { Result, Schema } from "effect"
import type { PaymentJobObject } from "../domain/ClusterObjects.ts"
import { printable, shortened } from "../domain/Printable.ts"
import { boundedText, DateTime, kubernetesName, Quantities, rules, wholeNumber, word, words } from "./Fields.ts"
import { arePlacesUnchanged, Variable } from "./Variables.ts"

/** A day longer than any run: what is bigger is a slip of the pen. */
const longestSeconds = 31_536_000

const SecretRef = Schema.Struct({
  name: kubernetesName("The secret, in the namespace of the PaymentJob.")
}).annotate({ description: "The secret with the keys `username` and `password`; the operator itself never reads it." })

const hostName = (description: string) =>
  boundedText({ maximum: 253, pattern: /^[a-zA-Z0-9_:]([a-zA-Z0-9._:-]*[a-zA-Z0-9_.:])?$/u, description })

const port = (usual: number, description: string) =>
  Schema.optionalKey(wholeNumber({ minimum: 1, maximum: 65_535, description, default: usual }))

const RabbitMq = Schema.Struct({
  host: hostName("Name or address of the broker, as pods reach it."),
  port: port(5672, "The broker's AMQP port."),
  secretRef: Schema.optionalKey(SecretRef)
}).annotate({ description: "Where the messages come from. Cannot be changed." })

const Postgres = Schema.Struct({
  host: hostName("Name or address of the database server, as pods reach it."),
  port: port(5432, "The port that it listens at."),
  database: Schema.optionalKey(boundedText({ maximum: 63, pattern: words, description: "The name of the database." })),
  secretRef: Schema.optionalKey(SecretRef)
}).annotate({ description: "Where the payments are stored. Cannot be changed." })

/** A field that says what a run is: changed in its midst, nobody could say what was done. */
const isUnchanged = (field: string): readonly [rule: string, message: string, path: string] => [
  `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
  `${field} cannot be changed: delete this PaymentJob and create another one`,
  `.${field}`
]

/** What a run is of, and where. */
const work = {
  queueName: boundedText({
    maximum: 255,
    pattern: words,
    description: "The queue whose messages are stored. Cannot be changed."
  }),
  image: boundedText({
    maximum: 512,
    pattern: /^[a-zA-Z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9._-])?$/u,
    description: "The worker's image. A change does not touch a Job that exists: delete the Job to run the new one."
  }),
  maxMessages: Schema.optionalKey(
    wholeNumber({
      minimum: 1,
      maximum: 1_000_000_000,
      description:
        "The run is done when so many messages are settled, by all its pods together. Without it, it is done when the queue was empty for idleTimeoutSeconds, or never. Cannot be changed."
    })
  ),
  rabbitmq: Schema.optionalKey(RabbitMq),
  postgres: Schema.optionalKey(Postgres)
}

/** When it ends, and how it is tried. */
const limits = {
  idleTimeoutSeconds: Schema.optionalKey(
    wholeNumber({
      minimum: 1,
      maximum: 604_800,
      description: "The run is done when the queue was empty for so long. Without it, it waits for messages."
    })
  ),
  parallelism: Schema.optionalKey(
    wholeNumber({
      minimum: 1,
      maximum: 1_000,
      description: "Pods side by side; they share maxMessages. Without it, one."
    })
  ),
  backoffLimit: Schema.optionalKey(
    wholeNumber({
      minimum: 0,
      maximum: 1_000,
      description: "Pods that may fail before the run has failed; evictions do not count. Without it, 6."
    })
  ),
  activeDeadlineSeconds: Schema.optionalKey(
    wholeNumber({
      minimum: 1,
      maximum: longestSeconds,
      description: "The run has failed when it takes longer. Without it, it may take as long as it likes."
    })
  ),
  ttlSecondsAfterFinished: Schema.optionalKey(
    wholeNumber({
      minimum: 0,
      maximum: longestSeconds,
      description:
        "The Job and its pods are removed so long after their end, once it stands in the status. Without it, they stay as long as the PaymentJob."
    })
  ),
  suspend: Schema.optionalKey(
    Schema.Boolean.annotate({
      description: "Stops the run's pods, or keeps them from being started, while it is true."
    })
  )
}

/** What its pods are like. */
const pods = {
  resources: Schema.optionalKey(
    Schema.Struct({
      limits: Schema.optionalKey(Quantities.annotate({ description: "What the worker cannot exceed." })),
      requests: Schema.optionalKey(Quantities.annotate({ description: "What a node must have free for the worker." }))
    }).annotate({ description: "What the worker needs of a node, as for any container." })
  ),
  serviceAccountName: Schema.optionalKey(
    kubernetesName("Whom the pods run as; they are given no token. Without it, the namespace's default.")
  ),
  imagePullPolicy: Schema.optionalKey(
    Schema.Literals(["Always", "IfNotPresent", "Never"]).annotate({
      description: "When the image is pulled. Without it, as the operator was told: IfNotPresent."
    })
  ),
  env: Schema.optionalKey(
    Schema.Array(Variable)
      .check(Schema.isMaxLength(100))
      .annotate({
        description:
          "More variables for the worker, such as LOG_LEVEL. What this resource's own fields set wins. Those that say where broker and database are cannot be changed.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"]
      })
  )
}

/** What is to be done. */
export const PaymentJobSpec = Schema.Struct({ ...work, ...limits, ...pods }).annotate({
  description: "What is to be done.",
  ...rules(...["queueName", "maxMessages", "rabbitmq", "postgres"].map(isUnchanged), arePlacesUnchanged)
})
export type PaymentJobSpec = typeof PaymentJobSpec.Type

/** From the beginning of a run to its end, and never back. */
export const phases = ["Pending", "Running", "Succeeded", "Failed"] as const
export type Phase = (typeof phases)[number]

const count = (description: string) => wholeNumber({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })

/** What became of a run's messages. */
export const RunResult = Schema.Struct({
  stored: count("Messages stored by this run."),
  duplicates: count("Messages that were stored before."),
  deadLettered: count("Messages that could not be stored, and were set aside.")
}).annotate({ description: "What became of the messages, as the worker told it at its end." })
export type RunResult = typeof RunResult.Type

const StatusCondition = Schema.Struct({
  type: boundedText({ maximum: 316, pattern: word, description: "What is said: Ready, Complete, Failed, …" }),
  status: Schema.Literals(["True", "False", "Unknown"]).annotate({ description: "Whether it is so." }),
  reason: Schema.optionalKey(Schema.String.annotate({ description: "Why, in one word for programs." })),
  message: Schema.optionalKey(Schema.String.annotate({ description: "Why, in words." })),
  lastTransitionTime: Schema.optionalKey(DateTime.annotate({ description: "Since when it is so." })),
  observedGeneration: Schema.optionalKey(
    Schema.Int.annotate({ description: "Of which generation of the PaymentJob it is said." })
  )
})

/** How it goes: written by the operator only. */
export const PaymentJobStatus = Schema.Struct({
  phase: Schema.optionalKey(
    Schema.Literals(phases).annotate({
      description: "Pending, Running since its Job had a pod, then Succeeded or Failed; never back."
    })
  ),
  jobName: Schema.optionalKey(Schema.String.annotate({ description: "The Job that does it." })),
  message: Schema.optionalKey(Schema.String.annotate({ description: "How it goes, in words." })),
  observedGeneration: Schema.optionalKey(
    Schema.Int.annotate({ description: "The generation of the PaymentJob that this status is about." })
  ),
  startTime: Schema.optionalKey(DateTime.annotate({ description: "When its Job began." })),
  completionTime: Schema.optionalKey(DateTime.annotate({ description: "When it succeeded or failed." })),
  lastUpdateTime: Schema.optionalKey(DateTime.annotate({ description: "When anything else here changed last." })),
  result: Schema.optionalKey(RunResult),
  conditions: Schema.optionalKey(
    Schema.Array(StatusCondition).annotate({
      description:
        "Ready: it gets on, or has succeeded. Complete and Failed: it is over, for good. Stalled: somebody has to do something, the reason says what. Suspended. SpecDrift: its Job was made of an earlier spec.",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["type"]
    })
  )
}).annotate({ description: "How it goes; written by the operator." })
export type PaymentJobStatus = typeof PaymentJobStatus.Type

/** A PaymentJob as it was seen. */
export interface PaymentJob {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: number
  readonly createdAt: string
  readonly isDeleting: boolean
  readonly spec: PaymentJobSpec
  /** Why the spec cannot be read, if it cannot: then `spec` is an empty one, and nothing is to be made of it. */
  readonly flaw?: string
  readonly status: PaymentJobStatus
}

const decodeSpec = Schema.decodeUnknownResult(PaymentJobSpec)
const decodeStatus = Schema.decodeUnknownResult(PaymentJobStatus)

const longestFlaw = 300

/** In place of one that cannot be read. */
const noSpec: PaymentJobSpec = { queueName: "", image: "" }

/** Of a PaymentJob, what is read below: an annotation may hold all of it once more. */
export const leanPaymentJob = ({ metadata, ...paymentJob }: PaymentJobObject): PaymentJobObject => {
  const { annotations: _, labels: __, ownerReferences: ___, ...rest } = metadata
  return { ...paymentJob, metadata: rest }
}

type Spec = Pick<PaymentJob, "spec" | "flaw">

const specIn = ({ flaw, spec }: PaymentJob): Spec => ({ spec, ...(flaw === undefined ? {} : { flaw }) })

const readSpec = (spec: unknown): Spec =>
  Result.match(decodeSpec(spec), {
    onSuccess: (known) => ({ spec: known }),
    onFailure: (flaw) => ({ spec: noSpec, flaw: inShort(flaw) })
  })

const inShort = (flaw: unknown): string => shortened(printable(String(flaw)), longestFlaw)

/**
 * Reads one; a flaw in its spec is told in its status. One whose status cannot be read is left alone: it may have ended.
 * What is known of it `before` is not read again.
 */
export const read = (object: PaymentJobObject, before?: PaymentJob): Result.Result<PaymentJob, string> => {
  const { metadata } = object
  const known = before?.uid === metadata.uid ? before : undefined
  return known?.resourceVersion === metadata.resourceVersion ? Result.succeed(known) : readAnew(object, known)
}

const readAnew = ({ metadata, spec, status }: PaymentJobObject, before: PaymentJob | undefined) =>
  Result.gen(function* () {
    return {
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
      generation: metadata.generation ?? 1,
      createdAt: metadata.creationTimestamp,
      isDeleting: metadata.deletionTimestamp !== undefined,
      ...(before !== undefined && before.generation === metadata.generation ? specIn(before) : readSpec(spec)),
      status: yield* decodeStatus(status ?? {})
    }
  }).pipe(Result.mapError(inShort))

/** A latch: what has come to its end never runs again, whatever becomes of its Job. */
export const hasEnded = ({ conditions, phase }: PaymentJobStatus): boolean =>
  phase === "Succeeded" ||
  phase === "Failed" ||
  (conditions ?? []).some(({ status, type }) => status === "True" && (type === "Complete" || type === "Failed"))
