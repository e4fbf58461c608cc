/** A terminal with a command in it, as somebody sits before it: util-linux's `script` gives the pty. */
import { type FileHandle, open } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { type Child, spawn } from "./servers/Child.ts"
import { run } from "./servers/command.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Terminal extends Child {
  readonly press: (key: string) => Effect.Effect<void>
}

export const controlC = "\x03"

/** Runs a command line in the project's folder, with the project's programs on the PATH. */
export const start = (commandLine: string, env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const keyboard = join(yield* temporaryFolder("terminal"), "keyboard")
    const { HOME, LANG, PATH, TMPDIR, USER } = process.env
    const inherited = { HOME, LANG, TMPDIR, USER, PATH: `${join(root, "node_modules/.bin")}:${PATH}` }
    yield* run("mkfifo", [keyboard], { env: inherited })
    // open for reading too, so that it is never at its end
    const keys = yield* Effect.acquireRelease(opened(keyboard), (file) => Effect.promise(() => file.close()))
    // `exec`: the shell of `script`, unlike one that is typed into, would die of the Ctrl-C itself
    const inTerminal = 'exec script --quiet --return --command "exec $0" /dev/null < "$1"'
    const child = yield* spawn("sh", ["-c", inTerminal, commandLine, keyboard], {
      cwd: root,
      env: { ...inherited, ...env }
    })
    const press = (key: string) => Effect.asVoid(Effect.promise(() => keys.write(key)))
    return { ...child, press } satisfies Terminal
  })

const opened = (path: string): Effect.Effect<FileHandle> => Effect.promise(() => open(path, "r+"))
