/**
 * What watches have told of a kind, and what was written since.
 *
 * ## Guarantees
 * - What was written is seen at once; what the watch tells of that version or a later one takes its place.
 * - Of one object, an older copy never takes the place of a newer one, unless everything is told anew.
 * - What was written and is not believed any more, since the watch never told of it, is among `lost` once.
 */
import { AnsweredObjects } from "./AnsweredObjects.ts"
import { isNewerOrSame, isSameButVersion, keyOf, type Versioned } from "./Versioned.ts"

export class SeenObjects<O extends Versioned> {
  readonly #told = new Map<string, O>()
  readonly #answered = new AnsweredObjects<O>()

  /** Everything there is: what was known before is void. */
  replace(objects: ReadonlyArray<O>): void {
    this.#told.clear()
    this.#answered.disbelieve()
    for (const object of objects) this.apply(object)
  }

  apply(object: O): void {
    this.#answered.confirm(object)
    if (this.#isLatest(object)) this.#told.set(keyOf(object), object)
  }

  remove(object: O): void {
    this.#answered.confirm(object)
    if (this.#isLatest(object)) this.#told.delete(keyOf(object))
  }

  /** Whether it tells more than another version: what was written comes once more from the watch. */
  isNews(object: O, nowMillis: number): boolean {
    const known = this.get(keyOf(object), nowMillis)
    return known === undefined || !isSameButVersion(known, object)
  }

  /** As if it were not there. */
  forget(key: string): void {
    this.#told.delete(key)
    this.#answered.forget(key)
  }

  /** As the API server answered a request. */
  answered(object: O, nowMillis: number): void {
    this.#answered.add(object, nowMillis)
  }

  get(key: string, nowMillis: number): O | undefined {
    return this.#answered.get(key, nowMillis) ?? this.#told.get(key)
  }

  /** Writes that are not believed any more, told once: who has looked at one of them is to look again. */
  lost(nowMillis: number): ReadonlyArray<O> {
    return this.#answered.lost(nowMillis)
  }

  /** What the watch has told, by key. */
  get told(): ReadonlyMap<string, O> {
    return this.#told
  }

  #isLatest(object: O): boolean {
    const known = this.#told.get(keyOf(object))
    return known === undefined || isNewerOrSame(object, known)
  }
}
