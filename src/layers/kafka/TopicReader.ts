/** A topic read by no group: from any offset, nothing committed anywhere, and nobody's partitions taken away. */
import { createRequire } from "node:module"
import type { Batch, Kafka, KafkaMessage } from "kafkajs"
import { boundaries, consumerWithCluster, partitionsOf } from "./KafkaGroup.ts"

/** Where the records of a partition are, as it was when the reader was made. */
export interface Extent {
  readonly partition: number
  readonly first: number
  /** The offset of the next record to be written. */
  readonly end: number
}

export interface Page {
  readonly records: ReadonlyArray<KafkaMessage>
  /** Where to read on; nothing is left to read where it is no further than before. */
  readonly next: number
}

export interface TopicReader {
  readonly extents: ReadonlyArray<Extent>
  /** Some records from an offset on: one, or as many as fit into a page. */
  readonly read: (partition: number, from: number) => Promise<Page>
  readonly close: () => Promise<void>
}

/** Knows which records of an answer are messages: not those before the offset, nor markers, nor what was taken back. */
const BatchOf = createRequire(import.meta.url)("kafkajs/src/consumer/batch") as new (
  topic: string,
  fetchedOffset: string,
  fetched: unknown
) => Batch & { readonly messagesWithinOffset: ReadonlyArray<KafkaMessage> }

const pageBytes = 256 * 1024
const readCommitted = 1

/** Opens a topic; only its name has to be known. */
export const open = async (kafka: Kafka, topic: string): Promise<TopicReader> => {
  // Nobody joins this group: it has a name because a consumer must have one.
  const { cluster } = consumerWithCluster(kafka, { groupId: "nobody", allowAutoTopicCreation: false })
  const close = () => cluster.disconnect()

  const extentsNow = async (): Promise<ReadonlyArray<Extent>> => {
    await cluster.connect()
    await cluster.addMultipleTargetTopics([topic])
    const partitions = partitionsOf(cluster, topic)
    const ends = await boundaries(cluster, topic, partitions, "end")
    const firsts = await boundaries(cluster, topic, partitions, "first")
    return ends.map(({ offset, partition }) => {
      const first = firsts.find((one) => one.partition === partition)?.offset
      return { partition, first: Number(first ?? offset), end: Number(offset) }
    })
  }
  const fetch = async (partition: number, fetchOffset: string) => {
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
    const broker = await cluster.findBroker({ nodeId: nodeId ?? "" })
    const { responses } = await broker.fetch({
      isolationLevel: readCommitted,
      maxWaitTime: 250,
      maxBytes: pageBytes,
      topics: [{ topic, partitions: [{ partition, fetchOffset, maxBytes: pageBytes }] }]
    })
    return new BatchOf(topic, fetchOffset, responses[0].partitions[0])
  }

  const extents = await extentsNow().catch(async (cause) => {
    await close()
    throw cause
  })
  return {
    extents,
    read: async (partition, from) => {
      const batch = await fetch(partition, String(from)).catch(async (cause) => {
        // It may have another leader by now; who tries again finds that one.
        await cluster.refreshMetadata()
        throw cause
      })
      const last = batch.messagesWithinOffset.at(-1)
      return { records: batch.messages, next: last === undefined ? from : Number(last.offset) + 1 }
    },
    close
  }
}
