/** Pods, by the PaymentJob that they belong to. */
import { counted, goneOf, isUneventful, type SeenPod } from "./SeenPod.ts"
import { isSameButVersion } from "./Versioned.ts"

/** So many pods that are gone are remembered for what they said, the latest ones. */
const mostGone = 20

/** By the PaymentJob's key and the pod's name. One that is gone is kept for what it said until the run's end is on record. */
export class SeenPods {
  readonly #byKey = new Map<string, Map<string, SeenPod>>()

  of(key: string): ReadonlyArray<SeenPod> {
    return [...(this.#byKey.get(key)?.values() ?? [])]
  }

  /** All are gone, until they are noted again; the keys that had some. */
  clear(): ReadonlyArray<string> {
    const all = [...this.#byKey].map(([key, pods]) => [key, [...pods.values()]] as const)
    for (const [key, pods] of all) for (const pod of pods) this.remove(key, pod)
    return all.map(([key]) => key)
  }

  /** Whether that tells more than another version; of a new one that gets on, its Job tells what there is to say. */
  note(key: string, pod: SeenPod, nowMillis: number): boolean {
    const before = this.#byKey.get(key)?.get(pod.name)
    const noted = counted(pod, before, nowMillis)
    this.#put(key, pod, noted)
    return before === undefined ? !isUneventful(noted) : !isSameButVersion(before, noted)
  }

  /** It was deleted, which always is news. */
  remove(key: string, pod: SeenPod): true {
    this.#put(key, pod, goneOf(pod))
    return true
  }

  #put(key: string, { name }: SeenPod, noted: SeenPod | undefined): void {
    const pods = this.#byKey.get(key) ?? new Map<string, SeenPod>()
    pods.delete(name)
    if (noted !== undefined) pods.set(name, noted)
    const gone = [...pods.values()].filter(({ isGone }) => isGone)
    for (const old of gone.slice(0, -mostGone)) pods.delete(old.name)
    if (pods.size === 0) this.#byKey.delete(key)
    else this.#byKey.set(key, pods)
  }

  forgetGone(key: string): void {
    const pods = this.#byKey.get(key) ?? new Map<string, SeenPod>()
    for (const { isGone, name } of pods.values()) if (isGone) pods.delete(name)
    if (pods.size === 0) this.#byKey.delete(key)
  }
}
