/** Where the API server has things. */
import { apiVersionOf, type Kind, kinds } from "../../domain/ClusterObjects.ts"
import type { Scope } from "../../domain/ports/Cluster.ts"

/** Those of a kind in one namespace, or in all. */
export interface Place {
  readonly kind: Kind
  readonly namespace: string | undefined
  readonly labels: string | undefined
  readonly fields: string | undefined
}

/** The places that make up a scope. */
export const placesOf = (kind: Kind, { fields, labels, namespaces }: Scope): ReadonlyArray<Place> => {
  const all: ReadonlyArray<string | undefined> = namespaces.length === 0 ? [undefined] : namespaces
  return all.map((namespace) => ({ kind, namespace, labels, fields }))
}

/** The group and version of a kind. */
export const groupPath = (kind: Kind): string => `${kinds[kind].group === "" ? "/api" : "/apis"}/${apiVersionOf(kind)}`

export const collectionPath = (kind: Kind, namespace: string | undefined): string =>
  namespace === undefined
    ? `${groupPath(kind)}/${kinds[kind].plural}`
    : `${groupPath(kind)}/namespaces/${encodeURIComponent(namespace)}/${kinds[kind].plural}`

export const objectPath = (kind: Kind, namespace: string, name: string, subresource?: string): string => {
  const path = `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`
  return subresource === undefined ? path : `${path}/${subresource}`
}

/** A collection, asked for in some way. */
export const queryPath = (
  { fields, kind, labels, namespace }: Place,
  query: Readonly<Record<string, string>>
): string => {
  const parameters = new URLSearchParams({
    ...query,
    ...(labels === undefined ? {} : { labelSelector: labels }),
    ...(fields === undefined ? {} : { fieldSelector: fields })
  })
  return `${collectionPath(kind, namespace)}?${parameters}`
}
