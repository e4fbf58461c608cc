/** Another address of the same server, by way of a proxy that fails when told. */
import { Effect } from "effect"
import * as TcpProxy from "./servers/TcpProxy.ts"

export const behind = (address: string) =>
  Effect.gen(function* () {
    const url = new URL(address)
    const proxy = yield* TcpProxy.start({ host: url.hostname, port: Number(url.port) })
    url.port = `${proxy.port}`
    return { proxy, url: url.href }
  })
