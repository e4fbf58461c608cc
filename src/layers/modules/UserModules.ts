/**
 * Modules that users bring along, from anywhere: `paystream` and `effect` in them are the running ones, so that a file
 * mounted into a container needs no dependencies of its own.
 */

import { readdirSync } from "node:fs"
import * as NodeModule from "node:module"
import { dirname, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Effect, Schema } from "effect"

/** A module that cannot be loaded. */
export class ModuleError extends Schema.TaggedError<ModuleError>()("ModuleError", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the module ${this.path} cannot be loaded: ${this.detail}`
  }
}

const ours = /^(paystream|effect)($|\/)/

/** What Bun offers for this; it has no `registerHooks`. */
interface BunPlugins {
  readonly plugin: (plugin: {
    readonly name: string
    readonly setup: (build: {
      readonly module: (
        specifier: string,
        load: () => Promise<{ readonly exports: object; readonly loader: "object" }>
      ) => void
    }) => void
  }) => void
}

const bun = (globalThis as { readonly Bun?: BunPlugins }).Bun

/** `effect` and every module in it that its package offers. */
const effectModules = (): ReadonlyArray<string> => {
  const folder = dirname(fileURLToPath(import.meta.resolve("effect")))
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  const modules = files.filter((file) => file.endsWith(".js") && !file.includes("internal"))
  return modules.map((file) => `effect/${file.slice(0, -".js".length)}`.replace(/\/index$/, ""))
}

const offer = async (specifier: string) => ({ exports: await import(specifier), loader: "object" as const })

/** Imports of ours are found from here, whoever asks for them. */
const install = (): void => {
  if (bun === undefined) {
    NodeModule.registerHooks({
      resolve: (specifier, context, next) =>
        next(specifier, ours.test(specifier) ? { ...context, parentURL: import.meta.url } : context)
    })
  } else {
    bun.plugin({
      name: "paystream",
      setup: (build) => {
        for (const name of ["paystream", ...effectModules()]) build.module(name, () => offer(import.meta.resolve(name)))
      }
    })
  }
}

let isInstalled = false

/** Once in a process, however many modules are loaded. */
const installOnce = Effect.sync(() => {
  if (!isInstalled) install()
  isInstalled = true
})

const messageOf = (cause: unknown): string => {
  // Bun gathers what it cannot read in a file, and says in the whole only how much of it there is.
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(messageOf).join("; ")
  return cause instanceof Error ? cause.message : String(cause)
}

/** What a module exports, by name. */
export const load = (path: string): Effect.Effect<Readonly<Record<string, unknown>>, ModuleError> =>
  Effect.andThen(
    installOnce,
    Effect.tryPromise({
      try: () => import(pathToFileURL(resolve(path)).href),
      catch: (cause) => new ModuleError({ path, detail: messageOf(cause) })
    })
  )
