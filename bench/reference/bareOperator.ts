/**
 * The operator's hot path as one writes it by hand: `node:https` and `JSON.parse`, the same requests and watches, no
 * framework, and none of the product's care for anything that goes wrong: no lease, no retries, no second list. What it
 * takes of the processor is what is left for nobody to save.
 */
import type { IncomingMessage } from "node:http"
import * as https from "node:https"
import { Effect, Redacted } from "effect"
import * as Credentials from "../../src/layers/kubernetes/Credentials.ts"
import { jobOf, selector } from "../../src/operator/JobSpec.ts"

const { KUBECONFIG = "", WATCH_NAMESPACE: namespace = "" } = process.env

const credentials = await Effect.runPromise(Credentials.load({ _tag: "Kubeconfig", paths: [KUBECONFIG] }))
const { hostname, port } = credentials.server
const server = { ...Redacted.value(credentials.tls), hostname, port }

const paymentJobsPath = `/apis/payments.example.com/v1alpha1/namespaces/${namespace}/paymentjobs`
const jobsPath = `/apis/batch/v1/namespaces/${namespace}/jobs`
const podsPath = `/api/v1/namespaces/${namespace}/pods`
const eventsPath = `/api/v1/namespaces/${namespace}/events`
const ours = `labelSelector=${encodeURIComponent(selector)}`

// biome-ignore lint/suspicious/noExplicitAny: as somebody writes it who trusts what comes
type Fields = Record<string, any>

/** All connections are alike: not named by their certificates for each request. */
class Agent extends https.Agent {
  override getName(): string {
    return ""
  }
}
const agent = new Agent({ keepAlive: true })

const send = (method: string, path: string, body?: Fields): Promise<Fields> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? "" : JSON.stringify(body)
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json"
    const headers = body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(text) }
    const request = https.request({ ...server, agent, method, path, headers }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", reject)
      response.on("end", () => {
        const answer = Buffer.concat(chunks).toString()
        if ((response.statusCode ?? 0) < 300) resolve(JSON.parse(answer))
        else reject(new Error(`${method} ${path}: ${answer}`))
      })
    })
    request.on("error", reject)
    request.end(text)
  })

/** What there is, then whatever changes. */
const follow = async (path: string, query: string, on: (object: Fields) => void): Promise<void> => {
  const { items, metadata } = await send("GET", `${path}?${query}`)
  for (const object of items) on(object)
  const position = `watch=1&allowWatchBookmarks=true&resourceVersion=${metadata["resourceVersion"]}`
  const watched = (response: IncomingMessage): void => {
    const decoder = new TextDecoder()
    let begun = ""
    response.on("data", (chunk: Buffer) => {
      const lines = (begun + decoder.decode(chunk, { stream: true })).split("\n")
      begun = lines.pop() ?? ""
      for (const { object, type } of lines.map((line) => JSON.parse(line))) if (type !== "BOOKMARK") on(object)
    })
  }
  https.request({ ...server, agent, path: `${path}?${query}&${position}` }, watched).end()
}

const paymentJobs = new Map<string, Fields>()
const jobs = new Map<string, Fields>()

/** Names that wait to be looked at, those that are being looked at, and of them those that are again after that. */
const waiting = new Set<string>()
const inHand = new Set<string>()
const again = new Set<string>()
const mostInHand = 10

const add = (name: string): void => {
  const place = inHand.has(name) ? again : waiting
  place.add(name)
  for (const next of waiting) {
    if (inHand.size === mostInHand) return
    waiting.delete(next)
    inHand.add(next)
    look(next).then(() => done(next), fail)
  }
}

const done = (name: string): void => {
  inHand.delete(name)
  if (again.delete(name)) waiting.add(name)
  const [next] = waiting
  if (next !== undefined) add(next)
}

const look = async (name: string): Promise<void> => {
  const paymentJob = paymentJobs.get(name)
  if (paymentJob === undefined) return
  const job = jobs.get(name)
  if (job === undefined) return create(name)
  const phase = phaseOf(job)
  const before = paymentJob["status"]?.phase
  if (phase === undefined || before === phase || before === "Succeeded") return
  await tell(paymentJob, phase === "Running" ? "JobCreated" : "JobSucceeded")
  const { resourceVersion, uid } = paymentJob["metadata"]
  const change = { metadata: { resourceVersion, uid }, status: statusOf(paymentJob, job, phase) }
  paymentJobs.set(name, await send("PATCH", `${paymentJobsPath}/${name}/status`, change))
  say(name, `${phase}: the Job ${name}-job`)
}

const create = async (name: string): Promise<void> => {
  const { metadata, spec } = await send("GET", `${paymentJobsPath}/${name}`)
  const job = jobOf({ name, namespace, uid: metadata.uid }, spec, { imagePullPolicy: "IfNotPresent" })
  const created = await send("POST", jobsPath, { ...job, apiVersion: "batch/v1", kind: "Job" })
  // its watch may have told of a later version
  if (!jobs.has(name)) jobs.set(name, created)
  say(name, `created the Job ${name}-job`)
}

const phaseOf = ({ status }: Fields): string | undefined => {
  if (status?.succeeded > 0 && status.completionTime !== undefined) return "Succeeded"
  return status?.active > 0 ? "Running" : undefined
}

const statusOf = (paymentJob: Fields, { status: { startTime } }: Fields, phase: string): Fields => {
  const now = new Date().toISOString()
  const is = { Ready: true, Complete: phase === "Succeeded", Failed: false }
  const conditions = Object.entries(is).map(([type, isSo]) => ({
    type,
    status: isSo ? "True" : "False",
    reason: phase,
    message: `the Job is ${phase}`,
    observedGeneration: paymentJob["metadata"].generation,
    lastTransitionTime: now
  }))
  const jobName = `${paymentJob["metadata"].name}-job`
  return { phase, jobName, message: `the Job is ${phase}`, startTime, lastUpdateTime: now, conditions }
}

const tell = ({ metadata: { name, uid } }: Fields, reason: string): Promise<Fields> => {
  const now = new Date().toISOString()
  const [apiVersion, component] = ["payments.example.com/v1alpha1", "bare"]
  return send("POST", eventsPath, {
    ...{ apiVersion: "v1", kind: "Event" },
    metadata: { name: `${name}.${reason}`, namespace },
    involvedObject: { apiVersion, kind: "PaymentJob", namespace, name, uid },
    ...{ type: "Normal", reason, message: reason, count: 1, firstTimestamp: now, lastTimestamp: now },
    ...{ source: { component }, reportingComponent: component, reportingInstance: component }
  })
}

const say = (paymentjob: string, message: string): void => console.log(JSON.stringify({ message, paymentjob }))

const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}

process.on("SIGTERM", () => process.exit(0))
await follow(jobsPath, ours, (job) => {
  const { name } = job["metadata"].ownerReferences[0]
  jobs.set(name, job)
  add(name)
})
// looked at by the product for what its status says of them
await follow(podsPath, ours, (pod) => add(pod["metadata"].annotations["payments.example.com/paymentjob"]))
await follow(paymentJobsPath, "", (paymentJob) => {
  paymentJobs.set(paymentJob["metadata"].name, paymentJob)
  add(paymentJob["metadata"].name)
})
say("", "bare leads")
