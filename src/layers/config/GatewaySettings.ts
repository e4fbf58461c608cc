/** Who takes the money, and how it is reached. */
import { type Duration, Redacted, Result } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, type Reading, refine, setting } from "./Setting.ts"

export interface SandboxSettings {
  readonly kind: "sandbox"
  readonly delay: Duration.Duration
}

export interface StripeSettings {
  readonly kind: "stripe"
  readonly key: Redacted.Redacted
  readonly base: StripeBase
  readonly timeout: Duration.Duration
}

/** In the parts that Stripe's library takes. */
export interface StripeBase {
  readonly protocol: "http" | "https"
  readonly host: string
  readonly port: number
}

export type GatewaySettings = SandboxSettings | StripeSettings

const kind = optional(Parser.oneOf<"stripe" | "sandbox">({ stripe: "stripe", sandbox: "sandbox" }), {
  name: "PAYMENT_GATEWAY",
  default: "none; stripe where STRIPE_API_KEY is set",
  reason: "Who takes the money. The sandbox takes none, so it has to be asked for: nobody runs it by forgetting."
})

const key = optional(Parser.secret, {
  name: "STRIPE_API_KEY",
  default: "",
  reason: "The secret key, or a restricted one that may write PaymentIntents and refunds.",
  secret: true
})

const base = setting(Parser.webAddress, {
  name: "STRIPE_API_BASE",
  default: "https://api.stripe.com",
  reason: "Where Stripe is; another address is that of a test server."
})

const timeout = setting(Parser.seconds({ minimum: 0.1, maximum: 80 }), {
  name: "GATEWAY_TIMEOUT_SECONDS",
  default: "20",
  reason: "The longest wait for an answer; a charge without one is in doubt. Banks may take ten seconds and more."
})

const delay = setting(Parser.millis({ minimum: 0, maximum: 60_000 }), {
  name: "SANDBOX_DELAY_MILLIS",
  default: "0",
  reason: "How long the sandbox takes for each request, as a provider on the network would."
})

const keyOf = (given: Redacted.Redacted | undefined): Reading<Redacted.Redacted> => {
  const takes = "a secret key of Stripe's, of visible ASCII characters"
  if (given === undefined) return Result.fail([{ name: "STRIPE_API_KEY", got: "nothing", takes }])
  return Parser.isVisible(Redacted.value(given))
    ? Result.succeed(given)
    : Result.fail([{ name: "STRIPE_API_KEY", got: "a secret value", takes }])
}

const baseOf = (text: string): Reading<StripeBase> => {
  const { hostname, pathname, port, protocol, search } = new URL(text)
  if (pathname !== "/" || search !== "") {
    return Result.fail([{ name: "STRIPE_API_BASE", got: JSON.stringify(text), takes: "an address without a path" }])
  }
  const isPlain = protocol === "http:"
  return Result.succeed({
    protocol: isPlain ? "http" : "https",
    host: hostname,
    port: port === "" ? (isPlain ? 80 : 443) : Number(port)
  })
}

const stripe: Group<StripeSettings> = refine(
  all({ key: refine(key, keyOf), base: refine(base, baseOf), timeout }),
  (settings) => Result.succeed({ kind: "stripe", ...settings })
)

const sandbox: Group<SandboxSettings> = refine(all({ delay }), (settings) =>
  Result.succeed({ kind: "sandbox", ...settings })
)

const chosen: Group<"stripe" | "sandbox"> = refine(all({ kind, key }), ({ key, kind }) => {
  if (kind !== undefined) return Result.succeed(kind)
  if (key !== undefined) return Result.succeed("stripe")
  const takes = "stripe (with STRIPE_API_KEY), or sandbox, which takes no money"
  return Result.fail([{ name: "PAYMENT_GATEWAY", got: "nothing", takes }])
})

/** Without a default: neither `PAYMENT_GATEWAY` nor `STRIPE_API_KEY` is a problem. */
export const gatewaySettings: Group<GatewaySettings> = {
  settings: [kind, ...stripe.settings, ...sandbox.settings],
  read: (environment) =>
    Result.flatMap(
      chosen.read(environment),
      (kind): Reading<GatewaySettings> => (kind === "stripe" ? stripe : sandbox).read(environment)
    )
}

const webhookSecret = optional(Parser.secrets("secrets"), {
  name: "STRIPE_WEBHOOK_SECRET",
  default: "no webhooks are taken",
  reason: "What Stripe signs its webhooks with; several are separated by commas, while one takes another's place.",
  secret: true
})

/** The secrets that a webhook may be signed with; none: webhooks are not taken. */
export const webhookSecrets: Group<ReadonlyArray<Redacted.Redacted>> = refine(webhookSecret, (given = []) =>
  Result.succeed(given)
)
