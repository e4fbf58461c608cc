import type { Services } from "./Services.ts"

const deadlineMillis = 20_000

const asleep = new Int32Array(new SharedArrayBuffer(4))

/** Asks until the payment is committed, as another connection sees it; sleeps between two questions. */
export const untilStored = async ({ postgres }: Services, id: string, pauseMillis: number): Promise<void> => {
  const deadline = performance.now() + deadlineMillis
  const question = { name: "is stored", text: "SELECT FROM payments WHERE message_id = $1", values: [id] }
  while ((await postgres.query(question)).rowCount === 0) {
    if (performance.now() > deadline) throw new Error(`no message was stored within ${deadlineMillis} ms`)
    // Timers are no finer than a millisecond.
    Atomics.wait(asleep, 0, 0, pauseMillis)
  }
}
