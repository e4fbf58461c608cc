/** Events on a PaymentJob: what `kubectl describe` shows below it. */
import { apiVersionOf, type EventObject, type New } from "../domain/ClusterObjects.ts"
import { shortened } from "../domain/Printable.ts"
import { eventNameOf } from "./Names.ts"
import type { Occurrence } from "./Occurrences.ts"
import type { PaymentJob } from "./PaymentJob.ts"

/** Which PaymentJob it happened to. */
export type Concerned = Pick<PaymentJob, "name" | "namespace" | "uid" | "resourceVersion">

const component = "paymentjob-operator"

/** Kubernetes' own limit. */
const longestMessage = 1_024

/** The event of an occurrence; its name is the occurrence's, so that a second one is refused. */
export const eventOf = (paymentJob: Concerned, occurrence: Occurrence, now: string): New<EventObject> => ({
  metadata: { name: eventNameOf(paymentJob.name, occurrence.id), namespace: paymentJob.namespace },
  involvedObject: {
    apiVersion: apiVersionOf("PaymentJob"),
    kind: "PaymentJob",
    namespace: paymentJob.namespace,
    name: paymentJob.name,
    uid: paymentJob.uid,
    resourceVersion: paymentJob.resourceVersion
  },
  type: occurrence.type,
  reason: occurrence.reason,
  message: shortened(occurrence.message, longestMessage),
  count: 1,
  firstTimestamp: now,
  lastTimestamp: now,
  source: { component },
  reportingComponent: component,
  reportingInstance: component
})
