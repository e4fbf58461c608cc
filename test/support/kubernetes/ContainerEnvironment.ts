/** The environment of a container, put together as a kubelet does. */
import { Effect } from "effect"
import type { Container, EnvironmentVariable, PodObject } from "../../../src/domain/ClusterObjects.ts"
import type { ServerError } from "../servers/ServerError.ts"
import type { Ask } from "./ApiRequests.ts"

export type ContainerEnvironment =
  | { readonly _tag: "Resolved"; readonly env: Readonly<Record<string, string>> }
  /** In a kubelet's words: the pod waits until somebody puts it right. */
  | { readonly _tag: "Missing"; readonly message: string }

/** `undefined` leaves the variable out. */
type Value = { readonly value: string | undefined } | { readonly missing: string }

/** Looks up what the variables refer to. */
export const resolve = (ask: Ask, pod: PodObject, container: Container) =>
  Effect.gen(function* () {
    const env: Record<string, string> = {}
    for (const variable of container.env ?? []) {
      const found = yield* lookUp(ask, pod, variable, env)
      if ("missing" in found) return missing(found.missing)
      if (found.value !== undefined) env[variable.name] = found.value
    }
    const resolved: ContainerEnvironment = { _tag: "Resolved", env }
    return resolved
  })

const missing = (message: string): ContainerEnvironment => ({ _tag: "Missing", message })

const lookUp = (
  ask: Ask,
  pod: PodObject,
  { value, valueFrom }: EnvironmentVariable,
  before: Readonly<Record<string, string>>
): Effect.Effect<Value, ServerError> => {
  const { namespace } = pod.metadata
  if (valueFrom?.secretKeyRef !== undefined) return keyOf(ask, namespace, "Secret", valueFrom.secretKeyRef)
  if (valueFrom?.configMapKeyRef !== undefined) return keyOf(ask, namespace, "ConfigMap", valueFrom.configMapKeyRef)
  if (valueFrom?.fieldRef !== undefined) return Effect.succeed({ value: fieldOf(pod, valueFrom.fieldRef.fieldPath) })
  return Effect.succeed({ value: expanded(value ?? "", before) })
}

/** `$(NAME)` is the value of a variable before this one, `$$` is one `$`, and anything else stands for itself. */
export const expanded = (value: string, before: Readonly<Record<string, string>>): string =>
  value.replace(/\$(\$|\(([^)]*)\))/g, (whole, what, name) => (what === "$" ? "$" : (before[name] ?? whole)))

interface KeyReference {
  readonly name: string
  readonly key: string
  readonly optional?: boolean
}

const keyOf = (ask: Ask, namespace: string, kind: "Secret" | "ConfigMap", { key, name, optional }: KeyReference) =>
  Effect.gen(function* () {
    const nothing = (message: string): Value => (optional === true ? { value: undefined } : { missing: message })
    const path = `/api/v1/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`
    const { body, status } = yield* ask({ method: "GET", path })
    if (status === 404) return nothing(`${kind.toLowerCase()} "${name}" not found`)
    const text = (body["data"] as Readonly<Record<string, string>> | undefined)?.[key]
    if (text === undefined) return nothing(`couldn't find key ${key} in ${kind} ${namespace}/${name}`)
    const value: Value = { value: kind === "Secret" ? Buffer.from(text, "base64").toString() : text }
    return value
  })

const fieldOf = ({ metadata, spec }: PodObject, path: string): string | undefined => {
  const fields: Readonly<Record<string, string | undefined>> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "spec.nodeName": spec.nodeName,
    "spec.serviceAccountName": spec.serviceAccountName
  }
  return fields[path]
}
