/**
 * When which job is due next: the earliest first, however many there are. A job that is put in again moves; what it was
 * due at before is dropped when it comes up.
 */

interface Entry {
  readonly job: string
  readonly at: number
}

/** An agenda on which nothing is yet. */
export const make = () => {
  /** A binary heap: no entry is before that of its parent, at half its index. */
  const heap: Array<Entry> = []
  const dueAt = new Map<string, number>()
  const atOf = (index: number): number => heap[index]?.at ?? Number.POSITIVE_INFINITY
  const swap = (one: number, other: number): void => {
    const [first, second] = [heap[one], heap[other]]
    if (first === undefined || second === undefined) return
    heap[one] = second
    heap[other] = first
  }
  const rise = (index: number): void => {
    for (let at = index; at > 0; ) {
      const parent = (at - 1) >> 1
      if (atOf(parent) <= atOf(at)) return
      swap(parent, at)
      at = parent
    }
  }
  const sink = (): void => {
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      const smaller = atOf(left + 1) < atOf(left) ? left + 1 : left
      if (atOf(at) <= atOf(smaller)) return
      swap(at, smaller)
      at = smaller
    }
  }
  const takeFirst = (): Entry | undefined => {
    const last = heap.length - 1
    swap(0, last)
    const first = heap.pop()
    sink()
    return first
  }
  const dropStale = (): void => {
    for (let [first] = heap; first !== undefined && dueAt.get(first.job) !== first.at; [first] = heap) takeFirst()
  }

  return {
    /** Puts a job in, or moves it; `undefined` takes it out. */
    put: (job: string, at: number | undefined): void => {
      if (at === dueAt.get(job)) return
      if (at === undefined) return void dueAt.delete(job)
      dueAt.set(job, at)
      heap.push({ job, at })
      rise(heap.length - 1)
    },
    /** When the first is due. */
    next: (): number | undefined => {
      dropStale()
      return heap[0]?.at
    },
    /** Takes out those that are due, in their order: so many at most. */
    take: (now: number, limit: number): ReadonlyArray<string> => {
      const taken: Array<string> = []
      for (dropStale(); taken.length < limit && atOf(0) <= now; dropStale()) {
        const first = takeFirst()
        if (first === undefined) break
        dueAt.delete(first.job)
        taken.push(first.job)
      }
      return taken
    }
  }
}
