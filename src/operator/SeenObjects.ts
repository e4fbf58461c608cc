/**
 * What watches have told of a kind, and what was written since.
 *
 * ## Guarantees
 * - What was written is seen at once; what the watch tells of that version or a later one takes its place.
 * - Of one object, an older copy never takes the place of a newer one, unless everything is told anew.
 */

interface Versioned {
  readonly namespace: string
  readonly name: string
  readonly resourceVersion: string
}

/** A watch that has not told of a write for so long never will: the object was gone before it could. */
const longestLagMillis = 10_000

/** `namespace/name`. */
export const keyOf = ({ name, namespace }: Pick<Versioned, "name" | "namespace">): string => `${namespace}/${name}`

export class SeenObjects<O extends Versioned> {
  readonly #told = new Map<string, O>()
  readonly #written = new Map<string, { readonly object: O; readonly atMillis: number }>()
  /** The latest version of which was told, by namespace: each may have a watch of its own. */
  readonly #positions = new Map<string, bigint>()

  /** Everything there is: what was known before is void. */
  replace(objects: ReadonlyArray<O>): void {
    this.#told.clear()
    this.#written.clear()
    this.#positions.clear()
    for (const object of objects) this.apply(object)
  }

  apply(object: O): void {
    this.#advance(object)
    if (this.#isNews(object)) this.#told.set(keyOf(object), object)
  }

  remove(object: O): void {
    this.#advance(object)
    if (this.#isNews(object)) this.#told.delete(keyOf(object))
  }

  /** As if it were not there. */
  forget(key: string): void {
    this.#told.delete(key)
    this.#written.delete(key)
  }

  /** As the API server answered a write. */
  wrote(object: O, nowMillis: number): void {
    if (this.#isAhead(object)) this.#written.set(keyOf(object), { object, atMillis: nowMillis })
  }

  get(key: string, nowMillis: number): O | undefined {
    const written = this.#written.get(key)
    if (written === undefined) return this.#told.get(key)
    if (this.#isAhead(written.object) && nowMillis - written.atMillis < longestLagMillis) return written.object
    this.#written.delete(key)
    return this.#told.get(key)
  }

  /** What the watch has told, by key. */
  get told(): ReadonlyMap<string, O> {
    return this.#told
  }

  #isNews(object: O): boolean {
    const known = this.#told.get(keyOf(object))
    return known === undefined || BigInt(object.resourceVersion) >= BigInt(known.resourceVersion)
  }

  /** The watch has yet to tell of it. */
  #isAhead({ namespace, resourceVersion }: O): boolean {
    return BigInt(resourceVersion) > (this.#positions.get(namespace) ?? 0n)
  }

  #advance(object: O): void {
    if (this.#isAhead(object)) this.#positions.set(object.namespace, BigInt(object.resourceVersion))
  }
}
