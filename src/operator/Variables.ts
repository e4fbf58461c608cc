/** Variables that people give the worker of a PaymentJob. */
import { Schema } from "effect"
import { boundedText, isMaxCodePoints, kubernetesName, rules, word } from "./Fields.ts"

const keyOf = (what: string) =>
  Schema.Struct({
    name: kubernetesName(`The ${what}.`),
    key: boundedText({ maximum: 253, pattern: /^[-._a-zA-Z0-9]+$/u, description: `The key in the ${what}.` }),
    optional: Schema.optionalKey(
      Schema.Boolean.annotate({ description: `Whether the pod may start without the ${what}.` })
    )
  }).annotate({ description: `A key of a ${what} in the namespace of the PaymentJob.` })

/** What belongs to the run itself, and nobody else may set. */
const reservedVariables = ["MODE", "QUEUE_NAME", "MAX_MESSAGES", "RUN_ID", "TERMINATION_MESSAGE_PATH"] as const

/** A variable for the worker, beside those that the PaymentJob itself makes. */
export const Variable = Schema.Struct({
  name: boundedText({ maximum: 256, pattern: /^[-._a-zA-Z][-._a-zA-Z0-9]*$/u, description: "The variable's name." }),
  value: Schema.optionalKey(
    Schema.String.check(isMaxCodePoints(32_768)).annotate({ description: "The variable's value." })
  ),
  valueFrom: Schema.optionalKey(
    Schema.Struct({
      secretKeyRef: Schema.optionalKey(keyOf("secret")),
      configMapKeyRef: Schema.optionalKey(keyOf("config map")),
      fieldRef: Schema.optionalKey(
        Schema.Struct({
          fieldPath: boundedText({ maximum: 253, pattern: word, description: "Such as `metadata.name`." })
        }).annotate({ description: "A field of the pod." })
      )
    }).annotate({
      description: "Where the value comes from, in place of `value`.",
      ...rules([
        "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(isSet, isSet).size() == 1",
        "valueFrom takes exactly one of secretKeyRef, configMapKeyRef and fieldRef"
      ])
    })
  )
}).annotate(
  rules(
    ["!(has(self.value) && has(self.valueFrom))", "a variable has a value or a valueFrom, not both"],
    [
      `!(self.name in [${reservedVariables.map((name) => `'${name}'`).join(", ")}])`,
      `the operator itself sets ${reservedVariables.join(", ")}`
    ]
  )
)

/** What says where the work is, where `rabbitmq` and `postgres` do not: who logs in there may change. */
const places = [
  ...["BROKER", "RABBITMQ_URL", "RABBITMQ_URL_FILE", "RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_EXCHANGE"],
  ...["DATABASE", "DATABASE_URL", "DATABASE_URL_FILE", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB"]
]

const variableIn = (spec: string) => `(has(${spec}.env) ? ${spec}.env : []).filter(one, one.name == place)`

/** Variables would take a run to another place in its midst. */
export const arePlacesUnchanged: readonly [rule: string, message: string, path: string] = [
  `[${places.map((name) => `'${name}'`).join(", ")}].all(place, ${variableIn("self")} == ${variableIn("oldSelf")})`,
  `${places.join(", ")} cannot be changed: delete this PaymentJob and create another one`,
  ".env"
]
