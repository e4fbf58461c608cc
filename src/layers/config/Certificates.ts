/** Certificates for TLS, as texts in PEM form. */
import { Redacted, Result } from "effect"
import type { Parser } from "./Parser.ts"
import type { Problem } from "./Problem.ts"
import { all, type Group, optional, refine } from "./Setting.ts"

/** Named as the options of a TLS connection are. */
export interface Certificates {
  /** The authorities to trust, in place of those that the runtime knows. */
  readonly ca?: string
  /** Who we are. */
  readonly cert?: string
  readonly key?: string
}

const form = "a text in PEM form"

const pem: Parser<Redacted.Redacted> = {
  takes: form,
  parse: (text) => (/^\s*-----BEGIN [A-Z ]+-----/.test(text) ? Result.succeed(Redacted.make(text)) : Result.fail(form))
}

const missing = (name: string, other: string): Problem => ({ name, got: "nothing", takes: `what goes with ${other}` })

/** `<prefix>_CA`, `<prefix>_CERT` and `<prefix>_KEY`; `undefined` where none is set. */
export const certificates = (prefix: string): Group<Redacted.Redacted<Certificates> | undefined> => {
  const [CA, CERT, KEY] = [`${prefix}_CA`, `${prefix}_CERT`, `${prefix}_KEY`] as const
  const texts = all({
    ca: optional(pem, {
      name: CA,
      default: "the authorities that the runtime knows",
      reason: "Certificates of the authorities to trust.",
      secret: true
    }),
    cert: optional(pem, {
      name: CERT,
      default: "",
      reason: `Our certificate, where the brokers want one; with ${KEY}.`,
      secret: true
    }),
    key: optional(pem, { name: KEY, default: "", reason: "The key to it.", secret: true })
  })
  return refine(texts, ({ ca, cert, key }) => {
    if (cert !== undefined && key === undefined) return Result.fail([missing(KEY, CERT)])
    if (key !== undefined && cert === undefined) return Result.fail([missing(CERT, KEY)])
    if ((ca ?? cert) === undefined) return Result.succeed(undefined)
    return Result.succeed(
      Redacted.make({
        ...(ca && { ca: Redacted.value(ca) }),
        ...(cert && { cert: Redacted.value(cert) }),
        ...(key && { key: Redacted.value(key) })
      })
    )
  })
}
