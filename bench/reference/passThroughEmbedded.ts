/**
 * Topic to topic on the embedded broker as an expert writes it by hand: the same queue library, rows of the same form,
 * fetched, inserted and deleted by the batch. Parsed and checked on both sides, inserted before the inputs are deleted.
 */
import { PgBoss } from "pg-boss"
import { checked } from "./orderCheck.ts"

const { DATABASE_URL = "", INPUT_QUEUE = "", OUTPUT_QUEUE = "" } = process.env

const batchSize = 500
const pauseMillis = 10

interface Row {
  readonly id: string
  readonly body: string
  readonly headers: { readonly key: string }
  readonly order: number
}

// Without statistics a plan that reads all rows would be taken for a while: the broker's connections do the same.
const planByIndex = ["enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"].map((name) => `-c ${name}=off`)
const boss = new PgBoss({
  connectionString: DATABASE_URL,
  schema: "paystream_broker",
  options: planByIndex.join(" "),
  schedule: false,
  supervise: false
})
await boss.start()

let isStopping = false
process.on("SIGTERM", () => {
  isStopping = true
})

const passOn = ({ body, headers, id, order }: Row): Row => {
  const input = checked(JSON.parse(Buffer.from(body, "base64").toString()))
  const output = checked(input)
  return { id: `${id}/bench`, body: Buffer.from(JSON.stringify(output)).toString("base64"), headers, order }
}

while (!isStopping) {
  const jobs = await boss.fetch<Row>(INPUT_QUEUE, { batchSize })
  if (jobs.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, pauseMillis))
    continue
  }
  jobs.sort((one, other) => one.data.order - other.data.order)
  await boss.insert(
    OUTPUT_QUEUE,
    jobs.map(({ data }) => ({ data: passOn(data) }))
  )
  await boss.deleteJob(
    INPUT_QUEUE,
    jobs.map(({ id }) => id)
  )
}
await boss.stop({ graceful: false })
