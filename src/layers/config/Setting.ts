/** Settings, alone and in groups. Reading a group finds all of its problems, not just the first. */
import { Effect, Result } from "effect"
import type { Environment } from "./Environment.ts"
import type { Parser } from "./Parser.ts"
import { type Problem, quote, SettingsError, withoutCredentials } from "./Problem.ts"

/** Some settings and the value that they make together. */
export interface Group<out A> {
  readonly settings: ReadonlyArray<Setting<unknown>>
  readonly read: (environment: Environment) => Reading<A>
}

export type Reading<A> = Result.Result<A, ReadonlyArray<Problem>>

/** One variable: a group of its own, with what a reader wants to know about it. */
export interface Setting<out A> extends Group<A> {
  readonly name: string
  /** What happens when it is not set, as documentation writes it. */
  readonly default: string
  readonly takes: string
  readonly reason: string
  /** A secret is never shown, and `<name>_FILE` may name a file that holds it. */
  readonly secret: boolean
}

interface Description {
  readonly name: string
  readonly default: string
  readonly reason: string
  readonly secret?: boolean
}

const make = <A>(parser: Parser<A>, whenUnset: A, description: Description): Setting<A> => {
  const setting: Setting<A> = {
    secret: false,
    ...description,
    takes: parser.takes,
    get settings() {
      return [setting]
    },
    read: (environment) =>
      Result.flatMap(textOf(setting, environment), (text) =>
        text === undefined
          ? Result.succeed(whenUnset)
          : Result.mapError(parser.parse(text), (takes) => [{ name: setting.name, got: gotOf(setting, text), takes }])
      )
  }
  return setting
}

/** A setting that has a value when nothing is set: the default, read like any other text. */
export const setting = <A>(parser: Parser<A>, description: Description): Setting<A> =>
  make(parser, Result.getOrThrow(parser.parse(description.default)), description)

/** A setting that is `undefined` when nothing is set; its default says in words what that means. */
export const optional = <A>(parser: Parser<A>, description: Description): Setting<A | undefined> =>
  make<A | undefined>(parser, undefined, description)

const gotOf = ({ secret }: { readonly secret: boolean }, text: string): string =>
  secret ? "a secret value" : quote(text)

const fileOf = ({ name }: Setting<unknown>): string => `${name}_FILE`

/** Whether there is anything to read. */
export const isSet = (setting: Setting<unknown>, environment: Environment): boolean =>
  environment.get(setting.name) !== undefined || (setting.secret && environment.get(fileOf(setting)) !== undefined)

const textOf = (setting: Setting<unknown>, environment: Environment): Reading<string | undefined> => {
  const text = environment.get(setting.name)
  const path = setting.secret ? environment.get(fileOf(setting)) : undefined
  if (path === undefined) return Result.succeed(text)
  if (text === undefined) return secretIn(path, setting, environment)
  return Result.fail([{ name: setting.name, got: `a value, and ${fileOf(setting)} too`, takes: "only one of the two" }])
}

const secretIn = (path: string, setting: Setting<unknown>, environment: Environment): Reading<string> => {
  const problem = (why: string) => [
    { name: fileOf(setting), got: `${quote(path)} (${why})`, takes: "the path of a file that holds the secret" }
  ]
  const secret = environment.readFile(path).pipe(
    Result.map((contents) => contents.replace(/\r?\n$/, "")),
    Result.mapError((code) => problem(`cannot be read: ${code}`))
  )
  return Result.filterOrFail(
    secret,
    (text) => text !== "",
    () => problem("is empty")
  )
}

type ValueOf<G> = G extends Group<infer A> ? A : never

/** Groups side by side: the values of all, or the problems of all. */
export const all = <const Groups extends Readonly<Record<string, Group<unknown>>>>(
  groups: Groups
): Group<{ readonly [Name in keyof Groups]: ValueOf<Groups[Name]> }> => ({
  settings: Object.values(groups).flatMap((group) => group.settings),
  read: (environment) => {
    const readings = Object.entries(groups).map(([name, group]) => [name, group.read(environment)] as const)
    const problems = readings.flatMap(([, reading]) => (Result.isFailure(reading) ? reading.failure : []))
    const values = readings.map(([name, reading]) => [name, Result.getOrUndefined(reading)])
    return problems.length > 0 ? Result.fail(problems) : Result.succeed(Object.fromEntries(values))
  }
})

/** A value made of another, or the problems between its fields. */
export const refine = <A, B>(group: Group<A>, f: (value: A, environment: Environment) => Reading<B>): Group<B> => ({
  settings: group.settings,
  read: (environment) => Result.flatMap(group.read(environment), (value) => f(value, environment))
})

/** What a setting makes where it is set, else the other group: which is not even looked at where it is. */
export const whereSet = <A, B>(
  setting: Setting<A | undefined>,
  f: (value: A, environment: Environment) => Reading<B>,
  otherwise: Group<B>
): Group<B> => ({
  settings: [setting, ...otherwise.settings],
  read: (environment) =>
    Result.flatMap(setting.read(environment), (value) =>
      value === undefined ? otherwise.read(environment) : f(value, environment)
    )
})

/** A group that is read only where a choice is so: else it is `undefined`, however wrong its variables. */
export const onlyIf = <A, B>(
  choice: Group<A>,
  isChosen: (value: A) => boolean,
  group: Group<B>
): Group<B | undefined> => ({
  settings: group.settings,
  read: (environment) => {
    const chosen = choice.read(environment)
    return Result.isSuccess(chosen) && isChosen(chosen.success) ? group.read(environment) : Result.succeed(undefined)
  }
})

/** The same where the choice is this value. */
export const onlyWhere = <A, const Value, B>(choice: Group<A | Value>, value: Value, group: Group<B>) =>
  onlyIf(choice, (chosen) => chosen === value, group)

/** The value of a group, or every problem that it has, each once: parts of it may read the same variable. */
export const load = <A>(group: Group<A>, environment: Environment): Effect.Effect<A, SettingsError> =>
  Effect.mapError(Effect.fromResult(group.read(environment)), (problems) => {
    const distinct = new Map(problems.map((problem) => [JSON.stringify(problem), problem]))
    return new SettingsError({ problems: [...distinct.values()] })
  })

/** A setting as one may show it: `value` is undefined where the default holds. */
export interface Shown {
  readonly name: string
  readonly value: string | undefined
  readonly default: string
}

/** What is set and what is not, without secrets. */
export const describe = (group: Group<unknown>, environment: Environment): ReadonlyArray<Shown> =>
  group.settings.map((setting) => ({
    name: setting.name,
    value: isSet(setting, environment) ? valueShown(setting, environment) : undefined,
    default: setting.secret && setting.default !== "" ? "<redacted>" : setting.default
  }))

const valueShown = (setting: Setting<unknown>, environment: Environment): string =>
  setting.secret ? "<redacted>" : withoutCredentials(environment.get(setting.name) ?? "")

/** What is set, by name, for the log: everything else is as documented. */
export const shown = (group: Group<unknown>, environment: Environment): Readonly<Record<string, string>> =>
  Object.fromEntries(
    describe(group, environment).flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))
  )
