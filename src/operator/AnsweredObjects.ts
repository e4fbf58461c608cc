/** What the API server has answered of objects of a kind, for as long as their watch has yet to tell of it. */
import { isNewerOrSame, keyOf, type Versioned } from "./Versioned.ts"

/** A watch that has not told of a write for so long never will: the object was gone before it could. */
const longestLagMillis = 10_000

interface Answered<O> {
  readonly object: O
  readonly atMillis: number
}

export class AnsweredObjects<O extends Versioned> {
  readonly #byKey = new Map<string, Answered<O>>()
  /** The latest version of which was told, by namespace: each may have a watch of its own. */
  readonly #positions = new Map<string, bigint>()

  add(object: O, nowMillis: number): void {
    if (this.#isAhead(object)) this.#byKey.set(keyOf(object), { object, atMillis: nowMillis })
  }

  get(key: string, nowMillis: number): O | undefined {
    const answered = this.#byKey.get(key)
    return answered && this.#isBelieved(answered, nowMillis) ? answered.object : undefined
  }

  /** The watch has told of this version: what was answered of the object before is told by now. */
  confirm(told: O): void {
    if (this.#isAhead(told)) this.#positions.set(told.namespace, BigInt(told.resourceVersion))
    const answered = this.#byKey.get(keyOf(told))
    if (answered !== undefined && isNewerOrSame(told, answered.object)) this.#byKey.delete(keyOf(told))
  }

  /** Everything is told anew: what is not among it is lost. */
  disbelieve(): void {
    for (const [key, { object }] of this.#byKey) this.#byKey.set(key, { object, atMillis: Number.NEGATIVE_INFINITY })
    this.#positions.clear()
  }

  forget(key: string): void {
    this.#byKey.delete(key)
  }

  /** Those that are not believed any more, once. */
  lost(nowMillis: number): ReadonlyArray<O> {
    const lost = [...this.#byKey.values()].filter((answered) => !this.#isBelieved(answered, nowMillis))
    for (const { object } of lost) this.#byKey.delete(keyOf(object))
    return lost.map(({ object }) => object)
  }

  #isBelieved({ atMillis, object }: Answered<O>, nowMillis: number): boolean {
    return this.#isAhead(object) && nowMillis - atMillis < longestLagMillis
  }

  /** The watch has yet to tell of it. */
  #isAhead({ namespace, resourceVersion }: O): boolean {
    return BigInt(resourceVersion) > (this.#positions.get(namespace) ?? 0n)
  }
}
