import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import { Effect } from "effect"
import { type ChildOptions, spawn } from "./Child.ts"
import { ServerError } from "./ServerError.ts"

/** Runs a command to its end and gives what it printed. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: ChildOptions
): Effect.Effect<string, ServerError> =>
  Effect.gen(function* () {
    const child = yield* spawn(program, args, options)
    const code = yield* child.exit
    if (code === 0) return child.stdout.join("\n")
    const written = [...child.stdout, ...child.stderr].join("\n")
    return yield* new ServerError({ message: `${program} ${args.join(" ")} ended with ${code}:\n${written}` })
  }).pipe(Effect.scoped)

/** The first of the folders, and then of the PATH, that holds such a program. */
export const folderOf = (program: string, folders: ReadonlyArray<string>): string | undefined =>
  [...folders, ...(process.env.PATH ?? "").split(delimiter)].find((folder) => isExecutable(join(folder, program)))

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
