/**
 * What spans tell of a failure: its kind, and the code that a server or the system gave it. Never an error's own words: a
 * database, or a parser, quotes in them what it was to store.
 */
import { Cause, Exit, Layer, Predicate, Tracer } from "effect"

/** As far down as a driver wraps what the system said. */
const deepest = 5

const codeOf = (error: unknown, depth = 0): string | undefined => {
  if (depth > deepest || !Predicate.isObject(error)) return undefined
  return typeof error.code === "string" ? error.code : codeOf(error.reason ?? error.cause, depth + 1)
}

const nameOf = (error: unknown): string | undefined => {
  if (!Predicate.isObject(error)) return undefined
  return [error._tag, error.name].find(Predicate.isString)
}

/** What the conventions want where nothing better is known. */
const unnamed = "_OTHER"

const kindOf = (error: unknown): string =>
  (Predicate.isObject(error) ? nameOf(error.reason) : undefined) ?? nameOf(error) ?? unnamed

/** SQLSTATE: five characters, which are never letters alone, unlike the names that a system gives. */
const isSqlState = (code: string | undefined): code is string => /^(?=.*\d)[0-9A-Z]{5}$/.test(code ?? "")

/** The end that a span tells of; whoever made the span may have said the kind already. */
const toldOf = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return exit
  const error = Cause.squash(exit.cause)
  const code = codeOf(error)
  if (!span.attributes.has("error.type")) span.attribute("error.type", code ?? kindOf(error))
  if (span.attributes.has("db.system.name") && isSqlState(code)) span.attribute("db.response.status_code", code)
  const type = String(span.attributes.get("error.type"))
  return Exit.fail({ name: nameOf(error) ?? type, message: type })
}

const discreet = (tracer: Tracer.Tracer): Tracer.Tracer => ({
  ...tracer,
  span: (options) => {
    const span = tracer.span(options)
    const end = span.end.bind(span)
    span.end = (time, exit) => end(time, toldOf(span, exit))
    return span
  }
})

/** Around the tracer that is there. */
export const layer: Layer.Layer<never> = Layer.effect(Tracer.Tracer, Tracer.Tracer.useSync(discreet))
