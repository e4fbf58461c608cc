/**
 * The clients: so many connections, each with one request after the other, in a process of their own. Ends after so many
 * seconds, or requests; prints what it found as one line of JSON.
 */
import { randomUUID } from "node:crypto"
import { connect, type Socket } from "node:net"

const { TARGET = "", CONNECTIONS = "64", WARM_UP_SECONDS = "2", SECONDS = "8", MAX_REQUESTS = "1000000" } = process.env

/** What the clients found. */
export interface Found {
  /** Answers of 200, those while it warmed up included. */
  readonly accepted: number
  readonly otherAnswers: Readonly<Record<string, number>>
  /** Of the answers after the warm-up. */
  readonly requestsPerSecond: number
  readonly latencies: ReadonlyArray<number>
}

const { hostname, pathname, port } = new URL(TARGET)
const run = randomUUID()
const began = performance.now()
const countsFrom = began + Number(WARM_UP_SECONDS) * 1000
const endsAt = countsFrom + Number(SECONDS) * 1000

let sent = 0
let accepted = 0
let lastAnswerAt = countsFrom
const otherAnswers: Record<string, number> = {}
const latencies: Array<number> = []

const request = (): string => {
  const value = { transactionId: `${run}-${sent++}`, amount: "149.90", payer: "Ana Souza", receiver: "Bruno Lima" }
  const body = JSON.stringify({ topic: "pix.payment.requested", value })
  const head = `POST ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\n`
  return `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** The status of a whole answer, or undefined while some of it is missing. Answers have a length here, and no chunks. */
const statusOf = (answer: string): string | undefined => {
  const headEnd = answer.indexOf("\r\n\r\n")
  if (headEnd === -1) return undefined
  const length = /\r\ncontent-length: *(\d+)/i.exec(answer.slice(0, headEnd))?.[1]
  if (length === undefined) throw new Error(`an answer without a length:\n${answer}`)
  return answer.length < headEnd + 4 + Number(length) ? undefined : answer.slice(9, 12)
}

const note = (status: string, askedAt: number): void => {
  const now = performance.now()
  if (status === "200") accepted++
  else otherAnswers[status] = (otherAnswers[status] ?? 0) + 1
  if (now < countsFrom) return
  latencies.push(now - askedAt)
  lastAnswerAt = now
}

/** One client: what it has begun is answered before it ends. */
const client = () =>
  new Promise<void>((resolve, reject) => {
    const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let answer = ""
    let askedAt = 0
    const ask = (): void => {
      if (performance.now() >= endsAt || sent >= Number(MAX_REQUESTS)) return void socket.end(resolve)
      askedAt = performance.now()
      socket.write(request())
    }
    socket.setEncoding("latin1")
    socket.on("connect", ask)
    socket.on("error", reject)
    socket.on("close", () => reject(new Error("the connection was closed before the answer")))
    socket.on("data", (data: string) => {
      answer += data
      const status = statusOf(answer)
      if (status === undefined) return
      answer = ""
      note(status, askedAt)
      ask()
    })
  })

await Promise.all(Array.from({ length: Number(CONNECTIONS) }, client))
const requestsPerSecond = (latencies.length / (lastAnswerAt - countsFrom)) * 1000
const found: Found = { accepted, otherAnswers, requestsPerSecond, latencies }
console.log(JSON.stringify(found))
