/** Pods, by the PaymentJob that they belong to. */
import { goneOf, type SeenPod } from "./SeenPod.ts"

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
    for (const [key, pods] of all) for (const pod of pods) this.note(key, pod, true)
    return all.map(([key]) => key)
  }

  note(key: string, pod: SeenPod, isDeleted: boolean): void {
    const pods = this.#byKey.get(key) ?? new Map<string, SeenPod>()
    const noted = isDeleted ? goneOf(pod) : pod
    pods.delete(pod.name)
    if (noted !== undefined) pods.set(pod.name, noted)
    const gone = [...pods.values()].filter(({ isGone }) => isGone)
    for (const { name } of gone.slice(0, -mostGone)) pods.delete(name)
    if (pods.size === 0) this.#byKey.delete(key)
    else this.#byKey.set(key, pods)
  }

  forgetGone(key: string): void {
    const pods = this.#byKey.get(key) ?? new Map<string, SeenPod>()
    for (const { isGone, name } of pods.values()) if (isGone) pods.delete(name)
    if (pods.size === 0) this.#byKey.delete(key)
  }
}
