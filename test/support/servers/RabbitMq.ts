import { randomUUID } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { connect } from "amqplib"
import { Effect, type Scope } from "effect"
import { close } from "../../../src/layers/rabbitmq/Closing.ts"
import type { Certificates } from "./Certificates.ts"
import { spawn } from "./Child.ts"
import { run } from "./command.ts"
import { freePort } from "./freePort.ts"
import { docker, givenByAddress, ownContainer, ownProcess, type ServerControl } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { findAny, findOwn, missing, type Source, type Wanted } from "./Source.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** One that speaks TLS as well. */
export interface SecureRabbitMqServer extends RabbitMqServer {
  readonly tlsPort: number
}

/** A RabbitMQ to test with. */
export interface RabbitMqServer extends ServerControl {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Runs rabbitmqctl on it, and gives what it printed. */
  readonly ctl: (...args: ReadonlyArray<string>) => Effect.Effect<string, ServerError>
}

const wanted: Wanted = {
  name: "RabbitMQ",
  variable: "TEST_RABBITMQ_URL",
  program: "rabbitmq-server",
  // the one that Debian puts on the PATH insists on the system's account and folders
  folders: () => ["/usr/lib/rabbitmq/bin"],
  debianPackage: "rabbitmq-server"
}

/** Says what to install when no RabbitMQ can be had here. */
export const find: Effect.Effect<Source, ServerError> = findAny(wanted)

/** The RabbitMQ given in TEST_RABBITMQ_URL, or else one of our own. */
export const start: Effect.Effect<RabbitMqServer, ServerError, Scope.Scope> = Effect.flatMap(find, (source) =>
  source._tag === "Address" ? Effect.succeed(fromAddress(source.url)) : startFrom(source)
)

/** Always one of our own, which the test may stop. */
export const startOwn: Effect.Effect<RabbitMqServer, ServerError, Scope.Scope> = Effect.suspend(() =>
  Effect.flatMap(findOwn(wanted), startFrom)
)

/** One of our own that speaks TLS too, and looks at who is there if they have a certificate. */
export const startSecure = (
  certificates: Certificates
): Effect.Effect<SecureRabbitMqServer, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const source = yield* findOwn(wanted)
    if (source._tag !== "Binary") return yield* missing(wanted)
    const port = yield* freePort
    return { ...(yield* startBinary(source.folder, { port, certificates })), tlsPort: port }
  })

interface Tls {
  readonly port: number
  readonly certificates: Certificates
}

const startFrom = (source: Exclude<Source, { _tag: "Address" }>) =>
  source._tag === "Binary" ? startBinary(source.folder) : startContainer

const fromAddress = (url: string): RabbitMqServer => {
  const { hostname, port } = new URL(url)
  const ctl = () => Effect.fail(new ServerError({ message: "rabbitmqctl needs a server of our own: use startOwn" }))
  return { ...givenByAddress, url, host: hostname, port: Number(port || 5672), ctl }
}

const user = "paystream"

const addressOf = (port: number) => ({ url: `amqp://${user}:${user}@127.0.0.1:${port}`, host: "127.0.0.1", port })

const startBinary = (binaries: string, tls?: Tls) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder("rabbitmq")
    const [port, distributionPort, epmdPort] = yield* Effect.all([freePort, freePort, freePort])
    const env = environmentOf(folder, distributionPort, epmdPort)
    yield* writeConfiguration(folder, port, tls)
    // our own Erlang port mapper: the one that RabbitMQ would start stays behind as a daemon
    yield* spawn("epmd", ["-port", `${epmdPort}`, "-address", "127.0.0.1"], { env })
    const address = addressOf(port)
    const control = yield* ownProcess({
      spawn: spawn(join(binaries, "rabbitmq-server"), [], { env, cwd: folder }),
      ready: answers(address.url),
      stopSignal: "SIGTERM"
    })
    return {
      ...address,
      ...control,
      ctl: (...args: ReadonlyArray<string>) => run(join(binaries, "rabbitmqctl"), args, { env, cwd: folder })
    }
  })

const environmentOf = (folder: string, distributionPort: number, epmdPort: number) => ({
  PATH: process.env.PATH,
  LANG: "C.UTF-8",
  HOME: folder,
  ERL_EPMD_PORT: `${epmdPort}`,
  ERL_EPMD_ADDRESS: "127.0.0.1",
  RABBITMQ_NODENAME: `paystream-${distributionPort}@localhost`,
  RABBITMQ_DIST_PORT: `${distributionPort}`,
  RABBITMQ_MNESIA_BASE: join(folder, "data"),
  RABBITMQ_LOG_BASE: join(folder, "log"),
  RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.config"),
  RABBITMQ_CONF_ENV_FILE: join(folder, "rabbitmq-env.conf"),
  RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
  // its script then becomes the server, instead of standing between us and it
  RUNNING_UNDER_SYSTEMD: "true"
})

/** What is due while it starts, before its exchanges are there, waits for three minutes more by default (docs/workers.md). */
const deadLettering = { setting: "dead_letter_worker_publisher_confirm_timeout", millis: 15_000 }

/** The classic format, in Erlang terms: translating the newer one costs a second at each start. */
const writeConfiguration = (folder: string, port: number, tls: Tls | undefined): Effect.Effect<void, ServerError> =>
  Effect.tryPromise({
    try: async () => {
      const listeners = `{tcp_listeners, [{"127.0.0.1", ${port}}]}, {loopback_users, []}`
      const account = `{default_user, <<"${user}">>}, {default_pass, <<"${user}">>}`
      const again = `{${deadLettering.setting}, ${deadLettering.millis}}`
      const settings = [listeners, account, again, ...(tls === undefined ? [] : [secure(tls)])].join(", ")
      await writeFile(join(folder, "rabbitmq.config"), `[{rabbit, [${settings}]}].\n`)
      await writeFile(join(folder, "enabled_plugins"), "[].\n")
    },
    catch: (cause) => new ServerError({ message: "cannot write the configuration of RabbitMQ", cause })
  })

const secure = ({ certificates, port }: Tls) => {
  const authority = `{cacertfile, "${certificates.authorityFile}"}, {verify, verify_peer}`
  const own = `{certfile, "${certificates.serverCertificateFile}"}, {keyfile, "${certificates.serverKeyFile}"}`
  return `{ssl_listeners, [{"127.0.0.1", ${port}}]}, {ssl_options, [${authority}, ${own}]}`
}

const answers = (url: string): Effect.Effect<void, ServerError> =>
  Effect.tryPromise({
    try: async () => {
      const connection = await connect(url)
      // one that goes away again at once is not ready, and nothing else
      connection.on("error", () => undefined)
      await close(connection)
    },
    catch: (cause) => new ServerError({ message: `no RabbitMQ answers at ${url}`, cause })
  })

const startContainer = Effect.gen(function* () {
  const address = addressOf(yield* freePort)
  const name = `paystream-rabbitmq-${randomUUID()}`
  const published = ["--publish", `127.0.0.1:${address.port}:5672`]
  const account = ["--env", `RABBITMQ_DEFAULT_USER=${user}`, "--env", `RABBITMQ_DEFAULT_PASS=${user}`]
  const flag = `-rabbit ${deadLettering.setting} ${deadLettering.millis}`
  const again = ["--env", `RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=${flag}`]
  const control = yield* ownContainer({
    name,
    createArguments: [...published, ...account, ...again, "rabbitmq:3.13"],
    ready: answers(address.url)
  })
  const ctl = (...args: ReadonlyArray<string>) => docker("exec", name, "rabbitmqctl", ...args)
  return { ...address, ...control, ctl }
})
