/**
 * The objects of the API server in memory: versions, preconditions, subresources, owners. No clock and no chance: uids
 * are counted.
 */
import { Equal, Predicate, Result } from "effect"
import { AlreadyExists, type ClusterError, Conflict, Invalid, NotFound } from "../../domain/ClusterError.ts"
import {
  apiVersionOf,
  type ClusterObject,
  type Kind,
  type New,
  type Objects,
  resourceOf
} from "../../domain/ClusterObjects.ts"
import { type MergePatch, merged } from "../../domain/MergePatch.ts"
import type { ObjectName, SeenObject } from "../../domain/ports/Cluster.ts"

type Reason = ClusterError["reason"]
export type Outcome<A> = Result.Result<A, Reason>

/** What happened to an object. */
export interface Change {
  readonly kind: Kind
  readonly object: ClusterObject
  readonly isDeleted: boolean
}

interface Row {
  readonly kind: Kind
  readonly object: ClusterObject
}

type Content = ClusterObject & { readonly status?: unknown; readonly spec?: unknown }

const withStatus: ReadonlySet<Kind> = new Set<Kind>(["PaymentJob", "Job", "Pod"])

const keyOf = (kind: Kind, { name, namespace }: ObjectName): string => JSON.stringify([kind, namespace, name])
const named = (kind: Kind, name: string): string => `${resourceOf(kind)} "${name}"`

export class MemoryObjects {
  readonly #rows = new Map<string, Row>()
  readonly #onChange: (change: Change) => void
  #version = 0n
  #uids = 0

  constructor(onChange: (change: Change) => void) {
    this.#onChange = onChange
  }

  /** The version of the latest change. */
  get version(): bigint {
    return this.#version
  }

  all<K extends Kind>(kind: K): ReadonlyArray<Objects[K]> {
    return [...this.#rows.values()].filter((row) => row.kind === kind).map(({ object }) => object as Objects[K])
  }

  get<K extends Kind>(kind: K, name: ObjectName): Outcome<Objects[K]> {
    const row = this.#rows.get(keyOf(kind, name))
    return row === undefined
      ? Result.fail(new NotFound({ detail: `${named(kind, name.name)} not found` }))
      : Result.succeed(row.object as Objects[K])
  }

  create<K extends Kind>(kind: K, content: New<Objects[K]>, now: string): Outcome<Objects[K]> {
    const { name } = content.metadata
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name) || name.length > 253)
      return Result.fail(new Invalid({ detail: `${named(kind, name)} is invalid: metadata.name` }))
    if (this.#rows.has(keyOf(kind, content.metadata)))
      return Result.fail(new AlreadyExists({ detail: `${named(kind, name)} already exists` }))
    const { status, ...rest } = content as unknown as Content
    this.#uids += 1
    const uid = `00000000-0000-4000-8000-${this.#uids.toString(16).padStart(12, "0")}`
    const metadata = { ...content.metadata, uid, generation: 1, creationTimestamp: now, resourceVersion: "" }
    const whole = withStatus.has(kind) ? rest : { ...rest, ...(status === undefined ? {} : { status }) }
    return Result.succeed(this.#put(kind, { ...whole, apiVersion: apiVersionOf(kind), kind, metadata }) as Objects[K])
  }

  /** All but the status. */
  patch<K extends Kind>(kind: K, seen: SeenObject, patch: MergePatch): Outcome<Objects[K]> {
    return Result.map(this.#seen(kind, seen), (object: Content) => {
      const { status, ...fields } = patch
      const next = merged(object, withStatus.has(kind) ? fields : patch) as Content
      const grows = Equal.equals(next.spec, object.spec) ? 0 : 1
      const generation = (object.metadata.generation ?? 1) + grows
      return this.#replace<K>(kind, object, { ...next, metadata: { ...next.metadata, generation } })
    })
  }

  patchStatus<K extends Kind>(kind: K, seen: SeenObject, patch: MergePatch): Outcome<Objects[K]> {
    if (!withStatus.has(kind)) return Result.fail(new NotFound({ detail: `${resourceOf(kind)} have no status` }))
    return Result.map(this.#seen(kind, seen), (object: Content) => {
      const status = merged(object.status, patch["status"] ?? {})
      return this.#replace<K>(kind, object, { ...object, status } as Content)
    })
  }

  delete(kind: Kind, seen: SeenObject, ownedFirst: boolean, now: string): Outcome<void> {
    return Result.map(this.#seen(kind, seen), (object) => {
      const owned = [...this.#rows.values()].filter((row) =>
        row.object.metadata.ownerReferences?.some(({ blockOwnerDeletion, uid }) => {
          return blockOwnerDeletion === true && uid === object.metadata.uid
        })
      )
      if (!ownedFirst || owned.length === 0) return this.#remove({ kind, object })
      const metadata = { ...object.metadata, deletionTimestamp: now }
      const going = this.#replace(kind, object, { ...object, metadata })
      for (const row of owned) this.#remove(row)
      this.#remove({ kind, object: going })
    })
  }

  /** Removes what has owners, none of which is there any more; and what that owned. */
  collectGarbage(): void {
    const uids = new Set([...this.#rows.values()].map(({ object }) => object.metadata.uid))
    const orphans = [...this.#rows.values()].filter(({ object: { metadata } }) => {
      const owners = metadata.ownerReferences ?? []
      return owners.length > 0 && !owners.some(({ uid }) => uids.has(uid))
    })
    for (const orphan of orphans) this.#remove(orphan)
    if (orphans.length > 0) this.collectGarbage()
  }

  #seen<K extends Kind>(kind: K, seen: SeenObject): Outcome<Objects[K]> {
    return Result.filterOrFail(
      this.get(kind, seen),
      ({ metadata }) =>
        (seen.uid ?? metadata.uid) === metadata.uid &&
        (seen.resourceVersion ?? metadata.resourceVersion) === metadata.resourceVersion,
      () => new Conflict({ detail: `${named(kind, seen.name)} has been modified; read it again` })
    )
  }

  /** What changes nothing gets no new version. */
  #replace<K extends Kind>(kind: K, object: ClusterObject, next: ClusterObject): Objects[K] {
    const { creationTimestamp, name, namespace, resourceVersion, uid } = object.metadata
    const metadata = { ...next.metadata, creationTimestamp, name, namespace, resourceVersion, uid }
    const whole = { ...next, apiVersion: object.apiVersion, kind: object.kind, metadata }
    return (Equal.equals(whole, object) ? object : this.#put(kind, whole)) as Objects[K]
  }

  #put(kind: Kind, object: ClusterObject): ClusterObject {
    const next = this.#atNextVersion(object)
    this.#rows.set(keyOf(kind, next.metadata), { kind, object: next })
    this.#onChange({ kind, object: next, isDeleted: false })
    return next
  }

  #remove({ kind, object }: Row): void {
    this.#rows.delete(keyOf(kind, object.metadata))
    this.#onChange({ kind, object: this.#atNextVersion(object), isDeleted: true })
  }

  #atNextVersion(object: ClusterObject): ClusterObject {
    this.#version += 1n
    return { ...object, metadata: { ...object.metadata, resourceVersion: `${this.#version}` } }
  }
}

/** Whether an object is in a scope's namespaces and has the labels that its selector asks for. */
export const isIn = (
  { metadata }: ClusterObject,
  { labels, namespaces }: { readonly namespaces: ReadonlyArray<string>; readonly labels?: string }
): boolean =>
  (namespaces.length === 0 || namespaces.includes(metadata.namespace)) &&
  (labels ?? "")
    .split(",")
    .filter(Predicate.isTruthy)
    .every((term) => satisfies(metadata.labels ?? {}, term.trim()))

/** `name=value`, `name==value`, `name!=value`, `name` and `!name`. */
const satisfies = (labels: Readonly<Record<string, string>>, term: string): boolean => {
  const [, name = "", operator, value = ""] = /^(!?[^=!]+)(==?|!=)?(.*)$/.exec(term) ?? []
  if (operator === undefined) return name.startsWith("!") ? labels[name.slice(1)] === undefined : name in labels
  return operator === "!=" ? labels[name] !== value : labels[name] === value
}
