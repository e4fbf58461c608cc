/** The package's main export: what the author of a worker needs. */

export { Broker, BrokerError } from "./domain/ports/Broker.ts"
export * as RetryPolicy from "./domain/RetryPolicy.ts"
export * as Brokers from "./exports/Brokers.ts"
export * as Job from "./exports/Job.ts"
export * as Stores from "./exports/Stores.ts"
export * as Worker from "./exports/Worker.ts"
export { Shutdown } from "./streams/Shutdown.ts"
export { Supervisor, supervised } from "./streams/Supervisor.ts"
export { topicWorker } from "./streams/TopicWorker.ts"
