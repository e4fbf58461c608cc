/** What an API server has recorded of the requests that it got: its audit log. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { ServerError } from "./servers/ServerError.ts"

const policy = fileURLToPath(new URL("kubernetes/audit-policy.yaml", import.meta.url))
const fileName = "audit.log"

/** What makes an API server record them, in its own folder. */
export const apiServerFlags = [`--audit-policy-file=${policy}`, `--audit-log-path=${fileName}`] as const

export interface RecordedRequest {
  readonly user: string
  readonly verb: string
  /** As roles name it, with its group and subresource; empty for what is no resource. */
  readonly resource: string
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly code: number
}

interface AuditEvent {
  readonly verb: string
  readonly user: { readonly username: string }
  readonly objectRef?: {
    readonly apiGroup?: string
    readonly resource?: string
    readonly subresource?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly responseStatus?: { readonly code?: number }
}

const requestOf = ({ objectRef, responseStatus, user, verb }: AuditEvent): RecordedRequest => {
  const { apiGroup, name, namespace, resource = "", subresource } = objectRef ?? {}
  const kind = apiGroup === undefined ? resource : `${resource}.${apiGroup}`
  return {
    user: user.username,
    verb,
    resource: subresource === undefined ? kind : `${kind}/${subresource}`,
    namespace,
    name,
    code: responseStatus?.code ?? 0
  }
}

/** All so far; a watch counts as soon as it has begun. */
export const recordedRequests = (folder: string): Effect.Effect<ReadonlyArray<RecordedRequest>, ServerError> =>
  Effect.map(
    Effect.tryPromise({
      try: () => readFile(join(folder, fileName), "utf8"),
      catch: (cause) => new ServerError({ message: "the API server has recorded nothing", cause })
    }),
    (text) =>
      text
        .slice(0, text.lastIndexOf("\n"))
        .split("\n")
        .map((line) => requestOf(JSON.parse(line)))
  )

const changing = new Set(["create", "patch", "update", "delete"])

/** Whether it has changed something; who leads, and questions about permissions, do not count. */
export const isChange = ({ code, resource, verb }: RecordedRequest): boolean =>
  changing.has(verb) &&
  code < 300 &&
  resource !== "leases.coordination.k8s.io" &&
  !resource.endsWith(".authorization.k8s.io")
