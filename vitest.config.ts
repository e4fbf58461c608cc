import { defineConfig } from "vitest/config"

const seconds = 1000

/** Servers are started once per project, and stopped with it. */
const globalSetup = ["test/support/globalSetup.ts"]

/** Processes that are killed `CHAOS_ROUNDS` times: they take as long as all other end-to-end tests together. */
const chaos = ["test/e2e/*chaos.test.ts"]

/** What needs a control plane of Kubernetes, and nothing else: the other contracts do not pay for it. */
const ofClusters = ["test/contracts/Cluster*.test.ts"]

export default defineConfig({
  test: {
    // What a test prints is news only when it fails.
    silent: "passed-only",
    // Two lists of thousands are as well told by where they first differ.
    diff: { truncateThreshold: 60, truncateAnnotation: "… the rest is left out" },
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "test/{domain,streams,layers,operator,modes}/**/*.test.ts",
            "test/*.test.ts",
            "examples/**/*.test.ts"
          ],
          exclude: ["test/layers/embedded/**"],
          // nobody changes what others read: what they import is loaded once, and not for each file again
          isolate: false,
          testTimeout: 60 * seconds,
          hookTimeout: 30 * seconds
        }
      },
      {
        test: {
          name: "contracts",
          include: ["test/contracts/**/*.test.ts", "test/layers/embedded/**/*.test.ts"],
          exclude: ofClusters,
          globalSetup,
          // some start a server of their own, beside everything else on two cores
          testTimeout: 120 * seconds,
          hookTimeout: 60 * seconds
        }
      },
      {
        test: {
          name: "cluster",
          include: ofClusters,
          globalSetup: ["test/support/kubernetesSetup.ts"],
          testTimeout: 60 * seconds,
          hookTimeout: 60 * seconds
        }
      },
      {
        test: {
          name: "kubernetes",
          include: ["test/kubernetes/**/*.test.ts"],
          // each starts a control plane of its own, and operators on both runtimes, on two cores
          fileParallelism: false,
          testTimeout: 60 * seconds,
          hookTimeout: 60 * seconds
        }
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: chaos,
          globalSetup,
          // each starts processes and servers of its own, on two cores
          fileParallelism: false,
          testTimeout: 180 * seconds,
          hookTimeout: 60 * seconds
        }
      },
      {
        test: {
          name: "chaos",
          include: chaos,
          globalSetup,
          fileParallelism: false,
          testTimeout: 180 * seconds,
          hookTimeout: 60 * seconds
        }
      }
    ]
  }
})
