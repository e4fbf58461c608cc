import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import * as Kubernetes from "./servers/Kubernetes.ts"

declare module "vitest" {
  export interface ProvidedContext {
    readonly kubernetes: Kubernetes.KubernetesAddress
  }
}

/** Starts the control plane that the test files of a project share, and stops it after the last. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const scope = Scope.makeUnsafe()
  const { folder, kubeconfig, kubectl, port } = await Effect.runPromise(
    Scope.provide(Kubernetes.start({ crds: [Kubernetes.looseCrd] }), scope)
  )
  project.provide("kubernetes", { folder, kubeconfig, kubectl, port })
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}
