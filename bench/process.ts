/** What the kernel says of a process; NaN where there is none, or where the system does not tell. */
import { readFile } from "node:fs/promises"
import { Effect } from "effect"

const read = (pid: number, name: string) =>
  Effect.promise(() => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => ""))

/** Linux counts in hundredths of a second. */
const microsPerTick = 10_000

/** The processor time that it has taken since its start, in microseconds. */
export const processorMicros = (pid: number) =>
  Effect.map(read(pid, "stat"), (stat) => {
    const [user, system] = stat.slice(stat.lastIndexOf(")")).split(" ").slice(12, 14)
    return (Number(user) + Number(system)) * microsPerTick
  })

/** The most memory that it ever held at once. */
export const peakMegabytes = (pid: number) =>
  Effect.map(read(pid, "status"), (status) => Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024)
