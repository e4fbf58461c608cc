/** What a service account has used of what it was granted, by the API server's own record. */
import { Effect } from "effect"
import { OperatorPlane } from "./OperatorPlane.ts"
import { recordedRequests } from "./RecordedRequests.ts"

/** What admission asks for on behalf of a request; no request says it by itself. */
const impliedBy: Readonly<Record<string, string>> = {
  "create jobs.batch": "update paymentjobs.payments.example.com/finalizers"
}

/** What there is, and what he himself may, everybody may ask. */
const needsGrant = (use: string) => !use.includes("authorization.k8s.io") && !use.endsWith(" ")

const requestsOf = (account: string) =>
  Effect.gen(function* () {
    const all = yield* recordedRequests((yield* OperatorPlane).folder)
    return all.filter(({ user }) => user === account)
  })

/** What it was refused. */
export const refusedTo = (account: string) =>
  Effect.map(requestsOf(account), (requests) => requests.filter(({ code }) => code === 401 || code === 403))

/** What it has used, as roles say it, in order; in one namespace, or anywhere. */
export const usesOf = (account: string, namespace?: string) =>
  Effect.map(requestsOf(account), (requests) => {
    const meant = requests.filter((request) => namespace === undefined || request.namespace === namespace)
    const uses = new Set(meant.map(({ resource, verb }) => `${verb} ${resource}`).filter(needsGrant))
    return [...uses, ...[...uses].flatMap((use) => impliedBy[use] ?? [])].toSorted()
  })
