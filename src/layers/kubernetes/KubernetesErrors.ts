/** What an answer of the API server means for us. */
import { Option, Predicate, Schema } from "effect"
import {
  AlreadyExists,
  ClusterAway,
  ClusterError,
  Conflict,
  Forbidden,
  Invalid,
  NotFound,
  NotServed,
  Refused,
  TooManyRequests,
  Unauthorized
} from "../../domain/ClusterError.ts"
import { type Kind, resourceOf } from "../../domain/ClusterObjects.ts"
import type { Permission } from "../../domain/ports/Cluster.ts"
import type { Answer } from "./Requests.ts"

/** What was tried: what a role would have to grant, and of which object. */
export interface Attempt {
  readonly verb: Permission["verb"]
  readonly kind: Kind
  readonly subresource?: string
  readonly namespace?: string | undefined
  readonly name?: string
}

/** Kubernetes' own form of an error. */
const Status = Schema.fromJsonString(
  Schema.Struct({
    kind: Schema.Literal("Status"),
    reason: Schema.optionalKey(Schema.String),
    message: Schema.optionalKey(Schema.String),
    details: Schema.optionalKey(
      Schema.Struct({
        name: Schema.optionalKey(Schema.String),
        retryAfterSeconds: Schema.optionalKey(Schema.Finite)
      })
    )
  })
)
const decode = Schema.decodeUnknownOption(Status)

/** Messages of the server quote what was sent: not at any length. */
const longestMessage = 1_000
const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().slice(0, longestMessage)

/** No answer, or one that makes no sense. */
export const away = (address: string, doing: string, error: unknown): ClusterError => {
  const detail = `Kubernetes at ${address}: ${doing}: ${oneLine(describe(error))}`
  return new ClusterError({ reason: new ClusterAway({ detail, retryAfterMillis: undefined }) })
}

const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const code = Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined
  return code === undefined || error.message.includes(code) ? error.message || "unknown" : `${error.message} (${code})`
}

export const resourceIn = ({ kind, subresource }: Attempt): string =>
  subresource === undefined ? resourceOf(kind) : `${resourceOf(kind)}/${subresource}`

/** Our error for an answer that is not 2xx. */
export const refusal = (address: string, attempt: Attempt, answer: Answer): ClusterError => {
  const status = Option.getOrUndefined(decode(answer.body))
  const where = [attempt.namespace, attempt.name].filter(Predicate.isNotUndefined).join("/")
  const said = oneLine(status?.message ?? answer.body)
  const detail = `Kubernetes at ${address}: ${attempt.verb} ${resourceIn(attempt)} ${where}: ${answer.status} ${said}`
  return new ClusterError({ reason: reasonOf(detail.replace(/ +:/, ":"), attempt, answer, status) })
}

/** Another uid than the object's is a field that cannot be changed, to the API server. */
const isOtherObject = (message: string): boolean => /metadata\.uid: Invalid value/.test(message)

const reasonOf = (
  detail: string,
  attempt: Attempt,
  answer: Answer,
  status: typeof Status.Type | undefined
): ClusterError["reason"] => {
  const retryAfterMillis = patienceOf(answer.retryAfter, status?.details?.retryAfterSeconds)
  switch (answer.status) {
    case 400:
    case 405:
    case 413:
    case 415:
    case 422:
      return isOtherObject(status?.message ?? "") ? new Conflict({ detail }) : new Invalid({ detail })
    case 401:
      return new Unauthorized({ detail: `${detail}; check the token or the certificate of KUBECONFIG` })
    case 403:
      return forbidden(detail, attempt, status?.message ?? "")
    case 404:
      return status?.details?.name ? new NotFound({ detail }) : new NotServed({ detail })
    case 409:
      return status?.reason === "AlreadyExists" ? new AlreadyExists({ detail }) : new Conflict({ detail })
    case 429:
      return new TooManyRequests({ detail, retryAfterMillis })
    default:
      return new ClusterAway({ detail, retryAfterMillis })
  }
}

/** Admission (quotas, policies, a namespace that goes) says 403 too, in other words. */
const forbidden = (detail: string, attempt: Attempt, message: string): ClusterError["reason"] => {
  if (!/cannot \w+ (resource|path)/.test(message)) return new Refused({ detail })
  const resource = resourceIn(attempt)
  const where = attempt.namespace === undefined ? "a ClusterRole" : `a Role in namespace ${attempt.namespace}`
  return new Forbidden({
    detail: `${detail}; grant ${attempt.verb} on ${resource} in ${where}`,
    verb: attempt.verb,
    resource,
    namespace: attempt.namespace
  })
}

/** Seconds: the API server sends no dates. */
const patienceOf = (header: string | undefined, details: number | undefined): number | undefined => {
  const seconds = header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) : details
  return seconds === undefined ? undefined : seconds * 1000
}
