/** What the operator cannot do without: told at the start, all of it at once, and not one by one as it is missed. */
import { Effect, Schema } from "effect"
import type { ClusterError } from "../domain/ClusterError.ts"
import { kinds, resourceOf } from "../domain/ClusterObjects.ts"
import { Cluster, type Permission } from "../domain/ports/Cluster.ts"

/** The API server does not know PaymentJobs. */
export class CrdMissing extends Schema.TaggedError<CrdMissing>()("CrdMissing", { address: Schema.String }) {
  readonly isRetryable = false
  override get message(): string {
    const { group, plural, version } = kinds.PaymentJob
    return `the API server at ${this.address} does not serve ${plural}.${group}/${version}: kubectl apply -f manifests/crd-paymentjob.yaml`
  }
}

/** What was not granted, each as roles say it. */
export class PermissionsMissing extends Schema.TaggedError<PermissionsMissing>()("PermissionsMissing", {
  address: Schema.String,
  missing: Schema.Array(Schema.String)
}) {
  readonly isRetryable = false
  override get message(): string {
    return `the API server at ${this.address} does not grant: ${this.missing.join("; ")}. The roles are in manifests/operator-deploy.yaml`
  }
}

type Needed = Omit<Permission, "namespace">

const inWatchedNamespaces: ReadonlyArray<Needed> = [
  ...(["get", "list", "watch"] as const).map((verb): Needed => ({ verb, kind: "PaymentJob" })),
  { verb: "patch", kind: "PaymentJob", subresource: "status" },
  // else no Job could block its deletion, where the API server is strict about that
  { verb: "update", kind: "PaymentJob", subresource: "finalizers" },
  ...(["get", "list", "watch", "create", "patch"] as const).map((verb): Needed => ({ verb, kind: "Job" })),
  ...(["list", "watch"] as const).map((verb): Needed => ({ verb, kind: "Pod" })),
  ...(["create", "list"] as const).map((verb): Needed => ({ verb, kind: "Event" }))
]

const forTheLease: ReadonlyArray<Needed> = (["get", "create", "patch"] as const).map((verb) => ({
  verb,
  kind: "Lease"
}))

export interface StartOptions {
  /** None: all of them. */
  readonly namespaces: ReadonlyArray<string>
  /** Where the Lease is; none without leader election. */
  readonly leaseNamespace: string | undefined
}

/** Everything the operator asks of the API server, as a role has to grant it. */
export const permissions = ({ leaseNamespace, namespaces }: StartOptions): ReadonlyArray<Permission> => [
  ...inWatchedNamespaces.flatMap((needed) =>
    namespaces.length === 0 ? [needed] : namespaces.map((namespace) => ({ ...needed, namespace }))
  ),
  ...(leaseNamespace === undefined ? [] : forTheLease.map((needed) => ({ ...needed, namespace: leaseNamespace })))
]

/** Fails when the operator could not do its work. */
export const startChecks = (
  options: StartOptions
): Effect.Effect<void, CrdMissing | PermissionsMissing | ClusterError, Cluster> =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const { address } = cluster
    if (!(yield* cluster.isServed("PaymentJob"))) return yield* new CrdMissing({ address })
    const granted = yield* Effect.forEach(
      permissions(options),
      (permission) => Effect.map(cluster.isGranted(permission), (isGranted) => ({ permission, isGranted })),
      { concurrency: 4 }
    )
    const missing = granted.filter(({ isGranted }) => !isGranted).map(({ permission }) => words(permission))
    if (missing.length > 0) return yield* new PermissionsMissing({ address, missing })
  })

const words = ({ kind, namespace, subresource, verb }: Permission): string => {
  const resource = `${resourceOf(kind)}${subresource === undefined ? "" : `/${subresource}`}`
  return `${verb} ${resource} ${namespace === undefined ? "in all namespaces" : `in namespace ${namespace}`}`
}
