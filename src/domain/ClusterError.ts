/** What can go wrong at a Kubernetes API server; details name the object and the server's reason, never a secret. */
import { Schema } from "effect"

/** The object is not any more as the request said (`resourceVersion`, `uid`): read it again, decide again. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", { detail: Schema.String }) {}

/** There is an object of that name already. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>()("AlreadyExists", { detail: Schema.String }) {}

/** There is no such object, or no such namespace. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { detail: Schema.String }) {}

/** The API server does not know the kind: its CustomResourceDefinition is missing, or not yet established. */
export class NotServed extends Schema.TaggedError<NotServed>()("NotServed", { detail: Schema.String }) {}

/** A permission that we were not granted. */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", {
  detail: Schema.String,
  verb: Schema.String,
  /** As roles name it, with its group and subresource: `paymentjobs.payments.example.com/status`. */
  resource: Schema.String,
  /** Missing where all namespaces were meant. */
  namespace: Schema.UndefinedOr(Schema.String)
}) {}

/** We may, but the cluster's own rules say no for now: a quota, a policy, a namespace that is being deleted. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { detail: Schema.String }) {}

/** Our credentials are not accepted, also after reading them again. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { detail: Schema.String }) {}

/** The API server asks for patience: the request had no effect. */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  detail: Schema.String,
  /** When it asked to be tried again, if it did. */
  retryAfterMillis: Schema.UndefinedOr(Schema.Finite)
}) {}

/** The object itself is wrong, in the API server's words: trying again will not help. */
export class Invalid extends Schema.TaggedError<Invalid>()("Invalid", { detail: Schema.String }) {}

/** No answer, or one that says trouble: the request may have had its effect. */
export class ClusterAway extends Schema.TaggedError<ClusterAway>()("ClusterAway", {
  detail: Schema.String,
  retryAfterMillis: Schema.UndefinedOr(Schema.Finite)
}) {}

/** What can go wrong at a cluster. */
export class ClusterError extends Schema.TaggedError<ClusterError>()("ClusterError", {
  reason: Schema.Union([
    Conflict,
    AlreadyExists,
    NotFound,
    NotServed,
    Forbidden,
    Refused,
    Unauthorized,
    TooManyRequests,
    Invalid,
    ClusterAway
  ])
}) {
  /** Whether the same request may do better later, with nobody changing anything. */
  get isRetryable(): boolean {
    return ["ClusterAway", "TooManyRequests", "Refused"].includes(this.reason._tag)
  }
  /** Whether we are not let in, or the kind is not known: also said for a moment by an API server that starts. */
  get isRefusal(): boolean {
    return ["Forbidden", "Unauthorized", "NotServed"].includes(this.reason._tag)
  }
  /** Something changed since it was seen, or somebody else was faster: no mistake, it is looked at again. */
  get isRace(): boolean {
    return ["Conflict", "NotFound", "AlreadyExists"].includes(this.reason._tag)
  }
  /** How long the API server asked us to wait. */
  get retryAfterMillis(): number | undefined {
    return "retryAfterMillis" in this.reason ? this.reason.retryAfterMillis : undefined
  }
  override get message(): string {
    return this.reason.detail
  }
}
