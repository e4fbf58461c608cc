/** Every implementation passes the contract. */
import { randomUUID } from "node:crypto"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import * as MemoryCluster from "../../src/layers/memory/MemoryCluster.ts"
import { cluster } from "../support/ClusterAccess.ts"
import { newNamespace } from "../support/Clusters.ts"
import { suite } from "./ClusterContract.ts"

suite("memory", MemoryCluster.layer, { newNamespace: Effect.sync(() => randomUUID()) })
suite(
  "Kubernetes",
  Layer.suspend(() => cluster({ kubeconfig: inject("kubernetes").kubeconfig })),
  { newNamespace }
)
