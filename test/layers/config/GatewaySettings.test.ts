import { assert, describe, it } from "@effect/vitest"
import { Duration, Redacted } from "effect"
import { gatewaySettings, webhookSecrets } from "../../../src/layers/config/GatewaySettings.ts"
import { problemsOf, settingsOf } from "./support.ts"

const key = "sk_test_hunter2"
const namesOf = (variables: Readonly<Record<string, string>>) =>
  problemsOf(gatewaySettings, variables).map(({ name }) => name)

const stripe = (variables: Readonly<Record<string, string>>, files = {}) => {
  const settings = settingsOf(gatewaySettings, variables, files)
  assert.strictEqual(settings.kind, "stripe")
  return settings as Extract<typeof settings, { readonly kind: "stripe" }>
}

describe("gatewaySettings", () => {
  it("nobody gets the sandbox by forgetting: nothing set is a problem that says what to set", () => {
    const [problem, ...others] = problemsOf(gatewaySettings, {})
    assert.lengthOf(others, 0)
    assert.strictEqual(problem?.name, "PAYMENT_GATEWAY")
    assert.include(problem?.takes, "STRIPE_API_KEY")
    assert.include(problem?.takes, "sandbox")
  })

  it("a key alone means Stripe, at its own address", () => {
    const { base, key: given, timeout } = stripe({ STRIPE_API_KEY: key })
    assert.deepStrictEqual(base, { protocol: "https", host: "api.stripe.com", port: 443 })
    assert.strictEqual(Redacted.value(given), key)
    assert.strictEqual(Duration.toSeconds(timeout), 20)
  })

  it("the key may be in a file", () => {
    const { key: given } = stripe({ STRIPE_API_KEY_FILE: "/run/key" }, { "/run/key": `${key}\n` })
    assert.strictEqual(Redacted.value(given), key)
  })

  it("the sandbox is used where it is asked for, and asks for nothing of Stripe's", () => {
    const settings = settingsOf(gatewaySettings, {
      PAYMENT_GATEWAY: "sandbox",
      STRIPE_API_KEY: key,
      STRIPE_API_BASE: "nonsense",
      SANDBOX_DELAY_MILLIS: "50"
    })
    assert.strictEqual(settings.kind, "sandbox")
    assert.strictEqual(settings.kind === "sandbox" ? Duration.toMillis(settings.delay) : undefined, 50)
  })

  it("Stripe without a key is a problem, and so is another gateway", () => {
    assert.deepStrictEqual(namesOf({ PAYMENT_GATEWAY: "stripe" }), ["STRIPE_API_KEY"])
    assert.deepStrictEqual(namesOf({ PAYMENT_GATEWAY: "paypal" }), ["PAYMENT_GATEWAY"])
  })

  it("a key that no header can hold is a problem, and is not shown", () => {
    const problems = problemsOf(gatewaySettings, { STRIPE_API_KEY: `${key}\nx` })
    assert.strictEqual(problems[0]?.name, "STRIPE_API_KEY")
    assert.notInclude(JSON.stringify(problems), "hunter2")
  })

  it.each([
    ["http://127.0.0.1:12111", { protocol: "http", host: "127.0.0.1", port: 12111 }],
    ["http://stripe-mock/", { protocol: "http", host: "stripe-mock", port: 80 }],
    ["https://stripe.example", { protocol: "https", host: "stripe.example", port: 443 }]
  ])("a test server is reached by its address: %s", (address, base) =>
    assert.deepStrictEqual<unknown>(stripe({ STRIPE_API_KEY: key, STRIPE_API_BASE: address }).base, base)
  )

  it("an address with a path, which the library would not use, is a problem", () =>
    assert.deepStrictEqual(namesOf({ STRIPE_API_KEY: key, STRIPE_API_BASE: "http://host/v1" }), ["STRIPE_API_BASE"]))
})

describe("webhookSecrets", () => {
  const read = (variables: Readonly<Record<string, string>>, files = {}) =>
    settingsOf(webhookSecrets, variables, files).map(Redacted.value)

  it("are none when nothing is set", () => assert.deepStrictEqual(read({}), []))

  it("are one, or several while one takes another's place", () => {
    assert.deepStrictEqual(read({ STRIPE_WEBHOOK_SECRET: "whsec_1" }), ["whsec_1"])
    assert.deepStrictEqual(read({ STRIPE_WEBHOOK_SECRET: "whsec_1, whsec_2" }), ["whsec_1", "whsec_2"])
    assert.deepStrictEqual(read({ STRIPE_WEBHOOK_SECRET_FILE: "/s" }, { "/s": "whsec_1\nwhsec_2\n" }), [
      "whsec_1",
      "whsec_2"
    ])
  })

  it("are not shown when one is wrong", () => {
    const problems = problemsOf(webhookSecrets, { STRIPE_WEBHOOK_SECRET: "whsec_1,,hunter2" })
    assert.strictEqual(problems[0]?.name, "STRIPE_WEBHOOK_SECRET")
    assert.notInclude(JSON.stringify(problems), "hunter2")
  })
})
