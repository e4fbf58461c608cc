/** What is told apart by its name, and its copies by their versions. */

export interface Versioned {
  readonly namespace: string
  readonly name: string
  readonly resourceVersion: string
}

/** `namespace/name`. */
export const keyOf = ({ name, namespace }: Pick<Versioned, "name" | "namespace">): string => `${namespace}/${name}`

/** Of two copies of one object. */
export const isNewerOrSame = (one: Versioned, other: Versioned): boolean =>
  BigInt(one.resourceVersion) >= BigInt(other.resourceVersion)

/** Whether nothing is told apart but the version: fields stand in the order in which they are read. */
export const isSameButVersion = <O extends Pick<Versioned, "resourceVersion">>(one: O, other: O): boolean =>
  one.resourceVersion === other.resourceVersion || textOf(one) === textOf(other)

const textOf = <O extends Pick<Versioned, "resourceVersion">>(object: O): string =>
  JSON.stringify({ ...object, resourceVersion: undefined })
