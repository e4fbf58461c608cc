/** The product's Stripe gateway before a provider of the tests. */
import { Context, Duration, Effect, Layer } from "effect"
import * as Environment from "../../src/layers/config/Environment.ts"
import { gatewaySettings } from "../../src/layers/config/GatewaySettings.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as StripeGateway from "../../src/layers/stripe/StripeGateway.ts"
import * as PaymentProvider from "./servers/PaymentProvider.ts"

/** The provider of the tests, for who wants faults or figures. */
export class Provider extends Context.Service<Provider, PaymentProvider.PaymentProvider>()("paystream/test/Provider") {
  static readonly layer = Layer.effect(Provider, PaymentProvider.start)
}

/** By way of the product's own settings. */
export const stripeAt = (
  url: string,
  options: { readonly key?: string; readonly timeout?: Duration.Duration } = {}
) => {
  const { key = "sk_test_paystream", timeout = Duration.seconds(2) } = options
  const environment = Environment.make({
    STRIPE_API_KEY: key,
    STRIPE_API_BASE: url,
    GATEWAY_TIMEOUT_SECONDS: String(Duration.toSeconds(timeout))
  })
  return Layer.unwrap(
    Effect.map(Settings.load(gatewaySettings, environment), (settings) =>
      settings.kind === "stripe" ? StripeGateway.layer(settings) : Layer.effectContext(Effect.die("not Stripe"))
    )
  )
}
