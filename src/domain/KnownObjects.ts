/**
 * What a watch has told of a kind, in one scope: from it follows what is left to tell.
 *
 * ## Guarantees
 * - Of one object, never an older copy after a newer one, nor the same twice.
 *   Unless the history itself went back: a list older than what is known is the beginning of another one.
 * - Of a name, one object at a time: another `uid` is told as `Deleted`, then `Applied`.
 *
 * ## Assumptions
 * - Resource versions of a kind come from one counter, as the API server's do.
 */
import { type ClusterObject, versionOf } from "./ClusterObjects.ts"
import type { ClusterEvent } from "./ports/Cluster.ts"

const nameOf = ({ metadata }: ClusterObject): string => `${metadata.namespace}/${metadata.name}`

const applied = <O>(object: O): ClusterEvent<O> => ({ _tag: "Applied", object })
const deleted = <O>(object: O): ClusterEvent<O> => ({ _tag: "Deleted", object })

export class KnownObjects<O extends ClusterObject> {
  readonly #byName = new Map<string, O>()
  /** Whatever is not newer has been told, or is gone. */
  #position = 0n

  /** How many there are. */
  get size(): number {
    return this.#byName.size
  }

  /** Where to go on from. */
  get position(): bigint {
    return this.#position
  }

  /** A position without a change: nothing up to it is left to tell. */
  advance(position: bigint): void {
    if (position > this.#position) this.#position = position
  }

  /** An object that was created or changed. */
  apply(object: O): ReadonlyArray<ClusterEvent<O>> {
    const version = versionOf(object)
    if (version <= this.#position) return []
    this.advance(version)
    return this.#put(object)
  }

  /** An object that was deleted, as it was last: its version is that of the deletion. */
  remove(object: O): ReadonlyArray<ClusterEvent<O>> {
    this.advance(versionOf(object))
    const known = this.#byName.get(nameOf(object))
    if (known?.metadata.uid !== object.metadata.uid) return []
    this.#byName.delete(nameOf(object))
    return [deleted(object)]
  }

  /** What there is. */
  get objects(): ReadonlyArray<O> {
    return [...this.#byName.values()]
  }

  /** All that there is at a position; before what is known, it is all that is known. */
  relist(objects: ReadonlyArray<O>, position: bigint): ReadonlyArray<ClusterEvent<O>> {
    if (position < this.#position) return this.#restart(objects, position)
    this.advance(position)
    const names = new Set(objects.map(nameOf))
    const vanished = [...this.#byName].filter(([name]) => !names.has(name))
    for (const [name] of vanished) this.#byName.delete(name)
    return [...vanished.map(([, object]) => deleted(object)), ...objects.flatMap((object) => this.#put(object))]
  }

  #restart(objects: ReadonlyArray<O>, position: bigint): ReadonlyArray<ClusterEvent<O>> {
    this.#position = position
    this.#byName.clear()
    for (const object of objects) this.#put(object)
    return [{ _tag: "Synced", objects }]
  }

  #put(object: O): ReadonlyArray<ClusterEvent<O>> {
    const known = this.#byName.get(nameOf(object))
    this.#byName.set(nameOf(object), object)
    if (known === undefined) return [applied(object)]
    if (known.metadata.uid !== object.metadata.uid) return [deleted(known), applied(object)]
    return known.metadata.resourceVersion === object.metadata.resourceVersion ? [] : [applied(object)]
  }
}
