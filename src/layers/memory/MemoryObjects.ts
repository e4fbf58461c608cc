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
import type { ObjectName, Scope, SeenObject } from "../../domain/ports/Cluster.ts"

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

/** All objects. */
export interface MemoryObjects {
  readonly rows: Map<string, Row>
  readonly onChange: (change: Change) => void
  /** That of the latest change. */
  version: bigint
  uids: number
}

export const make = (onChange: (change: Change) => void): MemoryObjects => ({
  rows: new Map(),
  onChange,
  version: 0n,
  uids: 0
})

export const all = <K extends Kind>({ rows }: MemoryObjects, kind: K): ReadonlyArray<Objects[K]> =>
  [...rows.values()].filter((row) => row.kind === kind).map(({ object }) => object as Objects[K])

export const get = <K extends Kind>({ rows }: MemoryObjects, kind: K, name: ObjectName): Outcome<Objects[K]> => {
  const row = rows.get(keyOf(kind, name))
  return row === undefined
    ? Result.fail(new NotFound({ detail: `${named(kind, name.name)} not found` }))
    : Result.succeed(row.object as Objects[K])
}

const isName = (name: string): boolean => /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name) && name.length <= 253

export const create = <K extends Kind>(
  objects: MemoryObjects,
  kind: K,
  content: New<Objects[K]>,
  now: string
): Outcome<Objects[K]> => {
  const { name } = content.metadata
  if (!isName(name)) return Result.fail(new Invalid({ detail: `${named(kind, name)} is invalid: metadata.name` }))
  if (objects.rows.has(keyOf(kind, content.metadata)))
    return Result.fail(new AlreadyExists({ detail: `${named(kind, name)} already exists` }))
  const { status, ...rest } = content as unknown as Content
  objects.uids += 1
  const uid = `00000000-0000-4000-8000-${objects.uids.toString(16).padStart(12, "0")}`
  const metadata = { ...content.metadata, uid, generation: 1, creationTimestamp: now, resourceVersion: "" }
  const whole = withStatus.has(kind) || status === undefined ? rest : { ...rest, status }
  return Result.succeed(put(objects, kind, { ...whole, apiVersion: apiVersionOf(kind), kind, metadata }) as Objects[K])
}

/** All but the status. */
export const patch = <K extends Kind>(
  objects: MemoryObjects,
  kind: K,
  seen: SeenObject,
  change: MergePatch
): Outcome<Objects[K]> =>
  Result.map(asSeen(objects, kind, seen), (object: Content) => {
    const { status, ...fields } = change
    const next = merged(object, withStatus.has(kind) ? fields : change) as Content
    const generation = (object.metadata.generation ?? 1) + (Equal.equals(next.spec, object.spec) ? 0 : 1)
    return replace<K>(objects, kind, object, { ...next, metadata: { ...next.metadata, generation } })
  })

export const patchStatus = <K extends Kind>(
  objects: MemoryObjects,
  kind: K,
  seen: SeenObject,
  change: MergePatch
): Outcome<Objects[K]> => {
  if (!withStatus.has(kind)) return Result.fail(new NotFound({ detail: `${resourceOf(kind)} have no status` }))
  return Result.map(asSeen(objects, kind, seen), (object: Content) => {
    const status = merged(object.status, change["status"] ?? {})
    return replace<K>(objects, kind, object, { ...object, status } as Content)
  })
}

export const remove = (
  objects: MemoryObjects,
  kind: Kind,
  seen: SeenObject,
  options: { readonly ownedFirst: boolean; readonly now: string }
): Outcome<void> =>
  Result.map(asSeen(objects, kind, seen), (object) => {
    const owned = options.ownedFirst ? [...objects.rows.values()].filter((row) => blocks(row.object, object)) : []
    if (owned.length === 0) return drop(objects, { kind, object })
    const metadata = { ...object.metadata, deletionTimestamp: options.now }
    const going = replace(objects, kind, object, { ...object, metadata })
    for (const row of owned) drop(objects, row)
    drop(objects, { kind, object: going })
  })

const blocks = ({ metadata }: ClusterObject, owner: ClusterObject): boolean =>
  (metadata.ownerReferences ?? []).some(
    ({ blockOwnerDeletion, uid }) => blockOwnerDeletion === true && uid === owner.metadata.uid
  )

/** Removes what has owners, none of which is there any more; and what that owned. */
export const collectGarbage = (objects: MemoryObjects): void => {
  const uids = new Set([...objects.rows.values()].map(({ object }) => object.metadata.uid))
  const orphans = [...objects.rows.values()].filter(({ object: { metadata } }) => {
    const owners = metadata.ownerReferences ?? []
    return owners.length > 0 && !owners.some(({ uid }) => uids.has(uid))
  })
  for (const orphan of orphans) drop(objects, orphan)
  if (orphans.length > 0) collectGarbage(objects)
}

const asSeen = <K extends Kind>(objects: MemoryObjects, kind: K, seen: SeenObject): Outcome<Objects[K]> =>
  Result.filterOrFail(
    get(objects, kind, seen),
    ({ metadata }) =>
      (seen.uid ?? metadata.uid) === metadata.uid &&
      (seen.resourceVersion ?? metadata.resourceVersion) === metadata.resourceVersion,
    () => new Conflict({ detail: `${named(kind, seen.name)} has been modified; read it again` })
  )

/** What changes nothing gets no new version. */
const replace = <K extends Kind>(
  objects: MemoryObjects,
  kind: K,
  object: ClusterObject,
  next: ClusterObject
): Objects[K] => {
  const { creationTimestamp, name, namespace, resourceVersion, uid } = object.metadata
  const metadata = { ...next.metadata, creationTimestamp, name, namespace, resourceVersion, uid }
  const whole = { ...next, apiVersion: object.apiVersion, kind: object.kind, metadata }
  return (Equal.equals(whole, object) ? object : put(objects, kind, whole)) as Objects[K]
}

const put = (objects: MemoryObjects, kind: Kind, object: ClusterObject): ClusterObject => {
  const next = atNextVersion(objects, object)
  objects.rows.set(keyOf(kind, next.metadata), { kind, object: next })
  objects.onChange({ kind, object: next, isDeleted: false })
  return next
}

const drop = (objects: MemoryObjects, { kind, object }: Row): void => {
  objects.rows.delete(keyOf(kind, object.metadata))
  objects.onChange({ kind, object: atNextVersion(objects, object), isDeleted: true })
}

const atNextVersion = (objects: MemoryObjects, object: ClusterObject): ClusterObject => {
  objects.version += 1n
  return { ...object, metadata: { ...object.metadata, resourceVersion: `${objects.version}` } }
}

/** Whether an object is in a scope's namespaces and has the labels and fields that its selectors ask for. */
export const isIn = (object: ClusterObject, { fields, labels, namespaces }: Scope): boolean =>
  (namespaces.length === 0 || namespaces.includes(object.metadata.namespace)) &&
  termsOf(labels).every((term) => satisfies(object.metadata.labels ?? {}, term)) &&
  termsOf(fields).every((term) => hasField(object, term))

const termsOf = (selector = ""): ReadonlyArray<string> =>
  selector
    .split(",")
    .map((term) => term.trim())
    .filter(Predicate.isTruthy)

/** `path.to.field=value`. */
const hasField = (object: ClusterObject, term: string): boolean => {
  const [path = "", value] = term.split("=")
  const found = path
    .split(".")
    .reduce<unknown>((within, name) => (Predicate.hasProperty(within, name) ? within[name] : undefined), object)
  return found === value
}

/** `name=value`, `name==value`, `name!=value`, `name` and `!name`. */
const satisfies = (labels: Readonly<Record<string, string>>, term: string): boolean => {
  const [, name = "", operator, value = ""] = /^(!?[^=!]+)(==?|!=)?(.*)$/.exec(term) ?? []
  if (operator === undefined) return name.startsWith("!") ? labels[name.slice(1)] === undefined : name in labels
  return operator === "!=" ? labels[name] !== value : labels[name] === value
}
