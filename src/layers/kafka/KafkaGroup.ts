/** A consumer group's committed offsets, read and written without being a member of it. */
import type { Cluster, Consumer, ConsumerConfig, Kafka } from "kafkajs"
import { PartitionAssigners } from "kafkajs"

/** What a group has committed for a partition; without an offset where nothing is. */
export interface Committed {
  readonly partition: number
  readonly offset: number | undefined
  readonly note: string | null
}

/**
 * A consumer, and the connections that it uses. kafkajs hands these to who assigns partitions, and to nobody else:
 * notes beside committed offsets are not to be had otherwise.
 */
export const consumerWithCluster = (
  kafka: Kafka,
  config: ConsumerConfig
): { readonly consumer: Consumer; readonly cluster: Cluster } => {
  let found: Cluster | undefined
  const consumer = kafka.consumer({
    ...config,
    partitionAssigners: [
      (assigner) => {
        found = assigner.cluster
        return PartitionAssigners.roundRobin(assigner)
      }
    ]
  })
  if (found === undefined) throw new Error("kafkajs made a consumer without asking for its assigners")
  return { consumer, cluster: found }
}

/** The partitions of a topic that the cluster was told of. */
export const partitionsOf = (cluster: Cluster, topic: string): ReadonlyArray<number> =>
  cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)

/** What a group has committed for partitions of a topic. */
export const committedOf = async (
  cluster: Cluster,
  groupId: string,
  topic: string,
  partitions: ReadonlyArray<number>
): Promise<ReadonlyArray<Committed>> => {
  const coordinator = await cluster.findGroupCoordinator({ groupId })
  const asked = partitions.map((partition) => ({ partition, offset: "" }))
  const { responses } = await coordinator.offsetFetch({ groupId, topics: [{ topic, partitions: asked }] })
  return (responses[0]?.partitions ?? []).map((one) => ({
    partition: one.partition,
    offset: Number(one.offset) < 0 ? undefined : Number(one.offset),
    note: "metadata" in one && typeof one.metadata === "string" ? one.metadata : null
  }))
}

/** The first offset of a topic's partitions, or the one that the next message will get. */
export const boundaries = async (
  cluster: Cluster,
  topic: string,
  partitions: ReadonlyArray<number>,
  boundary: "first" | "end"
) => {
  const asked = partitions.map((partition) => ({ partition }))
  const [found] = await cluster.fetchTopicsOffset([{ topic, partitions: asked, fromBeginning: boundary === "first" }])
  return found?.partitions ?? []
}

export interface Beginning {
  readonly groupId: string
  readonly topic: string
  /** With what the topic holds already, or with what comes from now on. */
  readonly from: "first" | "now"
}

/** Says where a new group begins; a group that has committed anything goes on from there. */
export const begin = async (kafka: Kafka, beginning: Beginning): Promise<void> => {
  const { cluster } = consumerWithCluster(kafka, { groupId: beginning.groupId, allowAutoTopicCreation: false })
  await cluster.connect()
  await beginAt(cluster, beginning).finally(() => cluster.disconnect())
}

const beginAt = async (cluster: Cluster, { from, groupId, topic }: Beginning): Promise<void> => {
  await cluster.addMultipleTargetTopics([topic])
  const partitions = partitionsOf(cluster, topic)
  // Looked up before the commits: what is published after somebody else's commit is not passed over then.
  const offsets = await boundaries(cluster, topic, partitions, from === "first" ? "first" : "end")
  const committed = await committedOf(cluster, groupId, topic, partitions)
  if (committed.some(({ offset }) => offset !== undefined)) return
  const coordinator = await cluster.findGroupCoordinator({ groupId })
  await coordinator.offsetCommit({
    groupId,
    memberId: "",
    groupGenerationId: -1,
    topics: [{ topic, partitions: [...offsets] }]
  })
}
