import { randomUUID } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, rename, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, type Scope } from "effect"
import { Kafka, logLevel } from "kafkajs"
import * as Internals from "../../../src/layers/kafka/Internals.ts"
import * as Certificates from "./Certificates.ts"
import { spawn } from "./Child.ts"
import { folderOf, run } from "./command.ts"
import { freePort } from "./freePort.ts"
import { givenByAddress, ownContainer, ownProcess, type ServerControl } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { canInstall, dockerAnswers, install } from "./Source.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** A Kafka to test with. */
export interface KafkaServer extends ServerControl {
  /** `host:port` */
  readonly address: string
}

/** One whose listeners ask who is there: `user` with `password` over PLAIN and SCRAM, and TLS. */
export interface SecureKafkaServer extends KafkaServer {
  readonly sasl: string
  readonly tls: string
  readonly user: string
  readonly password: string
  /** The authority of its certificate, and a certificate of ours by the same. */
  readonly certificates: Certificates.Certificates
}

const version = "4.1.1"

/** Where it comes from. */
type Source =
  | { readonly _tag: "Address"; readonly address: string }
  | { readonly _tag: "Libraries"; readonly folder: string }
  | { readonly _tag: "Container" }

/** Java's libraries, copied by Maven once for all clones of the repository. */
const cached = join(process.env.PAYSTREAM_CACHE ?? join(homedir(), ".cache/paystream"), `kafka-${version}`)

const kafkaHome = (): string | undefined => {
  const bin = folderOf("kafka-server-start.sh", process.env.KAFKA_HOME ? [join(process.env.KAFKA_HOME, "bin")] : [])
  const folder = bin === undefined ? undefined : join(dirname(bin), "libs")
  return folder !== undefined && existsSync(folder) ? folder : undefined
}

const has = (program: string): boolean => folderOf(program, []) !== undefined

const missing = new ServerError({
  message: `Kafka: put kafka-server-start.sh (${version}) on the PATH or its folder into KAFKA_HOME, or java and mvn on the PATH \
(Debian: apt-get install default-jre-headless maven), start a Docker engine, or give the address of a running one in TEST_KAFKA_BROKERS`
})

/** Says what to install when no Kafka can be had here. */
export const find: Effect.Effect<Source, ServerError> = Effect.suspend(() => {
  const address = process.env.TEST_KAFKA_BROKERS
  return address ? Effect.succeed<Source>({ _tag: "Address", address }) : findOwn
})

const findOwn: Effect.Effect<Exclude<Source, { _tag: "Address" }>, ServerError> = Effect.gen(function* () {
  const home = has("java") ? (kafkaHome() ?? (existsSync(cached) ? cached : undefined)) : undefined
  if (home !== undefined) return { _tag: "Libraries", folder: home } as const
  if (has("java") && has("mvn")) return yield* copied
  if (yield* dockerAnswers) return { _tag: "Container" } as const
  if (canInstall()) yield* Effect.andThen(install("default-jre-headless"), install("maven"))
  return has("java") && has("mvn") ? yield* copied : yield* missing
})

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>paystream.test</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version></dependency>
  </dependencies>
</project>
`

/** In a folder of its own first: nobody finds half of it. */
const copied = Effect.gen(function* () {
  const folder = `${cached}.${randomUUID()}`
  const libraries = join(folder, "libs")
  yield* promised("cannot make the folder of Kafka's libraries", async () => {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, "pom.xml"), pom)
  })
  const goal = ["--quiet", "--batch-mode", "dependency:copy-dependencies", `-DoutputDirectory=${libraries}`]
  yield* run("mvn", [...goal, "-DincludeScope=runtime"], { cwd: folder, env: process.env })
  // Somebody else may have been faster.
  yield* Effect.ignore(promised("cannot keep Kafka's libraries", () => rename(libraries, cached)))
  return { _tag: "Libraries", folder: existsSync(cached) ? cached : libraries } as const
})

const promised = <A>(message: string, evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new ServerError({ message, cause }) })

/** The Kafka given in TEST_KAFKA_BROKERS, or else one of our own. */
export const start: Effect.Effect<KafkaServer, ServerError, Scope.Scope> = Effect.flatMap(find, (source) =>
  source._tag === "Address" ? Effect.succeed({ ...givenByAddress, address: source.address }) : startFrom(source)
)

/** Always one of our own, which the test may stop. */
export const startOwn: Effect.Effect<KafkaServer, ServerError, Scope.Scope> = Effect.suspend(() =>
  Effect.flatMap(findOwn, startFrom)
)

const startFrom = (source: Exclude<Source, { _tag: "Address" }>) =>
  source._tag === "Libraries" ? startLibraries(source.folder) : startContainer

/** One of our own that asks who is there. */
export const startSecure: Effect.Effect<SecureKafkaServer, ServerError, Scope.Scope> = Effect.gen(function* () {
  const source = yield* findOwn
  if (source._tag !== "Libraries") return yield* missing
  const certificates = yield* Certificates.make()
  const [sasl, tls] = [yield* freePort, yield* freePort]
  const server = yield* startLibraries(source.folder, { sasl, tls, certificates })
  return { ...server, ...account, sasl: `127.0.0.1:${sasl}`, tls: `127.0.0.1:${tls}`, certificates }
})

interface Security {
  readonly sasl: number
  readonly tls: number
  readonly certificates: Certificates.Certificates
}

const account = { user: "paystream", password: "a password" }

const startLibraries = (libraries: string, security?: Security) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder("kafka")
    const [port, controller] = [yield* freePort, yield* freePort]
    const properties = join(folder, "server.properties")
    yield* promised("cannot write the configuration of Kafka", () =>
      writeFile(properties, propertiesOf({ folder, port, controller, security }))
    )
    const env = { PATH: process.env.PATH, LANG: "C.UTF-8", HOME: folder }
    const java = (main: string, ...args: ReadonlyArray<string>) => [
      ...["-Xms192m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
      ...["-cp", join(libraries, "*"), main, ...args]
    ]
    const formatted = ["format", "--cluster-id", "paystream-test-cluster", "--config", properties]
    const scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
      "--add-scram",
      `${mechanism}=[name=${account.user},password=${account.password}]`
    ])
    yield* run("java", java("kafka.tools.StorageTool", ...formatted, ...(security ? scram : [])), { env, cwd: folder })
    const address = `127.0.0.1:${port}`
    const control = yield* ownProcess({
      spawn: spawn("java", java("kafka.Kafka", properties), { env, cwd: folder }),
      ready: answers(address),
      stopSignal: "SIGTERM"
    })
    return { ...control, address }
  })

interface Configuration {
  readonly folder: string
  readonly port: number
  readonly controller: number
  readonly security: Security | undefined
}

/** One process that is broker and controller, with nothing that waits for others. */
const propertiesOf = ({ controller, folder, port, security }: Configuration): string => {
  const listeners = [
    `PLAINTEXT://127.0.0.1:${port}`,
    ...(security ? [`SASL_PLAINTEXT://127.0.0.1:${security.sasl}`, `SSL://127.0.0.1:${security.tls}`] : [])
  ]
  const lines = [
    "process.roles=broker,controller",
    "node.id=1",
    `controller.quorum.voters=1@127.0.0.1:${controller}`,
    "controller.listener.names=CONTROLLER",
    "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL",
    `listeners=${[...listeners, `CONTROLLER://127.0.0.1:${controller}`].join(",")}`,
    `advertised.listeners=${listeners.join(",")}`,
    `log.dirs=${join(folder, "data")}`,
    "auto.create.topics.enable=true",
    "num.partitions=3",
    "offsets.topic.replication.factor=1",
    "offsets.topic.num.partitions=4",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "transaction.state.log.num.partitions=2",
    "group.initial.rebalance.delay.ms=0",
    // One that was killed may register again only when its earlier life has ended.
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    "group.min.session.timeout.ms=500",
    "log.cleaner.enable=false",
    "controlled.shutdown.enable=false",
    ...(security ? secure(security) : [])
  ]
  return `${lines.join("\n")}\n`
}

const secure = ({ certificates }: Security): ReadonlyArray<string> => {
  const name = "org.apache.kafka.common.security"
  const user = `user_${account.user}="${account.password}"`
  return [
    "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    `listener.name.sasl_plaintext.plain.sasl.jaas.config=${name}.plain.PlainLoginModule required ${user};`,
    `listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=${name}.scram.ScramLoginModule required;`,
    `listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=${name}.scram.ScramLoginModule required;`,
    "ssl.keystore.type=PEM",
    `ssl.keystore.location=${certificates.serverFile}`,
    "ssl.truststore.type=PEM",
    `ssl.truststore.location=${certificates.authorityFile}`,
    "ssl.client.auth=requested"
  ]
}

/** It answers, and has made the topic in which groups keep their offsets: it does so when the first of them is asked for. */
const answers = (address: string): Effect.Effect<void, ServerError> =>
  promised(`no Kafka answers at ${address}`, async () => {
    Internals.silenceTimer()
    const retry = { retries: 0 }
    const admin = new Kafka({ brokers: [address], retry, connectionTimeout: 500, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const asked = admin.describeCluster().then(() => admin.fetchOffsets({ groupId: "paystream-readiness" }))
    await asked.finally(() => admin.disconnect())
  })

const startContainer = Effect.gen(function* () {
  const port = yield* freePort
  const address = `127.0.0.1:${port}`
  const environment = {
    KAFKA_NODE_ID: "1",
    KAFKA_PROCESS_ROLES: "broker,controller",
    KAFKA_LISTENERS: `PLAINTEXT://0.0.0.0:${port},CONTROLLER://localhost:9093`,
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://${address}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: "CONTROLLER",
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    KAFKA_CONTROLLER_QUORUM_VOTERS: "1@localhost:9093",
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "1",
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: "1",
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: "1",
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: "0",
    KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: "500"
  }
  const control = yield* ownContainer({
    name: `paystream-kafka-${randomUUID()}`,
    createArguments: [
      ...["--publish", `127.0.0.1:${port}:${port}`],
      ...Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
      `apache/kafka:${version}`
    ],
    ready: answers(address)
  })
  return { ...control, address }
})
