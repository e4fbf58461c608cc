/** Where the pages for probes and metrics are. */
import { Result } from "effect"
import * as Parser from "./Parser.ts"
import { type Group, isSet, refine, setting } from "./Setting.ts"

export interface HealthSettings {
  /** `undefined` is off. */
  readonly port: number | undefined
  /** A port that was asked for and is taken is an error; the default one being taken costs only the pages. */
  readonly asked: boolean
}

const healthPort = setting(Parser.integer({ minimum: 0, maximum: 65_535 }), {
  name: "HEALTH_PORT",
  default: "8081",
  reason: "Port of /healthz, /readyz and /metrics (Prometheus), and of the page /jobs with --mode=scheduler; 0 is off."
})

export const healthSettings: Group<HealthSettings> = refine(healthPort, (port, environment) =>
  Result.succeed({ port: port === 0 ? undefined : port, asked: isSet(healthPort, environment) })
)
