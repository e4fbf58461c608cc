/** What an operator has asked of the API server, by the API server's own record; its Lease is left out. */
import { Effect } from "effect"
import { OperatorPlane } from "../../test/support/OperatorPlane.ts"
import { isChange, type RecordedRequest, recordedRequests } from "../../test/support/RecordedRequests.ts"

export type Requests = ReadonlyArray<RecordedRequest>

/** All of a user so far. */
export const requestsOf = Effect.fnUntraced(function* (user: string) {
  const { folder } = yield* OperatorPlane
  const all = yield* recordedRequests(folder)
  return all.filter((one) => one.user === user && one.resource !== "leases.coordination.k8s.io")
})

/** How many changed something. */
export const writesOf = (requests: Requests): number => requests.filter(isChange).length

/** How many there are of each kind. */
export const kindsOf = (requests: Requests): Readonly<Record<string, number>> => {
  const kinds: Record<string, number> = {}
  for (const { code, resource, verb } of requests) {
    const kind = `${verb} ${resource} ${code}`
    kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  return kinds
}
