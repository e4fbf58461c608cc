/** What there is of a kind, page by page. */
import { Effect, identity } from "effect"
import type { ClusterError } from "../../domain/ClusterError.ts"
import type { ClusterObject } from "../../domain/ClusterObjects.ts"
import { away, refusal } from "./KubernetesErrors.ts"
import { type Place, queryPath } from "./Paths.ts"
import type { Requests } from "./Requests.ts"
import { objectOf, parse, versionIn } from "./WireObjects.ts"

/** All objects of a place, as they were at one position of its history. */
export interface Listing<O> {
  readonly objects: ReadonlyArray<O>
  readonly position: bigint
}

interface Page<O> extends Listing<O> {
  /** Where the next page begins; none is empty. */
  readonly next: string
}

/** A page is in memory as bytes, as text and as objects, of three kinds at once: five times as many took 30 MB more. */
const pageSize = 100

/** A list that takes longer than the API server keeps its history (5 minutes) begins again, but not for ever. */
const mostBeginnings = 3

/** A consistent read: nothing that a lagging cache of the server's would tell. */
export const list = <O extends ClusterObject>(
  requests: Requests,
  place: Place,
  limit = pageSize,
  keep: (object: O) => O = identity
): Effect.Effect<Listing<O>, ClusterError> =>
  Effect.gen(function* () {
    for (let beginning = 1; beginning <= mostBeginnings; beginning += 1) {
      const listing = yield* pages<O>(requests, place, limit, keep)
      if (listing !== undefined) return listing
    }
    return yield* away(requests.address, `list ${place.kind}`, "its pages expired before they were read")
  })

/** `undefined` when the pages have expired. */
const pages = <O extends ClusterObject>(
  requests: Requests,
  place: Place,
  limit: number,
  keep: (object: O) => O
): Effect.Effect<Listing<O> | undefined, ClusterError> =>
  Effect.gen(function* () {
    const objects: Array<O> = []
    let next = ""
    while (true) {
      const page: Page<O> | undefined = yield* onePage<O>(requests, place, limit, next)
      if (page === undefined) return undefined
      // page by page, so that no more than one is there whole
      for (const object of page.objects) objects.push(keep(object))
      if (page.next === "") return { objects, position: page.position }
      next = page.next
    }
  })

const onePage = <O extends ClusterObject>(
  requests: Requests,
  place: Place,
  limit: number,
  from: string
): Effect.Effect<Page<O> | undefined, ClusterError> =>
  Effect.gen(function* () {
    const path = queryPath(place, { limit: `${limit}`, ...(from === "" ? {} : { continue: from }) })
    const answer = yield* requests.send({ method: "GET", path, lane: "requests" })
    if (answer.status === 410 && from !== "") return undefined
    if (answer.status !== 200) return yield* refusal(requests.address, { verb: "list", ...place }, answer)
    const page = pageOf<O>(place, answer.body)
    return page ?? (yield* away(requests.address, `list ${place.kind}`, "the answer is no list of it"))
  })

const pageOf = <O extends ClusterObject>({ kind }: Place, body: string): Page<O> | undefined => {
  const value = parse(body)
  const position = versionIn(value)
  const items = value?.["items"]
  if (position === undefined || !(items === null || Array.isArray(items))) return undefined
  const objects = (items ?? []).map((item) => objectOf<O>(kind, item))
  const { continue: next = "" } = (value?.["metadata"] ?? {}) as { readonly continue?: string }
  return objects.every((object) => object !== undefined) ? { objects, position, next } : undefined
}
