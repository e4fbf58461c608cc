import { availableParallelism, cpus } from "node:os"

/** What the figures were measured on, for people. */
export const machine = `${availableParallelism()} cores, ${cpus()[0]?.model ?? "of an unknown kind"}`
