/** What the command line may say to `--mode=simulate`; apart from it, so that reading a command line loads no HTTP. */
import { Flag } from "effect/cli"

const number = (name: string, accepts: (given: number) => boolean, takes: string, unset: number) =>
  Flag.Finite(name).pipe(
    Flag.filter(accepts, () => takes),
    Flag.withDefault(unset)
  )

export const simulateFlags = {
  rate: number("rate", (given) => given > 0 && given <= 100_000, "a number above 0, up to 100000", 10).pipe(
    Flag.withDescription("simulate: flows begun per second")
  ),
  target: Flag.String("target").pipe(
    Flag.filter(
      (given) => URL.canParse(given) && /^https?:/.test(given),
      () => "an http:// or https:// address"
    ),
    Flag.withDefault("http://localhost:5000"),
    Flag.withDescription("simulate: the address of the API")
  ),
  invalid: number("invalid", (given) => given >= 0 && given <= 1, "a share from 0 to 1", 0).pipe(
    Flag.withDescription("simulate: the share of requests that are invalid")
  ),
  timeout: number("timeout", (given) => given > 0 && given <= 86_400, "seconds, from 0 to 86400", 60).pipe(
    Flag.withDescription("simulate: the longest wait in seconds, for an answer and for all flows to end")
  )
}
