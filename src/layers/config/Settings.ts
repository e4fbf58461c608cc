/** Every setting of the product, in the sections in which documentation shows them; and the door to this folder. */

import { apiBrokers, apiSettings } from "./ApiSettings.ts"
import { consumerSettings, guaranteeSettings } from "./ConsumerSettings.ts"
import { gatewaySettings, webhookSecrets } from "./GatewaySettings.ts"
import { healthSettings } from "./HealthSettings.ts"
import { jobModule, jobSettings } from "./JobSettings.ts"
import { kafkaSettings } from "./KafkaSettings.ts"
import { kubernetesSettings } from "./KubernetesSettings.ts"
import { logSettings } from "./LogSettings.ts"
import { operatorSettings } from "./OperatorSettings.ts"
import { outboxSettings } from "./OutboxSettings.ts"
import { paymentFlags, paymentSettings } from "./PaymentSettings.ts"
import { pixSettings, simulatorKey } from "./PixSettings.ts"
import { postgresSettings } from "./PostgresSettings.ts"
import { processSettings } from "./ProcessSettings.ts"
import { rabbitMqSettings } from "./RabbitMqSettings.ts"
import { redisSettings } from "./RedisSettings.ts"
import { retentionSettings } from "./RetentionSettings.ts"
import { runSettings, terminationMessagePath } from "./RunSettings.ts"
import { all, type Group } from "./Setting.ts"
import { workerSettings } from "./WorkerSettings.ts"

export { type ApiSettings, apiBrokers, apiKeys, apiRateLimit, apiSettings, configuredBrokers } from "./ApiSettings.ts"
export { consumerSettings, type GuaranteeSettings, guaranteeSettings } from "./ConsumerSettings.ts"
export { type Environment, load as environment, override } from "./Environment.ts"
export { type GatewaySettings, gatewaySettings, webhookSecrets } from "./GatewaySettings.ts"
export { type HealthSettings, healthSettings } from "./HealthSettings.ts"
export { jobModule, jobSettings } from "./JobSettings.ts"
export { type KafkaSettings, kafkaSettings } from "./KafkaSettings.ts"
export { type KubernetesAccess, type KubernetesSettings, kubernetesSettings } from "./KubernetesSettings.ts"
export { type LogSettings, logSettings } from "./LogSettings.ts"
export { operatorSettings } from "./OperatorSettings.ts"
export { type OutboxSettings, outboxRules, outboxSettings } from "./OutboxSettings.ts"
export { type PaymentFlags, type PaymentSettings, paymentFlags, paymentSettings } from "./PaymentSettings.ts"
export { pixSettings, simulatorKey } from "./PixSettings.ts"
export { type PostgresSettings, postgresSettings } from "./PostgresSettings.ts"
export { SettingsError } from "./Problem.ts"
export {
  type BrokerKind,
  broker,
  database,
  type ProcessSettings,
  processSettings,
  serviceNameOf,
  shutdownTimeout,
  withDatabase,
  withDatabaseFor,
  withQueues
} from "./ProcessSettings.ts"
export { type RabbitMqSettings, rabbitMqSettings } from "./RabbitMqSettings.ts"
export { type RedisSettings, redisSettings } from "./RedisSettings.ts"
export {
  auditRetention,
  deadLettersRetention,
  intentsRetention,
  ordersRetention,
  paymentsRetention,
  personalFields
} from "./RetentionSettings.ts"
export { runSettings, terminationMessagePath } from "./RunSettings.ts"
export { all, type Group, load, onlyIf, onlyWhere, refine, shown } from "./Setting.ts"
export { queueName, workerSettings } from "./WorkerSettings.ts"

export const sections: ReadonlyArray<{ readonly title: string; readonly group: Group<unknown> }> = [
  { title: "The process", group: processSettings },
  { title: "RabbitMQ", group: rabbitMqSettings },
  { title: "Kafka", group: kafkaSettings },
  { title: "PostgreSQL", group: postgresSettings },
  { title: "Redis", group: redisSettings },
  { title: "The payment worker", group: workerSettings },
  { title: "A run of the payment worker", group: all({ runSettings, terminationMessagePath }) },
  { title: "Topic workers", group: all({ consumers: consumerSettings, guarantees: guaranteeSettings }) },
  { title: "Jobs on a schedule", group: all({ jobModule, jobSettings }) },
  { title: "The HTTP API", group: all({ apiBrokers, apiSettings }) },
  { title: "The PIX system", group: all({ pixSettings, simulatorKey }) },
  { title: "Payments", group: all({ paymentFlags, paymentSettings }) },
  { title: "The outbox", group: outboxSettings },
  { title: "What is kept", group: retentionSettings },
  { title: "The payment gateway", group: all({ gatewaySettings, webhookSecrets }) },
  { title: "Kubernetes", group: kubernetesSettings },
  { title: "The PaymentJob operator", group: operatorSettings },
  { title: "The log", group: logSettings },
  { title: "Health", group: healthSettings }
]
