import { randomUUID } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, rename } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, type Scope } from "effect"
import { spawn } from "./Child.ts"
import { folderOf, run } from "./command.ts"
import { freePort } from "./freePort.ts"
import { ownContainer, ownProcess } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { dockerAnswers } from "./Source.ts"

const version = "0.203.0"
const program = "stripe-mock"

/** Built once for all clones of the repository. */
const cached = join(process.env.PAYSTREAM_CACHE ?? join(homedir(), ".cache/paystream"), `${program}-${version}`)

type Source =
  | { readonly _tag: "Address"; readonly url: string }
  | { readonly _tag: "Binary"; readonly folder: string }
  | { readonly _tag: "Container" }

const missing = new ServerError({
  message: `stripe-mock: put it on the PATH, or go (1.22 or later, which builds it), start a Docker engine, or give the \
address of a running one in TEST_STRIPE_MOCK_URL`
})

const promised = <A>(message: string, evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new ServerError({ message, cause }) })

/** In a folder of its own first: nobody finds half of it. */
const built = Effect.gen(function* () {
  const folder = `${cached}.${randomUUID()}`
  yield* promised("cannot make the folder of stripe-mock", () => mkdir(dirname(cached), { recursive: true }))
  const module = `github.com/stripe/stripe-mock@v${version}`
  yield* run("go", ["install", module], { env: { ...process.env, GOBIN: folder, GOFLAGS: "-mod=mod" } })
  // Somebody else may have been faster.
  yield* Effect.ignore(promised("cannot keep stripe-mock", () => rename(folder, cached)))
  return { _tag: "Binary", folder: existsSync(cached) ? cached : folder } as const
})

/** Builds it where that is how it can be had; says what to install when it cannot. */
export const find: Effect.Effect<Source, ServerError> = Effect.gen(function* () {
  const url = process.env.TEST_STRIPE_MOCK_URL
  if (url) return { _tag: "Address", url } as const
  const folder = folderOf(program, [cached])
  if (folder !== undefined) return { _tag: "Binary", folder } as const
  if (folderOf("go", []) !== undefined) return yield* built
  return (yield* dockerAnswers) ? ({ _tag: "Container" } as const) : yield* missing
})

const answers = (url: string) =>
  promised(`no stripe-mock answers at ${url}`, () =>
    fetch(`${url}/v1/balance`, { headers: { authorization: "Bearer sk_test_ready" } })
  )

const own = (source: Exclude<Source, { readonly _tag: "Address" }>) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const url = `http://127.0.0.1:${port}`
    const ready = answers(url)
    if (source._tag === "Binary") {
      const args = ["-http-addr", `127.0.0.1:${port}`, "-https-addr", "127.0.0.1:0"]
      const mock = spawn(join(source.folder, program), args, { env: {} })
      yield* ownProcess({ spawn: mock, ready, stopSignal: "SIGTERM" })
    } else {
      const createArguments = ["--publish", `127.0.0.1:${port}:12111`, `stripe/stripe-mock:v${version}`]
      yield* ownContainer({ name: `paystream-${program}-${randomUUID()}`, createArguments, ready })
    }
    return url
  })

/** The address of Stripe's own mock server: stateless, it checks each request against Stripe's description of its API. */
export const start: Effect.Effect<string, ServerError, Scope.Scope> = Effect.flatMap(find, (source) =>
  source._tag === "Address" ? Effect.succeed(source.url) : own(source)
)
