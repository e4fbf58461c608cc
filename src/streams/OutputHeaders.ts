/** The headers of what a worker publishes. */
import type { MessageContent } from "../domain/ports/Broker.ts"
import type { Trace } from "./Trace.ts"

/** Its key, the version of its schema and its trace, as far as it has them. */
export const headersOf = (
  key: string | undefined,
  version: string | undefined,
  trace: Trace | undefined
): MessageContent["headers"] => {
  const headers: Record<string, string> = { ...trace }
  if (key !== undefined) headers.key = key
  if (version !== undefined) headers.version = version
  return headers
}
