/** Prints how many rows of the table `payments` came from a queue, and of how many different messages. */
import { Client } from "pg"

const [queue] = process.argv.slice(2)
const { DATABASE_URL } = process.env
if (queue === undefined || DATABASE_URL === undefined) {
  console.error("usage: DATABASE_URL=… node scripts/count-payments.ts QUEUE")
  process.exit(2)
}

const client = new Client({ connectionString: DATABASE_URL })
await client.connect()
const { rows } = await client.query(
  "SELECT count(*) AS rows, count(DISTINCT message_id) AS messages FROM payments WHERE source_queue = $1",
  [queue]
)
console.log(`${rows[0].rows} ${rows[0].messages}`)
await client.end()
