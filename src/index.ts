/** The package's main export: what the author of a worker needs. */
export * as RetryPolicy from "./domain/RetryPolicy.ts"
export * as MemoryBroker from "./layers/memory/MemoryBroker.ts"
export { Shutdown } from "./streams/Shutdown.ts"
export { Supervisor } from "./streams/Supervisor.ts"
export { topicWorker } from "./streams/TopicWorker.ts"
export * as Worker from "./streams/Worker.ts"
