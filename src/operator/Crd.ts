/** The CustomResourceDefinition of PaymentJobs, made of their Schema. */
import { Predicate, Schema } from "effect"
import { kinds } from "../domain/ClusterObjects.ts"
import { PaymentJobSpec, PaymentJobStatus } from "./PaymentJob.ts"

type Json = Readonly<Record<string, unknown>>

/** What a structural schema of the API server knows; the rest of JSON Schema it refuses. */
const known = new Set([
  ...["type", "description", "default", "format", "enum", "required", "properties", "items", "additionalProperties"],
  ...["minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "maxProperties"],
  ...["x-kubernetes-validations", "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"]
])

const isKept = (name: string): boolean => name.startsWith("x-kubernetes-") || name === "format"

const isJson = (value: unknown): value is Json => Predicate.isObject(value) && !Array.isArray(value)

/** What JSON Schema says twice, in `allOf`, is said once, the narrower way. */
const flat = (schema: Json): Json => {
  const { allOf, ...rest } = schema
  return Object.assign({}, rest, ...(Array.isArray(allOf) ? allOf.filter(isJson).map(flat) : []))
}

/** Whole numbers that no client of the API server could say exactly are not worth a bound. */
const isBound = (name: string, value: unknown): boolean =>
  !(name === "minimum" || name === "maximum") || Math.abs(Number(value)) < Number.MAX_SAFE_INTEGER

const structural = (schema: unknown): Json => {
  const given = isJson(schema) ? flat(schema) : {}
  if (given["x-kubernetes-int-or-string"] === true) return intOrString(given)
  const kept = Object.entries(given).filter(
    ([name, value]) =>
      known.has(name) && isBound(name, value) && !(name === "additionalProperties" && "properties" in given)
  )
  return Object.fromEntries(kept.map(([name, value]) => [name, below(name, value)] as const))
}

/** Whoever takes both has no type of its own there; what a text must be like is said beside it. */
const intOrString = ({ anyOf }: Json): Json => {
  const branches = Array.isArray(anyOf) ? anyOf.filter(isJson).map(flat) : []
  const { maxLength, pattern } = branches.find(({ type }) => type === "string") ?? {}
  return { "x-kubernetes-int-or-string": true, maxLength, pattern }
}

const below = (name: string, value: unknown): unknown => {
  if (name === "properties" && isJson(value))
    return Object.fromEntries(Object.entries(value).map(([field, schema]) => [field, structural(schema)]))
  if (name === "items" || name === "additionalProperties") return structural(value)
  return value
}

const schemaOf = (schema: Schema.Constraint): Json =>
  structural(Schema.toJsonSchemaDocument(schema, { includeAnnotationKey: isKept }).schema)

const column = (name: string, jsonPath: string, more: Json = {}): Json => ({ name, type: "string", jsonPath, ...more })

const wide = { priority: 1 }
const counted = { type: "integer", ...wide }

const columns: ReadonlyArray<Json> = [
  column("Phase", ".status.phase"),
  column("Job", ".status.jobName"),
  column("Queue", ".spec.queueName"),
  column("Age", ".metadata.creationTimestamp", { type: "date" }),
  column("Stored", ".status.result.stored", counted),
  column("Duplicates", ".status.result.duplicates", counted),
  column("Dead", ".status.result.deadLettered", counted),
  column("Ready", '.status.conditions[?(@.type=="Ready")].reason', wide),
  column("Image", ".spec.image", wide),
  column("Message", ".status.message", wide)
]

const { group, plural, version } = kinds.PaymentJob

/** To be applied before the operator is started. */
export const crd: Json = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `${plural}.${group}`, labels: { "app.kubernetes.io/name": "paymentjob-operator" } },
  spec: {
    group,
    scope: "Namespaced",
    names: {
      plural,
      singular: "paymentjob",
      kind: "PaymentJob",
      listKind: "PaymentJobList",
      shortNames: ["pj", "pjob"]
    },
    versions: [
      {
        name: version,
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: columns,
        schema: {
          openAPIV3Schema: {
            type: "object",
            description:
              "A run of payment workers: the messages of a queue are stored, once, whatever happens meanwhile.",
            required: ["spec"],
            properties: {
              apiVersion: { type: "string", description: `${group}/${version}` },
              kind: { type: "string", description: "PaymentJob" },
              metadata: { type: "object" },
              spec: schemaOf(PaymentJobSpec),
              status: schemaOf(PaymentJobStatus)
            }
          }
        }
      }
    ]
  }
}
