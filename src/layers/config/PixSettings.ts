/** What the PIX workers go by, and how the simulator shows who it is. */
import * as Money from "../../domain/Money.ts"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, setting } from "./Setting.ts"

export interface PixSettings {
  /** In minor units. */
  readonly largestAmount: bigint
}

export const pixSettings: Group<PixSettings> = all({
  largestAmount: setting(
    Parser.parsed("an amount such as 100000.00", (text) => Money.minorUnitsOf(text)),
    {
      name: "PIX_MAX_AMOUNT",
      default: "100000.00",
      reason: "Payments above it are refused by the anti-fraud rule."
    }
  )
})

/** The key that the simulator sends. */
export const simulatorKey = optional(Parser.secret, {
  name: "API_KEY",
  default: "none is sent",
  reason: "The key with which `--mode=simulate` uses the API.",
  secret: true
})
