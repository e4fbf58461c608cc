/** A job on a schedule, for its author: how it is declared, and which run it is in. */
export * from "../streams/Job.ts"
